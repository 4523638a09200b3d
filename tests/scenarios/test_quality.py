"""What is learned of models moves calls: who is good enough, and what counts as a lesser answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Constraints, RouteName
from sidecar.engine.qualities import REFRESH_S
from sidecar.events import CallFinished
from sidecar.simulate.world import ALPHA, BETA, World, play

if TYPE_CHECKING:
    from sidecar.domain import EndpointId

REASON = RouteName("reason")


def learn(world: World, endpoint: EndpointId, score: float, count: int) -> None:
    """Let ``count`` scores be given."""
    for _ in range(count):
        world.engine.parts.quality.observe(REASON, endpoint, score, 1.0, loop_now())


def expected(world: World, endpoint: EndpointId) -> float:
    """Return the quality that calls go by."""
    known = world.engine.catalogue.endpoints[endpoint]
    return known.quality.of(REASON)


async def _learning(world: World) -> None:
    configured = expected(world, ALPHA)
    learn(world, ALPHA, 0.0, 9)
    await asyncio.sleep(2 * REFRESH_S)
    assert expected(world, ALPHA) == configured, "nine words are not enough"
    learn(world, ALPHA, 0.0, 31)
    await asyncio.sleep(2 * REFRESH_S)
    assert expected(world, ALPHA) < 0.25
    world.engine.reload(world.engine.catalogue, world.engine.parts.settings)
    assert expected(world, ALPHA) < 0.25, "a reload forgets nothing"
    endpoints = world.engine.catalogue.endpoints
    assert world.engine.parts.quality.prior_of(REASON, ALPHA) == endpoints[
        ALPHA
    ].quality.configured(REASON)


def test_calls_go_by_what_was_learned_of_enough() -> None:
    """The configured value until ten scores are there, then the belief, within seconds."""
    play(_learning)


async def _insisting(world: World) -> None:
    insists = Constraints(quality=0.9, is_quality_hard=True)
    for endpoint, score in ((ALPHA, 0.0), (BETA, 1.0)):
        learn(world, endpoint, score, 100)
    await asyncio.sleep(2 * REFRESH_S)
    good = await world.call("reason", constraints=insists)
    assert good.endpoint == BETA
    learn(world, BETA, 0.0, 300)
    await asyncio.sleep(2 * REFRESH_S)
    nobody = await world.call("reason", constraints=insists)
    assert (nobody.code, nobody.status) == ("infeasible", 422)
    assert "a quality of at most 0.6 (asked: 0.9)" in (nobody.message or "")


def test_who_insists_on_quality_gets_what_was_learned_to_be_good() -> None:
    """A model that turned out bad is not asked, whatever was configured; nobody left is 422."""
    play(_insisting)


async def _flaws(world: World) -> None:
    await world.call("reason")


def test_the_end_of_a_call_says_what_is_wrong_with_its_answer() -> None:
    """Nothing is, of an answer that ended by itself; and its question has a number."""
    world = play(_flaws)
    (ended,) = [one for one in world.recorder.events if isinstance(one, CallFinished)]
    assert ended.flaw is None
    assert ended.question is not None
    assert "question" not in repr(ended), "what is logged does not hold it"
    assert ended == replace(ended, question=0)
