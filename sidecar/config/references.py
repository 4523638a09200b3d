"""Names that point at other names, and whether those exist.

Providers of models; models in tiers, prompts and aliases; routes in qualities. And names that would
hide a path.
Works on the members that fit the schema; what exists is taken from the raw mappings, so that a
provider with a mistake of its own is not reported as missing too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.problems import member, shown, suggestion
from sidecar.config.sharing import check_sharing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.problems import Problems

Mapped = dict[str, object]
RESERVED = frozenset({"v1", "v1beta", "models", "tasks"})
"""First segments of our own paths; of providers they would be ambiguous."""


def check_references(raw: Mapped, fitted: Mapped, problems: Problems) -> None:
    """Note names that lead nowhere, twice to the same, or to two things."""
    known = {section: list(mapped(raw, section)) for section in _SECTIONS}
    _check_clashes(known, problems)
    _check_reserved(known["providers"], problems)
    for path, model in entries(fitted, "models"):
        _check_model(path, model, known, problems)
    for path, route in entries(fitted, "routes"):
        _check_tiers(path, route, known["models"], problems)
        _check_shadow(path, route, known["models"], problems)
        _check_prompts(path, route, problems)
        _check_static(path, route, problems)
        check_sharing(path, route, mapped(fitted, "models"), problems)
        _check_grader(path, route, known["models"], problems)
    targets = [*known["routes"], *known["models"]]
    for alias, target in mapped(fitted, "aliases").items():
        if target not in targets:
            path = member("$.aliases", alias)
            hint = suggestion(str(target), targets)
            problems.add(path, f"expected a route or model, got {shown(target)}; {hint}")


def mapped(tree: Mapped, key: str) -> Mapped:
    """Return the mapping at ``key``, an empty one where there is none."""
    value = tree.get(key)
    return value if isinstance(value, dict) else {}


def entries(tree: Mapped, section: str) -> Iterator[tuple[str, Mapped]]:
    """Yield path and mapping of each entry of a section."""
    for name, entry in mapped(tree, section).items():
        if isinstance(entry, dict):
            yield member(member("$", section), name), entry


def _check_clashes(known: dict[str, list[str]], problems: Problems) -> None:
    """A name means one thing: a route, a model or an alias."""
    owner: dict[str, str] = {}
    for section in ("routes", "models", "aliases"):
        for name in known[section]:
            path = member(member("$", section), name)
            first = owner.setdefault(name, path)
            if first != path:
                message = f"name {shown(name)} is taken by {problems.place(first)}; rename one"
                problems.add(path, message)


def _check_reserved(providers: list[str], problems: Problems) -> None:
    """What follows ``/{provider}/`` is passed on, so no provider hides paths of our own."""
    for name in providers:
        if name in RESERVED:
            path = member("$.providers", name)
            problems.add(path, f"name {shown(name)} is a path of the sidecar's own; rename it")


def _check_model(path: str, model: Mapped, known: dict[str, list[str]], problems: Problems) -> None:
    """The provider exists, and so do the routes that qualities speak of."""
    provider = model.get("provider")
    if isinstance(provider, str) and provider not in known["providers"]:
        hint = suggestion(provider, known["providers"])
        message = f"expected a provider, got {shown(provider)}; {hint}"
        problems.add(member(path, "provider"), message)
    for route in mapped(model, "quality"):
        if route != "default" and route not in known["routes"]:
            hint = suggestion(route, ["default", *known["routes"]])
            place = member(member(path, "quality"), route)
            problems.add(place, f'expected "default" or a route, got {shown(route)}; {hint}')


def _check_tiers(path: str, route: Mapped, models: list[str], problems: Problems) -> None:
    """There are tiers, none is empty, each model exists and stands in one place."""
    tiers = route.get("tiers")
    if not isinstance(tiers, list):
        return
    if not tiers:
        problems.add(member(path, "tiers"), "expected at least one tier, got none; add `[[model]]`")
    first: dict[str, str] = {}
    for place, name in _tier_members(member(path, "tiers"), tiers, problems):
        if name not in models:
            hint = suggestion(name, models)
            problems.add(place, f"expected a model, got {shown(name)}; {hint}")
        elif first.setdefault(name, place) != place:
            message = f"model {shown(name)} is already at {problems.place(first[name])}; keep one"
            problems.add(place, message)


def _tier_members(path: str, tiers: list[object], problems: Problems) -> Iterator[tuple[str, str]]:
    """Yield place and model name of each member of each tier; empty tiers are noted."""
    for index, tier in enumerate(tiers):
        if tier == []:
            problems.add(member(path, index), "expected models in this tier, got none; remove it")
        for position, name in enumerate(tier if isinstance(tier, list) else []):
            yield member(member(path, index), position), str(name)


def _check_prompts(path: str, route: Mapped, problems: Problems) -> None:
    """Prompts are for models of this very route."""
    tiers = route.get("tiers")
    names = [
        str(name)
        for tier in (tiers if isinstance(tiers, list) else [])
        for name in (tier if isinstance(tier, list) else [])
    ]
    for model in mapped(route, "prompts"):
        if model not in names:
            place = member(member(path, "prompts"), model)
            hint = suggestion(model, names)
            problems.add(place, f"expected a model of this route, got {shown(model)}; {hint}")


def _check_shadow(path: str, route: Mapped, models: list[str], problems: Problems) -> None:
    """The model that gets copies exists."""
    shadow = mapped(route, "shadow")
    name = shadow.get("model")
    if isinstance(name, str) and name not in models:
        place = member(member(path, "shadow"), "model")
        hint = suggestion(name, models)
        problems.add(place, f"expected a model, got {shown(name)}; {hint}")


def _check_grader(path: str, route: Mapped, models: list[str], problems: Problems) -> None:
    """Who grades is a model."""
    name = mapped(route, "grader").get("model")
    if isinstance(name, str) and name not in models:
        place = member(member(path, "grader"), "model")
        problems.add(place, f"expected a model, got {shown(name)}; {suggestion(name, models)}")


def _check_static(path: str, route: Mapped, problems: Problems) -> None:
    """A static answer that may be given exists."""
    degrade = route.get("degrade")
    if isinstance(degrade, list) and "static" in degrade and route.get("static") is None:
        message = 'expected `static: "…"` beside degrade: [static], got nothing; add the answer'
        problems.add(member(path, "degrade"), message)


_SECTIONS = ("providers", "models", "routes", "aliases")
