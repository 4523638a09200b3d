"""Sums of calls, tokens and money per day, route and endpoint.

A call counts where its answer came from, an attempt where it was made, so that over all endpoints
of a route both are complete. Money is added up from attempts alone: each is settled once, whether
its call ended well, badly, or before it.

``wasted_usd`` is what was paid for attempts that did not end as answers: failures, hedges that
lost, streams whose callers left. Days are counted from the epoch, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING

from sidecar.domain import OutcomeClass
from sidecar.events import (
    AttemptFinished,
    CallFinished,
    PassageFinished,
    ProbeFinished,
    ShadowFinished,
)
from sidecar.ledger.records import PASSED, PROBE, SHADOW, WELL, ScoreGiven, head_of

if TYPE_CHECKING:
    from sidecar.domain import Outcome
    from sidecar.ledger.records import Kept

DAY_S = 86_400.0
NOBODY = "(none)"
OTHER = "(other)"
Key = tuple[int, str, str]
"""Day, route, endpoint."""
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(slots=True)
class Sums:
    """What was counted under one key; ``estimated_*`` are parts of the same without the word."""

    calls: int = 0
    failed_calls: int = 0
    degraded_calls: int = 0
    attempts: int = 0
    estimated_attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0
    estimated_usd: float = 0.0
    wasted_usd: float = 0.0

    def add(self, other: Sums) -> None:
        """Count what ``other`` counted too."""
        self.calls += other.calls
        self.failed_calls += other.failed_calls
        self.degraded_calls += other.degraded_calls
        self.attempts += other.attempts
        self.estimated_attempts += other.estimated_attempts
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cached_tokens += other.cached_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.reasoning_tokens += other.reasoning_tokens
        self.cost_usd += other.cost_usd
        self.estimated_usd += other.estimated_usd
        self.wasted_usd += other.wasted_usd


SUM_FIELDS = tuple(field.name for field in fields(Sums))


def count(into: dict[Key, Sums], event: Kept, offset_s: float) -> None:
    """Count ``event``; ``offset_s`` leads from the loop's clock to the epoch."""
    day = int((event.at + offset_s) // DAY_S)
    match event:
        case AttemptFinished(outcome=outcome, route=route):
            _count_attempt(_under(into, (day, route, outcome.endpoint)), outcome, outcome.cost_usd)
        case ProbeFinished(outcome=outcome):
            _count_attempt(_under(into, (day, PROBE, event.endpoint)), outcome, event.cost_usd)
        case ShadowFinished(outcome=outcome):
            _count_attempt(_under(into, (day, SHADOW, outcome.endpoint)), outcome, outcome.cost_usd)
        case CallFinished(result=result):
            sums = _under(into, (day, event.route, event.endpoint or NOBODY))
            sums.calls += 1
            sums.failed_calls += result not in WELL
            sums.degraded_calls += result == "degraded"
        case PassageFinished():
            sums = _under(into, (day, PASSED, event.provider))
            sums.calls += 1
            sums.failed_calls += head_of(event, offset_s).is_failed
            for outcome in event.attempts:
                _count_attempt(sums, outcome, outcome.cost_usd)
        case ScoreGiven():
            pass  # no call and no money


def merge(into: dict[Key, Sums], more: dict[Key, Sums]) -> None:
    """Count everything of ``more`` in ``into`` too."""
    for key, sums in more.items():
        _under(into, key).add(sums)


def day_text(day: int) -> str:
    """Return a day as ``2026-11-23``."""
    return date.fromordinal(_EPOCH_ORDINAL + day).isoformat()


def _under(into: dict[Key, Sums], key: Key) -> Sums:
    sums = into.get(key)
    if sums is None:
        sums = into[key] = Sums()
    return sums


def _count_attempt(sums: Sums, outcome: Outcome, cost_usd: float) -> None:
    sums.attempts += 1
    usage = outcome.usage
    if usage is None:
        return
    sums.input_tokens += usage.input_tokens
    sums.output_tokens += usage.output_tokens
    sums.cached_tokens += usage.cached_tokens
    sums.cache_write_tokens += usage.cache_write_tokens
    sums.reasoning_tokens += usage.reasoning_tokens
    sums.cost_usd += cost_usd
    if usage.is_estimated:
        sums.estimated_attempts += 1
        sums.estimated_usd += cost_usd
    if outcome.cls is not OutcomeClass.OK:
        sums.wasted_usd += cost_usd
