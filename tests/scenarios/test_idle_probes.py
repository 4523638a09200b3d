"""Looks at idle endpoints: rare, and not paid for where a batch call can be the look."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.domain import Constraints, Priority
from sidecar.simulate.evidence import probes, requests
from sidecar.simulate.world import ALPHA, BETA, World, play


@pytest.mark.parametrize("priority", list(Priority))
def test_a_batch_call_spares_a_paid_probe(priority: Priority) -> None:
    """Of two equals one gets the calls; the other is looked at for money, or by batch calls."""

    async def scenario(world: World) -> None:
        wishes = Constraints(priority=priority)
        for _ in range(360):
            await world.call("pair", constraints=wishes)
            await asyncio.sleep(30.0)

    world = play(scenario)
    assert all(one.is_good for one in world.seen)
    asked = {
        name: len(requests(provider, is_probe=False))
        for name, provider in ((ALPHA, world.alpha), (BETA, world.beta))
    }
    idle = min(asked, key=lambda name: asked[name])
    paid = [one for one in probes(world, idle, kind="paid") if one.why == "idle"]
    assert probes(world, idle, kind="free"), "free looks go on"
    if priority is Priority.BATCH:
        assert paid == []
        assert 1 <= asked[idle] <= 36, "a look now and then, not the traffic"
    else:
        assert len(paid) >= 2
