"""What is wrong with the store changes no call: in virtual time, call by call."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sidecar.core.breaker import BreakerState
from sidecar.core.caps import CapSettings
from sidecar.domain import ProviderName
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.settings import EngineSettings
from sidecar.upstream.simulated_faults import Fault, FaultKind
from tests.fleet.pods import FleetWorld, play_fleet

MODES = ("well", "away", "hung", "full", "wrong", "flushed", "yesterday")


async def go_wrong(world: FleetWorld, mode: str) -> None:
    """Let the store be well for 10 s and wrong from then on."""
    await asyncio.sleep(5.0)
    world.store.remember()
    await asyncio.sleep(5.0)
    if mode == "flushed":
        world.store.flush()
    elif mode == "yesterday":
        await asyncio.sleep(20.0)
        world.store.yesterday()
    else:
        world.store.mode = mode


def waits(mode: str) -> list[list[float]]:
    """Return how long each call of each pod took, in order."""

    async def scenario(world: FleetWorld) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(go_wrong(world, mode))
            group.create_task(world.load(55.0, per_minute=30.0))

    world = play_fleet(3, scenario)
    assert all(seen.status == 200 for pod in world.pods for seen in pod.seen)
    return [[seen.ended_at - seen.started_at for seen in pod.seen] for pod in world.pods]


@pytest.fixture(scope="module")
def well() -> list[list[float]]:
    """How long calls take with a store that works."""
    return waits("well")


@pytest.mark.parametrize("mode", MODES[1:])
def test_no_call_waits_for_the_store(mode: str, well: list[list[float]]) -> None:
    """Each call takes to the digit as long as with a store that works."""
    assert waits(mode) == well


@pytest.mark.parametrize("mode", MODES[1:])
def test_an_outage_is_survived_with_a_store_that_is_wrong(mode: str) -> None:
    """Pods find out by themselves what they are not told, and return when it is over."""

    async def scenario(world: FleetWorld) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, start_s=40.0, end_s=65.0),)
        async with asyncio.TaskGroup() as group:
            group.create_task(go_wrong(world, mode))
            group.create_task(world.load(62.0, per_minute=20.0))
        assert {pod.state() for pod in world.pods} <= {BreakerState.OPEN, BreakerState.HALF_OPEN}
        await world.load(70.0, per_minute=20.0)

    world = play_fleet(3, scenario)
    assert {pod.state() for pod in world.pods} == {BreakerState.CLOSED}
    assert all(seen.status == 200 for pod in world.pods for seen in pod.seen)


def test_a_store_that_struggles_is_left_alone() -> None:
    """Three errors in a row pause the exchange, for longer each time."""

    async def scenario(world: FleetWorld) -> None:
        world.store.mode = "away"
        await asyncio.sleep(300.0)

    world = play_fleet(2, scenario)
    assert world.store.ops_count <= 2 * (3 + 9), "a minute apart in the end, not a second"
    assert not any(pod.agent.is_up for pod in world.pods)


def test_the_store_that_comes_back_is_used_within_a_pause() -> None:
    """After an absence pods hear each other again."""

    async def scenario(world: FleetWorld) -> None:
        world.store.mode = "hung"
        await asyncio.sleep(20.0)
        world.store.mode = "well"
        await asyncio.sleep(30.0)
        assert all(pod.agent.is_up for pod in world.pods)
        assert world.pods[0].agent.member.view.pods == 2

    play_fleet(2, scenario)


def test_yesterdays_records_open_nothing() -> None:
    """A store that returns with the records of an outage that is over shuts nobody out."""

    async def scenario(world: FleetWorld) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, start_s=20.0, end_s=45.0),)
        await world.load(40.0, per_minute=30.0)
        world.store.remember()
        await world.load(100.0, per_minute=30.0)
        assert {pod.state() for pod in world.pods} == {BreakerState.CLOSED}
        before = [len(pod.changes()) for pod in world.pods]
        world.store.yesterday()
        await world.load(30.0, per_minute=30.0)
        assert [len(pod.changes()) for pod in world.pods] == before

    play_fleet(4, scenario)


def test_without_a_store_money_is_divided() -> None:
    """Cut off from the others, a pod has its part of what was left of a cap, not all of it."""

    async def scenario(world: FleetWorld) -> None:
        pod = world.pods[0]
        await asyncio.sleep(5.0)
        world.store.mode = "away"
        await asyncio.sleep(5.0)
        caps = pod.engine.budgets.caps
        assert caps is not None
        assert caps.providers[ProviderName("alpha")].left_usd == pytest.approx(0.25)

    caps = CapSettings(by_provider={ProviderName("alpha"): 1.0})
    settings = replace(EngineSettings(), budgets=BudgetSettings(caps=caps))
    play_fleet(4, scenario, settings)
