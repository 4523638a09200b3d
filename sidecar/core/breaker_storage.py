"""What pybreaker is told by its storage: the verdict of our ring as its counter, our clock as its.

pybreaker compares a count of failures to ``fail_max`` and a wall clock to a timeout. With
``fail_max=1`` the counter is a verdict (``core/ring.py``), so weights and windows
decide; with an ``opened_at`` that is either this instant or none, the open period is the one of
``core/recovery.py``, measured on the clock of the caller.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sidecar.core.breaker_machine import pybreaker
from sidecar.core.outcome import HARD_FAIL

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.recovery import Recovery
    from sidecar.core.ring import Cause, CountRing


class RingStorage(pybreaker.CircuitMemoryStorage):
    """Owns the ring and the open period. ``now`` and ``fail`` are set before pybreaker asks;
    ``on_move`` is called within every change of state.
    """

    def __init__(self, ring: CountRing, recovery: Recovery, on_move: Callable[[], None]) -> None:
        super().__init__(pybreaker.STATE_CLOSED)
        self._current = pybreaker.STATE_CLOSED
        self._on_move = on_move
        self.ring = ring
        self.now = 0.0
        self.fail = HARD_FAIL
        self.pushback_s: float | None = None
        self.verdict: Cause | None = None
        self.tripped_at: float | None = None
        self.reopens_at: float | None = None
        self._recovery = recovery

    def is_due(self, now: float) -> bool:
        """Return whether the open period is over."""
        return self.reopens_at is None or now >= self.reopens_at

    def increment_counter(self) -> None:
        """Record the failure that pybreaker was told of."""
        self.ring.record(self.fail, self.now)

    @property
    def counter(self) -> int:
        """Return 1 if the ring's verdict is to trip, else 0."""
        self.verdict = self.ring.verdict(self.now)
        return 0 if self.verdict is None else 1

    @property
    def state(self) -> str:
        """Return pybreaker's name of the state."""
        return self._current

    @state.setter
    def state(self, state: str) -> None:
        self._current = state
        if state == pybreaker.STATE_CLOSED:
            self.ring.clear()
        self._on_move()

    @property
    def opened_at(self) -> datetime | None:
        """Return what makes pybreaker find its timeout over or not, as our clock says."""
        # pybreaker only asks whether this plus its timeout is past: None is, this instant is not.
        return None if self.is_due(self.now) else datetime.now(UTC)

    @opened_at.setter
    def opened_at(self, _: datetime) -> None:
        self.tripped_at = self.now
        self.reopens_at = self.now + self._recovery.opened(self.now, self.pushback_s)
