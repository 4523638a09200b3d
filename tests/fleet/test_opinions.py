"""What one pod hears of answers' quality, all know; and nothing goes round in circles."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.clock import now
from sidecar.domain import RouteName
from sidecar.simulate.world import ALPHA
from tests.fleet.pods import FleetWorld, play_fleet

ROUTE = RouteName("reason")


def test_scores_are_pooled_once() -> None:
    """Ten scores of one pod are ten for every pod, minutes later too."""

    async def scenario(world: FleetWorld) -> None:
        await asyncio.sleep(5.0)
        for _ in range(10):
            world.pods[0].engine.parts.quality.observe(ROUTE, ALPHA, 0.9, 1.0, now())
        world.pods[1].engine.parts.quality.judge(ROUTE, ALPHA, 1.0, now())
        for _ in range(3):
            await asyncio.sleep(200.0)
            for pod in world.pods:
                found = pod.engine.parts.quality.evidence(ROUTE, ALPHA)
                assert found is not None
                assert found.weight == pytest.approx(10.0, rel=0.02)
                assert found.scored == pytest.approx(9.0, rel=0.02)
                assert (found.faulty, found.judged) == pytest.approx((1.0, 1.0), rel=0.05)

    play_fleet(3, scenario)
