"""Which endpoint gets the call: eligibility, then tiers, then a weighted draw among equals.

Hard facts first: a shut gate, a feature the endpoint cannot speak, a price over the budget, a first
token that even on a good day comes after the deadline. Each endpoint not eligible gets one reason,
the most lasting one first, so that a call no endpoint could ever serve is told apart from one that
came at a bad moment. Soft signals (slow, dear, unreliable, freshly recovered) only move weights and
never remove the last endpoint.

Then the best tier with anything eligible; within a tier the score decides. One
exception: in a brown-out, where nothing of that tier would finish in time and a later tier would,
or where none would and a later one is twice as fast, the later tier goes first.

Random by softmax instead of the best one, because hundreds of sidecars with the same data would all
run to the same endpoint and trip its limits. The previous choice is kept while it is nearly best,
for the sake of the provider's prompt cache; never when it is suspect, sluggish or freshly
recovered.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sidecar.core.weighing import costs_of, second_best_s, weights_of
from sidecar.domain import Gate
from sidecar.value import value

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from sidecar.domain import Endpoint, EndpointId, Priority, Route, RouteName, WireFormat


LATE_FACTOR = 2.0
"""Where nobody is expected to make it, a better tier is still preferred up to this."""


@value
class RoutingWeights:
    """What a call cares for: time, money, reliability, headroom; unitless factors of the cost."""

    time: float
    money: float
    reliability: float
    headroom: float


@value
class RoutingSettings:
    """Numbers of the choice.

    * ``interactive`` and ``batch``: the former waits for nobody, the latter watches the bill.
    * ``slo_s`` 10: a total that counts as 1; a call with less time left counts by what it has.
    * ``cost_ref_usd`` 0.01: a price that counts as 1, a long answer of a middling model.
    * ``temperature`` 0.1: a tenth more cost takes two thirds of the weight.
    * ``hysteresis`` 1.1: the previous choice stays while it costs at most a tenth more than the
      best.
    * ``utilisation_free`` 0.8: below it, load costs nothing.
    * ``sluggish_weight`` 0.05: soft ejection, if another endpoint predicts at most
      ``sluggish_ratio`` 0.5.
    * ``exploration`` 0.01: least share of a batch call's endpoints, so that idle ones stay known.
    * ``optimism`` 0.5: an endpoint is too slow only if half its usual first token is past the
      deadline.
    * ``context_margin`` 1.1: prompt tokens are an estimate; a tenth too few must not cost an
      attempt.
    * ``memory_max`` 1024: routes whose previous choice is remembered.
    """

    interactive: RoutingWeights = field(
        default_factory=lambda: RoutingWeights(time=1.0, money=0.2, reliability=2.0, headroom=0.5)
    )
    batch: RoutingWeights = field(
        default_factory=lambda: RoutingWeights(time=0.2, money=1.0, reliability=1.0, headroom=0.5)
    )
    slo_s: float = 10.0
    cost_ref_usd: float = 0.01
    temperature: float = 0.1
    hysteresis: float = 1.1
    utilisation_free: float = 0.8
    sluggish_weight: float = 0.05
    sluggish_ratio: float = 0.5
    exploration: float = 0.01
    optimism: float = 0.5
    context_margin: float = 1.1
    memory_max: int = 1024


@value
class EndpointView:
    """One endpoint as one call sees it now.

    ``gate`` is the shut gate, ``opens_at`` when it may open. ``ttft_s``, ``itl_s``, ``total_s`` and
    ``cost_usd`` are predicted for this call, ``typical_ttft_s`` without the current slowness.
    ``reliability``, ``availability``, ``slow_start`` and ``utilisation`` are 0..1.
    """

    endpoint: Endpoint
    gate: Gate | None
    opens_at: float | None
    ttft_s: float
    itl_s: float
    total_s: float
    typical_ttft_s: float
    reliability: float
    availability: float
    penalty_s: float
    slow_start: float
    utilisation: float
    is_sluggish: bool
    is_suspect: bool
    cost_usd: float | None
    hang_s: float


@value
class CallNeeds:
    """What one call asks of an endpoint; ``excluded`` says which it may not use, and why.

    ``space``: the only one whose vectors it may get.
    """

    route: Route
    remaining_s: float
    budget_usd: float | None
    format: WireFormat
    untranslatable: tuple[str, ...]
    priority: Priority
    excluded: Mapping[EndpointId, Gate]
    prompt_tokens: int = 0
    space: str | None = None


@value
class Choice:
    """The order to try endpoints in, and why the others are out.

    ``ranked``: the winner, the rest of its tier by weight, the following tiers, and last any tier
    passed over in a brown-out. ``tier`` is the winner's, 0 the best. ``soonest_opens_at``: when the
    first shut gate may open; ``rate_opens_at``: the same among accounts blocked for their rate
    alone.
    """

    ranked: tuple[EndpointView, ...]
    tier: int | None
    rejected: tuple[tuple[EndpointId, Gate], ...]
    soonest_opens_at: float | None
    rate_opens_at: float | None = None


_DEFAULTS = RoutingSettings()


class Router:
    """Chooses. State: each route's previous winner, the oldest forgotten first."""

    def __init__(self, settings: RoutingSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._previous: dict[RouteName, EndpointId] = {}

    def choose(
        self, views: Sequence[EndpointView], needs: CallNeeds, now: float, rng: random.Random
    ) -> Choice:
        """Rank the endpoints of ``needs.route``; ``views`` has one for each. Draws once at most."""
        by_id = {view.endpoint.id: view for view in views}
        rejected: list[tuple[EndpointId, Gate]] = []
        shut: list[tuple[float, Gate]] = []
        tiers: list[tuple[EndpointView, ...]] = []
        for tier in needs.route.tiers:
            eligible = []
            for endpoint_id in tier:
                view = by_id[endpoint_id]
                reason = rejection(view, needs, self._settings)
                if reason is None:
                    eligible.append(view)
                    continue
                rejected.append((endpoint_id, reason))
                if reason is view.gate and view.opens_at is not None and view.opens_at > now:
                    shut.append((view.opens_at, reason))
            tiers.append(tuple(eligible))
        ranked, tier_number = self._rank(tiers, needs, rng)
        return Choice(
            ranked=ranked,
            tier=tier_number,
            rejected=tuple(rejected),
            soonest_opens_at=min((at for at, _ in shut), default=None),
            rate_opens_at=min((at for at, gate in shut if gate is Gate.ACCOUNT_RATE), default=None),
        )

    def _rank(
        self, tiers: list[tuple[EndpointView, ...]], needs: CallNeeds, rng: random.Random
    ) -> tuple[tuple[EndpointView, ...], int | None]:
        first = _first_tier(tiers, needs.remaining_s)
        if first is None:
            return (), None
        fallback_s = second_best_s([view for tier in tiers for view in tier])
        ranked: list[EndpointView] = []
        for number in (*range(first, len(tiers)), *range(first)):
            if not tiers[number]:
                continue
            costs = costs_of(tiers[number], needs, fallback_s, self._settings)
            weights = weights_of(tiers[number], costs, needs.priority, self._settings)
            heaviest_first = sorted(range(len(weights)), key=lambda index: -weights[index])
            in_order = [tiers[number][index] for index in heaviest_first]
            if number == first:
                winner = self._pick(tiers[number], costs, weights, needs, rng)
                in_order.remove(winner)
                in_order.insert(0, winner)
            ranked.extend(in_order)
        return tuple(ranked), first

    def _pick(
        self,
        tier: tuple[EndpointView, ...],
        costs: tuple[float, ...],
        weights: tuple[float, ...],
        needs: CallNeeds,
        rng: random.Random,
    ) -> EndpointView:
        kept = self._kept(tier, costs, needs)
        winner = kept if kept is not None else _draw(tier, weights, rng)
        if not needs.excluded:
            # A failover says nothing of the route's preference.
            self._previous.pop(needs.route.name, None)
            self._previous[needs.route.name] = winner.endpoint.id
            if len(self._previous) > self._settings.memory_max:
                del self._previous[next(iter(self._previous))]
        return winner

    def _kept(
        self, tier: tuple[EndpointView, ...], costs: tuple[float, ...], needs: CallNeeds
    ) -> EndpointView | None:
        previous = self._previous.get(needs.route.name)
        bound = min(costs) * self._settings.hysteresis
        for view, cost in zip(tier, costs, strict=True):
            is_sound = not view.is_suspect and not view.is_sluggish and view.slow_start >= 1.0
            if view.endpoint.id == previous and is_sound and cost <= bound:
                return view
        return None


def rejection(view: EndpointView, needs: CallNeeds, settings: RoutingSettings) -> Gate | None:
    """Return why ``view`` cannot take the call, None if it can; the most lasting reason first."""
    return (
        needs.excluded.get(view.endpoint.id)
        or _unable(view.endpoint, needs, settings)
        or _unaffordable(view, needs.budget_usd)
        or _too_slow(view, needs.remaining_s, settings)
        or view.gate
    )


def _unable(endpoint: Endpoint, needs: CallNeeds, settings: RoutingSettings) -> Gate | None:
    spoken = endpoint.format_for(needs.format)
    if spoken is None or (needs.untranslatable and spoken is not needs.format):
        return Gate.UNSUPPORTED
    if needs.space is not None and endpoint.space != needs.space:
        return Gate.OTHER_SPACE
    wanted_tokens = needs.prompt_tokens * settings.context_margin
    if endpoint.context_tokens is not None and wanted_tokens > endpoint.context_tokens:
        return Gate.CONTEXT_TOO_SMALL
    return None


def _unaffordable(view: EndpointView, budget_usd: float | None) -> Gate | None:
    if budget_usd is None:
        return None
    if view.cost_usd is None:
        return Gate.PRICE_UNKNOWN
    return Gate.TOO_DEAR if view.cost_usd > budget_usd else None


def _too_slow(view: EndpointView, remaining_s: float, settings: RoutingSettings) -> Gate | None:
    is_late = remaining_s <= 0.0 or view.typical_ttft_s * settings.optimism > remaining_s
    return Gate.TOO_SLOW if is_late else None


def _first_tier(tiers: list[tuple[EndpointView, ...]], remaining_s: float) -> int | None:
    """The best tier that has an endpoint finishing in time; if none has, the best that is not twice
    as slow as the fastest: a prediction is no promise, and there the chance is.
    """
    fastest_s = {
        number: min(view.total_s for view in tier) for number, tier in enumerate(tiers) if tier
    }
    if not fastest_s:
        return None
    least_s = min(fastest_s.values())
    bound_s = remaining_s if least_s <= remaining_s else LATE_FACTOR * least_s
    return next(number for number, total_s in fastest_s.items() if total_s <= bound_s)


def _draw(
    tier: tuple[EndpointView, ...], weights: tuple[float, ...], rng: random.Random
) -> EndpointView:
    if len(tier) == 1:
        return tier[0]
    left = rng.random() * sum(weights)
    for view, weight in zip(tier, weights, strict=True):
        left -= weight
        if left < 0.0:
            return view
    # Rounding ate the last crumb: the heaviest is the safe answer.
    return tier[max(range(len(weights)), key=lambda index: weights[index])]
