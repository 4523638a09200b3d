"""What an endpoint costs a call, and how much of the traffic that earns it.

Time, money, the risk of failing or of being late, and crowding are brought to one unitless cost,
whose differences a softmax turns into weights: a tenth more cost takes two thirds of the weight.
Everything is monotone: an endpoint worse in one respect and equal in all others never gets more
weight.

That is why the price of failing looks at one common second-best time. Taking the best
*other* endpoint of each would make a slow, unreliable endpoint cheaper than a fast one,
since its alternative is better.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from sidecar.domain import Capacity, Priority

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.core.routing import CallNeeds, EndpointView, RoutingSettings

SLO_LEAST_S = 0.1
"""Keeps the scale finite for a call with no time left."""
WISH = 1.0
"""What missing a wished-for first token costs: as much as a total of ``slo_s``."""
SPAN_LEAST = 0.01
"""Keeps the scale finite where load is free to the brim."""


def second_best_s(views: Iterable[EndpointView]) -> float | None:
    """What a failed attempt must still wait for, seconds; None if nothing could follow."""
    totals = sorted(view.total_s for view in views)
    return totals[1] if len(totals) > 1 else None


def costs_of(
    tier: Sequence[EndpointView],
    needs: CallNeeds,
    fallback_s: float | None,
    settings: RoutingSettings,
) -> tuple[float, ...]:
    """Return the unitless cost J of each endpoint; differences of 0.1 matter (``temperature``)."""
    weigh = settings.batch if needs.priority is Priority.BATCH else settings.interactive
    slo_s = max(SLO_LEAST_S, min(settings.slo_s, needs.remaining_s))
    retry = 1.0 + (1.0 if fallback_s is None else fallback_s / slo_s)
    # Not knowing a price must not make an endpoint the cheapest.
    dearest_usd = max((view.cost_usd for view in tier if view.cost_usd is not None), default=0.0)
    span = max(SPAN_LEAST, 1.0 - settings.utilisation_free)
    costs = []
    for view in tier:
        success = view.reliability * view.availability * view.chance
        usd = dearest_usd if view.cost_usd is None else view.cost_usd
        over = max(0.0, view.utilisation - settings.utilisation_free)
        crowd = (over / span) ** 2
        costs.append(
            weigh.time * burdened_s(view) / slo_s
            + weigh.money * usd / settings.cost_ref_usd
            + weigh.reliability * (1.0 - success) * retry
            + WISH * (1.0 - view.first_chance)
            + weigh.headroom * crowd
            + view.penalty_s / slo_s
        )
    return tuple(costs)


def burdened_s(view: EndpointView) -> float:
    """Return the expected total time: a server of our own slows under our load, from half its
    limit on (Peak-EWMA).
    """
    if view.endpoint.capacity is Capacity.DEDICATED:
        return view.total_s * max(1.0, 2.0 * view.utilisation)
    return view.total_s


def weights_of(
    tier: Sequence[EndpointView],
    costs: Sequence[float],
    priority: Priority,
    settings: RoutingSettings,
) -> tuple[float, ...]:
    """Return each endpoint's share of the draw, above 0; not normalised."""
    cheapest = min(costs)
    fastest_s = min(view.total_s for view in tier)
    weights = []
    for view, cost in zip(tier, costs, strict=True):
        weight = view.slow_start * exp(-(cost - cheapest) / settings.temperature)
        # The fastest is another endpoint whenever it predicts at most half.
        if view.is_sluggish and fastest_s <= view.total_s * settings.sluggish_ratio:
            weight *= settings.sluggish_weight
        weights.append(weight)
    if priority is Priority.BATCH:
        least = settings.exploration * sum(weights)
        return tuple(max(least, weight) for weight in weights)
    return tuple(weights)
