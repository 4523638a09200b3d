"""Waits are bounded, one after the other, by one timer of the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sidecar.engine.timer import Timer, Timers
from sidecar.errors import DrainingError
from sidecar.simulate.loop import SimulatedLoop, SimulatedTimeStalled, simulate

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

STOP = DrainingError("stopping")


class CountingLoop(SimulatedLoop):
    """A loop that counts what is asked of it."""

    asked_count = 0

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Count, and do as the loop does."""
        self.asked_count += callback.__name__ == "_wake"
        return super().call_at(when, callback, *args, context=context)


def test_a_wait_ends_at_its_instant() -> None:
    """The limit of each wait holds, be it earlier or later than the one before."""

    async def main() -> list[float]:
        timer, ended = Timer(), []
        for at in (5.0, 7.0, 6.0, 30.0):
            with pytest.raises(TimeoutError), timer.until(at):
                await asyncio.sleep(100)
            ended.append(asyncio.get_running_loop().time())
        return ended

    assert simulate(main()) == [5.0, 7.0, 7.0, 30.0], "what is past ends at once"


def test_a_wait_outlives_the_limit_of_those_before() -> None:
    """A limit ends its own wait alone, and a sooner one replaces a later one."""

    async def main() -> float:
        timer = Timer()
        with timer.until(10.0):
            await asyncio.sleep(1)
        with timer.until(20.0):
            await asyncio.sleep(15)
        await asyncio.sleep(30)
        with timer.until(100.0):
            await asyncio.sleep(1)
        with pytest.raises(TimeoutError), timer.until(50.0):
            await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert simulate(main()) == 50.0


def test_a_stream_asks_the_loop_once_in_a_while() -> None:
    """A thousand waits that all end in time cost no more than a timer for each limit's length."""

    async def main() -> int:
        loop, timer = asyncio.get_running_loop(), Timer()
        assert isinstance(loop, CountingLoop)
        for _ in range(1000):
            with timer.until(loop.time() + 30.0):
                await asyncio.sleep(0.1)
        timer.close()
        return loop.asked_count

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        assert runner.run(main()) <= 5


def test_an_interruption_ends_this_wait_and_all_later_ones() -> None:
    """Whoever stops the sidecar waits for nobody's limit."""

    async def main() -> float:
        timer, timers = Timer(), Timers()
        timers.add(timer)
        loop = asyncio.get_running_loop()
        loop.call_at(3.0, timers.interrupt, STOP)
        with pytest.raises(TimeoutError), timer.until(50.0):
            await asyncio.sleep(10)
        with pytest.raises(TimeoutError), timer.until(60.0):
            await asyncio.sleep(10)
        assert timer.interruption is STOP
        return loop.time()

    assert simulate(main()) == 3.0


def test_an_interruption_between_waits_ends_the_next() -> None:
    """What is armed for an earlier wait does not hold an interruption back."""

    async def main() -> float:
        timer = Timer()
        with timer.until(50.0):
            await asyncio.sleep(1)
        timer.interrupt(STOP)
        with pytest.raises(TimeoutError), timer.until(60.0):
            await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert simulate(main()) == 1.0


def test_a_caller_who_leaves_is_no_timeout() -> None:
    """A cancellation from outside stays one, even in the very moment of the limit."""

    async def main() -> bool:
        loop, timer = asyncio.get_running_loop(), Timer()

        async def wait() -> None:
            with timer.until(5.0):
                await asyncio.sleep(10)

        task = loop.create_task(wait())
        loop.call_at(5.0, task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert simulate(main())


def test_a_forgotten_timer_asks_nothing_of_the_loop() -> None:
    """What a call had armed goes when the call does."""

    async def main() -> None:
        timer, timers = Timer(), Timers()
        timers.add(timer)
        with timer.until(500.0):
            await asyncio.sleep(1)
        timers.discard(timer)
        timers.discard(timer)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(SimulatedTimeStalled, match=r"t=1\.000"):
        simulate(main())
