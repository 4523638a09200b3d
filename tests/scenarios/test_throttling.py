"""Rows 8 and 9 of the fault catalogue: a provider that says not now, politely."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sidecar.simulate.evidence import (
    answered_by,
    changes,
    outcomes,
    probes,
    requests,
    started,
)
from sidecar.simulate.world import ALPHA, ALPHA_SMALL, BETA, GAMMA, World, play
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedLimits
from sidecar.upstream.simulated_limits import Grants

ALPHA_HOST = "http://alpha.test:80"
START_S, END_S = 40.0, 100.0
LARGE_PROMPT = "All of it, please: " + "a long story " * 200


def test_rate_limit_rests_the_account_for_as_long_as_it_says() -> None:
    """Row 8: after a 429 no model of the account is asked before Retry-After; breakers stay shut.

    Closed, that is: a provider that refuses politely is healthy.
    """

    async def scenario(world: World) -> None:
        fault = Fault(
            kind=FaultKind.STATUS, status=429, retry_after_s=12, start_s=START_S, end_s=END_S
        )
        world.alpha.faults = (fault,)
        await world.load(START_S + 5, rate_per_s=1.0, is_even=True)
        await world.load(5, rate_per_s=1.0, route="quick", is_even=True)
        await world.load(END_S - START_S + 20, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    asked_at = [entry.at_s for entry in requests(world.alpha, START_S) if entry.status == 429]
    assert 4 <= len(asked_at) <= 5
    for earlier, later in pairwise(asked_at):
        assert later - earlier >= 12.0
    quick = [one for one in world.seen if one.route == "quick"]
    assert answered_by(quick) == {GAMMA: len(quick)}, "the account's other model rests too"
    for name in (ALPHA, ALPHA_SMALL, ALPHA_HOST):
        assert changes(world, name) == []
    assert probes(world, ALPHA, kind="paid") == []
    assert answered_by(started(world.seen, END_S + 13.5))[BETA] == 0, "back within its word"


def test_rate_limit_does_not_make_an_endpoint_look_fast() -> None:
    """Row 8: a 429 after 5 ms is no sample of latency, and among equals it loses the traffic."""
    before: list[float] = []
    after: list[float] = []

    async def scenario(world: World) -> None:
        latency = world.engine.health.endpoints[ALPHA].latency
        await world.load(START_S, rate_per_s=1.0, route="pair", is_even=True)
        before.append(latency.ttft_s(10, START_S))
        fault = Fault(kind=FaultKind.STATUS, status=429, retry_after_s=2, start_s=START_S)
        world.alpha.faults = (fault,)
        await world.load(30, rate_per_s=1.0, route="pair", is_even=True)
        after.append(latency.ttft_s(10, START_S + 30))

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert [one for one in outcomes(world, ALPHA) if one.cls.value == "RATE"]
    assert after[0] >= 0.9 * before[0]
    late = started(world.seen, START_S + 10)
    assert answered_by(late)[BETA] >= 0.8 * len(late)


def test_real_minute_limit_is_respected() -> None:
    """Row 8: beside a limit of 20 a minute every caller is served, with few refusals."""

    async def scenario(world: World) -> None:
        world.alpha._grants = Grants(SimulatedLimits(requests_per_minute=20))
        await world.load(120, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    refused = [entry for entry in requests(world.alpha) if entry.status == 429]
    served = [entry for entry in requests(world.alpha, is_probe=False) if entry.status == 200]
    assert len(served) >= 34, "most of what the limit grants in two minutes is used"
    assert len(refused) <= 5
    assert changes(world, ALPHA) == []


@pytest.mark.parametrize("retry_after_s", [2.0, None], ids=["stated", "unstated"])
def test_token_limit_starves_neither_large_prompts_nor_small_ones(
    retry_after_s: float | None,
) -> None:
    """Row 9: large prompts are refused and answered elsewhere; small ones use what is left.

    There are no token buckets: the account rests after each refusal, so small prompts may be
    answered elsewhere as well.
    """

    async def scenario(world: World) -> None:
        fault = Fault(
            kind=FaultKind.TOKEN_RATE,
            prompt_tokens_max=300,
            retry_after_s=retry_after_s,
            start_s=START_S,
        )
        world.alpha.faults = (fault,)
        await world.load(START_S, rate_per_s=1.0, is_even=True)
        for _ in range(6):
            await world.call("strong", question=LARGE_PROMPT)
            await world.load(8, rate_per_s=1.0, route="strong", is_even=True)
            await world.call("strong", question=LARGE_PROMPT, is_stream=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen), "nobody starves"
    assert max(one.took_s for one in world.seen) < 3.0
    refused = [entry for entry in requests(world.alpha, START_S) if entry.status == 429]
    assert refused
    assert all(entry.prompt_tokens > 300 for entry in refused)
    assert changes(world, ALPHA) == changes(world, ALPHA_HOST) == []
    small = [entry for entry in requests(world.alpha, START_S) if entry.status == 200]
    assert small, "small prompts flow again once the refusal is over"
