"""The last calls in memory: what is shown without a file, or while it cannot be used.

The events themselves are kept, since making records of them costs more than keeping them; who asks
pays for that. An attempt may settle just after its call ended (a hedge that lost), so the attempts
of a call are one list that stays open as long as its call is remembered.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sidecar.events import AttemptFinished, CallFinished, PassageFinished
from sidecar.ledger.delivered import row_of, summed
from sidecar.ledger.records import Remembered, attempts_of, head_of, record_of

if TYPE_CHECKING:
    from sidecar.ledger.delivered import Delivered
    from sidecar.ledger.records import CallQuery, CallRecord, Kept

_Ended = tuple[int, float, CallFinished | PassageFinished, list[AttemptFinished]]
"""Number, offset to the epoch, the call and its attempts."""


class Memory:
    """Owns the events of the last ``calls_max`` calls and of those under way."""

    def __init__(self, calls_max: int) -> None:
        self._calls_max = calls_max
        self._ended: deque[_Ended] = deque()
        self._attempts: dict[str, list[AttemptFinished]] = {}
        self._count = 0
        self._heads: dict[str, _Ended] = {}

    def keep(self, event: Kept, offset_s: float) -> None:
        """Remember ``event``; probes belong to no call and are only summed."""
        if isinstance(event, AttemptFinished):
            attempts = self._attempts.get(event.call_id)
            if attempts is None:
                attempts = self._attempts[event.call_id] = []
                # Calls whose end was lost would stay for ever; the first of them go.
                if len(self._attempts) > 2 * self._calls_max + 1:
                    del self._attempts[next(iter(self._attempts))]
            attempts.append(event)
        elif isinstance(event, CallFinished | PassageFinished):
            self._count += 1
            attempts = self._attempts.setdefault(event.call_id, [])
            ended = (self._count, offset_s, event, attempts)
            self._ended.append(ended)
            self._heads[event.call_id] = ended
            if len(self._ended) > self._calls_max:
                _, _, oldest, _ = self._ended.popleft()
                self._attempts.pop(oldest.call_id, None)
                self._heads.pop(oldest.call_id, None)

    def remembered(self, call_id: str) -> Remembered | None:
        """Return the call of this id, None if it is not among the last ones."""
        ended = self._heads.get(call_id)
        if ended is None:
            return None
        _, offset_s, event, attempts = ended
        return Remembered(
            head=head_of(event, offset_s),
            kinds=frozenset(one.kind for one in attempts),
            flaw=event.flaw if isinstance(event, CallFinished) else None,
        )

    def delivered(self, since_at: float) -> dict[tuple[str, str], Delivered]:
        """Return what models delivered since ``since_at``, of the last calls."""
        ended = reversed(self._ended)
        made = (
            row_of(attempt)
            for _, offset_s, _, attempts in ended
            for event in reversed(attempts)
            for attempt in attempts_of(event, offset_s)
        )
        return summed(row for row in made if row[4] >= since_at)

    def calls(self, query: CallQuery) -> list[CallRecord]:
        """Return the calls that ``query`` asks for, newest first."""
        found: list[CallRecord] = []
        for number, offset_s, event, attempts in reversed(self._ended):
            if len(found) >= query.limit:
                break
            head = head_of(event, offset_s)
            if not query.wants(number, head):
                continue
            told = (*attempts, event)
            made = [one for each in told for one in attempts_of(each, offset_s)]
            found.append(record_of(number, head, tuple(made)))
        return found
