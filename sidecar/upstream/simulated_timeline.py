"""Where an answer in memory is in its plan: which step is here, and when the next one will be.

A provider generates into socket buffers whether or not they are read, so that waits count from the
plan's own instants; one whose end is in the past costs nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.upstream.simulated_exchange import Never, Pulse, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sidecar.upstream.simulated_exchange import Step


class Timeline:
    """The steps of one plan from loop time ``at`` on. At most one timer runs, to the next step."""

    def __init__(self, steps: Sequence[Step], at: float) -> None:
        self._steps = steps
        self._place = 0
        self._at = at
        self._is_due = False  # the wait at this place is over
        self._timer: asyncio.Handle | None = None

    @property
    def is_at_end(self) -> bool:
        """Return whether no step is left."""
        return self._place >= len(self._steps)

    def is_here(self) -> bool:
        """Return whether a step may be taken, or the end is reached; waits that are over are
        passed.
        """
        while self._place < len(self._steps):
            step = self._steps[self._place]
            if not isinstance(step, (Wait, Pulse)):
                return not isinstance(step, Never)
            if not self._is_due and self._at + step.seconds > clock.now():
                return False
            self._is_due = isinstance(step, Pulse)
            if self._is_due:
                return True
            self._at += step.seconds
            self._place += 1
        return True

    def take(self) -> Step | None:
        """Return the step that is here, None at the end."""
        if self.is_at_end:
            return None
        step = self._steps[self._place]
        if isinstance(step, Pulse):
            self._at += step.seconds
            self._is_due = False
        else:
            self._place += 1
        return step

    async def next(self) -> Step | None:
        """Wait for the next step and return it, None at the end; may be cancelled and asked again:
        the plan does not restart.
        """
        while not self.is_here():
            come = asyncio.Event()
            self.call_when_here(come.set)
            try:
                await come.wait()
            finally:
                self.call_off()
        return self.take()

    def call_when_here(self, wake: Callable[[], object]) -> None:
        """Have ``wake`` called once when the next step is here."""
        self.call_off()
        loop = asyncio.get_running_loop()
        if self.is_here():
            self._timer = loop.call_soon(wake)
            return
        step = self._steps[self._place]
        if isinstance(step, (Wait, Pulse)):
            self._timer = loop.call_later(self._at + step.seconds - loop.time(), self._due, wake)

    def _due(self, wake: Callable[[], object]) -> None:
        self._is_due = True
        wake()

    def call_off(self) -> None:
        """Call nobody."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
