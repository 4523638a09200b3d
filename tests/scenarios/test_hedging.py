"""A hedge beside a slow first attempt: who answers, who pays, and when there is none.

Row 38 of the fault catalogue (the hedge trap) is here too.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.core.hedging import HedgeSettings
from sidecar.core.silence import SilenceSettings
from sidecar.domain import Constraints, OnBreak, OutcomeClass, Priority, Route, RouteName
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.endpoint_health import EndpointSettings, HealthSettings
from sidecar.engine.settings import EngineSettings
from sidecar.errors import DrainingError
from sidecar.events import AttemptFinished
from sidecar.simulate.evidence import changes, outcomes, requests, started
from sidecar.simulate.world import ALPHA, BETA, GAMMA, LARGE, World, default_routes, play
from sidecar.upstream.simulated import Ended, Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.domain import Outcome
    from sidecar.upstream.simulated import LogEntry, SimulatedProvider

HANG = Fault(kind=FaultKind.HANG)
SMALLER = Route(name=RouteName("smaller"), tiers=((ALPHA,), (GAMMA,)), within_s=30.0)
FORMS = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])


def late(status: int, delay_s: float) -> Fault:
    """An error that takes its time."""
    return Fault(kind=FaultKind.STATUS, status=status, delay_s=delay_s)


def slow(factor: float) -> Fault:
    """A first token ``factor`` times later."""
    return Fault(kind=FaultKind.SLOW_FIRST, factor=factor)


async def know(world: World, route: str = "strong") -> None:
    """Let alpha, the first of ``route``, and beta be measured: nobody is hedged on a guess."""
    async with asyncio.TaskGroup() as group:
        for name in (route, "alone-beta"):
            group.create_task(world.load(20.0, rate_per_s=1.0, route=name, is_even=True))


def one_call(
    alpha: tuple[Fault, ...],
    beta: tuple[Fault, ...] = (),
    *,
    route: str = "reason",
    is_stream: bool = False,
    constraints: Constraints | None = None,
) -> Callable[[World], Awaitable[None]]:
    """Return a scenario: alpha and beta are known, then these faults, then one call."""

    async def scenario(world: World) -> None:
        await know(world, route)
        world.alpha.faults, world.beta.faults = alpha, beta
        await world.call(route, is_stream=is_stream, constraints=constraints)

    return scenario


def hedges(world: World) -> list[Outcome]:
    """Return the outcomes of all hedges."""
    return [
        event.outcome
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.kind == "hedge"
    ]


def last(provider: SimulatedProvider) -> LogEntry:
    """Return the last thing a caller's call did at ``provider``."""
    return requests(provider, is_probe=False)[-1]


# --- one race -------------------------------------------------------------------------------------


@FORMS
def test_a_hedge_answers_for_a_silent_endpoint(is_stream: bool) -> None:
    """Silence past the usual is answered by another host, long before it counts as a hang."""
    world = play(one_call((HANG,), is_stream=is_stream))

    seen = world.seen[-1]
    assert seen.is_good
    assert seen.endpoint == BETA
    assert seen.speakers() == ("beta",)
    assert seen.took_s < 3.0
    assert [label.split(":")[0] for label in seen.attempts] == [ALPHA, BETA]
    assert [outcome.cls.value for outcome in hedges(world)] == ["OK"]
    assert seen.degraded is None, "an equal is no degradation"


@FORMS
def test_the_loser_is_cut_and_paid_for(is_stream: bool) -> None:
    """The loser's connection is cut when the winner's content comes; its prompt is in the cost."""
    world = play(one_call((slow(30.0),), is_stream=is_stream))

    seen, cut = world.seen[-1], last(world.alpha)
    assert cut.ended is Ended.CANCELLED
    assert cut.ended_at_s is not None
    assert cut.ended_at_s <= (seen.first_at or 0.0) + 0.05
    assert seen.cost_usd is not None
    assert seen.cost_usd > last(world.beta).cost_usd + cut.cost_usd / 3, "tokens are estimated"


@FORMS
def test_a_first_that_is_merely_late_wins_over_a_later_hedge(is_stream: bool) -> None:
    """First content wins, whoever was asked first; the hedge that lost is cut and blames nobody."""
    world = play(one_call((slow(5.0),), (slow(12.0),), is_stream=is_stream))

    seen = world.seen[-1]
    assert seen.is_good
    assert seen.endpoint == ALPHA
    assert [outcome.cls.value for outcome in hedges(world)] == ["CANCEL"]
    assert last(world.beta).ended is Ended.CANCELLED
    assert world.engine.health.endpoints[BETA].reliability.value(seen.ended_at) > 0.97


@FORMS
def test_a_failed_first_leaves_its_hedge_running(is_stream: bool) -> None:
    """If the first to end failed, the other goes on: no third endpoint is asked."""
    world = play(one_call((late(500, 2.0),), (slow(8.0),), is_stream=is_stream))

    seen = world.seen[-1]
    assert (seen.is_good, seen.endpoint) == (True, BETA)
    assert seen.attempts[0] == f"{ALPHA}:S5"
    assert requests(world.gamma, is_probe=False) == []


@FORMS
def test_a_failed_hedge_leaves_the_first_running(is_stream: bool) -> None:
    """A hedge that fails takes nothing from the first attempt."""
    world = play(one_call((slow(6.0),), (late(500, 0.0),), is_stream=is_stream))

    seen = world.seen[-1]
    assert (seen.is_good, seen.endpoint) == (True, ALPHA)
    assert seen.attempts[0] == f"{BETA}:S5"
    assert requests(world.gamma, is_probe=False) == []


@pytest.mark.parametrize("delays_s", [(2.0, 2.0), (3.0, 0.0)], ids=["first", "hedge"])
@FORMS
def test_where_both_fail_the_next_endpoint_is_asked(
    is_stream: bool, delays_s: tuple[float, float]
) -> None:
    """Two failures of one race are two attempts; the third endpoint answers."""
    alpha_s, beta_s = delays_s
    world = play(one_call((late(500, alpha_s),), (late(503, beta_s),), is_stream=is_stream))

    seen = world.seen[-1]
    assert (seen.is_good, seen.endpoint) == (True, GAMMA)
    assert sorted(seen.attempts[:2]) == [f"{ALPHA}:S5", f"{BETA}:S5"]
    assert seen.degraded == f"L3;S5;{GAMMA}"


def test_a_callers_fault_found_by_the_hedge_waits_for_the_first() -> None:
    """A 400 from the hedge is no answer while the first attempt may still give one."""
    world = play(one_call((slow(6.0),), (late(400, 0.0),)))

    seen = world.seen[-1]
    assert (seen.is_good, seen.endpoint) == (True, ALPHA)


@FORMS
def test_a_callers_fault_found_by_the_first_ends_the_race(is_stream: bool) -> None:
    """The caller's own mistake is told at once; the hedge is given up and bills no answer."""
    world = play(one_call((late(400, 2.0),), (slow(20.0),), is_stream=is_stream))

    seen = world.seen[-1]
    assert seen.status == 400
    assert seen.took_s == pytest.approx(2.0, abs=0.05)
    assert last(world.beta).ended is Ended.CANCELLED
    assert requests(world.gamma, is_probe=False) == []


# --- when there is none ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wishes",
    [Constraints(may_hedge=False), Constraints(priority=Priority.BATCH)],
    ids=["hedge: off", "batch"],
)
@FORMS
def test_who_wants_no_hedge_gets_none(is_stream: bool, wishes: Constraints) -> None:
    """`x-sidecar-hedge: off` and batch calls wait for their one attempt, then fail over."""
    world = play(one_call((HANG,), is_stream=is_stream, constraints=wishes))

    assert hedges(world) == []
    assert world.seen[-1].is_good
    assert world.seen[-1].attempts[0] == f"{ALPHA}:HANG"


def test_a_route_may_forbid_hedges() -> None:
    """What a route forbids no call can have."""
    routes = tuple(replace(route, may_hedge=False) for route in default_routes())
    world = play(one_call((HANG,), constraints=Constraints(first_token_s=0.6)), routes=routes)

    assert hedges(world) == []


def test_a_lesser_model_is_nobodys_hedge() -> None:
    """What merely takes long is not answered by a model that nobody asked for."""
    routes = (*default_routes(), SMALLER)

    async def scenario(world: World) -> None:
        await know(world, SMALLER.name)
        await world.load(5.0, rate_per_s=2.0, route="quick")
        world.alpha.faults = (slow(6.0),)
        await world.call(SMALLER.name)
        world.alpha.faults = (HANG,)
        await world.call(SMALLER.name)

    world = play(scenario, routes=routes)
    assert hedges(world) == []
    late_one, lost_one = world.seen[-2:]
    assert (late_one.endpoint, late_one.degraded) == (ALPHA, None)
    assert (lost_one.endpoint, lost_one.degraded) == (GAMMA, f"L3;HANG;{GAMMA}")


def test_who_is_slow_now_is_nobodys_hedge() -> None:
    """An alternative that takes five times its usual is no way out of a wait."""

    async def scenario(world: World) -> None:
        await know(world)
        world.beta.faults = (slow(5.0),)
        for _ in range(3):
            await world.call("alone-beta", is_stream=True)
        world.alpha.faults = (slow(5.0),)
        await world.call("strong")

    world = play(scenario)
    assert hedges(world) == []
    assert world.seen[-1].endpoint == ALPHA


def test_nobody_is_hedged_before_the_usual_is_known() -> None:
    """A hedge on a guess would double every early call."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (slow(6.0),)
        await world.call("reason")

    world = play(scenario)
    assert world.seen[0].took_s > 2.0
    assert hedges(world) == []


def test_a_wish_for_a_first_token_pulls_the_hedge_forward() -> None:
    """Whoever wishes for an early first token is hedged in time to have it, if that is possible."""
    plain = play(one_call((HANG,), is_stream=True)).seen[-1]
    wishes = Constraints(first_token_s=1.3)
    hasty = play(one_call((HANG,), is_stream=True, constraints=wishes)).seen[-1]

    assert hasty.first_at is not None
    assert plain.first_at is not None
    assert hasty.first_at - hasty.started_at < plain.first_at - plain.started_at
    # The hedge begins by what its endpoint usually takes; this once it may take a little longer.
    assert hasty.first_at - hasty.started_at < 1.3 * 1.05


@pytest.mark.parametrize("on_break", list(OnBreak))
def test_a_long_answer_that_flows_is_not_hedged(on_break: OnBreak) -> None:
    """A stream that is kept back until it is whole is not silent: its writing is no delay."""

    async def scenario(world: World) -> None:
        longer = replace(LARGE, output_tokens=200)
        world.alpha.models["alpha-large"] = world.beta.models["beta-large"] = longer
        await know(world, "reason")
        for _ in range(10):
            await world.call("reason", is_stream=True, constraints=Constraints(on_break=on_break))

    world = play(scenario)
    assert all(seen.is_good for seen in world.seen)
    assert len(hedges(world)) <= 1


# --- budgets --------------------------------------------------------------------------------------


def test_row_38_hedging_stays_rare_where_everybody_is_slow() -> None:
    """Row 38: with all endpoints slow at once hedges help nobody: the burst is tried, then one call
    in twenty; nothing opens, and less than a thirtieth is paid for nothing.
    """
    since: list[float] = []

    async def scenario(world: World) -> None:
        await world.warm_up()
        since.append(now())
        for provider in world.providers.values():
            provider.faults = (slow(5.0),)
        await world.load(600.0, rate_per_s=1.0, route="pair", stream_share=0.5)

    world = play(scenario)

    calls = started(world.seen, since[0])
    assert all(seen.is_good for seen in calls)
    made = [outcome for outcome in hedges(world) if outcome.started_at >= since[0]]
    assert len(made) <= 5 + 0.05 * len(calls)
    attempts = outcomes(world, ALPHA) + outcomes(world, BETA) + outcomes(world, GAMMA)
    lost_usd = sum(one.cost_usd for one in attempts if one.cls is not OutcomeClass.OK)
    assert lost_usd <= 0.03 * sum(one.cost_usd for one in attempts)
    assert changes(world, ALPHA) == changes(world, BETA) == []


def test_hedges_stop_when_their_budget_is_spent() -> None:
    """Five hedges in a row are all there are; the sixth silent call waits and fails over."""

    async def scenario(world: World) -> None:
        await know(world)
        world.alpha.faults = (slow(30.0),)
        for _ in range(7):
            await world.call("strong")

    # Deaf to silence, or it would go to beta at once from the third call on.
    deaf = EndpointSettings(silence=SilenceSettings(silent_at=inf))
    world = play(scenario, settings=EngineSettings(health=HealthSettings(endpoint=deaf)))
    assert len(hedges(world)) == 5
    assert all(seen.is_good for seen in world.seen)


def test_hedges_stop_where_money_does() -> None:
    """Without a floor, hedges cost no more than their share of what was spent."""
    budgets = BudgetSettings(hedge=HedgeSettings(floor_usd=0.0, usd_share=0.03))

    async def scenario(world: World) -> None:
        await know(world)
        await know(world)
        world.alpha.faults = (slow(30.0),)
        for _ in range(4):
            await world.call("strong")

    world = play(scenario, settings=EngineSettings(budgets=budgets))
    spent_usd = sum(entry.cost_usd for one in world.providers.values() for entry in one.log)
    assert 1 <= len(hedges(world)) <= 2
    assert sum(outcome.cost_usd for outcome in hedges(world)) <= 0.03 * spent_usd + 0.0004


# --- leaving --------------------------------------------------------------------------------------


@FORMS
def test_a_caller_that_leaves_cuts_both(is_stream: bool) -> None:
    """Both attempts of a race belong to their caller: both are cut within a twentieth second."""
    left_at: list[float] = []

    async def scenario(world: World) -> None:
        await know(world)
        world.alpha.faults = world.beta.faults = (HANG,)
        call = world.make_call("strong", is_stream=is_stream)
        before = asyncio.all_tasks()
        task = asyncio.get_running_loop().create_task(world.engine.answer(call))
        await asyncio.sleep(3.0)
        assert last(world.alpha).ended is last(world.beta).ended is Ended.OPEN
        task.cancel()
        left_at.append(now())
        await asyncio.wait([task])
        assert task.cancelled()
        new = asyncio.all_tasks() - before - {task}
        assert all("Prober" in repr(one.get_coro()) for one in new), "nothing of the call is left"

    world = play(scenario)
    for provider in (world.alpha, world.beta):
        cut = last(provider)
        assert cut.ended is Ended.CANCELLED
        assert cut.ended_at_s is not None
        assert cut.ended_at_s - left_at[0] <= 0.05
    assert changes(world, ALPHA) == changes(world, BETA) == []


@FORMS
def test_a_drain_ends_both_and_says_why(is_stream: bool) -> None:
    """What ends the sidecar ends a race with its own error; nothing is left unsaid or unheard."""
    unheard: list[dict[str, object]] = []
    errors: list[BaseException | None] = []

    async def scenario(world: World) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unheard.append(context))
        await know(world)
        world.alpha.faults = world.beta.faults = (HANG,)
        task = loop.create_task(world.engine.answer(world.make_call("strong", is_stream=is_stream)))
        await asyncio.sleep(3.0)
        assert last(world.alpha).ended is last(world.beta).ended is Ended.OPEN
        world.engine.interrupt(DrainingError("the sidecar stops"))
        await asyncio.wait([task])
        errors.append(task.exception())

    world = play(scenario)
    assert isinstance(errors[0], DrainingError)
    assert unheard == []
    assert changes(world, ALPHA) == changes(world, BETA) == []
