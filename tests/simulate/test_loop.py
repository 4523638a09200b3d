"""Simulated time: asyncio's primitives follow the jumping clock; a stuck program says so."""

from __future__ import annotations

import asyncio
import time

import asyncio_throttle
import pytest

from sidecar.simulate.loop import SimulatedTimeStalled, simulate, throttle_on_loop_time


def _now() -> float:
    return asyncio.get_running_loop().time()


def test_clock_starts_at_zero_and_jumps_to_the_next_timer() -> None:
    """A wait of three days ends exactly three days later, in no real time."""

    async def main() -> tuple[float, float]:
        before = _now()
        await asyncio.sleep(3 * 86_400)
        return before, _now()

    assert simulate(main()) == (0.0, 3 * 86_400)


def test_tasks_interleave_by_simulated_time() -> None:
    """Tasks wake in the order of their timers, not of their creation."""

    async def main() -> list[tuple[float, str]]:
        woken: list[tuple[float, str]] = []

        async def wake(name: str, after_s: float) -> None:
            await asyncio.sleep(after_s)
            woken.append((_now(), name))

        async with asyncio.TaskGroup() as group:
            group.create_task(wake("late", 2.5))
            group.create_task(wake("early", 1.0))
        return woken

    assert simulate(main()) == [(1.0, "early"), (2.5, "late")]


def test_timeout_at_follows_the_simulated_clock() -> None:
    """A deadline fires at its simulated instant."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(7.0):
                await asyncio.sleep(100)
        return _now()

    assert simulate(main()) == 7.0


def test_waiting_for_nothing_raises_instead_of_hanging() -> None:
    """When every task waits and no timer is set the program is stuck, and is told."""

    async def main() -> None:
        await asyncio.sleep(4)
        await asyncio.Event().wait()

    with pytest.raises(SimulatedTimeStalled, match=r"t=4\.000"):
        simulate(main())


def test_throttle_paces_by_the_simulated_clock_inside_the_context_only() -> None:
    """asyncio-throttle's window moves with the loop, and its real clock comes back afterwards."""

    async def main() -> list[float]:
        throttler = asyncio_throttle.Throttler(rate_limit=2, period=60.0, retry_interval=1.0)
        passed: list[float] = []
        for _ in range(4):
            await throttler.acquire()
            passed.append(_now())
        return passed

    with throttle_on_loop_time():
        passed = simulate(main())
    assert passed[:2] == [0.0, 0.0]
    assert all(60.0 <= at <= 62.0 for at in passed[2:])
    assert asyncio_throttle.throttler.time is time


def test_context_restores_the_clock_after_an_error() -> None:
    """An error inside the context does not leave the library on simulated time."""
    with pytest.raises(KeyError), throttle_on_loop_time():
        raise KeyError
    assert asyncio_throttle.throttler.time is time
