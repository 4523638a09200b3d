"""All gates shut: a ration of calls goes past them, so that a recovery is seen at once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sidecar.core.account import AccountSettings
from sidecar.core.spend import SpendSettings
from sidecar.domain import Route, RouteName
from sidecar.engine.endpoint_health import HealthSettings
from sidecar.engine.settings import EngineSettings
from sidecar.events import AttemptFinished
from sidecar.simulate.evidence import changes, requests, started
from sidecar.simulate.world import ALPHA, BETA, World, play
from sidecar.upstream.simulated import Fault, FaultKind

DOWN_S = 30.0
"""Long enough for both breakers to have opened, and to stay open for longer than two seconds."""
UP_S = 72.0
NO_PROBES = EngineSettings(spend=SpendSettings(daily_usd=0.0))


def panics(world: World) -> list[AttemptFinished]:
    """Return the attempts that went past a shut gate."""
    return [
        event
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.kind == "panic"
    ]


def outage(kind: FaultKind = FaultKind.STATUS, *, end_s: float = UP_S) -> World:
    """Alpha and beta fail from the start until ``end_s``; five calls a second come all the time."""

    async def scenario(world: World) -> None:
        world.alpha.faults = world.beta.faults = (Fault(kind=kind, end_s=end_s),)
        await world.load(UP_S + 20.0, rate_per_s=5.0, route="strong", is_even=True)

    return play(scenario, settings=NO_PROBES)


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.EMPTY])
def test_one_call_in_two_seconds_goes_through(kind: FaultKind) -> None:
    """The ration is kept and used up: a call every two seconds while all breakers are open."""
    world = outage(kind)

    at = [event.outcome.started_at for event in panics(world) if event.at < UP_S]
    gaps_s = [later - earlier for earlier, later in pairwise(at)]
    assert len(at) >= 10
    assert min(gaps_s) >= 2.0
    assert sorted(gaps_s)[len(gaps_s) // 2] <= 2.2, "mostly nothing else is let through"
    in_outage = started(world.seen, DOWN_S, UP_S)
    sent = len(requests(world.alpha, DOWN_S, UP_S)) + len(requests(world.beta, DOWN_S, UP_S))
    assert sent <= (UP_S - DOWN_S) / 2.0 + 12, "the ration, and the breakers' own trials"
    assert {(seen.status, seen.code) for seen in in_outage} == {(503, "unavailable")}


def test_a_panic_that_succeeds_is_an_answer_and_makes_the_trial_due() -> None:
    """Who went past a shut gate and got an answer has it; the breaker tries for itself at once."""
    world = outage()

    first = next(event for event in panics(world) if event.outcome.cls.value == "OK")
    name = first.outcome.endpoint
    answered = next(seen for seen in world.seen if seen.endpoint == name and seen.is_good)
    assert answered.attempts == (f"{name}:OK",)
    assert first.outcome.started_at <= UP_S + 2.2, "within one ration of the recovery"
    trials = [event.at for event in changes(world, name, to="half_open") if event.at >= first.at]
    assert trials
    assert trials[0] <= first.at + 0.25, "not when its open period would have ended"
    closed = [event.at for event in changes(world, name, to="closed")]
    assert closed
    assert closed[0] <= UP_S + 5.0


def test_a_panic_that_fails_moves_no_breaker() -> None:
    """Each is beside the breakers: a failure past the gate lengthens no open period."""
    world = outage(end_s=200.0)

    assert panics(world)
    for name in (ALPHA, BETA):
        opens = changes(world, name, to="open")
        assert all(event.reason in {"consecutive_failures", "trial_failed"} for event in opens)
        own = world.engine.health.endpoints[name]
        assert own.breaker.generation == len(changes(world, name))
        assert own.limit.inflight == 0


@pytest.mark.parametrize("status", [401, 429])
def test_a_block_that_states_a_fact_is_not_passed(status: int) -> None:
    """A refused key or a stated time is no guess of ours: nobody is sent to be refused again."""
    fault = Fault(kind=FaultKind.STATUS, status=status, retry_after_s=60.0)

    async def scenario(world: World) -> None:
        world.alpha.faults = world.beta.faults = (fault,)
        await world.load(40.0, rate_per_s=2.0, route="strong", is_even=True)

    settings = EngineSettings(health=HealthSettings(account=AccountSettings(jitter=0.0)))
    world = play(scenario, settings=settings)
    assert panics(world) == []
    assert len(requests(world.alpha, 10.0)) == len(requests(world.beta, 10.0)) == 0
    assert started(world.seen, 20.0)[0].status == 503


def test_an_operators_word_holds_in_panic() -> None:
    """An isolated endpoint is asked by nobody, whatever else is down."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS),)
        world.engine.health.isolate(BETA, 0.0)
        await world.load(40.0, rate_per_s=2.0, route="strong", is_even=True)

    world = play(scenario)
    assert {event.outcome.endpoint for event in panics(world)} == {ALPHA}
    assert requests(world.beta) == []


def test_panic_comes_before_the_static_answer() -> None:
    """A real answer may be one trial away: a degraded one is for those who were not let through."""
    route = Route(name=RouteName("last"), tiers=((ALPHA,), (BETA,)), within_s=30.0, static="none")

    async def scenario(world: World) -> None:
        world.alpha.faults = world.beta.faults = (Fault(kind=FaultKind.STATUS, end_s=20.0),)
        await world.load(40.0, rate_per_s=2.0, route="last", is_even=True)

    world = play(scenario, settings=NO_PROBES, routes=(route,))
    assert {seen.degraded for seen in started(world.seen, 10.0, 20.0)} == {"L5;unavailable;static"}
    assert all(seen.is_good for seen in world.seen)
    assert started(world.seen, 30.0)
    assert {seen.degraded for seen in started(world.seen, 30.0)} == {None}
