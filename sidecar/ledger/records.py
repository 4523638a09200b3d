"""What the ledger keeps of a call and of an attempt, made from the engine's events.

Ids, names, verdicts, times, tokens and money; never a prompt or an answer. Instants are seconds
since the epoch. Probes and requests that were passed on have no route: ``PROBE`` and ``PASSED``
stand for it, in brackets, which no name of the configuration can hold; ``SHADOW`` for copies of
calls, which are no part of a route's cost.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from sidecar.domain import Usage
from sidecar.events import (
    AttemptFinished,
    CallFinished,
    PassageFinished,
    ProbeFinished,
    ShadowFinished,
)
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import Outcome

PROBE = "(probe)"
PASSED = "(passed)"
SHADOW = "(shadow)"
REASON_CHARS_MAX = 200

_CLIENT_ERRORS, _SERVER_ERRORS = 400, 500
_NOTHING = Usage()
WELL = frozenset({"ok", "degraded", "passed", "cancelled"})
"""Results that are no failure of ours or a provider's: a 4xx passed on and a caller who left are
the caller's doing.
"""

FEEDBACK, GRADE = "feedback", "grade"


@value
class ScoreGiven:
    """What somebody says of an answer: ``score`` 0..1; ``source`` is feedback or grade.

    ``route`` and ``endpoint`` are those of its call. ``comment``: kept only where configured.
    """

    at: float
    call_id: str
    route: str
    endpoint: str
    score: float
    source: str
    comment: str | None = None


@value
class EvidenceRow:
    """What a model showed on a route, as it counted at ``at``, seconds since the epoch; see
    ``core/quality.py``. ``arm``: of all its calls, or of those that it got by chance alone.
    """

    route: str
    endpoint: str
    arm: str
    scored: float
    weight: float
    faulty: float
    judged: float
    at: float


Kept = (
    AttemptFinished | CallFinished | PassageFinished | ProbeFinished | ScoreGiven | ShadowFinished
)
KEPT = frozenset({AttemptFinished, CallFinished, PassageFinished, ProbeFinished, ShadowFinished})


@value
class AttemptRecord:
    """One attempt. ``call_id`` None: a probe, or a copy of a call. ``is_estimated``: the provider
    did not say what it bills; ``cost_usd`` is 0 where the price is unknown.
    """

    call_id: str | None
    at: float
    kind: str
    route: str
    endpoint: str
    outcome: str
    reason: str
    status: int | None
    duration_s: float
    first_content_s: float | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    is_estimated: bool
    cost_usd: float


@value
class CallHead:
    """One call without its attempts. ``endpoint`` None: nobody's answer."""

    call_id: str
    at: float
    route: str
    endpoint: str | None
    result: str
    is_failed: bool
    is_degraded: bool
    duration_s: float


@value
class CallRecord:
    """One call as shown; ``number`` orders the calls of one ledger, the latest has the highest.

    ``cost_usd`` is that of all ``attempts`` together; ``is_estimated``: in part by estimate.
    """

    number: int
    call_id: str
    at: float
    route: str
    endpoint: str | None
    model: str | None
    result: str
    is_failed: bool
    is_degraded: bool
    duration_s: float
    cost_usd: float
    is_estimated: bool
    attempts: tuple[AttemptRecord, ...]


@value
class Remembered:
    """A call that a score may be given for: its ``head``, the last score given, the kinds of its
    attempts. ``flaw`` is what could be seen to be wrong with its answer.
    """

    head: CallHead
    given: ScoreGiven | None = None
    kinds: frozenset[str] = frozenset()
    flaw: str | None = None


@value
class CallQuery:
    """Which calls are asked for, newest first; a part that is None asks for nothing.

    ``since_at`` is seconds since the epoch, ``before`` a number: only older calls, for paging.
    """

    route: str | None = None
    since_at: float | None = None
    is_failed_only: bool = False
    before: int | None = None
    limit: int = 100

    def wants(self, number: int, head: CallHead) -> bool:
        """Return whether the call is one of those asked for, the limit aside."""
        return (
            (self.route is None or head.route == self.route)
            and (self.since_at is None or head.at >= self.since_at)
            and (head.is_failed or not self.is_failed_only)
            and (self.before is None or number < self.before)
        )


ATTEMPT_FIELDS = tuple(field.name for field in fields(AttemptRecord))
SCORE_FIELDS = tuple(field.name for field in fields(ScoreGiven))
EVIDENCE_FIELDS = tuple(field.name for field in fields(EvidenceRow))
HEAD_FIELDS = tuple(field.name for field in fields(CallHead))


def head_of(event: CallFinished | PassageFinished, offset_s: float) -> CallHead:
    """Return the call that ended; ``offset_s`` leads from the loop's clock to the epoch."""
    if isinstance(event, PassageFinished):
        result = _passage_result(event.status)
        return CallHead(
            call_id=event.call_id,
            at=event.at + offset_s,
            route=PASSED,
            endpoint=event.provider,
            result=result,
            is_failed=result not in WELL,
            is_degraded=False,
            duration_s=event.duration_s,
        )
    return CallHead(
        call_id=event.call_id,
        at=event.at + offset_s,
        route=event.route,
        endpoint=event.endpoint,
        result=event.result,
        is_failed=event.result not in WELL,
        is_degraded=event.result == "degraded",
        duration_s=event.duration_s,
    )


def attempts_of(event: Kept, offset_s: float) -> tuple[AttemptRecord, ...]:
    """Return the attempts that an event tells of; those of a call have events of their own."""
    match event:
        case AttemptFinished(call_id=call_id, kind=kind, route=route):
            return (_attempt(event.outcome, call_id, kind, route, offset_s),)
        case ProbeFinished(kind=kind, why=why):
            made = _attempt(event.outcome, None, f"probe {kind} {why}", PROBE, offset_s)
            return (replace(made, cost_usd=event.cost_usd),)
        case ShadowFinished(route=route):
            return (_attempt(event.outcome, None, f"shadow {route}", SHADOW, offset_s),)
        case PassageFinished(call_id=call_id):
            return tuple(
                [_attempt(one, call_id, "passed", PASSED, offset_s) for one in event.attempts]
            )
        case CallFinished() | ScoreGiven():
            return ()


def record_of(number: int, head: CallHead, attempts: tuple[AttemptRecord, ...]) -> CallRecord:
    """Return a call with its attempts."""
    return CallRecord(
        number=number,
        call_id=head.call_id,
        at=head.at,
        route=head.route,
        endpoint=head.endpoint,
        model=None if head.endpoint is None else head.endpoint.partition("/")[2] or None,
        result=head.result,
        is_failed=head.is_failed,
        is_degraded=head.is_degraded,
        duration_s=head.duration_s,
        cost_usd=sum(one.cost_usd for one in attempts),
        is_estimated=any(one.is_estimated for one in attempts),
        attempts=attempts,
    )


def _attempt(
    outcome: Outcome, call_id: str | None, kind: str, route: str, offset_s: float
) -> AttemptRecord:
    usage, first_at = outcome.usage or _NOTHING, outcome.first_content_at
    return AttemptRecord(
        call_id=call_id,
        at=outcome.ended_at + offset_s,
        kind=kind,
        route=route,
        endpoint=outcome.endpoint,
        outcome=outcome.cls.value,
        reason=outcome.reason()[:REASON_CHARS_MAX],
        status=outcome.status,
        duration_s=outcome.ended_at - outcome.started_at,
        first_content_s=None if first_at is None else first_at - outcome.started_at,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        is_estimated=usage.is_estimated,
        cost_usd=outcome.cost_usd,
    )


def _passage_result(status: int | None) -> str:
    if status is None:
        return "unavailable"
    if status < _CLIENT_ERRORS:
        return "ok"
    return "passed" if status < _SERVER_ERRORS else "upstream_error"
