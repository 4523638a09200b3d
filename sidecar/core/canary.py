"""A model on trial: is it worse than the one that it may replace? Then it gets nothing any more.

Two comparisons, each of intervals that must not overlap, since a difference of means proves nothing
at a share of 5 %: of *health*, the share of its attempts that succeed, by Beta(1 + good, 1 + bad)
of discounted attempts on this route; and of *quality*, as it is believed (``core/quality.py``). It
is compared with the model that has the most attempts of the route and is not on trial itself. While
that one suffers too, an outage of both proves nothing against the newcomer.

The same question is asked again and again for days, so the intervals are wider than the usual 95 %:
``TAIL`` on either side. How seldom an equal is rolled back so, and how soon a bad one, is in
``docs/adaptive.md``.

A rollback stands until the configuration of that model or its share on the route is another, or an
operator restores it. Time does not end it: a bad model that comes back every hour is an outage a
day. Both begin anew then, for what was held against it is what was changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

from sidecar.core.beta import value_at
from sidecar.core.outcome import effects
from sidecar.core.tunable import Tunable
from sidecar.domain import OutcomeClass
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sidecar.core.quality import Posterior
    from sidecar.domain import EndpointId, Outcome, RouteName

    Pair = tuple[RouteName, EndpointId]
    BeliefOf = Callable[[EndpointId], Posterior]

TAIL = 0.0005
"""Left out on either side: 3.3 standard deviations."""
PAIRS_MAX = 4096
UNSERVED = frozenset({OutcomeClass.AUTH, OutcomeClass.GONE, OutcomeClass.QUOTA})
"""No failure of a server, but nothing that a model on trial may do to its callers."""

Interval = tuple[float, float]


@value
class CanarySettings:
    """Numbers of the comparison.

    * ``half_life_s`` a day: a provider's bad hour is forgotten in a week.
    * ``attempts_min`` 2.5: two are an accident; the third fades too, and then the breaker lets
      few more by.
    * ``scores_min`` 10: so many scores, discounted, must be known of both.
    * ``tolerance`` 0: the newcomer's interval may lie so far below. More where a cheaper model may
      be a little worse.
    """

    half_life_s: float = 86_400.0
    attempts_min: float = 2.5
    scores_min: float = 10.0
    tolerance: float = 0.0


@value
class Rollback:
    """Why a model was taken out, and when; ``reason`` is health or quality."""

    at: float
    reason: str
    incumbent: EndpointId
    own: Interval
    other: Interval


@dataclass(slots=True)
class _Tally:
    """Attempts of one model on one route, as they counted at ``at``."""

    good: float
    bad: float
    at: float


_DEFAULTS = CanarySettings()


class CanaryBook(Tunable[CanarySettings]):
    """Who was rolled back, and what is known of the health of those compared; the only writer."""

    def __init__(self, settings: CanarySettings = _DEFAULTS) -> None:
        self._settings = settings
        self._tallies: dict[Pair, _Tally] = {}
        self._stopped: dict[Pair, Rollback] = {}
        self._identities: dict[Pair, str] = {}

    # --- evidence ------------------------------------------------------------------------------

    def observe(self, route: RouteName, outcome: Outcome) -> bool:
        """Count an attempt; return whether it was a bad one."""
        fail = _fail(outcome)
        if fail is None:
            return False
        tally = self._tally(route, outcome.endpoint, outcome.ended_at)
        tally.bad += fail
        tally.good += 1.0 - fail
        return fail > 0.0

    def flawed(self, route: RouteName, endpoint: EndpointId, fault: float, now: float) -> None:
        """Note that an answer counted as good was of no use by ``fault`` (0..1) after all."""
        tally = self._tally(route, endpoint, now)
        moved = min(fault, tally.good)
        tally.good -= moved
        tally.bad += moved

    def health(self, route: RouteName, endpoint: EndpointId, now: float) -> Interval:
        """Return the interval (0..1) of the share of attempts that succeed."""
        good, bad = self._counts(route, endpoint, now)
        return _interval(1.0 + good, 1.0 + bad)

    # --- verdicts ------------------------------------------------------------------------------

    def judge(
        self,
        route: RouteName,
        endpoint: EndpointId,
        incumbents: Iterable[EndpointId],
        belief_of: BeliefOf,
        now: float,
    ) -> Rollback | None:
        """Take ``endpoint`` out if it is worse than the incumbent; return the rollback if so."""
        if (route, endpoint) in self._stopped:
            return None
        incumbent = self.incumbent(route, incumbents, now)
        if incumbent is None:
            return None
        rollback = self._by_health(route, endpoint, incumbent, now)
        rollback = rollback or self._by_quality(endpoint, incumbent, belief_of, now)
        if rollback is not None:
            self._stopped[route, endpoint] = rollback
        return rollback

    def incumbent(
        self, route: RouteName, incumbents: Iterable[EndpointId], now: float
    ) -> EndpointId | None:
        """Return the model with the most attempts lately, the first of equals."""
        return max(incumbents, key=lambda name: sum(self._counts(route, name, now)), default=None)

    def _by_health(
        self, route: RouteName, endpoint: EndpointId, incumbent: EndpointId, now: float
    ) -> Rollback | None:
        if sum(self._counts(route, endpoint, now)) < self._settings.attempts_min:
            return None
        own, other = self.health(route, endpoint, now), self.health(route, incumbent, now)
        return self._verdict("health", incumbent, own, other, now)

    def _by_quality(
        self, endpoint: EndpointId, incumbent: EndpointId, belief_of: BeliefOf, now: float
    ) -> Rollback | None:
        ours, theirs = belief_of(endpoint), belief_of(incumbent)
        if min(ours.n, theirs.n) < self._settings.scores_min:
            return None
        own, other = _interval(ours.alpha, ours.beta), _interval(theirs.alpha, theirs.beta)
        return self._verdict("quality", incumbent, own, other, now)

    def _verdict(
        self, reason: str, incumbent: EndpointId, own: Interval, other: Interval, now: float
    ) -> Rollback | None:
        if own[1] >= other[0] - self._settings.tolerance:
            return None
        return Rollback(at=now, reason=reason, incumbent=incumbent, own=own, other=other)

    # --- who is out ----------------------------------------------------------------------------

    def is_stopped(self, route: RouteName, endpoint: EndpointId) -> bool:
        """Return whether a model was rolled back on ``route``."""
        return (route, endpoint) in self._stopped

    def rollback(self, route: RouteName, endpoint: EndpointId) -> Rollback | None:
        """Return why it was, None if it was not."""
        return self._stopped.get((route, endpoint))

    def stopped(self) -> Iterator[tuple[RouteName, EndpointId, str, Rollback]]:
        """Go through all that were, each with what it was configured as; to be kept."""
        for (route, endpoint), rollback in self._stopped.items():
            yield route, endpoint, self._identities.get((route, endpoint), ""), rollback

    def stop(
        self, route: RouteName, endpoint: EndpointId, identity: str, rollback: Rollback
    ) -> None:
        """Put a kept rollback back in force."""
        self._stopped[route, endpoint] = rollback
        self._identities[route, endpoint] = identity

    def restore(self, route: RouteName, endpoint: EndpointId) -> bool:
        """Give a model its share again, with a clean slate; return whether it had none."""
        self._tallies.pop((route, endpoint), None)
        return self._stopped.pop((route, endpoint), None) is not None

    def configured(self, identities: Mapping[Pair, str]) -> list[Pair]:
        """Go by another configuration: return who changed since it was rolled back, and so is on
        trial again. ``identities`` has what each model on trial is configured as.
        """
        changed = [
            pair for pair in self._stopped if identities.get(pair) != self._identities.get(pair)
        ]
        for pair in changed:
            self.restore(*pair)
        self._identities = dict(identities)
        return changed

    # --- counting ------------------------------------------------------------------------------

    def _tally(self, route: RouteName, endpoint: EndpointId, now: float) -> _Tally:
        tally = self._tallies.get((route, endpoint))
        if tally is None:
            while len(self._tallies) >= PAIRS_MAX:
                del self._tallies[next(iter(self._tallies))]
            tally = self._tallies[route, endpoint] = _Tally(good=0.0, bad=0.0, at=now)
        kept = self._kept(now - tally.at)
        tally.good, tally.bad, tally.at = tally.good * kept, tally.bad * kept, max(tally.at, now)
        return tally

    def _counts(self, route: RouteName, endpoint: EndpointId, now: float) -> tuple[float, float]:
        tally = self._tallies.get((route, endpoint))
        if tally is None:
            return 0.0, 0.0
        kept = self._kept(now - tally.at)
        return tally.good * kept, tally.bad * kept

    def _kept(self, age_s: float) -> float:
        return exp(-max(0.0, age_s) * log(2.0) / self._settings.half_life_s)


def _interval(alpha: float, beta: float) -> Interval:
    return value_at(TAIL, alpha, beta), value_at(1.0 - TAIL, alpha, beta)


def _fail(outcome: Outcome) -> float | None:
    """Return how bad an attempt was (0..1), None if it says nothing of the model."""
    if outcome.cls in UNSERVED:
        return 1.0
    fail = effects(outcome.cls, status=outcome.status).endpoint_fail
    return None if fail is None else min(1.0, fail)
