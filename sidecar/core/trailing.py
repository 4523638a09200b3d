"""A sum over the trailing window: how much of something there was in the last minute or hour.

Budgets compare such sums. Values are kept in slots, so memory does not grow with traffic; a slot is
forgotten when its youngest possible value has left the window. So nothing younger than the window
is ever forgotten, and nothing older than the window and one slot is still counted: a bound on a
trailing sum holds over any true window.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


class TrailingSum:
    """Owns at most ``window_s / slot_s`` slots and two; ``window_s`` and ``slot_s`` in seconds."""

    def __init__(self, window_s: float, slot_s: float) -> None:
        assert 0.0 < slot_s <= window_s, "a window holds its slots"
        self._window_s = window_s
        self._slot_s = slot_s
        self._slots: deque[_Slot] = deque()

    def add(self, value: float, now: float) -> None:
        """Add ``value`` at ``now``; a correction may be negative."""
        slots = self._slots
        if slots and now - slots[-1].started_at < self._slot_s:
            slots[-1].value += value
            return
        self._forget(now)
        slots.append(_Slot(started_at=now, value=value))

    def total(self, now: float) -> float:
        """Return the sum, never below 0: a correction may outlive what it corrects."""
        self._forget(now)
        return max(0.0, sum(slot.value for slot in self._slots))

    def _forget(self, now: float) -> None:
        since = now - self._window_s - self._slot_s
        while self._slots and self._slots[0].started_at <= since:
            self._slots.popleft()


@dataclass(slots=True, kw_only=True)
class _Slot:
    """What was added within ``slot_s`` of ``started_at``."""

    started_at: float
    value: float = 0.0
