"""Which tier goes first: the best one, unless a later one is far likelier to keep a promise.

A deadline is hard and the order of tiers a preference, so a tier yields where a later one has a far
better chance to end in time. Where nobody has a chance worth the name, predictions are no promise,
and the best tier that is not twice as slow as the fastest is asked. A wish for a first token is
soft: it moves a call to a later tier of the same class of quality, never to a lesser model. A wish
for quality puts those first that have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.core.routing import CallNeeds, EndpointView, RoutingSettings
    from sidecar.domain import RouteName

    Tier = list[EndpointView]

LATE_FACTOR = 2.0
"""Where nobody is expected to make it, a better tier is still preferred up to this."""
CLASS_MARGIN = 0.05
"""Qualities this near each other are one class: the figures are judgements, not measurements."""


def is_promising(tier: Iterable[EndpointView], settings: RoutingSettings) -> bool:
    """Return whether somebody of ``tier`` keeps all promises so surely that no other is needed."""
    enough = settings.chance_enough
    for view in tier:  # noqa: SIM110 - each first choice asks this, a generator costs as much again
        if view.chance >= enough and view.first_chance >= enough:
            return True
    return False


def by_quality(tiers: Sequence[Tier], needs: CallNeeds) -> list[Tier]:
    """Return the tiers of those that have the wished-for quality, then those of the others."""
    if needs.quality <= 0.0:
        return list(tiers)
    name, least = needs.route.name, needs.quality
    good = [[one for one in tier if _quality(one, name) >= least] for tier in tiers]
    rest = [[one for one in tier if _quality(one, name) < least] for tier in tiers]
    return good + rest


def best_tier(tiers: Sequence[Tier], needs: CallNeeds, settings: RoutingSettings) -> int | None:
    """Return the number of the tier to begin with, None if nobody is in any.

    In time with 0.6, 0.95, 0.99: the second, for 0.6 is less than 0.75 * 0.99. With 0.8 instead of
    0.6 it is the first.
    """
    chances = {number: max([one.chance for one in tier]) for number, tier in _filled(tiers)}
    if not chances:
        return None
    best = max(chances.values())
    if best < settings.chance_least:
        return _least_late(tiers)
    able = [number for number, one in chances.items() if one >= settings.chance_share * best]
    return _soonest(tiers, able, needs, settings)


def _soonest(
    tiers: Sequence[Tier], able: Sequence[int], needs: CallNeeds, settings: RoutingSettings
) -> int:
    """Return the first of ``able`` whose chance of a first token in time is not far worse than that
    of a later one as good.
    """
    name, first = needs.route.name, able[0]
    least = min(_quality(one, name) for one in tiers[first]) - CLASS_MARGIN
    chances = {
        number: max(one.first_chance for one in tiers[number])
        for number in able
        if max(_quality(one, name) for one in tiers[number]) >= least
    }
    best = max(chances.values())
    if best < settings.chance_least:
        return first
    return next(number for number, one in chances.items() if one >= settings.chance_share * best)


def _least_late(tiers: Sequence[Tier]) -> int:
    """Return the best tier that is not twice as slow as the fastest."""
    fastest_s = {number: min([one.total_s for one in tier]) for number, tier in _filled(tiers)}
    bound_s = LATE_FACTOR * min(fastest_s.values())
    return next(number for number, total_s in fastest_s.items() if total_s <= bound_s)


def _filled(tiers: Sequence[Tier]) -> list[tuple[int, Tier]]:
    return [(number, tier) for number, tier in enumerate(tiers) if tier]


def _quality(view: EndpointView, route: RouteName) -> float:
    return view.endpoint.quality.of(route)
