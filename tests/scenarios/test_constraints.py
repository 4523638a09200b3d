"""What callers ask for, all of it together: deadlines, first tokens, budgets, qualities."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.domain import Constraints, Priority, Route, RouteName, Rung
from sidecar.simulate.evidence import requests, started
from sidecar.simulate.world import (
    ALPHA,
    BETA,
    GAMMA,
    LARGE,
    SMALL,
    World,
    default_endpoints,
    default_routes,
    play,
)
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    from sidecar.simulate.seen import Seen

SLOW_GOOD = replace(LARGE, ttft_s=1.2, ttft_sigma=0.3, output_tokens=60, output_sigma=0.3)
FAST_SMALL = replace(SMALL, ttft_s=0.1, ttft_sigma=0.3, output_tokens=20, output_sigma=0.3)
GOOD_FIRST = RouteName("good-first")
SMALL_FIRST = RouteName("small-first")
BEST_ONLY = RouteName("best-only")
ROUTES = (
    *default_routes(),
    Route(name=GOOD_FIRST, tiers=((ALPHA,), (GAMMA,)), within_s=30.0),
    Route(name=SMALL_FIRST, tiers=((GAMMA,), (ALPHA,)), within_s=30.0),
    Route(name=BEST_ONLY, tiers=((ALPHA,),), within_s=30.0),
    Route(
        name=RouteName("wished"),
        tiers=((GAMMA,), (ALPHA,)),
        within_s=30.0,
        quality=0.8,
        first_token_s=3.0,
        priority=Priority.BATCH,
    ),
)


async def known(world: World, *, samples: int = 30) -> None:
    """Make alpha slow and good, gamma fast and small, and both well known."""
    world.alpha.models["alpha-large"] = SLOW_GOOD
    world.gamma.models["gamma-small"] = FAST_SMALL
    for _ in range(samples):
        await world.call("best-only", is_stream=True)
        await world.call("quick-gamma", is_stream=True)
    for _ in range(samples // 2):
        await world.call(GOOD_FIRST, is_stream=True)
        await world.call(SMALL_FIRST, is_stream=True)


QUICK = (
    *ROUTES,
    Route(name=RouteName("quick-gamma"), tiers=((GAMMA,),), within_s=30.0),
)


async def calls(world: World, count: int, route: str, wishes: Constraints) -> list[Seen]:
    """Make ``count`` calls one after the other."""
    return [await world.call(route, is_stream=True, constraints=wishes) for _ in range(count)]


# --- within --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("within_s", "whom"), [(0.75, GAMMA), (2.0, GAMMA), (10.0, ALPHA)], ids=str
)
def test_a_slow_good_model_beside_a_fast_small_one(within_s: float, whom: str) -> None:
    """Who has time gets the better model, who has not gets one that is in time, at once."""
    seen: list[Seen] = []

    async def scenario(world: World) -> None:
        await known(world)
        seen.extend(await calls(world, 20, GOOD_FIRST, Constraints(within_s=within_s)))

    play(scenario, routes=QUICK)

    assert sum(one.is_good for one in seen) >= 19
    assert sum(one.endpoint == whom for one in seen) >= 19
    first_asked = {one.attempts[0].partition(":")[0] for one in seen}
    assert first_asked == {whom}


def test_long_prompts_need_more_time() -> None:
    """The same deadline is enough for a short prompt and not for a long one."""
    by_length: dict[int, set[str | None]] = {}

    async def scenario(world: World) -> None:
        for length in (20, 4000, 8000) * 10:
            slower = replace(SLOW_GOOD, ttft_s=0.3 + 0.0004 * length)
            world.alpha.models["alpha-large"] = slower
            await world.call(BEST_ONLY, is_stream=True, question="word " * length)
        world.alpha.models["alpha-large"] = replace(SLOW_GOOD, ttft_s=0.3)
        world.gamma.models["gamma-small"] = FAST_SMALL
        for _ in range(15):
            await world.call("quick-gamma", is_stream=True)
            await world.call(GOOD_FIRST, is_stream=True)
        for length in (20, 8000):
            world.alpha.models["alpha-large"] = replace(SLOW_GOOD, ttft_s=0.3 + 0.0004 * length)
            seen = [
                await world.call(
                    GOOD_FIRST,
                    is_stream=True,
                    question="word " * length,
                    constraints=Constraints(within_s=3.5),
                )
                for _ in range(5)
            ]
            by_length[length] = {one.endpoint for one in seen}

    play(scenario, routes=QUICK)

    assert by_length[20] == {ALPHA}
    assert by_length[8000] == {GAMMA}


def test_an_answer_that_may_not_be_long_is_in_time() -> None:
    """Long answers do not fit into the deadline; one that is bounded by its caller does."""
    seen: list[Seen] = []

    async def scenario(world: World) -> None:
        long = replace(SLOW_GOOD, ttft_s=0.4, output_tokens=400, output_sigma=0.3)
        world.alpha.models["alpha-large"] = long
        world.gamma.models["gamma-small"] = replace(FAST_SMALL, output_tokens=400)
        await calls(world, 20, GOOD_FIRST, Constraints())
        for _ in range(10):
            await world.call("quick-gamma", is_stream=True)
        wishes = Constraints(within_s=6.0)
        seen.append(await world.call(GOOD_FIRST, is_stream=True, constraints=wishes))
        bound: dict[str, object] = {"max_tokens": 40}
        seen.append(await world.call(GOOD_FIRST, is_stream=True, constraints=wishes, extra=bound))

    play(scenario, routes=QUICK)

    assert [one.endpoint for one in seen] == [GAMMA, ALPHA]
    assert all(one.is_good for one in seen)


def test_drift_of_latency_is_followed() -> None:
    """When the good model becomes too slow for the deadline, calls leave it, and come back."""
    slow: list[Seen] = []
    after: list[Seen] = []

    async def scenario(world: World) -> None:
        await known(world)
        wishes = Constraints(within_s=5.0)
        before = await calls(world, 20, GOOD_FIRST, wishes)
        assert {one.endpoint for one in before} == {ALPHA}
        start = now()
        world.alpha.faults = (Fault(kind=FaultKind.SLOW_FIRST, factor=6.0, end_s=start + 120.0),)
        while now() < start + 120.0:
            slow.append(await world.call(GOOD_FIRST, is_stream=True, constraints=wishes))
            await asyncio.sleep(1.0)
        await world.load(900.0, rate_per_s=0.2, route=BEST_ONLY, stream_share=1.0)
        after.extend(await calls(world, 20, GOOD_FIRST, wishes))

    play(scenario, routes=QUICK)

    assert sum(one.endpoint == GAMMA for one in slow[5:]) >= 0.9 * len(slow[5:])
    assert sum(one.is_good for one in slow) >= 0.93 * len(slow)
    assert sum(one.endpoint == ALPHA for one in after) >= 19


def test_nothing_is_late_by_more_than_fifty_milliseconds() -> None:
    """Whatever the deadline and whatever fails, the caller hears by then; so the world checks."""

    async def scenario(world: World) -> None:
        await known(world, samples=6)
        kinds = (FaultKind.HANG, FaultKind.DRIP, FaultKind.SLOW_FIRST, FaultKind.RESET_AFTER)
        for number in range(160):
            kind = kinds[number % len(kinds)]
            fault = Fault(kind=kind, factor=30.0, share=0.6)
            world.alpha.faults = world.beta.faults = world.gamma.faults = (fault,)
            within_s = (0.2, 0.5, 1.0, 2.5, 6.0)[number % 5]
            wishes = Constraints(within_s=within_s, first_token_s=within_s / 3)
            await world.call("pair", is_stream=number % 3 > 0, constraints=wishes)

    world = play(scenario, routes=QUICK)

    late = [one for one in world.seen if one.code == "deadline_exceeded"]
    assert len(late) > 20, "deadlines were reached"
    assert max(one.ended_at - one.deadline_at for one in world.seen) <= 0.05


# --- infeasible ----------------------------------------------------------------------------------


def test_too_little_time_is_told_at_once_with_how_much_it_takes() -> None:
    """Nobody is asked, and who asks again with what was named is served."""
    seen: list[Seen] = []

    async def scenario(world: World) -> None:
        await known(world)
        seen.append(
            await world.call(BEST_ONLY, is_stream=True, constraints=Constraints(within_s=0.4))
        )
        asked = len(requests(world.alpha, is_probe=False))
        named = float(seen[0].message.partition("at least ")[2].partition("s ")[0])
        seen.extend(await calls(world, 20, BEST_ONLY, Constraints(within_s=named)))
        assert len(requests(world.alpha, is_probe=False)) == asked + 20

    play(scenario, routes=QUICK)

    refused = seen[0]
    assert (refused.status, refused.code, refused.took_s) == (422, "infeasible", 0.0)
    assert "(asked: 0.4s)" in refused.message
    assert not any(one.code == "infeasible" for one in seen[1:])
    assert sum(one.is_good for one in seen[1:]) >= 12


def test_an_answer_too_long_for_its_deadline_is_infeasible() -> None:
    """First tokens would be in time, the whole never: told at once, instead of after the wait."""

    async def scenario(world: World) -> None:
        long = replace(SLOW_GOOD, ttft_s=0.3, output_tokens=500, output_sigma=0.2)
        world.alpha.models["alpha-large"] = long
        await calls(world, 25, BEST_ONLY, Constraints())
        await world.call(BEST_ONLY, is_stream=True, constraints=Constraints(within_s=1.5))
        await world.call(
            BEST_ONLY,
            is_stream=True,
            constraints=Constraints(within_s=1.5),
            extra={"max_tokens": 9},
        )

    refused, short = play(scenario, routes=QUICK).seen[-2:]
    assert (refused.status, refused.code) == (422, "infeasible")
    assert float(refused.message.partition("at least ")[2].partition("s ")[0]) > 9.0
    assert short.is_good


def test_a_slow_moment_refuses_nobody() -> None:
    """Who would be in time in an ordinary hour is tried, however slow things are just now."""

    async def scenario(world: World) -> None:
        await known(world)
        world.alpha.faults = (Fault(kind=FaultKind.SLOW_FIRST, factor=8.0),)
        await calls(world, 12, BEST_ONLY, Constraints(within_s=4.0))

    seen = play(scenario, routes=QUICK).seen[-12:]
    assert {one.code for one in seen} == {"deadline_exceeded"}


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (Constraints(budget_usd=1e-6), "a budget of at least 0.000"),
        (Constraints(quality=0.95, is_quality_hard=True), "a quality of at most 0.9 (asked: 0.95)"),
        (
            Constraints(budget_usd=0.0002, quality=0.8, is_quality_hard=True),
            "(asked: 0.0002 USD) or a quality of at most 0.6 (asked: 0.8)",
        ),
        (
            Constraints(within_s=0.35, quality=0.8, is_quality_hard=True),
            "(asked: 0.35s) or a quality of at most 0.6 (asked: 0.8)",
        ),
        (
            Constraints(within_s=0.35, quality=0.95, is_quality_hard=True),
            "it needs a quality of at most 0.6 (asked: 0.95)",
        ),
        (
            Constraints(within_s=0.01, budget_usd=1e-6),
            "s (asked: 0.01s) and a budget of at least 0.000",
        ),
    ],
)
def test_the_nearest_feasible_values_are_named(wishes: Constraints, said: str) -> None:
    """Each constraint that could be at fault: alone where that is enough, else together."""

    async def scenario(world: World) -> None:
        await known(world)
        await world.call(GOOD_FIRST, is_stream=True, constraints=wishes)

    seen = play(scenario, routes=QUICK).seen[-1]
    assert (seen.status, seen.code) == (422, "infeasible")
    assert said in seen.message


# --- quality -------------------------------------------------------------------------------------


def test_a_wish_for_quality_prefers_and_degrades_openly() -> None:
    """The better model is asked first; where it is down the lesser one answers, and says so."""

    async def scenario(world: World) -> None:
        wishes = Constraints(quality=0.8)
        await world.call(SMALL_FIRST, constraints=wishes)
        await world.call(SMALL_FIRST)
        await world.call(SMALL_FIRST, constraints=Constraints(quality=0.97))
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500),)
        await world.call(SMALL_FIRST, constraints=wishes)

    wished, plain, beyond, degraded = play(scenario, routes=QUICK).seen
    assert (wished.endpoint, wished.degraded) == (ALPHA, None)
    assert (plain.endpoint, plain.degraded) == (GAMMA, None)
    assert (beyond.endpoint, beyond.degraded) == (GAMMA, f"L3;quality;{GAMMA}")
    assert (degraded.endpoint, degraded.degraded) == (GAMMA, f"L3;S5;{GAMMA}")


def test_a_route_may_wish_for_its_calls() -> None:
    """A route's own constraints hold where a call says nothing."""

    async def scenario(world: World) -> None:
        await world.call("wished")
        made = world.make_call("wished").constraints
        assert (made.first_token_s, made.priority) == (3.0, Priority.BATCH)

    (seen,) = play(scenario, routes=QUICK).seen
    assert seen.endpoint == ALPHA


# --- first token ---------------------------------------------------------------------------------


def test_a_wished_first_token_chooses_among_equals() -> None:
    """Of two models as good the one that begins in time is asked, whatever their tiers."""
    seen: list[Seen] = []

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = SLOW_GOOD
        world.beta.models["beta-large"] = replace(LARGE, ttft_s=0.3)
        for _ in range(25):
            await world.call("alone", is_stream=True)
            await world.call("alone-beta", is_stream=True)
        seen.extend(await calls(world, 1, "strong", Constraints()))
        seen.extend(await calls(world, 1, "strong", Constraints(first_token_s=0.7)))

    play(scenario, routes=QUICK)

    assert [one.endpoint for one in seen] == [ALPHA, BETA]
    assert all(one.is_good for one in seen)


def test_a_wished_first_token_times_the_hedge() -> None:
    """The second attempt starts when it can still meet the wish, not at the usual late moment."""

    async def scenario(world: World) -> None:
        for model in (world.alpha.models, world.beta.models):
            for name in model:
                model[name] = replace(LARGE, ttft_s=0.3, ttft_sigma=0.1)
        await world.load(60.0, rate_per_s=1.0, route="alone", stream_share=1.0)
        await world.load(60.0, rate_per_s=1.0, route="alone-beta", stream_share=1.0)
        world.alpha.faults = (Fault(kind=FaultKind.HANG),)
        wishes = Constraints(first_token_s=0.95)
        await world.call("strong", is_stream=True, constraints=wishes)

    world = play(scenario, routes=QUICK)

    seen, asked = world.seen[-1], requests(world.beta, is_probe=False)[-1]
    assert seen.endpoint == BETA
    assert 0.5 <= asked.at_s - seen.started_at <= 0.7


# --- budgets -------------------------------------------------------------------------------------


def test_a_budget_covers_the_hedge_too() -> None:
    """With room for both a hedge runs; both together stay within the budget, whatever is written.

    Where the first may use up all there is, nobody is asked beside it.
    """
    spent: list[float] = []
    hedged: list[bool] = []

    async def scenario(world: World) -> None:
        await world.load(60.0, rate_per_s=1.0, route="alone", stream_share=1.0)
        await world.load(60.0, rate_per_s=1.0, route="alone-beta", stream_share=1.0)
        await world.load(60.0, rate_per_s=1.0, route="strong", stream_share=1.0)
        world.alpha.is_cancel_ignored = world.beta.is_cancel_ignored = True
        world.alpha.models["alpha-large"] = replace(LARGE, output_tokens=2000)
        world.beta.models["beta-large"] = replace(LARGE, output_tokens=2000)
        for budget_usd in (0.006, 0.0006):
            since = now()
            slow = Fault(kind=FaultKind.SLOW_FIRST, factor=10.0)
            world.alpha.faults = (slow,)
            wishes = Constraints(budget_usd=budget_usd)
            await world.call("strong", is_stream=True, constraints=wishes)
            world.alpha.faults = ()
            await asyncio.sleep(120.0)
            both = [
                *requests(world.alpha, since, is_probe=False),
                *requests(world.beta, since, is_probe=False),
            ]
            spent.append(sum(entry.cost_usd for entry in both))
            hedged.append(len(both) == 2)

    play(scenario, routes=QUICK)

    assert hedged == [True, False]
    assert spent[0] <= 0.006
    assert spent[1] <= 0.0006


def test_a_budget_covers_the_failover_too() -> None:
    """What a broken first attempt has cost is not there for the second."""

    async def scenario(world: World) -> None:
        await world.load(40.0, rate_per_s=1.0, route="strong", stream_share=1.0)
        world.alpha.models["alpha-large"] = replace(LARGE, output_tokens=400)
        world.beta.models["beta-large"] = replace(LARGE, output_tokens=400)
        world.alpha.faults = (Fault(kind=FaultKind.DEGENERATE),)
        wishes = Constraints(budget_usd=0.002)
        await world.call("strong", constraints=wishes)

    world = play(scenario, routes=QUICK)

    last = [requests(one, is_probe=False)[-1].cost_usd for one in (world.alpha, world.beta)]
    assert min(last) > 0.0, "both were billed"
    assert sum(last) <= 0.002
    assert world.seen[-1].status == 200


# --- together ------------------------------------------------------------------------------------


def test_all_constraints_together() -> None:
    """Hard ones decide who can, soft ones who is better: each is kept where all can be."""
    wishes = Constraints(
        within_s=8.0, first_token_s=3.0, budget_usd=0.01, quality=0.8, priority=Priority.INTERACTIVE
    )
    tight = replace(wishes, within_s=0.75)
    must = replace(tight, is_quality_hard=True)

    async def scenario(world: World) -> None:
        await known(world)
        for each in (wishes, tight, must):
            await world.call(SMALL_FIRST, is_stream=True, constraints=each)

    good, small, refused = play(scenario, routes=QUICK).seen[-3:]
    assert (good.endpoint, good.degraded, good.is_good) == (ALPHA, None, True)
    assert small.endpoint == GAMMA, "the deadline is hard, the quality a wish"
    assert small.degraded is not None
    assert small.degraded.startswith("L3;")
    assert (refused.status, refused.code) == (422, "infeasible")
    assert "or a quality of at most 0.6" in refused.message


def test_a_route_that_clamps_is_in_time_with_less() -> None:
    """Where answers may be cut, a short deadline is no reason to leave or to refuse."""
    route = Route(name=RouteName("cut"), tiers=((BETA,),), rungs=(Rung.SMALLER, Rung.CLAMP))

    async def scenario(world: World) -> None:
        long = replace(LARGE, ttft_s=0.3, ttft_sigma=0.1, output_tokens=500, output_sigma=0.2)
        world.beta.models["beta-large"] = long
        await calls(world, 25, "cut", Constraints())
        await calls(world, 10, "cut", Constraints(within_s=3.0))

    seen = started(play(scenario, routes=(*QUICK, route), endpoints=default_endpoints()).seen, 1.0)
    assert sum(one.is_good for one in seen[-10:]) >= 9
    assert seen[-1].degraded == f"L3;clamped;{BETA}"
