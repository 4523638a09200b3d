"""How a route shares out its calls: learning, models on trial, a shadow; what is wrong with that.

What the schema cannot see: shares that leave nothing to anybody else, terms that nobody reads, a
trial or a shadow that can never be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.problems import member
from sidecar.domain import Grader, Shadow
from sidecar.shares import Adaptive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.model import Config
    from sidecar.config.problems import Problems
    from sidecar.config.schema import (
        DefaultsEntry,
        File,
        GraderEntry,
        ModelEntry,
        RouteEntry,
        ShadowEntry,
    )
    from sidecar.domain import EndpointId

_FIELDS = {
    "worth": "worth_usd",
    "per_second": "usd_per_s",
    "share": "share",
    "usd_per_day": "usd_per_day",
}


def adaptive_of(entry: RouteEntry, defaults: DefaultsEntry) -> Adaptive | None:
    """Return on which terms a route learns, the defaults' where it says nothing; None: not."""
    if entry.choose != "adaptive":
        return None
    given: dict[str, float] = {}
    for terms in (defaults.adaptive, entry.adaptive):
        values = {
            "worth": terms.worth,
            "per_second": terms.per_second,
            "share": terms.share,
            "usd_per_day": terms.usd_per_day,
        }
        given |= {_FIELDS[key]: value for key, value in values.items() if value is not None}
    return Adaptive(**given)


def canaries_of(
    entry: RouteEntry, models: Mapping[str, ModelEntry], ids: Mapping[str, EndpointId]
) -> tuple[tuple[EndpointId, float], ...]:
    """Return the models of a route that are on trial, each with its share."""
    shares = [(ids[name], models[name].share) for tier in entry.tiers for name in tier]
    return tuple((name, share) for name, share in shares if share is not None)


def shadow_of(entry: ShadowEntry, ids: Mapping[str, EndpointId]) -> Shadow:
    """Return who gets copies of a route's calls."""
    return Shadow(endpoint=ids[entry.model], share=entry.share, usd_per_day=entry.usd_per_day)


def grader_of(entry: GraderEntry, ids: Mapping[str, EndpointId]) -> Grader:
    """Return who grades a route's answers."""
    return Grader(
        model=ids[entry.model],
        rubric=entry.rubric,
        share=entry.share,
        usd_per_day=entry.usd_per_day,
    )


def check_sharing(
    path: str, route: Mapping[str, object], models: Mapping[str, object], problems: Problems
) -> None:
    """Note shares of which nothing is left for a settled model, and terms without effect."""
    if route.get("adaptive") and route.get("choose") != "adaptive":
        message = "expected `choose: adaptive` beside it, got nothing"
        problems.add(member(path, "adaptive"), f"{message}; add it, or remove these terms")
    shares = _shares(route, models)
    if not shares:
        return
    place = member(path, "tiers")
    on_trial = [share for share in shares if share is not None]
    if len(on_trial) == len(shares):
        message = "expected a model without a share, got only models on trial"
        problems.add(place, f"{message}; remove the share of the one that serves by default")
    elif sum(on_trial) > 1.0:
        message = f"expected shares of at most 100% together, got {sum(on_trial):.0%}"
        problems.add(place, f"{message}; lower some")


def _shares(route: Mapping[str, object], models: Mapping[str, object]) -> list[float | None]:
    """Return the share of each model of the route's tiers, None of those that have none."""
    tiers = route.get("tiers")
    found: list[float | None] = []
    for tier in tiers if isinstance(tiers, list) else ():
        for name in tier if isinstance(tier, list) else ():
            model = models.get(name) if isinstance(name, str) else None
            share = model.get("share") if isinstance(model, dict) else None
            found.append(share if isinstance(share, float) else None)
    return found


def warn_of_sharing(file: File, config: Config, notes: Problems) -> None:
    """Note what is configured and will never happen."""
    used = {name for route in file.routes.values() for tier in route.tiers for name in tier}
    for name, model in file.models.items():
        if model.share is not None and name not in used:
            message = "no route has this model, so nobody is sent to it"
            notes.add(member(member("$.models", name), "share"), f"{message}; add it to a tier")
    for name, entry in file.routes.items():
        path = member("$.routes", name)
        route = config.catalogue.routes[name]
        if route.adaptive is not None and len(route.endpoints()) == 1:
            message = "a single model leaves nothing to choose"
            notes.add(member(path, "choose"), f"{message}; add another to the tiers")
        if entry.shadow is None or route.shadow is None:
            continue
        endpoint = config.catalogue.endpoints[route.shadow.endpoint]
        if endpoint.price is None:
            message = f"no price is known of {endpoint.model}, so its cost cannot be bounded"
            hint = "nothing is mirrored; add `price: {input: …, output: …}`"
            notes.add(member(member(path, "shadow"), "model"), f"{message}: {hint}")
