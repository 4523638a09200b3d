"""Rows 15 and 16 of the fault catalogue: a provider that answers, slowly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.clock import now
from sidecar.simulate.evidence import changes, outcomes, requests, started
from sidecar.simulate.world import ALPHA, BETA, LARGE, World, play
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedProvider

HOSTS = ("http://alpha.test:80", "http://beta.test:80")


def _assert_nothing_opened(world: World) -> None:
    for name in (ALPHA, BETA, *HOSTS):
        assert changes(world, name) == [], "slow is not down"


def test_brown_out_moves_traffic_and_opens_nothing() -> None:
    """Row 15: first tokens five times later: the level shows it in three samples, traffic leaves.

    Hedges answer for some of those who had already been sent; half failures open nothing.
    """
    sick: list[SimulatedProvider] = []
    since: list[float] = []
    levels: list[float] = []

    async def scenario(world: World) -> None:
        sick.append(await world.warm_up())
        since.append(now())
        sick[0].faults = (Fault(kind=FaultKind.SLOW_FIRST, factor=5.0),)
        name = ALPHA if sick[0] is world.alpha else BETA
        for _ in range(3):
            await world.call("alone" if name == ALPHA else "alone-beta", is_stream=True)
        levels.append(world.engine.health.endpoints[name].latency.level(now()))
        await world.load(60, rate_per_s=2.0, route="pair", is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert levels[0] >= 0.69, "after three samples it is known to be at least twice as slow"
    pair = [one for one in started(world.seen, since[0]) if one.route == "pair"]
    slow = [one for one in pair if one.endpoint is not None and sick[0].name in one.endpoint]
    assert len(slow) <= 0.3 * len(pair), "it had the traffic before"
    _assert_nothing_opened(world)
    own = outcomes(world, ALPHA if sick[0] is world.alpha else BETA)
    assert {one.cls.value for one in own} <= {"OK", "OUTRUN", "CANCEL"}
    assert sum(one.cls.value != "OK" for one in own) <= 5


def test_sluggish_endpoint_is_softly_ejected() -> None:
    """Row 15: where the first token comes after 5 s and more, a twentieth of the weight is left."""
    sick: list[SimulatedProvider] = []
    since: list[float] = []

    async def scenario(world: World) -> None:
        slower = replace(LARGE, ttft_s=1.2, ttft_sigma=0.1)
        world.alpha.models["alpha-large"] = world.beta.models["beta-large"] = slower
        sick.append(await world.warm_up())
        sick[0].faults = (Fault(kind=FaultKind.SLOW_FIRST, factor=6.0),)
        lone = "alone" if sick[0] is world.alpha else "alone-beta"
        await world.load(5, rate_per_s=2.0, route=lone, is_even=True)
        since.append(now())
        await world.load(60, rate_per_s=1.0, route="pair", is_even=True)

    world = play(scenario)

    name = ALPHA if sick[0] is world.alpha else BETA
    assert all(one.is_good for one in world.seen)
    assert len(requests(sick[0], since[0], is_probe=False)) <= 0.05 * 60
    assert world.engine.health.endpoints[name].breaker.generation == 0
    _assert_nothing_opened(world)


@pytest.mark.parametrize("is_stream", [False, True])
def test_slow_drip_sends_new_answers_elsewhere_and_keeps_running_ones(is_stream: bool) -> None:
    """Row 16: ten times between tokens: streams under way go on to their end, new ones move.

    A plain answer is silent until it is whole: a hedge may answer for it, five at the most.
    """
    sick: list[SimulatedProvider] = []
    since: list[float] = []

    async def scenario(world: World) -> None:
        sick.append(await world.warm_up())
        since.append(now())
        sick[0].faults = (Fault(kind=FaultKind.DRIP, factor=10.0),)
        share = 1.0 if is_stream else 0.0
        await world.load(60, rate_per_s=1.0, route="pair", is_even=True, stream_share=share)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    asked = requests(sick[0], since[0], is_probe=False)
    dripped = [entry for entry in asked if entry.fault is FaultKind.DRIP]
    assert dripped
    cut = [entry for entry in dripped if entry.output_tokens < entry.planned_tokens]
    assert len(cut) <= (0 if is_stream else 5)
    late = [entry for entry in asked if entry.at_s >= since[0] + 15]
    assert len(late) <= 0.2 * 45
    _assert_nothing_opened(world)


def test_stalled_stream_breaks_off_with_an_error() -> None:
    """Row 16: a drip so slow that it stalls ends with an error event, and counts as a failure."""

    async def scenario(world: World) -> None:
        await world.load(20, rate_per_s=1.0, route="alone", is_even=True)
        world.alpha.faults = (Fault(kind=FaultKind.DRIP, factor=600.0),)
        await world.call("alone", is_stream=True)

    world = play(scenario)

    last = world.seen[-1]
    assert not last.is_complete
    assert last.code == "upstream_interrupted"
    assert last.took_s == pytest.approx(10.5, abs=1.0), "the first token and the stall limit"
    assert outcomes(world, ALPHA)[-1].cls.value == "STALL_MID"
