"""A route that learns: by scores, under constraints and gates, within its share and its money."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.clock import now
from sidecar.domain import Constraints, EndpointId, Priority, Route, RouteName
from sidecar.engine.state import snapshot
from sidecar.events import AttemptFinished, CallFinished
from sidecar.shares import Adaptive
from sidecar.simulate.world import ALPHA, BETA, GAMMA, World, play
from sidecar.upstream.simulated import Fault, FaultKind

TERMS = Adaptive(worth_usd=0.02, share=0.2, usd_per_day=10.0)
LEARNS = Route(
    name=RouteName("learns"), tiers=((ALPHA,), (BETA,), (GAMMA,)), within_s=30.0, adaptive=TERMS
)


def score(world: World, endpoint: EndpointId, quality: float, count: int = 200) -> None:
    """Let ``count`` callers say how good an answer was."""
    for _ in range(count):
        world.engine.parts.quality.observe(LEARNS.name, endpoint, quality, 1.0, now())


def first_attempts(world: World, since: float = 0.0) -> list[EndpointId]:
    """Return whom each call asked first."""
    ended = (one for one in world.recorder.events if isinstance(one, CallFinished))
    return [one.attempts[0].endpoint for one in ended if one.attempts and one.at >= since]


def kinds(world: World) -> set[str]:
    """Return the kinds of attempts that were made."""
    return {one.kind for one in world.recorder.events if isinstance(one, AttemptFinished)}


def test_without_feedback_the_configured_order_stands() -> None:
    """Nobody is asked out of order, and the state says why."""

    async def scenario(world: World) -> None:
        await world.load(60.0, rate_per_s=5.0, route="learns")
        shown = snapshot(world.engine, now())["routes"]["learns"]["choice"]  # type: ignore[index]
        assert shown["by"] == "configured order"
        assert "no feedback" in shown["why"]

    world = play(scenario, routes=(LEARNS,))
    assert set(first_attempts(world)) == {ALPHA}
    assert kinds(world) == {"first"}


def test_the_best_value_leads_and_a_share_explores() -> None:
    """A cheap model that is as good is asked, whatever its tier; the others now and then; its
    answers are no degradation.
    """

    async def scenario(world: World) -> None:
        await world.load(10.0, rate_per_s=2.0, route="learns")
        score(world, ALPHA, 0.8)
        score(world, BETA, 0.8)
        score(world, GAMMA, 0.8)
        since = now()
        seen = await world.load(120.0, rate_per_s=5.0, route="learns")
        asked = first_attempts(world, since)
        assert asked.count(GAMMA) > 0.8 * len(asked)
        assert 0 < len(asked) - asked.count(GAMMA) < 2 * TERMS.share * len(asked)
        assert all(one.degraded is None for one in seen)
        shown = snapshot(world.engine, now())["routes"]["learns"]["choice"]  # type: ignore[index]
        assert (shown["by"], shown["leader"]) == ("worth", GAMMA)
        assert 0 < shown["explored"] < len(asked) / 2

    assert kinds(play(scenario, routes=(LEARNS,))) == {"first", "explore"}


@pytest.mark.parametrize(
    "wishes",
    [
        Constraints(within_s=20.0),
        Constraints(budget_usd=0.05),
        Constraints(quality=0.5, is_quality_hard=True),
    ],
)
def test_calls_with_hard_constraints_never_explore(wishes: Constraints) -> None:
    """Somebody waits and says what must hold: they get the best there is, every time."""
    eager = replace(LEARNS, adaptive=replace(TERMS, share=1.0))

    async def scenario(world: World) -> None:
        for endpoint in (ALPHA, BETA, GAMMA):
            await world.load(5.0, rate_per_s=2.0, route="learns")
            score(world, endpoint, 0.8, count=5)
        since = now()
        for _ in range(100):
            await world.call("learns", constraints=wishes)
        assert len(set(first_attempts(world, since))) == 1
        for _ in range(100):
            await world.call("learns", constraints=replace(wishes, priority=Priority.BATCH))
        assert len(set(first_attempts(world, since))) > 1

    play(scenario, routes=(eager,))


def test_gates_and_constraints_come_first() -> None:
    """The most valuable model is not asked while it is out, nor where a call cannot have it."""

    async def scenario(world: World) -> None:
        await world.load(10.0, rate_per_s=2.0, route="learns")
        score(world, GAMMA, 0.9)
        for endpoint in (ALPHA, BETA):
            score(world, endpoint, 0.5)
        since = now()
        must = Constraints(quality=0.8, is_quality_hard=True)
        for _ in range(20):
            await world.call("learns", constraints=must)
        world.gamma.faults = (Fault(kind=FaultKind.STATUS, status=500),)
        seen = await world.load(60.0, rate_per_s=5.0, route="learns")
        assert all(one.is_good for one in seen)
        tail = first_attempts(world, since)[-100:]
        assert tail.count(GAMMA) < 10

    play(scenario, routes=(LEARNS,))


def test_exploring_ends_with_its_money() -> None:
    """What exploring costs above the incumbent is kept under the cap; cheaper models may still be
    tried, for they cost nothing more.
    """
    poor = replace(LEARNS, adaptive=replace(TERMS, share=1.0, usd_per_day=0.004))

    async def scenario(world: World) -> None:
        score(world, GAMMA, 0.9)
        for endpoint in (ALPHA, BETA):
            score(world, endpoint, 0.8, count=5)
        await world.load(300.0, rate_per_s=10.0, route="learns")

    world = play(scenario, routes=(poor,))
    ended = [one for one in world.recorder.events if isinstance(one, AttemptFinished)]
    explored = [one.outcome for one in ended if one.kind == "explore"]
    cheapest = [one.outcome.cost_usd for one in ended if one.outcome.endpoint == GAMMA]
    usual_usd = sum(cheapest) / len(cheapest)
    extra_usd = sum(max(0.0, one.cost_usd - usual_usd) for one in explored)
    assert 0.0 < extra_usd <= 0.004
    lots = world.engine.parts.lots
    assert lots is not None
    assert lots.learning[LEARNS.name].refused_count > 0
    assert abs(lots.learning[LEARNS.name].explored_usd - extra_usd) < 0.0005


def test_learning_survives_a_reload() -> None:
    """Money spent stays spent, and the leader leads on."""

    async def scenario(world: World) -> None:
        await world.load(10.0, rate_per_s=2.0, route="learns")
        for endpoint in (ALPHA, BETA, GAMMA):
            score(world, endpoint, 0.8)
        await world.load(60.0, rate_per_s=5.0, route="learns")
        lots = world.engine.parts.lots
        assert lots is not None
        spent_usd = lots.learning[LEARNS.name].explored_usd
        world.engine.reload(world.catalogue, world.engine.parts.settings)
        assert world.engine.parts.lots is lots
        assert lots.learning[LEARNS.name].explored_usd == spent_usd
        since = now()
        await world.load(20.0, rate_per_s=5.0, route="learns")
        asked = first_attempts(world, since)
        assert asked.count(GAMMA) > 0.7 * len(asked)

    play(scenario, routes=(LEARNS,))
