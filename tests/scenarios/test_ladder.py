"""The steps of degrading that a route permits or a call forbids, each with the engine around it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sidecar.clock import now
from sidecar.domain import Constraints, Priority, Route, RouteName, Rung, WireFormat
from sidecar.events import CallFinished
from sidecar.simulate.evidence import requests
from sidecar.simulate.world import ALPHA, BETA, GAMMA, LARGE, World, play
from sidecar.upstream.simulated import Fault, FaultKind
from sidecar.upstream.simulated_memory import KIND_NAMES

DOWN = (Fault(kind=FaultKind.STATUS),)
FORMS = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
FORMATS = pytest.mark.parametrize("format", [*KIND_NAMES, WireFormat.GEMINI])
ROUTES = (
    Route(
        name=RouteName("kept"),
        tiers=((ALPHA,), (BETA,)),
        rungs=(Rung.STALE,),
        within_s=30.0,
        stale_s_max=600.0,
    ),
    Route(name=RouteName("unkept"), tiers=((ALPHA,), (BETA,)), within_s=30.0),
    Route(name=RouteName("cut"), tiers=((BETA,),), rungs=(Rung.CLAMP,), within_s=30.0),
    Route(name=RouteName("uncut"), tiers=((BETA,),), within_s=30.0),
    Route(name=RouteName("chain"), tiers=((ALPHA,), (BETA,), (GAMMA,)), within_s=30.0),
    Route(
        name=RouteName("proud"),
        tiers=((ALPHA,), (BETA,), (GAMMA,)),
        rungs=(Rung.STATIC,),
        within_s=30.0,
    ),
    Route(
        name=RouteName("all"),
        tiers=((ALPHA,), (GAMMA,)),
        rungs=(Rung.SMALLER, Rung.STALE, Rung.STATIC),
        within_s=30.0,
        static="none",
    ),
)
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def all_down(world: World) -> None:
    """Let every provider fail from now on."""
    for provider in world.providers.values():
        provider.faults = DOWN


def results(world: World) -> list[str]:
    """Return how each call ended, as the observer heard it."""
    return [event.result for event in world.recorder.events if isinstance(event, CallFinished)]


# --- stale answers -------------------------------------------------------------------------------


@FORMATS
@FORMS
def test_an_old_answer_stands_in_for_an_error(
    is_stream: bool,
    format: WireFormat,  # noqa: A002 - the word of the domain
) -> None:
    """Where all fail, the same request gets its old answer, as a stream if it asked for one."""

    async def scenario(world: World) -> None:
        await world.call("kept", format=format)
        all_down(world)
        await world.call("kept", format=format, is_stream=is_stream)

    world = play(scenario, routes=ROUTES)
    fresh, stale = world.seen
    assert fresh.degraded is None
    assert stale.is_good
    assert stale.text == fresh.text
    assert (stale.degraded, stale.endpoint) == ("L5;unavailable;stale", None)
    assert stale.attempts == (f"{ALPHA}:S5", f"{BETA}:S5"), "it is no shortcut"
    assert results(world) == ["ok", "degraded"]


@FORMS
def test_a_streamed_answer_is_kept_too(is_stream: bool) -> None:
    """Most callers stream; what they were told is worth as much in an outage."""

    async def scenario(world: World) -> None:
        await world.call("kept", is_stream=True)
        all_down(world)
        await world.call("kept", is_stream=is_stream)

    world = play(scenario, routes=ROUTES)
    fresh, stale = world.seen
    assert stale.is_good
    assert (stale.text, stale.degraded) == (fresh.text, "L5;unavailable;stale")


def test_a_healthy_endpoint_is_always_asked() -> None:
    """The cache answers nobody whom a provider can answer."""

    async def scenario(world: World) -> None:
        for _ in range(3):
            await world.call("kept")

    world = play(scenario, routes=ROUTES)
    assert len(requests(world.alpha, is_probe=False)) == 3
    assert {seen.degraded for seen in world.seen} == {None}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"question": "Another question."}),
        ({}, {"extra": {"temperature": 0.3}}),
        ({"route": "unkept"}, {"route": "unkept"}),
        ({"route": "unkept"}, {}),
        ({"extra": {"tools": TOOLS}}, {"extra": {"tools": TOOLS}}),
        ({"constraints": Constraints(may_use_cache=False)}, {}),
        ({}, {"constraints": Constraints(may_use_cache=False)}),
        ({"extra": {"max_tokens": 3}}, {"extra": {"max_tokens": 3}}),
    ],
    ids=[
        *("question", "parameter", "route forbids", "other route", "tools"),
        *("not kept", "not wanted", "cut short"),
    ],
)
def test_no_other_request_gets_it(first: dict[str, object], second: dict[str, object]) -> None:
    """Exact requests alone, of routes and callers that permit it, whole answers, and no tools."""

    async def scenario(world: World) -> None:
        await world.call(**{"route": "kept", **first})  # type: ignore[arg-type] # as parametrized
        all_down(world)
        await world.call(**{"route": "kept", **second})  # type: ignore[arg-type] # as above

    world = play(scenario, routes=ROUTES)
    assert world.seen[0].is_good
    assert (world.seen[1].status, world.seen[1].code) == (503, "unavailable")


@pytest.mark.parametrize(("age_s", "status"), [(590.0, 200), (610.0, 503)])
def test_an_answer_grows_too_old(age_s: float, status: int) -> None:
    """Past the route's limit an old answer is none."""

    async def scenario(world: World) -> None:
        await world.call("kept")
        all_down(world)
        await asyncio.sleep(age_s)
        await world.call("kept")

    world = play(scenario, routes=ROUTES)
    assert world.seen[1].status == status


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.SLOW_FIRST])
def test_a_deadline_gets_the_old_answer_in_time(kind: FaultKind) -> None:
    """Whoever would hear 504 has the old answer instead, at the deadline and not later."""

    async def scenario(world: World) -> None:
        await world.call("kept")
        for provider in world.providers.values():
            provider.faults = (Fault(kind=kind, factor=100.0),)
        await world.call("kept", constraints=Constraints(within_s=5.0))

    world = play(scenario, routes=ROUTES)
    stale = world.seen[1]
    assert (stale.status, stale.degraded) == (200, "L5;deadline_exceeded;stale")
    assert stale.took_s <= 5.05


def test_a_callers_own_fault_is_not_covered_up() -> None:
    """A provider's 400 is passed on: an old answer would hide the caller's mistake."""

    async def scenario(world: World) -> None:
        await world.call("kept")
        all_bad = (Fault(kind=FaultKind.STATUS, status=400),)
        for provider in world.providers.values():
            provider.faults = all_bad
        await world.call("kept")

    world = play(scenario, routes=ROUTES)
    assert world.seen[1].status == 400
    assert world.seen[1].degraded is None


def test_the_steps_are_taken_in_order() -> None:
    """First the smaller model, then the old answer, then the static one."""

    async def scenario(world: World) -> None:
        await world.call("all")
        world.alpha.faults = DOWN
        await world.call("all")
        all_down(world)
        await world.call("all")
        await world.call("all", question="Never asked before.")

    world = play(scenario, routes=ROUTES)
    assert [seen.degraded for seen in world.seen] == [
        *(None, f"L3;S5;{GAMMA}", "L5;unavailable;stale", "L5;unavailable;static")
    ]
    assert all(seen.is_good for seen in world.seen)


# --- clamped answers -----------------------------------------------------------------------------


async def long_answers(world: World, route: str, tokens: int = 200) -> None:
    """Let the answers of a route be known to take ``tokens`` fiftieths of a second."""
    world.beta.models["beta-large"] = replace(LARGE, output_tokens=tokens, ttft_sigma=0.0)
    for _ in range(8):
        await world.call(route, is_stream=True)


@FORMS
def test_an_answer_is_cut_to_end_in_time(is_stream: bool) -> None:
    """Where the route permits it an answer too long for its deadline is bounded, and says so."""

    async def scenario(world: World) -> None:
        await long_answers(world, "cut")
        await world.call("cut", is_stream=is_stream, constraints=Constraints(within_s=2.5))

    world = play(scenario, routes=ROUTES)
    last = world.seen[-1]
    assert last.is_good
    assert last.took_s <= 2.4, "with something to spare"
    assert 10 <= len(last.text.split()) < 150
    assert last.degraded == f"L3;clamped;{BETA}"


@FORMS
def test_an_answer_that_needed_no_cut_is_whole(is_stream: bool) -> None:
    """A clamp that the answer never reached is no degradation."""

    async def scenario(world: World) -> None:
        await long_answers(world, "cut")
        world.beta.models["beta-large"] = replace(LARGE, output_tokens=20)
        await world.call("cut", is_stream=is_stream, constraints=Constraints(within_s=2.5))

    world = play(scenario, routes=ROUTES)
    last = world.seen[-1]
    assert last.is_good
    assert last.degraded is None
    assert len(last.text.split()) == 20


@FORMS
def test_a_callers_own_bound_is_no_degradation(is_stream: bool) -> None:
    """Who asked for few tokens gets them, unmarked, though the answer ends by its length."""

    async def scenario(world: World) -> None:
        await long_answers(world, "cut")
        await world.call(
            "cut",
            is_stream=is_stream,
            constraints=Constraints(within_s=2.5),
            extra={"max_tokens": 20},
        )

    last = play(scenario, routes=ROUTES).seen[-1]
    assert last.is_good
    assert last.degraded is None


def test_a_route_that_permits_no_cut_misses_its_deadline() -> None:
    """Without the step the caller hears the truth: 504, and nothing shortened."""

    async def scenario(world: World) -> None:
        await long_answers(world, "uncut")
        await world.call("uncut", constraints=Constraints(within_s=2.5))

    last = play(scenario, routes=ROUTES).seen[-1]
    assert (last.status, last.code) == (504, "deadline_exceeded")
    assert last.took_s <= 2.55


@FORMS
def test_a_hard_budget_cuts_whatever_the_route_says(is_stream: bool) -> None:
    """Money is hard: the answer is bounded by what is left of it, and marked where it was cut."""

    async def scenario(world: World) -> None:
        await long_answers(world, "uncut", tokens=20)
        await world.load(60.0, rate_per_s=1.0, route="uncut")
        world.beta.models["beta-large"] = replace(LARGE, output_tokens=400)
        wishes = Constraints(budget_usd=0.0012)
        await world.call("uncut", is_stream=is_stream, constraints=wishes)

    world = play(scenario, routes=ROUTES)
    last = world.seen[-1]
    assert last.is_good
    assert requests(world.beta, is_probe=False)[-1].cost_usd <= 0.0012
    assert last.degraded == f"L3;clamped;{BETA}"


# --- quality -------------------------------------------------------------------------------------


@FORMS
def test_a_demanded_quality_is_never_undercut(is_stream: bool) -> None:
    """With `quality!` an error is better than a worse model's answer; without, it is not."""

    async def scenario(world: World) -> None:
        world.alpha.faults = world.beta.faults = DOWN
        for is_hard in (True, False):
            wishes = Constraints(quality=0.8, is_quality_hard=is_hard)
            await world.call("chain", is_stream=is_stream, constraints=wishes)

    world = play(scenario, routes=ROUTES)
    hard, soft = world.seen
    assert (hard.status, hard.code) == (503, "unavailable")
    assert (soft.status, soft.endpoint, soft.degraded) == (200, GAMMA, f"L3;S5;{GAMMA}")
    assert len(requests(world.gamma, is_probe=False)) == 1


def test_an_equal_meets_a_demanded_quality() -> None:
    """Only worse models are out: an equal of the next tier takes over."""

    async def scenario(world: World) -> None:
        world.alpha.faults = DOWN
        await world.call("chain", constraints=Constraints(quality=0.9, is_quality_hard=True))

    seen = play(scenario, routes=ROUTES).seen[0]
    assert (seen.endpoint, seen.degraded) == (BETA, None)


def test_a_quality_that_nobody_has_is_infeasible() -> None:
    """No wait and no retry can help: 422 at once, with what there is, and nobody is asked."""

    async def scenario(world: World) -> None:
        await world.call("chain", constraints=Constraints(quality=0.95, is_quality_hard=True))

    world = play(scenario, routes=ROUTES)
    seen = world.seen[0]
    assert (seen.status, seen.code) == (422, "infeasible")
    assert "0.9" in seen.message
    assert requests(world.alpha, is_probe=False) == []


def test_a_route_without_smaller_never_leaves_its_class() -> None:
    """Its equals answer; its lesser models, though listed, do not."""

    async def scenario(world: World) -> None:
        world.alpha.faults = DOWN
        await world.call("proud")
        world.beta.faults = DOWN
        await world.call("proud")
        await world.call("chain")

    world = play(scenario, routes=ROUTES)
    equal, none, smaller = world.seen
    assert (equal.endpoint, equal.degraded) == (BETA, None)
    assert (none.status, none.code) == (503, "unavailable")
    assert smaller.endpoint == GAMMA


# --- shedding ------------------------------------------------------------------------------------


def test_batch_calls_are_shed_while_the_best_are_out() -> None:
    """With half of the best out for two seconds batch calls wait outside, people do not."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, end_s=60.0),)
        await world.load(20.0, rate_per_s=2.0, route="chain", is_even=True)
        await world.call("chain", constraints=Constraints(priority=Priority.BATCH))
        await world.call("chain")
        await asyncio.sleep(180.0 - now())
        await world.call("chain", constraints=Constraints(priority=Priority.BATCH))

    world = play(scenario, routes=ROUTES[4:5])
    shed, interactive, later = world.seen[-3:]
    assert (shed.status, shed.code) == (429, "shed")
    assert shed.retry_after_s is not None
    assert interactive.is_good
    assert later.is_good


def test_shedding_starts_after_two_bad_seconds_and_ends_after_thirty_good_ones() -> None:
    """A blink of the best sheds nobody, and their return must last before batch calls return."""
    batch = Constraints(priority=Priority.BATCH)

    async def scenario(world: World) -> None:
        health = world.engine.health

        async def after(wait_s: float) -> None:
            await asyncio.sleep(wait_s)
            await world.call("chain", constraints=batch)

        health.isolate(ALPHA, now())
        await asyncio.sleep(1.0)
        health.restore(ALPHA, now())
        await after(2.0)
        async with asyncio.TaskGroup() as group:
            health.isolate(ALPHA, now())
            group.create_task(after(1.5))
            group.create_task(after(2.6))
        health.restore(ALPHA, now())
        async with asyncio.TaskGroup() as group:
            group.create_task(after(29.5))
            group.create_task(after(30.6))

    world = play(scenario, routes=ROUTES[4:5])
    by_start = sorted(world.seen, key=lambda one: one.started_at)
    assert [one.status for one in by_start] == [200, 200, 429, 429, 200]
