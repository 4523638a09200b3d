"""Copies of calls: nobody waits for them, nobody pays for them but their own purse."""

from __future__ import annotations

from dataclasses import replace

from sidecar.domain import Call, EndpointId, Grader, Route, RouteName, Shadow
from sidecar.events import AttemptFinished, CallFinished, ShadowFinished
from sidecar.simulate.world import ALPHA, BETA, GAMMA, World, play
from sidecar.upstream.simulated import Fault, FaultKind

MIRRORED = Route(
    name=RouteName("mirrored"),
    tiers=((ALPHA,),),
    within_s=30.0,
    shadow=Shadow(endpoint=BETA, share=0.3, usd_per_day=1.0),
)
PLAIN = replace(MIRRORED, shadow=None)


def shadows(world: World) -> list[ShadowFinished]:
    """Return the copies that ended."""
    return [one for one in world.recorder.events if isinstance(one, ShadowFinished)]


def loaded(route: Route, *faults: Fault, load_s: float = 60.0, rate: float = 5.0) -> World:
    """Return a world where ``route`` had traffic while the shadow's provider had ``faults``."""

    async def scenario(world: World) -> None:
        world.beta.faults = faults
        await world.load(load_s, rate_per_s=rate, route="mirrored")
        await world.load(60.0, rate_per_s=0.1, route="mirrored")  # the last copies end

    return play(scenario, routes=(route,))


def test_a_share_is_mirrored_and_judged() -> None:
    """The share gets a copy, streams too; each is told once and leaves its quality behind."""
    world = loaded(MIRRORED)
    calls = [one for one in world.recorder.events if isinstance(one, CallFinished)]
    found = shadows(world)
    assert abs(len(found) / len(calls) - 0.3) < 0.08
    assert {one.call_id for one in found} < {one.call_id for one in calls}
    assert all(one.outcome.cost_usd > 0.0 for one in found)
    assert world.engine.parts.quality.has_evidence(MIRRORED.name, BETA)


def test_callers_get_and_pay_what_they_would_without() -> None:
    """Answers, times and costs of the same calls are the same to the last digit."""
    slow = Fault(kind=FaultKind.SLOW_FIRST, factor=100.0)
    hangs = Fault(kind=FaultKind.HANG)
    fails = Fault(kind=FaultKind.STATUS, status=500)
    without = loaded(PLAIN)
    for fault in (slow, hangs, fails):
        with_shadow = loaded(MIRRORED, fault)
        for world in (with_shadow, without):
            assert {one.endpoint for one in world.seen} == {ALPHA}
            ended = [one for one in world.recorder.events if isinstance(one, CallFinished)]
            assert all({a.endpoint for a in one.attempts} == {ALPHA} for one in ended)
        told = [[(s.text, s.cost_usd, s.attempts) for s in w.seen] for w in (with_shadow, without)]
        assert len(told[0]) > 250
        took_s = [sum(s.took_s for s in w.seen) / len(w.seen) for w in (with_shadow, without)]
        assert abs(took_s[0] - took_s[1]) < 0.02 * took_s[1]
        assert all(one.is_good for one in with_shadow.seen)
        assert shadows(with_shadow)


def test_a_shadow_that_hangs_holds_little() -> None:
    """What runs is bounded; what comes meanwhile is let go and counted."""
    world = loaded(MIRRORED, Fault(kind=FaultKind.HANG), rate=20.0)
    made = world.engine.parts.shadows
    assert made is not None
    assert made.skipped["too_much"] > 20
    assert made.running == 0
    assert not [
        one
        for one in world.recorder.events
        if isinstance(one, AttemptFinished) and one.outcome.endpoint == BETA
    ]


def test_its_failures_say_nothing_of_the_endpoint() -> None:
    """A copy that fails opens no breaker and moves no estimate: nobody was served by it."""
    world = loaded(MIRRORED, Fault(kind=FaultKind.STATUS, status=500))
    own = world.engine.health.endpoints[BETA]
    assert own.attempts_count == 0
    assert own.reliability.value(0.0) == 1.0 or own.latency.samples == 0
    assert not world.engine.parts.quality.has_evidence(MIRRORED.name, BETA)


def test_a_refusal_for_its_rate_makes_it_pause() -> None:
    """A shadow does not use up the account's rate."""
    world = loaded(MIRRORED, Fault(kind=FaultKind.STATUS, status=429))
    assert len(shadows(world)) <= 8 + 8 * 6


class Graders:
    """Takes what would be graded."""

    def __init__(self) -> None:
        self.taken: list[tuple[str | None, EndpointId | None]] = []

    def wants(self, call: Call) -> bool:
        """Grade no answer of a caller's."""
        return False

    def take(self, call: Call, text: str | None, shadow: EndpointId | None = None) -> None:
        """Keep it."""
        self.taken.append((text, shadow))


def test_its_answers_are_graded_where_the_route_has_a_grader() -> None:
    """Plain answers and streams alike, whole, as those of the shadow."""
    grader = Grader(model=GAMMA, rubric="is it good?", share=0.5, usd_per_day=1.0)
    graders = Graders()

    async def scenario(world: World) -> None:
        world.engine.parts.sampler = graders
        await world.load(60.0, rate_per_s=5.0, route="mirrored", stream_share=0.5)
        await world.load(20.0, rate_per_s=0.2, route="mirrored")

    world = play(scenario, routes=(replace(MIRRORED, grader=grader),))
    assert len(graders.taken) == len(shadows(world))
    assert {shadow for _, shadow in graders.taken} == {BETA}
    assert all(text and text.startswith("beta") for text, _ in graders.taken)


def test_money_is_kept_whatever_the_load() -> None:
    """Copies end where the day's money does, those under way included."""
    poor = replace(MIRRORED, shadow=Shadow(endpoint=BETA, share=1.0, usd_per_day=0.01))
    world = loaded(poor, rate=20.0)
    spent_usd = sum(one.outcome.cost_usd for one in shadows(world))
    assert 0.003 < spent_usd <= 0.01
    made = world.engine.parts.shadows
    assert made is not None
    assert made.skipped["no_money"] > 0
