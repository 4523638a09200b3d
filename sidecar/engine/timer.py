"""The one timer of a piece of waiting, with a way to end it from outside.

Every wait on a provider runs under ``until(at)``. A drain that runs out of grace calls
``interrupt``, which makes the wait in progress, and every later one, end at once, as if its limit
had come; ``interruption`` then tells why. Cancelling the task instead would look like a caller that
hung up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.errors import CallError


class Timer:
    """Hands out timeouts, one at a time; owned by one attempt or stream."""

    def __init__(self) -> None:
        self.interruption: CallError | None = None
        self._running: asyncio.Timeout | None = None

    def until(self, at: float) -> asyncio.Timeout:
        """Return a context manager that raises ``TimeoutError`` at loop time ``at``."""
        if self.interruption is not None:
            at = asyncio.get_running_loop().time()
        self._running = asyncio.timeout_at(at)
        return self._running

    def interrupt(self, reason: CallError) -> None:
        """End the wait in progress, and any later one, because of ``reason``."""
        self.interruption = reason
        # A timeout not entered yet, or over, cannot be rescheduled; `until` sees to those.
        if self._running is not None and self._running.when() is not None:
            try:
                self._running.reschedule(asyncio.get_running_loop().time())
            except RuntimeError:
                self._running = None


class Timers:
    """The timers of all work in progress, in order of start."""

    def __init__(self) -> None:
        self._timers: dict[Timer, None] = {}

    def __contains__(self, timer: object) -> bool:
        return timer in self._timers

    def __len__(self) -> int:
        return len(self._timers)

    def add(self, timer: Timer) -> None:
        """Include ``timer`` in a later ``interrupt``."""
        self._timers[timer] = None

    def discard(self, timer: Timer) -> None:
        """Forget ``timer``; may repeat."""
        self._timers.pop(timer, None)

    def interrupt(self, reason: CallError) -> None:
        """Interrupt every one."""
        for timer in tuple(self._timers):
            timer.interrupt(reason)
