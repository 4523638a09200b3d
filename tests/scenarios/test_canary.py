"""A model on trial gets its share and no more; a bad one is rolled back, and stays so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now
from sidecar.domain import Gate, Route, RouteName
from sidecar.events import AttemptFinished, CallFinished, CanaryRestored, CanaryRolledBack
from sidecar.simulate.world import ALPHA, BETA, World, play
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    from sidecar.domain import EndpointId, Outcome

SHARE = 0.2
TRIAL = Route(
    name=RouteName("trial"),
    tiers=((ALPHA, BETA),),
    within_s=30.0,
    canaries=((BETA, SHARE),),
)
FAILS = Fault(kind=FaultKind.STATUS, status=500)


def first_asked(world: World, since: float = 0.0) -> list[EndpointId]:
    """Return whom each call asked first."""
    return [
        event.attempts[0].endpoint
        for event in world.recorder.events
        if isinstance(event, CallFinished) and event.attempts and event.at >= since
    ]


def rollbacks(world: World) -> list[CanaryRolledBack]:
    """Return the rollbacks so far."""
    return [one for one in world.recorder.events if isinstance(one, CanaryRolledBack)]


def attempts(world: World, since: float) -> list[Outcome]:
    """Return what became of the callers' attempts that began after ``since``."""
    ended = [one.outcome for one in world.recorder.events if isinstance(one, AttemptFinished)]
    return [one for one in ended if one.started_at > since]


def score(world: World, endpoint: EndpointId, good: float, count: int) -> None:
    """Let ``count`` callers say how good an answer was."""
    for number in range(count):
        world.engine.parts.quality.observe(
            TRIAL.name, endpoint, float(number < good * count), 1.0, now()
        )


def test_a_good_canary_gets_its_share_and_stays() -> None:
    """So many of the calls as its share says begin there, and nothing is held against it."""

    async def scenario(world: World) -> None:
        await world.load(200.0, rate_per_s=5.0, route="trial")
        score(world, ALPHA, 0.8, 50)
        score(world, BETA, 0.8, 50)
        await world.load(5.0, rate_per_s=5.0, route="trial")

    world = play(scenario, routes=(TRIAL,))
    asked = first_asked(world)
    assert abs(asked.count(BETA) / len(asked) - SHARE) < 3 * (SHARE * 0.8 / len(asked)) ** 0.5
    assert not rollbacks(world)
    kinds = {e.kind for e in world.recorder.events if isinstance(e, AttemptFinished)}
    assert kinds == {"first", "canary"}


def test_a_canary_that_fails_is_rolled_back_and_no_call_fails() -> None:
    """A model that answers none is out after a handful of attempts; callers see nothing of it."""

    async def scenario(world: World) -> None:
        world.beta.faults = (FAILS,)
        seen = await world.load(120.0, rate_per_s=5.0, route="trial")
        assert all(one.is_good for one in seen)
        (rollback,) = rollbacks(world)
        assert (rollback.reason, rollback.incumbent) == ("health", ALPHA)
        assert rollback.own[1] < rollback.other[0]
        world.beta.faults = ()
        since = now()
        seen = await world.load(4000.0, rate_per_s=0.5, route="trial")
        assert BETA not in first_asked(world, since)
        ended = [e for e in world.recorder.events if isinstance(e, CallFinished) and e.at > since]
        assert all((BETA, Gate.ROLLED_BACK) in e.rejected for e in ended[:5])

    play(scenario, routes=(TRIAL,))


def test_a_canary_of_poor_quality_is_rolled_back() -> None:
    """Feedback alone decides, however sound the answers look; a few scores prove nothing."""

    async def scenario(world: World) -> None:
        await world.load(60.0, rate_per_s=5.0, route="trial")
        score(world, ALPHA, 0.9, 100)
        score(world, BETA, 0.2, 5)
        await world.load(5.0, rate_per_s=5.0, route="trial")
        assert not rollbacks(world)
        score(world, BETA, 0.5, 60)
        await world.load(5.0, rate_per_s=5.0, route="trial")
        (rollback,) = rollbacks(world)
        assert rollback.reason == "quality"

    play(scenario, routes=(TRIAL,))


def test_an_outage_of_both_is_not_held_against_the_canary() -> None:
    """Who fails no more than the incumbent is not worse."""

    async def scenario(world: World) -> None:
        await world.load(60.0, rate_per_s=5.0, route="trial")
        half = Fault(kind=FaultKind.STATUS, status=500, share=0.5)
        world.alpha.faults = world.beta.faults = (half,)
        await world.load(300.0, rate_per_s=5.0, route="trial")

    assert not rollbacks(play(scenario, routes=(TRIAL,)))


def test_the_last_resort_is_a_canary_but_never_one_rolled_back() -> None:
    """Where nobody else answers, a model on trial does; one that was rolled back gets nothing."""

    async def scenario(world: World) -> None:
        await world.load(60.0, rate_per_s=5.0, route="trial")
        world.alpha.faults = (FAILS,)
        seen = await world.load(60.0, rate_per_s=2.0, route="trial")
        assert {one.endpoint for one in seen[-20:]} == {BETA}
        world.alpha.faults = ()
        await world.load(300.0, rate_per_s=5.0, route="trial")
        score(world, ALPHA, 0.9, 100)
        score(world, BETA, 0.1, 100)
        await world.load(5.0, rate_per_s=5.0, route="trial")
        assert len(rollbacks(world)) == 1
        since, world.alpha.faults = now(), (FAILS,)
        seen = await world.load(60.0, rate_per_s=2.0, route="trial")
        assert not any(one.is_good for one in seen)
        assert {one.endpoint for one in attempts(world, since)} == {ALPHA}

    play(scenario, routes=(TRIAL,))


def test_only_an_operator_or_another_configuration_ends_a_rollback() -> None:
    """A reload that leaves the model as it was keeps it out; restored or changed, it begins anew:
    what was held against it is forgotten.
    """

    def reload(world: World, route: Route) -> None:
        catalogue = replace(world.catalogue, routes={"trial": route})
        world.engine.reload(catalogue, world.engine.parts.settings)
        world.catalogue = world.engine.catalogue

    async def condemn(world: World) -> None:
        score(world, ALPHA, 0.9, 100)
        score(world, BETA, 0.1, 100)
        await world.load(3.0, rate_per_s=5.0, route="trial")

    async def share_of_beta(world: World) -> float:
        since = now()
        await world.load(60.0, rate_per_s=5.0, route="trial")
        asked = first_asked(world, since)
        return asked.count(BETA) / len(asked)

    async def scenario(world: World) -> None:
        await world.load(60.0, rate_per_s=5.0, route="trial")
        await condemn(world)
        reload(world, replace(TRIAL, within_s=20.0))
        assert await share_of_beta(world) == 0.0
        world.engine.restore(BETA, now())
        assert await share_of_beta(world) > SHARE / 2
        await condemn(world)
        assert await share_of_beta(world) == 0.0
        reload(world, replace(TRIAL, canaries=((BETA, 0.5),)))
        assert await share_of_beta(world) > SHARE
        restored = [e.reason for e in world.recorder.events if isinstance(e, CanaryRestored)]
        assert restored == ["operator", "config"]
        assert len(rollbacks(world)) == 2

    play(scenario, routes=(TRIAL,))
