"""Rows 17 and 18 of the fault catalogue: a provider that fails now and then."""

from __future__ import annotations

from math import ceil, log2

import pytest

from sidecar.clock import now
from sidecar.simulate.evidence import (
    answered_by,
    changes,
    opened_at,
    requests,
    started,
    unrest,
)
from sidecar.simulate.world import ALPHA, BETA, World, play
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedProvider


def flaps_max(outage_s: float) -> int:
    """Return how many changes of state an outage may cause."""
    return 2 * ceil(log2(outage_s / 5)) + 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_third_of_calls_failing_is_routed_around(seed: int) -> None:
    """Row 17: no caller sees an error, traffic moves within a minute, attempts stay in bounds."""
    sick: list[SimulatedProvider] = []
    since: list[float] = []

    async def scenario(world: World) -> None:
        sick.append(await world.warm_up())
        since.append(now())
        sick[0].faults = (Fault(kind=FaultKind.STATUS, status=500, share=0.3),)
        await world.load(100, rate_per_s=1.0, route="pair")

    world = play(scenario, seed=seed)

    assert all(one.is_good for one in world.seen)
    during = started(world.seen, since[0])
    attempts = sum(len(one.attempts) for one in during)
    assert attempts <= 1.3 * len(during)
    late = started(world.seen, since[0] + 60)
    healthy = BETA if sick[0] is world.alpha else ALPHA
    assert answered_by(late)[healthy] >= 0.8 * len(late)
    sent = sum(len(requests(one, since[0], is_probe=False)) for one in world.providers.values())
    assert sent == attempts, "what callers are told is what providers saw"


def test_chain_fails_over_each_time_within_its_amplification() -> None:
    """Row 17: where one tier is strictly first it stays so; every failure is one failover."""
    start_s = 40.0

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, share=0.3, start_s=start_s),)
        await world.load(start_s + 90, rate_per_s=2.0)

    world = play(scenario)

    assert all(one.is_good and len(one.attempts) <= 2 for one in world.seen)
    during = started(world.seen, start_s)
    assert sum(len(one.attempts) for one in during) <= 1.4 * len(during)


def test_flapping_endpoint_is_left_alone_for_longer_each_time() -> None:
    """Row 18: five seconds bad, five good, over three minutes: few changes, traffic elsewhere."""
    start_s, end_s = 40.0, 240.0

    async def scenario(world: World) -> None:
        world.alpha.faults = tuple(
            Fault(kind=FaultKind.STATUS, status=500, start_s=at_s, end_s=at_s + 5)
            for at_s in range(int(start_s), int(end_s), 10)
        )
        await world.load(end_s - start_s + 40, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert len([event for event in changes(world, ALPHA) if event.at < end_s]) <= flaps_max(
        end_s - start_s
    )
    during = started(world.seen, opened_at(world, ALPHA), end_s)
    assert answered_by(during)[BETA] >= 0.9 * len(during)
    opens = changes(world, ALPHA, to="open")
    rests_s = [(event.reopens_at or 0.0) - event.at for event in opens]
    assert rests_s[-1] >= 4 * rests_s[0], "each relapse lengthens the rest"
    assert unrest(world, world.alpha, ALPHA, end_s, trials_max=2) == []


def test_endpoint_that_deceives_its_probes_rests_longer_each_time() -> None:
    """Row 18: probes succeed and answers break: each relapse doubles the rest all the same."""
    start_s, end_s = 40.0, 130.0

    async def scenario(world: World) -> None:
        fault = Fault(kind=FaultKind.RESET_AFTER, after_tokens=10, start_s=start_s, end_s=end_s)
        world.alpha.faults = (fault,)
        await world.load(end_s, rate_per_s=1.0, stream_share=0.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen), "plain answers fail over"
    opens = changes(world, ALPHA, to="open")
    rests_s = [(event.reopens_at or 0.0) - event.at for event in opens]
    assert len(opens) <= 5
    assert rests_s == sorted(rests_s)
    during = started(world.seen, start_s)
    assert answered_by(during)[BETA] == len(during)
    assert len(requests(world.alpha, start_s, is_probe=False)) <= 0.3 * len(during)
