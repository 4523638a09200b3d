"""Rows 5 to 7 and 10 to 12 of the fault catalogue: a provider that answers, with an error."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from sidecar.domain import Gate, ProviderName
from sidecar.events import AccountChanged
from sidecar.simulate.evidence import (
    answered_by,
    changes,
    opened_at,
    outcomes,
    probes,
    requests,
    started,
    unrest,
)
from sidecar.simulate.world import ALPHA, ALPHA_SMALL, BETA, World, play
from sidecar.upstream.simulated import Fault, FaultKind

ALPHA_HOST = "http://alpha.test:80"
ALPHA_ACCOUNT = ProviderName("alpha")
START_S, END_S = 40.0, 120.0


def _account_events(world: World) -> list[AccountChanged]:
    return [event for event in world.recorder.events if isinstance(event, AccountChanged)]


@pytest.mark.parametrize(
    ("rate_per_s", "start_s", "end_s", "detected_within_s"),
    [(1.0, 40.0, 100.0, 5.0), (0.1, 350.0, 470.0, 15.0)],
    ids=["one-a-second", "six-a-minute"],
)
def test_errors_to_everybody_cost_callers_nothing(
    rate_per_s: float, start_s: float, end_s: float, detected_within_s: float
) -> None:
    """Row 5: no caller notices, the endpoint rests but for one trial each time, and comes back."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (
            Fault(kind=FaultKind.STATUS, status=500, start_s=start_s, end_s=end_s),
        )
        await world.load(end_s + 110, rate_per_s=rate_per_s, is_even=True)

    world = play(scenario)

    assert all(one.is_good and one.degraded is None for one in world.seen)
    during = started(world.seen, start_s, end_s)
    assert answered_by(during) == {BETA: len(during)}
    assert opened_at(world, ALPHA) - start_s <= detected_within_s
    assert requests(world.alpha, opened_at(world, ALPHA) + 0.001, end_s, is_probe=False) == []
    assert unrest(world, world.alpha, ALPHA, end_s) == []
    assert changes(world, ALPHA_HOST) == [], "a 500 is the model's, not the host's"
    longest_s = max((event.reopens_at or 0) - event.at for event in changes(world, ALPHA))
    closed_at = changes(world, ALPHA, to="closed")[0].at
    assert closed_at <= end_s + longest_s + 30
    assert answered_by(started(world.seen, closed_at + 1))[ALPHA] > 0
    spent_usd = sum(entry.cost_usd for entry in world.alpha.log + world.beta.log)
    assert world.engine.prober.spent_usd <= max(0.002, 0.005 * spent_usd)


def test_retry_after_of_an_unavailable_provider_is_kept() -> None:
    """Row 6: 503 with Retry-After 40: nobody asks before 40 s are over, again and again."""

    async def scenario(world: World) -> None:
        fault = Fault(
            kind=FaultKind.STATUS, status=503, retry_after_s=40, start_s=START_S, end_s=END_S + 10
        )
        world.alpha.faults = (fault,)
        await world.load(END_S + 60, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    refused = [entry for entry in requests(world.alpha) if entry.status == 503]
    opens = changes(world, ALPHA, to="open")
    assert len(opens) >= 2
    assert all(40.0 <= (event.reopens_at or 0.0) - event.at <= 50.0 for event in opens)
    after_trip = [entry.at_s for entry in refused if entry.at_s > opens[0].at]
    assert len(after_trip) >= 1
    for earlier, later in pairwise([opens[0].at, *after_trip]):
        assert later - earlier >= 40.0
    assert answered_by(started(world.seen, END_S + 55))[ALPHA] > 0


@pytest.mark.parametrize("route", ["reason", "pair"])
def test_partial_overload_moves_traffic_and_opens_nothing(route: str) -> None:
    """Row 7: a fifth of 529: failover without a second ask, fewer calls at once, no open breaker.

    In a chain the first endpoint keeps its place while it mostly answers; among equals the traffic
    moves.
    """
    cuts: list[float] = []

    async def watch(world: World) -> None:
        limit = world.engine.health.endpoints[ALPHA].limit
        while True:
            await asyncio.sleep(0.05)
            cuts.append(limit.value)

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=529, share=0.2, start_s=START_S),)
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch(world))
            await world.load(END_S - 20, rate_per_s=2.0, route=route, is_even=True)
            watcher.cancel()

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    overloaded = [one for one in outcomes(world, ALPHA) if one.cls.value == "OVERLOAD"]
    assert overloaded
    assert changes(world, ALPHA) == changes(world, ALPHA_HOST) == []
    assert min(cuts) <= 5.6 < max(cuts), "few calls under way: cut to seven tenths of eight"
    for one in started(world.seen, START_S):
        asked = [attempt.partition(":")[0] for attempt in one.attempts]
        assert len(set(asked)) == len(asked), "nobody is asked twice in one call"
    if route == "pair":
        late = started(world.seen, START_S + 30)
        assert answered_by(late)[BETA] >= 0.8 * len(late)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(
            kind=FaultKind.STATUS,
            status=429,
            error_code="enforced_spend_limit_reached",
            start_s=START_S,
        ),
        Fault(kind=FaultKind.STATUS, status=402, start_s=START_S),
        Fault(
            kind=FaultKind.STATUS,
            status=400,
            message="You have reached your specified API usage limits.",
            start_s=START_S,
        ),
    ],
    ids=["spend-limit", "payment-required", "usage-limit-as-400"],
)
def test_spent_account_is_asked_once(fault: Fault) -> None:
    """Rows 10 and 12: one refusal blocks the account, silently for callers, with no probes."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (fault,)
        await world.load(START_S + 30, rate_per_s=1.0, is_even=True)
        await world.load(10, rate_per_s=1.0, route="quick", is_even=True)
        # An idle probe would be due by now.
        await asyncio.sleep(200)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert len(requests(world.alpha, START_S)) == 1, "no retry, no probe, no other model"
    blocks = _account_events(world)
    assert [event.reason for event in blocks] == [Gate.ACCOUNT_QUOTA.value]
    assert blocks[0].until == pytest.approx(blocks[0].at + 900)
    assert changes(world, ALPHA) == changes(world, ALPHA_SMALL) == changes(world, ALPHA_HOST) == []
    assert world.engine.prober.spent_usd == 0.0


def test_refused_key_blocks_after_two_and_a_new_key_heals_within_five_seconds() -> None:
    """Row 11: two 401 block the account; the next key lifts the block within 5 s."""
    rotated_at = 80.0

    async def scenario(world: World) -> None:
        world.alpha.api_key = "old"
        world.upstream.set_key(ALPHA_ACCOUNT, "old")
        await world.load(START_S, rate_per_s=1.0, is_even=True)
        world.alpha.api_key = "new"
        await world.load(rotated_at - START_S, rate_per_s=1.0, is_even=True)
        world.upstream.set_key(ALPHA_ACCOUNT, "new")
        await world.load(40, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    refused = [entry for entry in requests(world.alpha) if entry.status == 401]
    assert len(refused) == 2
    assert len(requests(world.alpha, refused[1].at_s + 0.001, rotated_at)) == 0
    events = [event for event in _account_events(world) if event.at > START_S]
    assert [event.reason for event in events] == [Gate.ACCOUNT_AUTH.value, "new credential"]
    healed = [entry for entry in requests(world.alpha, rotated_at) if entry.status == 200]
    assert healed[0].at_s <= rotated_at + 5.0 + 1.0, "the next caller may come a second later"
    assert changes(world, ALPHA) == changes(world, ALPHA_HOST) == []
    assert probes(world, ALPHA, kind="paid") == []
