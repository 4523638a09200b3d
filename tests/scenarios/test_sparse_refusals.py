"""A provider that refuses a few calls at random, whoever asks, is used as much as it serves."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.clock import now
from sidecar.simulate.evidence import started
from sidecar.simulate.world import World, play
from sidecar.upstream.simulated import Fault, FaultKind

CALLERS = 60
WARM_S, LASTS_S = 16.0, 28.0
CALL_S = 0.8
"""What a call takes that waits for nobody."""


async def _callers(world: World, waiting: list[int]) -> None:
    """Call again at once, each caller on its own; note who waits for room every half second."""

    async def one() -> None:
        while now() < LASTS_S:
            if not (await world.call("alone")).is_good:
                await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(one())
        while now() < LASTS_S:
            await asyncio.sleep(0.5)
            waiting.append(len(world.engine.health.room))


@pytest.mark.parametrize(("status", "share"), [(503, 0.01), (503, 0.03), (529, 0.1)])
def test_sparse_refusals_cost_no_room(status: int, share: float) -> None:
    """Sixty callers at one endpoint get what it serves, and hardly anybody waits for room."""
    waiting: list[int] = []

    async def scenario(world: World) -> None:
        world.alpha.faults = (
            Fault(kind=FaultKind.STATUS, share=share, status=status, error_type="overloaded_error"),
        )
        await _callers(world, waiting)

    world = play(scenario)
    good = sum(one.is_good for one in started(world.seen, WARM_S, LASTS_S))
    assert good >= 0.9 * (1.0 - share) * CALLERS * (LASTS_S - WARM_S) / CALL_S
    late = waiting[round(2 * WARM_S) :]
    assert sum(late) <= 0.05 * CALLERS * len(late)
