"""Which endpoint gets the call: eligibility, then tiers, then a weighted draw among equals.

Hard facts first: a shut gate, a feature the endpoint cannot speak, a price over the budget, a first
token that even on a good day comes after the deadline. Each endpoint not eligible gets one reason,
the most lasting one first, so that a call no endpoint could ever serve is told apart from one that
came at a bad moment. Soft signals (slow, dear, unreliable, freshly recovered) only move weights and
never remove the last endpoint.

Then the best tier with anything eligible; within a tier the score decides. The exceptions:

* a tier whose best chance to end in time is far worse than a later tier's goes behind it (a
  deadline is hard, a tier a preference); where nobody has a chance, one twice as slow as the
  fastest does;
* a wish for a first token moves a call likewise, but only to models as good;
* with a wished-for quality the endpoints that have it come first, tier by tier, then the others.

Endpoints are looked at one after the other, and no more of them than the answer needs: a call that
asks for the ``enough`` best looks at no tier behind those that have them, and of a tier of very
many at a sample (the power of a few choices, after Mitzenmacher), so that its price does not grow
with the configuration.

Random by softmax instead of the best one, because hundreds of sidecars with the same data would all
run to the same endpoint and trip its limits. The previous choice is kept while it is nearly best,
for the sake of the provider's prompt cache; never when it is suspect, sluggish or freshly
recovered.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sidecar.core.eligibility import Survey
from sidecar.core.tiers import best_tier, by_quality, is_promising
from sidecar.core.tunable import Tunable
from sidecar.core.weighing import costs_of, second_best_s, weights_of
from sidecar.value import value

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sidecar.domain import Endpoint, EndpointId, Gate, Priority, Route, RouteName, WireFormat


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
    * ``chance_enough`` 0.9: a tier with an endpoint that is as likely to be in time is not compared
      with later ones; ``chance_share`` 0.75: others must have so much of the best chance of all;
      ``chance_least`` 0.05: below it chances are not worth comparing.
    * ``chance_hopeless`` 0.01: less likely to be in time even at its best hour, it is not asked.
    * ``context_margin`` 1.1: prompt tokens are an estimate; a tenth too few must not cost an
      attempt.
    * ``memory_max`` 1024: routes whose previous choice is remembered.
    * ``sample_max`` 12: so many endpoints of one tier are compared where the first is asked for;
      the rest is looked at only if none of them can.
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
    chance_enough: float = 0.9
    chance_share: float = 0.75
    chance_least: float = 0.05
    chance_hopeless: float = 0.01
    context_margin: float = 1.1
    memory_max: int = 1024
    sample_max: int = 12


@value
class EndpointView:
    """One endpoint as one call sees it now.

    ``gate`` is the shut gate, ``opens_at`` when it may open; ``unfit`` why it could not serve the
    call even at its best. ``ttft_s``, ``itl_s``, ``total_s`` and ``cost_usd`` are predicted for
    this call and ``output_tokens``, ``typical_ttft_s`` without the current slowness.
    ``reliability``, ``availability``, ``slow_start`` and ``utilisation`` are 0..1; so are the
    probabilities: ``chance`` of the whole answer by the deadline, ``first_chance`` of content by
    the wished time, ``usual_chance`` as ``chance`` in an ordinary hour (1 where that is a guess).
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
    output_tokens: float
    unfit: Gate | None = None
    chance: float = 1.0
    first_chance: float = 1.0
    usual_chance: float = 1.0


@value
class CallNeeds:
    """What one call asks of an endpoint; ``excluded`` says which it may not use, and why.

    ``space``: the only one whose vectors it may get. ``quality``: wished for, 0 if none is.
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
    quality: float = 0.0


@value
class Choice:
    """The order to try endpoints in, and why the others are out.

    ``ranked``: the winner, the rest of its tier by weight, the following tiers, and last any tier
    passed over in a brown-out; of endpoints that were not looked at neither says anything.
    ``tier`` is the winner's, 0 the best; ``is_drawn``: lots decided among several. ``drawn``: why
    the first is not who such calls go to, canary or explore.
    ``soonest_opens_at``: when the first shut gate may open; ``rate_opens_at``: the same among
    accounts blocked for their rate alone.
    """

    ranked: tuple[EndpointView, ...]
    tier: int | None
    rejected: tuple[tuple[EndpointId, Gate], ...]
    soonest_opens_at: float | None
    rate_opens_at: float | None = None
    is_drawn: bool = False
    drawn: str | None = None


_DEFAULTS = RoutingSettings()


class Router(Tunable[RoutingSettings]):
    """Chooses. State: each route's previous winner, the oldest forgotten first."""

    def __init__(self, settings: RoutingSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._previous: dict[RouteName, EndpointId] = {}

    def twin(self) -> Router:
        """Return a router that chooses as this one would, and remembers for itself."""
        twin = Router(self._settings)
        twin._previous = self._previous.copy()
        return twin

    def choose(
        self,
        look: Callable[[EndpointId], EndpointView],
        needs: CallNeeds,
        now: float,
        rng: random.Random,
        *,
        enough: int | None = None,
    ) -> Choice:
        """Rank the endpoints of ``needs.route``, all or the best ``enough``; ``look`` makes the
        view of one. Draws once at most, and for a sample.
        """
        survey = Survey(look, needs, now, self._settings)
        tiers: list[list[EndpointView]] = []
        first, found = None, 0
        is_alike = needs.quality <= 0.0  # else all are looked at, to tell the good ones apart
        for names in needs.route.tiers:
            tier = survey.eligible(self._sampled(names, needs, rng, enough))
            if not tier and enough is not None and len(names) > self._settings.sample_max:
                tier = survey.eligible(names)
            tiers.append(tier)
            if first is None and is_alike and is_promising(tier, self._settings):
                first = len(tiers) - 1
            if first is not None:
                found += len(tier)
                if enough is not None and found >= enough:
                    break
        if first is None or any(tiers[:first]):
            tiers = by_quality(tiers, needs)
            first = best_tier(tiers, needs, self._settings)
        soonest_at, rate_at = survey.opens_at()
        ranked = self._ranked(tiers, first, survey, rng)
        return Choice(
            ranked=ranked,
            tier=None if first is None else first % len(needs.route.tiers),
            rejected=tuple(survey.rejected),
            soonest_opens_at=soonest_at,
            rate_opens_at=rate_at,
            is_drawn=survey.is_drawn,
        )

    def _sampled(
        self,
        names: tuple[EndpointId, ...],
        needs: CallNeeds,
        rng: random.Random,
        enough: int | None,
    ) -> Iterable[EndpointId]:
        """Return some of a large tier, the previous winner among them; of others all."""
        most = self._settings.sample_max
        if enough is None or len(names) <= most:
            return names
        drawn = {names[int(rng.random() * len(names))]: None for _ in range(most)}
        previous = self._previous.get(needs.route.name)
        if previous is not None and previous in names:
            drawn[previous] = None
        return drawn

    def _ranked(
        self,
        tiers: list[list[EndpointView]],
        first: int | None,
        survey: Survey,
        rng: random.Random,
    ) -> tuple[EndpointView, ...]:
        if first is None:
            return ()
        ranked: list[EndpointView] = []
        for number in (*range(first, len(tiers)), *range(first)):
            tier = tiers[number]
            if len(tier) == 1:
                ranked.append(tier[0])
                if number == first:
                    self._remember(tier[0], survey)
            elif tier:
                ranked.extend(self._weighed(tier, survey, rng, is_first=number == first))
        return tuple(ranked)

    def _weighed(
        self, tier: list[EndpointView], survey: Survey, rng: random.Random, *, is_first: bool
    ) -> list[EndpointView]:
        """Return a tier by weight, its winner in front if it is the one that is asked."""
        needs = survey.needs
        costs = costs_of(tier, needs, second_best_s(tier), self._settings)
        weights = weights_of(tier, costs, needs.priority, self._settings)
        heaviest_first = sorted(range(len(weights)), key=lambda index: -weights[index])
        in_order = [tier[index] for index in heaviest_first]
        if is_first:
            kept = self._kept(tier, costs, needs)
            survey.is_drawn = kept is None
            winner = kept or _draw(tier, weights, rng)
            self._remember(winner, survey)
            in_order.remove(winner)
            in_order.insert(0, winner)
        return in_order

    def _remember(self, winner: EndpointView, survey: Survey) -> None:
        """Keep the winner in mind; where some were out of the question it says nothing."""
        needs, previous = survey.needs, self._previous
        if needs.excluded or survey.has_unfit:
            return
        previous.pop(needs.route.name, None)
        previous[needs.route.name] = winner.endpoint.id
        if len(previous) > self._settings.memory_max:
            del previous[next(iter(previous))]

    def _kept(
        self, tier: Sequence[EndpointView], costs: tuple[float, ...], needs: CallNeeds
    ) -> EndpointView | None:
        previous = self._previous.get(needs.route.name)
        bound = min(costs) * self._settings.hysteresis
        for view, cost in zip(tier, costs, strict=True):
            is_sound = not view.is_suspect and not view.is_sluggish and view.slow_start >= 1.0
            if view.endpoint.id == previous and is_sound and cost <= bound:
                return view
        return None


def _draw(
    tier: Sequence[EndpointView], weights: tuple[float, ...], rng: random.Random
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
