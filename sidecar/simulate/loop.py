"""Run an asyncio program in simulated time: when nothing is ready, jump to the next timer.

Only public hooks are used: a selector handed to ``SelectorEventLoop`` and an overridden
``time()``. So ``asyncio.sleep``, ``timeout_at``, ``TaskGroup`` and every other primitive follow
by themselves, a day of traffic takes seconds, and the same program runs the same way twice. A
program in which every task waits for something that cannot come raises instead of hanging: a
liveness check for free.

Real sockets, threads, ``getaddrinfo`` and uvloop have no place under this loop: it does not wait
for them. Prior art: trio's ``MockClock(autojump_threshold=0)``, tokio's ``start_paused``.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from typing import TYPE_CHECKING, TypeVar

import asyncio_throttle.throttler

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

T = TypeVar("T")


class SimulatedTimeStalled(RuntimeError):  # noqa: N818 - a verdict on the program, named as one
    """Every task waits and no timer is set: the real program would hang forever."""


class _JumpSelector(selectors.SelectSelector):
    """Never sleeps: a wait for the next timer becomes a jump of the loop's clock."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise SimulatedTimeStalled(
                f"every task waits for nothing at t={self.loop.time():.3f} s"
            )
        self.loop.jump(timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0.0 and moves only by jumps to the next timer."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = _JumpSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Return simulated seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Move the clock forward, as a suspended machine would see it."""
        self._now += seconds


def simulate(main: Coroutine[object, object, T]) -> T:
    """Run ``main`` to its end in simulated time and return its value.

    Raises:
        SimulatedTimeStalled: ``main`` cannot end.
    """
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)


class _LoopTime:
    """What asyncio-throttle sees as its ``time`` module: the one function that it calls."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@contextlib.contextmanager
def throttle_on_loop_time() -> Iterator[None]:
    """Let asyncio-throttle read the running loop's clock; for simulation alone.

    The library sleeps on the loop but reads ``time.monotonic``, so its windows would never move
    under a loop that jumps. Its module attribute is replaced and put back; production code is not
    touched.
    """
    original = asyncio_throttle.throttler.__dict__["time"]
    asyncio_throttle.throttler.__dict__["time"] = _LoopTime()
    try:
        yield
    finally:
        asyncio_throttle.throttler.__dict__["time"] = original
