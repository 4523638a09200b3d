"""What is legal but will hurt in an outage: said by `sidecar check`, never in the way of a start.

Each piece of advice names the place, what will happen, and a way out. ``warn`` is for the few that
must be seen at every start.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sidecar.abilities import Ability
from sidecar.config.embeddings import advise_on_spaces
from sidecar.config.problems import member
from sidecar.config.sharing import warn_of_sharing
from sidecar.config.texts import is_loopback
from sidecar.core.cost import predicted_cost_usd
from sidecar.domain import Rung
from sidecar.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Config
    from sidecar.config.problems import Problems
    from sidecar.config.schema import File, ModelEntry
    from sidecar.domain import Endpoint, Route

PROMPT_TOKENS_LEAST = 50
OUTPUT_TOKENS_LEAST = 10
"""A call smaller than this is hardly worth making; a budget below its cost refuses everything."""

NEEDED = (Ability.TOOLS, Ability.FORCED_TOOL, Ability.SCHEMA, Ability.VISION)
"""What whole applications are built on; who wants logprobs knows that few vendors have them."""
PRICE_USD_MIN, PRICE_USD_MAX = 0.001, 1000.0
"""A million tokens: the dearest model of 2025 took $600, the cheapest about a cent."""
CONTEXT_SHARE_MIN = 0.9
"""Vendors count a million differently; a tenth less is no smaller context."""


def warn(file: File, config: Config, notes: Problems) -> None:
    """Note what must be seen at every start."""
    for name, provider in file.providers.items():
        path = member("$.providers", name)
        if not provider.verify_tls:
            message = "TLS certificates are not verified: whoever sits in between reads the key"
            notes.add(member(path, "verify_tls"), f"{message}; set verify_tls: true")
    for name, entry in file.routes.items():
        path = member("$.routes", name)
        if entry.static is not None and entry.degrade is not None and "static" not in entry.degrade:
            message = "the static answer is never given, since degrade does not list static"
            notes.add(member(path, "static"), f"{message}; add it or remove the answer")
    for name, model in file.models.items():
        _warn_of_price(member(member("$.models", name), "price"), model, notes)
    _warn_of_uncounted(config, notes)
    for path, route, endpoints in _tasks(config):
        unknown = [endpoint.model for endpoint in endpoints if endpoint.price is None]
        if route.budget_usd is not None and unknown:
            message = f"no price is known of {', '.join(unknown)}, so a call with a budget skips it"
            notes.add(member(path, "budget"), f"{message}; add `price: {{input: …, output: …}}`")
    warn_of_sharing(file, config, notes)


def _warn_of_price(path: str, model: ModelEntry, notes: Problems) -> None:
    """A price that no model has is mostly another unit."""
    price = model.price
    given = () if price is None else (price.input, price.output)
    if any(usd > PRICE_USD_MAX for usd in given):
        message = f"no known model costs more than ${PRICE_USD_MAX:g} a million tokens"
        notes.add(path, f"{message}; prices are US dollars per million tokens, not cents")
    elif any(0 < usd < PRICE_USD_MIN for usd in given):
        message = f"no known model costs less than ${PRICE_USD_MIN:g} a million tokens"
        notes.add(path, f"{message}; prices are US dollars per million tokens, not per token")


def _warn_of_uncounted(config: Config, notes: Problems) -> None:
    """What has no price is not counted, so no cap can hold it."""
    caps, endpoints = config.settings.budgets.caps, config.catalogue.endpoints
    for name in caps.by_provider:
        unknown = [one for one in endpoints.values() if one.provider == name and one.price is None]
        _warn_of_cap(member("$.providers", name), unknown, notes)
    for route in caps.by_route:
        all_of = [endpoints[one] for one in config.catalogue.routes[route].endpoints()]
        _warn_of_cap(member("$.routes", route), [one for one in all_of if one.price is None], notes)


def _warn_of_cap(path: str, unknown: list[Endpoint], notes: Problems) -> None:
    if unknown:
        names = ", ".join(endpoint.model for endpoint in unknown)
        message = f"no price is known of {names}, so what it costs does not count"
        place = member(member(path, "limits"), "usd_per_day")
        notes.add(place, f"{message}; add `price: {{input: …, output: …}}`")


def advise(config: Config, notes: Problems) -> None:
    """Note what `sidecar check` advises."""
    if len(config.catalogue.endpoints) == 1:
        message = "there is a single model: nothing can take over from it"
        notes.add("$.models", f"{message}; add one at another provider")
    for path, route, endpoints in _tasks(config):
        _advise_on_vendors(path, endpoints, notes)
        advise_on_spaces(path, endpoints, route.static, notes)
        _advise_on_context(path, route, config, notes)
        _advise_on_abilities(path, route, config, notes)
        _advise_on_time(path, route, endpoints, notes)
        _advise_on_budget(path, route, endpoints, notes)
    for name, target in config.targets.items():
        url = urlsplit(target.base_url)
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            message = f"prompts and the key travel to {url.hostname} in plain text"
            notes.add(member(member("$.providers", name), "base_url"), f"{message}; use https://")
    file = config.ledger.path
    if file is not None and not (folder := Path(file).absolute().parent).is_dir():
        message = f"there is no directory {folder}: calls are kept in memory"
        notes.add("$.ledger.path", f"{message} alone; make it, or mount a volume there")
    if config.settings.spend.daily_usd == 0:
        message = "nothing may be spent on probes: recovery is seen by callers' own calls only"
        notes.add("$.defaults.spend.daily_usd", f"{message}; allow a few cents")


def _advise_on_vendors(path: str, endpoints: list[Endpoint], notes: Problems) -> None:
    """A second model at the same host, so at the same account too, shares its outages."""
    if len({endpoint.host for endpoint in endpoints}) == 1:
        message = f"every model of this route is at {endpoints[0].host}: its outage is yours"
        notes.add(path, f"{message}; add a model at another vendor")


def _advise_on_context(path: str, route: Route, config: Config, notes: Problems) -> None:
    """A fallback with a smaller context refuses the long prompts that the best model took."""
    best = 0
    for tier in route.tiers:
        for endpoint in (config.catalogue.endpoints[name] for name in tier):
            size = endpoint.context_tokens
            if size is not None and size < best * CONTEXT_SHARE_MIN:
                message = (
                    f"fallback {endpoint.model} has a context of {size} tokens, before it {best}"
                )
                notes.add(member(path, "tiers"), f"{message}; longer prompts cannot fall back")
        sizes = [config.catalogue.endpoints[name].context_tokens or 0 for name in tier]
        best = max([best, *sizes])


def _advise_on_abilities(path: str, route: Route, config: Config, notes: Problems) -> None:
    """What no fallback can do fails with the best tier, whatever stands behind it."""
    best, *behind = (
        [config.catalogue.endpoints[name].abilities for name in tier] for tier in route.tiers
    )
    fallbacks = [abilities for tier in behind for abilities in tier]
    if not fallbacks:
        return
    lost = [
        ability.value
        for ability in NEEDED
        if all(ability in one.cannot for one in fallbacks)
        and any(ability not in one.cannot for one in best)
    ]
    if lost:
        message = f"no fallback can do {', '.join(lost)}, which the best tier can"
        notes.add(member(path, "tiers"), f"{message}; such calls cannot fall back")
    longest = max((one.output_tokens_max or 0 for one in best), default=0)
    known = [one.output_tokens_max for one in fallbacks if one.output_tokens_max is not None]
    if len(known) == len(fallbacks) and max(known) < longest and Rung.CLAMP not in route.rungs:
        message = f"no fallback writes more than {max(known)} tokens, before it {longest}"
        hint = "calls that ask for more cannot fall back; add clamp to degrade"
        notes.add(member(path, "tiers"), f"{message}; {hint}")


def _advise_on_time(path: str, route: Route, endpoints: list[Endpoint], notes: Problems) -> None:
    """A fixed patience as long as the whole call leaves no time for a second attempt."""
    for endpoint in endpoints:
        first_s = endpoint.timers.first_content_s
        if first_s is not None and first_s >= route.within_s:
            message = f"{endpoint.model} may be silent for {format_duration(first_s)}"
            whole = format_duration(route.within_s)
            hint = "no time is left for another; lower timers.first_content or raise within"
            notes.add(member(path, "within"), f"{message} of {whole}; {hint}")


def _advise_on_budget(path: str, route: Route, endpoints: list[Endpoint], notes: Problems) -> None:
    """A budget below the cheapest conceivable call refuses every call."""
    if route.budget_usd is None:
        return
    costs = [
        cost
        for endpoint in endpoints
        if (cost := predicted_cost_usd(endpoint.price, PROMPT_TOKENS_LEAST, OUTPUT_TOKENS_LEAST))
        is not None
    ]
    if not costs:
        notes.add(member(path, "budget"), "no call can be made: no model of this route has a price")
    elif min(costs) > route.budget_usd:
        message = f"no call can be made: even {PROMPT_TOKENS_LEAST} tokens in and"
        message += f" {OUTPUT_TOKENS_LEAST} out cost ${min(costs):.6f}"
        notes.add(member(path, "budget"), f"{message}; raise the budget or add a cheaper model")


def _tasks(config: Config) -> Iterator[tuple[str, Route, list[Endpoint]]]:
    """Yield path, route and endpoints of each task."""
    for name, route in config.catalogue.routes.items():
        if route.is_task:
            endpoints = [config.catalogue.endpoints[endpoint] for endpoint in route.endpoints()]
            yield member("$.routes", name), route, endpoints
