"""What a call does next: start an attempt, wait, or give up, and why.

A pure function of what was tried: the engine acts, appends what came of it, and asks again. Asked
only while nothing was committed.

* A connection that was dead before it was used is tried again at once on a fresh one, free of
  charge (gRPC's transparent retry).
* A failure goes to another endpoint; to another account if the credential was refused, to another
  host if connecting failed; then to one whose gate is shut, but which answers now and then
  (``core/life.py``). Nobody is asked twice, unless nobody else is left: then again, after a
  jittered wait, as far as its answers allow or, on a route of one, its host's retry tokens (gRPC
  A6). Equal jitter, as full jitter against a per-minute limit burns every retry in seconds
  (aws-sdk-net #4341).
* A wait for a provider is at most a third of what is left.

It needs no memory of waits: once the least wait has passed since the failure, asking again says
start. Hedges are no step of it (``core/hedging.py``): they run beside one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.core.exclusions import NOT_HERE, exclusions, in_vain, independent_first
from sidecar.core.outcome import Next, effects
from sidecar.domain import Gate, OutcomeClass
from sidecar.value import value

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sidecar.core.routing import Choice, EndpointView
    from sidecar.domain import Endpoint, EndpointId, Outcome, Route

    Choose = Callable[[Mapping[EndpointId, Gate], int | None], Choice]
    Past = Callable[[], Sequence[EndpointView]]


@value
class AttemptSettings:
    """Numbers of the attempt loop.

    * ``attempts_max`` 3: an upper bound for every route; with three failures, a fourth endpoint
      rarely helps.
    * ``transparent_max`` 1: a second dead connection in a row is no coincidence.
    * ``min_useful_s`` 0.3: less time, or half a first token, starts nothing that could end well.
    * ``backoff_base_s`` 0.25, ``backoff_max_s`` 4: waits before the same endpoint is tried again.
    * ``retry_after_wait_max_s`` 10: a caller would rather hear no than wait longer.
    """

    attempts_max: int = 3
    transparent_max: int = 1
    min_useful_s: float = 0.3
    backoff_base_s: float = 0.25
    backoff_max_s: float = 4.0
    retry_after_wait_max_s: float = 10.0


@value
class AttemptRecord:
    """An attempt that ended. ``is_transparent``: it met a dead connection, so it may not count."""

    endpoint: Endpoint
    outcome: Outcome
    is_transparent: bool


@value
class Start:
    """Start an attempt at ``view``; ``kind`` as ``AttemptFinished`` has it, never hedge.

    ``next_view`` is whom to leave room for, None if this is the last attempt the call may make.
    """

    endpoint_id: EndpointId
    kind: str
    needs_fresh_connection: bool
    view: EndpointView
    next_view: EndpointView | None


@value
class WaitUntil:
    """Ask again at ``at``; ``reason`` is rate, room, pushback, backoff or gate."""

    at: float
    reason: str


class FailReason(Enum):
    """Why a call gives up."""

    DEADLINE = "deadline"
    EXHAUSTED = "exhausted"
    NOTHING_ELIGIBLE = "nothing_eligible"
    CALLER_FAULT = "caller_fault"
    INFEASIBLE = "infeasible"


@value
class Fail:
    """Give up."""

    reason: FailReason


Step = Start | WaitUntil | Fail

LASTING = frozenset(
    {
        *(Gate.TOO_SLOW, Gate.TOO_DEAR, Gate.PRICE_UNKNOWN),
        *(Gate.UNSUPPORTED, Gate.OTHER_SPACE, Gate.CONTEXT_TOO_SMALL),
        *(Gate.OUTPUT_TOO_SMALL, Gate.QUALITY, Gate.ROLLED_BACK),
    }
)
"""What no waiting changes: the call asks for more than the endpoint has."""
PANIC = "panic"  # the kind of an attempt past a shut gate


def next_step(  # noqa: PLR0913 - the loop's whole knowledge, read once
    *,
    records: Sequence[AttemptRecord],
    choose: Choose,
    route: Route,
    deadline_at: float,
    now: float,
    rng: random.Random,
    may_retry: Callable[[EndpointId], bool],
    past: Past,
    settings: AttemptSettings,
    has_waited: bool = False,
) -> Step:
    """Return what to do now.

    ``records`` are the attempts so far, in order, each ended without a commit. ``choose`` asks the
    router, with some endpoints excluded, for so many of the best (None: all), at most three times.
    ``may_retry``: the endpoint may be asked again by the same call. ``past``: who of those that the
    last choice rejected may be tried past its shut gate, best first. ``has_waited``: a
    ``WaitUntil`` came before, so what is too late now was not at arrival.
    """
    question = _Question(records, choose, past, route, deadline_at, now, settings)
    if now >= deadline_at:
        return Fail(reason=FailReason.DEADLINE)
    if not records:
        return question.arrival(has_waited=has_waited)
    refusal = question.refusal()
    if refusal is not None:
        return refusal
    return (
        question.transparent()
        or question.failover()
        or question.beyond()
        or question.retry(rng, may_retry)
    )


_FIRST_AND_NEXT = 2
"""A first attempt needs to know whom to ask, and whom to leave room for."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What was tried and what time it is; answered once."""

    records: Sequence[AttemptRecord]
    choose: Choose
    past: Past
    route: Route
    deadline_at: float
    now: float
    settings: AttemptSettings

    def arrival(self, *, has_waited: bool) -> Step:
        """The first attempt, past a gate if need be; or a wait for an account, or for room."""
        choice = self.choose({}, _FIRST_AND_NEXT)
        if choice.ranked:
            return self._start(choice.ranked, choice.drawn or "first", is_fresh=not has_waited)
        if all(gate in LASTING for _, gate in choice.rejected):
            return Fail(reason=FailReason.DEADLINE if has_waited else FailReason.INFEASIBLE)
        if alive := tuple(self.past()):
            return self._start(alive, PANIC, is_fresh=not has_waited)
        opens_at = choice.rate_opens_at
        if opens_at is not None and self.now < opens_at <= self.now + self._wait_max_s():
            return WaitUntil(at=opens_at, reason="rate")
        return self._room(choice) or Fail(reason=FailReason.NOTHING_ELIGIBLE)

    def refusal(self) -> Fail | None:
        """Outcomes after which no endpoint could help."""
        outcome = self.records[-1].outcome
        # It may have been cut to leave room for another: the deadline decides, not the class.
        # LOCAL here is our own lag: nobody failed, and another endpoint may still be in time.
        if outcome.cls in (OutcomeClass.CALLER_SHORT, OutcomeClass.LOCAL):
            return None
        match effects(outcome.cls, status=outcome.status).next:
            case Next.CALLER:
                return Fail(reason=FailReason.CALLER_FAULT)
            case Next.STOP | Next.NONE:
                return Fail(reason=FailReason.EXHAUSTED)
            case _:
                return None

    def transparent(self) -> Start | None:
        """The free repetition on a fresh connection, if the endpoint still takes calls."""
        last = self.records[-1]
        if not last.is_transparent or self._transparent() > self.settings.transparent_max:
            return None
        earlier = {record.endpoint.id: Gate.TRIED for record in self.records}
        del earlier[last.endpoint.id]
        ranked = self.choose(earlier, None).ranked
        same = [view for view in ranked if view.endpoint.id == last.endpoint.id]
        if not same:
            return None
        excluded = exclusions(self.records, (view.endpoint for view in ranked))
        others = [view for view in ranked if view.endpoint.id not in excluded]
        can_follow = others and self._counted() + 1 < self._attempts_max()
        return Start(
            endpoint_id=last.endpoint.id,
            kind="transparent",
            needs_fresh_connection=True,
            view=same[0],
            next_view=others[0] if can_follow else None,
        )

    def failover(self) -> Step | None:
        """Another endpoint, None if there is none."""
        if self._counted() >= self._attempts_max():
            return Fail(reason=self._resigned(()))
        excluded: Mapping[EndpointId, Gate] = {
            record.endpoint.id: Gate.TRIED for record in self.records
        }
        choice = self.choose(excluded, None)
        related = exclusions(self.records, (view.endpoint for view in choice.ranked))
        if related:
            choice = self.choose({**excluded, **related}, None)
        if choice.ranked:
            return self._start(independent_first(choice.ranked, self.records), "failover")
        if _has(choice, Gate.TOO_SLOW) or self.records[-1].outcome.cls is OutcomeClass.CALLER_SHORT:
            return Fail(reason=FailReason.DEADLINE)
        if self._resigned(choice.rejected) is FailReason.CALLER_FAULT:
            return Fail(reason=FailReason.CALLER_FAULT)
        return self._room(choice)

    def _resigned(self, rejected: Iterable[tuple[EndpointId, Gate]]) -> FailReason:
        """The caller's fault where all who were asked say so, and no gate but lasting ones keeps
        the others.
        """
        lasting = LASTING | {Gate.TRIED}
        asked = [record for record in self.records if not record.is_transparent]
        is_agreed = bool(asked) and all(record.outcome.cls in NOT_HERE for record in asked)
        is_callers = is_agreed and all(gate in lasting for _, gate in rejected)
        return FailReason.CALLER_FAULT if is_callers else FailReason.EXHAUSTED

    def beyond(self) -> Step | None:
        """Somebody not yet asked, past a shut gate; None if nobody has earned it."""
        excluded = exclusions(self.records, (view.endpoint for view in self.past()))
        fresh = tuple(view for view in self.past() if view.endpoint.id not in excluded)
        return self._start(fresh, PANIC) if fresh else None

    def retry(self, rng: random.Random, may_retry: Callable[[EndpointId], bool]) -> Step:
        """Whom the call has asked before, after a wait, where nobody else is left."""
        last = self.records[-1].outcome
        barred = in_vain(self.records, may_retry)
        if all(record.endpoint.id in barred for record in self.records):
            return Fail(reason=FailReason.EXHAUSTED)
        if self.now < last.ended_at + self._least_wait_s():
            wait = self._wait(rng)
            return self._bounded(wait) if isinstance(wait, WaitUntil) else wait
        choice = self.choose(barred, None)
        if choice.ranked:
            return self._start(choice.ranked, "retry")
        if alive := tuple(view for view in self.past() if view.endpoint.id not in barred):
            return self._start(alive, PANIC)
        return self._gate(choice)

    def _gate(self, choice: Choice) -> WaitUntil | Fail:
        """Wait for the gate of the only endpoint there is."""
        if _has(choice, Gate.TOO_SLOW):
            return Fail(reason=FailReason.DEADLINE)
        at, is_alone = choice.soonest_opens_at, len(self.route.endpoints()) == 1
        if is_alone and at is not None and self.now < at <= self.now + self._wait_max_s():
            return self._bounded(WaitUntil(at=at, reason="gate"))
        return Fail(reason=FailReason.EXHAUSTED)

    def _room(self, choice: Choice) -> WaitUntil | None:
        """Wait for a call in flight to end, which the engine hears of, while time is useful."""
        last_at = self.deadline_at - self.settings.min_useful_s
        if self.now >= last_at or not _has(choice, Gate.CONCURRENCY):
            return None
        return WaitUntil(at=last_at, reason="room")

    def _transparent(self) -> int:
        return sum(1 for record in self.records if record.is_transparent)

    def _counted(self) -> int:
        return len(self.records) - min(self._transparent(), self.settings.transparent_max)

    def _attempts_max(self) -> int:
        return min(self.settings.attempts_max, self.route.attempts_max)

    def _wait_max_s(self) -> float:
        return min((self.deadline_at - self.now) / 3.0, self.settings.retry_after_wait_max_s)

    def _least_wait_s(self) -> float:
        retry_after_s = self.records[-1].outcome.retry_after_s
        return self._backoff_s() / 2.0 if retry_after_s is None else retry_after_s

    def _wait(self, rng: random.Random) -> WaitUntil | Fail:
        outcome = self.records[-1].outcome
        if outcome.retry_after_s is None:
            half_s = self._backoff_s() / 2.0
            return WaitUntil(
                at=outcome.ended_at + half_s + rng.uniform(0.0, half_s), reason="backoff"
            )
        at = outcome.ended_at + outcome.retry_after_s
        if at - self.now > self._wait_max_s():
            return Fail(reason=FailReason.EXHAUSTED)
        return WaitUntil(at=at, reason="pushback")

    def _bounded(self, wait: WaitUntil) -> WaitUntil | Fail:
        """A wait after which nothing useful fits is not worth it."""
        if wait.at + self.settings.min_useful_s > self.deadline_at:
            return Fail(reason=FailReason.DEADLINE)
        return wait

    def _backoff_s(self) -> float:
        doubled_s = self.settings.backoff_base_s * 2.0 ** max(0, self._counted() - 1)
        return min(self.settings.backoff_max_s, doubled_s)

    def _start(
        self, ranked: tuple[EndpointView, ...], kind: str, *, is_fresh: bool = False
    ) -> Start | Fail:
        useful_s = min(self.settings.min_useful_s, min(view.ttft_s for view in ranked) / 2.0)
        # A call that just arrived was refused by the router if all are known to be too slow.
        if not is_fresh and self.deadline_at - self.now < useful_s:
            return Fail(reason=FailReason.DEADLINE)
        can_follow = len(ranked) > 1 and self._counted() + 1 < self._attempts_max()
        return Start(
            endpoint_id=ranked[0].endpoint.id,
            kind=kind,
            needs_fresh_connection=False,
            view=ranked[0],
            next_view=ranked[1] if can_follow else None,
        )


def _has(choice: Choice, wanted: Gate) -> bool:
    return any(gate is wanted for _, gate in choice.rejected)
