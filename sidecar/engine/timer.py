"""The one timer of a piece of waiting, with a way to end it from outside.

Every wait on a provider runs under ``until(at)``. A drain that runs out of grace calls
``interrupt``, which makes the wait in progress, and every later one, end at once, as if its limit
had come; ``interruption`` then tells why. Cancelling the task instead would look like a caller that
hung up.

It does what ``asyncio.timeout_at`` does, by the same rules of cancellation, for a tenth of its
price: a call makes several waits, a stream one a chunk. What it has asked the loop for stays asked
for when a wait ends, and is found to be too early when it comes; so a stream asks once in the time
that it may be silent. ``close`` takes that back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from sidecar.errors import CallError


class Timer:
    """Bounds waits, one at a time; owned by one attempt or stream."""

    __slots__ = ("_armed_at", "_at", "_cancels", "_handle", "_is_over", "_task", "interruption")

    def __init__(self) -> None:
        self.interruption: CallError | None = None
        self._at = 0.0
        self._armed_at = 0.0
        self._handle: asyncio.Handle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancels = 0
        self._is_over = False

    def until(self, at: float) -> Self:
        """Return a context manager that raises ``TimeoutError`` at loop time ``at``."""
        assert self._task is None, "one wait at a time"
        self._at = at if self.interruption is None else 0.0
        return self

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task()
        assert task is not None, "a wait without a task"
        self._cancels = task.cancelling()
        self._is_over = False
        if self._handle is None or self._at < self._armed_at:
            self._arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        task = self._task
        assert task is not None, "left without having entered"
        self._task = None
        if (
            self._is_over
            and task.uncancel() <= self._cancels
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def extend(self, at: float) -> None:
        """Let the wait in progress last until loop time ``at``, which is not before its end."""
        if self.interruption is None:
            self._at = at

    def _arm(self) -> None:
        """Ask the loop to wake this timer at the end of the wait in progress."""
        self.close()
        loop = asyncio.get_running_loop()
        self._armed_at = self._at
        if self._at <= loop.time():
            self._handle = loop.call_soon(self._wake)
        else:
            self._handle = loop.call_at(self._at, self._wake)

    def _wake(self) -> None:
        """End the wait in progress, by way of its task, unless it is one that ends later."""
        self._handle = None
        if self._task is None:
            return
        if self._armed_at < self._at:
            self._arm()
            return
        self._is_over = True
        self._task.cancel()

    def interrupt(self, reason: CallError) -> None:
        """End the wait in progress, and any later one, because of ``reason``."""
        self.interruption = reason
        if self._task is not None and not self._is_over:
            self._at = 0.0
            self._arm()

    def close(self) -> None:
        """Take back what is asked of the loop; the next wait asks anew."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


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
        """Forget ``timer``, which nobody waits for any more; may repeat."""
        self._timers.pop(timer, None)
        timer.close()

    def interrupt(self, reason: CallError) -> None:
        """Interrupt every one."""
        for timer in tuple(self._timers):
            timer.interrupt(reason)


async def wait(timers: Timers, at: float, what: Callable[[], Awaitable[None]] | None) -> None:
    """Wait for ``what``, or for nothing at all, but no longer than until ``at``.

    Raises:
        CallError: a drain ended the wait.
    """
    timer = Timer()
    timers.add(timer)
    try:
        with timer.until(at):
            await (asyncio.get_running_loop().create_future() if what is None else what())
    except TimeoutError:
        if timer.interruption is not None:
            raise timer.interruption from None
    finally:
        timers.discard(timer)
