"""Rows 27 to 31, 46 and 48 of the fault catalogue: when several providers are out, for long, or
when what is known of them is lost.

Rows 29, 30, 31 and 46 speak of a fleet; here is what one sidecar by itself owes to it: few trials,
little money, no blame for what is its own trouble, no burst after a start.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from sidecar.clock import now
from sidecar.domain import Route, RouteName, Rung
from sidecar.events import AttemptFinished, BreakerChanged
from sidecar.simulate.evidence import (
    answered_by,
    changes,
    opened_at,
    probes,
    requests,
    started,
    unrest,
)
from sidecar.simulate.world import ALPHA, BETA, GAMMA, World, play
from sidecar.upstream.simulated import Fault, FaultKind

START_S = 40.0
PROBE_USD = 15 * 3.0e-6 + 16 * 15.0e-6
"""What one paid probe of a large model costs: 15 tokens in, 16 out."""


def _fail(world: World, names: str, start_s: float, end_s: float, *, status: int = 500) -> None:
    """Let the named providers answer with errors only."""
    fault = Fault(kind=FaultKind.STATUS, status=status, start_s=start_s, end_s=end_s)
    for name, provider in world.providers.items():
        if name in names.split():
            provider.faults = (fault,)


def _panics(world: World) -> list[float]:
    return [
        event.outcome.started_at
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.kind == "panic"
    ]


def test_row_27_everything_down_but_the_smaller_model() -> None:
    """Row 27: with both large models out the small one answers everybody, and says so."""
    end_s = START_S + 60

    async def scenario(world: World) -> None:
        _fail(world, "alpha beta", START_S, end_s)
        await world.load(end_s, rate_per_s=2.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    during = started(world.seen, START_S)
    assert answered_by(during) == {GAMMA: len(during)}
    assert all(one.degraded is not None and one.degraded.startswith("L3;") for one in during)
    assert all(one.degraded is None for one in started(world.seen, 0.0, START_S))
    assert _panics(world) == [], "somebody was eligible"
    detected_at = max(opened_at(world, ALPHA), opened_at(world, BETA))
    late = started(world.seen, detected_at + 0.001)
    assert max(one.took_s for one in late) < 1.5
    sent = sum(
        len(requests(one, START_S, is_probe=False))
        for one in (world.alpha, world.beta, world.gamma)
    )
    assert sent <= 1.5 * len(during), "the amplification of a window of detection, at most"


def test_row_27_everything_down() -> None:
    """Row 27: with nobody left the answer is 503 at once, with a time; panic is rationed."""
    end_s = START_S + 60

    async def scenario(world: World) -> None:
        _fail(world, "alpha beta gamma", START_S, end_s)
        await world.load(end_s, rate_per_s=5.0, is_even=True)

    world = play(scenario)

    detected_at = max(opened_at(world, name) for name in (ALPHA, BETA, GAMMA))
    assert detected_at - START_S <= 5.0
    refused = started(world.seen, detected_at + 0.001)
    assert {(one.status, one.code) for one in refused} == {(503, "unavailable")}
    assert all(one.retry_after_s is not None and 0 <= one.retry_after_s <= 60 for one in refused)
    assert max(one.took_s for one in refused) < 1.0, "a refusal waits for nothing"
    assert all(name in refused[0].message for name in (ALPHA, BETA, GAMMA)), "it says who and why"
    panics = _panics(world)
    assert panics, "a recovery would be noticed"
    assert min(later - earlier for earlier, later in pairwise(panics)) >= 2.0
    sent = Counter[float]()
    for provider in world.providers.values():
        for entry in requests(provider, detected_at + 0.001, end_s):
            sent[entry.at_s // 10] += 1
    offered = 50
    assert max(sent.values()) <= 0.2 * offered, "panic, trials and probes, in any ten seconds"


def test_row_27_everything_down_but_a_stale_answer_is_kept() -> None:
    """Row 27: where the route permits it, who asked before gets the old answer, marked as such."""
    route = Route(
        name=RouteName("stale"),
        tiers=((ALPHA,), (BETA,)),
        within_s=30.0,
        rungs=(Rung.SMALLER, Rung.STALE),
    )

    async def scenario(world: World) -> None:
        await world.load(20, rate_per_s=1.0, route="stale", stream_share=0.0, is_even=True)
        _fail(world, "alpha beta", 20.0, 100.0)
        await world.load(20, rate_per_s=1.0, route="stale", stream_share=0.0, is_even=True)
        await world.call("stale", question="Something that nobody asked before.")

    world = play(scenario, routes=(route,))

    *known, new = started(world.seen, 20.0)
    assert all(one.is_good and one.text for one in known)
    assert all(one.degraded == "L5;unavailable;stale" for one in known)
    assert (new.status, new.code) == (503, "unavailable")


@pytest.mark.parametrize("outage_s", [60.0, 300.0])
def test_row_28_all_come_back_together(outage_s: float) -> None:
    """Row 28: everything is out and returns at once: trials, a slow start, no herd, soon served."""
    end_s = START_S + outage_s
    rate_per_s = 2.0

    async def scenario(world: World) -> None:
        _fail(world, "alpha beta gamma", START_S, end_s, status=503)
        await world.load(end_s + min(outage_s, 150.0) + 45.0, rate_per_s=rate_per_s, is_even=True)

    world = play(scenario)

    for name, provider in ((ALPHA, world.alpha), (BETA, world.beta), (GAMMA, world.gamma)):
        # Panic may ask past a shut breaker; so may the free look at a host in doubt.
        trials = [
            entry
            for entry in requests(provider, opened_at(world, name) + 0.001, end_s)
            if entry.path.endswith(("completions", "messages"))
        ]
        assert len(trials) <= 0.5 * outage_s + 15, f"{name}: trials and rationed panic"
    back = started(world.seen, end_s + 30.0)
    assert all(one.is_good for one in back), "served again thirty seconds after the end"
    herd = {
        provider.name: len(requests(provider, end_s, end_s + 5.0))
        for provider in world.providers.values()
    }
    assert max(herd.values()) <= 5 * rate_per_s + 5, herd
    opens = [event for event in changes(world, ALPHA, to="open") if event.at < end_s]
    longest_s = max((event.reopens_at or 0.0) - event.at for event in opens)
    recovered = started(world.seen, end_s + longest_s + 30.0)
    assert len(recovered) > 20
    assert answered_by(recovered)[ALPHA] >= 0.8 * len(recovered), "the first tier has it back"


@pytest.mark.parametrize("rate_per_s", [0.5, 0.1])
def test_row_29_ten_minutes_out(rate_per_s: float) -> None:
    """Row 29, one pod of the fleet: one trial each open period, no money while it is out, one
    recovery. What a fleet shares of it is not played here.
    """
    start_s, end_s = 60.0, 660.0

    async def scenario(world: World) -> None:
        _fail(world, "alpha", start_s, end_s)
        await world.load(end_s + 180, rate_per_s=rate_per_s, is_even=True)

    world = play(scenario)

    assert all(one.is_good and one.degraded is None for one in world.seen)
    assert unrest(world, world.alpha, ALPHA, end_s) == []
    opens = [event for event in changes(world, ALPHA, to="open") if event.at < end_s]
    assert len(opens) <= 12, "each rest is longer, up to two minutes"
    trials = requests(world.alpha, opened_at(world, ALPHA) + 0.001, end_s)
    assert len(trials) <= len(opens)
    assert len(changes(world, ALPHA)) <= 2 * 7 + 2 + 2 * len(opens)
    assert sum(entry.cost_usd for entry in world.alpha.log if entry.is_probe) <= 8 * PROBE_USD
    assert world.engine.prober.spent_usd <= 8 * PROBE_USD, "far below five cents"
    closed = changes(world, ALPHA, to="closed")
    assert len(closed) == 1, "the recovery is noticed once"
    longest_s = max((event.reopens_at or 0.0) - event.at for event in opens)
    assert closed[0].at <= end_s + longest_s + 30


def test_row_30_nothing_shared() -> None:
    """Row 30, one pod without a store: verdicts of its own expire by themselves, and the price of
    an outage does not depend on anybody else. What a store would share is not played here.
    """
    verdict_at = 30.0

    async def scenario(world: World) -> None:
        _fail(world, "alpha", 20.0, 40.0)
        await world.load(verdict_at, rate_per_s=2.0, is_even=True)
        # Nobody calls for a quarter of an hour: the verdict is an old one by then.
        await asyncio.sleep(900.0)
        await world.load(10, rate_per_s=2.0, is_even=True)

    world = play(scenario)

    assert opened_at(world, ALPHA) < verdict_at
    assert all(one.is_good for one in world.seen)
    late = started(world.seen, verdict_at + 900.0)
    assert answered_by(late) == {ALPHA: len(late)}
    assert all(one.attempts == (f"{ALPHA}:OK",) for one in late)
    assert world.engine.prober.spent_usd <= 12 * PROBE_USD


@pytest.mark.parametrize("kind", [FaultKind.REFUSE, FaultKind.BLACKHOLE, FaultKind.DNS_FAILURE])
def test_row_31_own_egress_broken(kind: FaultKind) -> None:
    """Row 31, the pod concerned: when connecting fails at every host the fault is its own. No
    provider is charged, and service is back with the network. That the rest of a fleet hears
    nothing of it is not played here.
    """
    end_s = START_S + 30.0

    async def scenario(world: World) -> None:
        for provider in world.providers.values():
            provider.faults = (Fault(kind=kind, start_s=START_S, end_s=end_s),)
        await world.load(START_S, rate_per_s=2.0, is_even=True)
        for name in world.providers:
            world.upstream.idle_counts[name] = 0
        await world.load(60, rate_per_s=2.0, is_even=True)

    world = play(scenario)

    changed = [event for event in world.recorder.events if isinstance(event, BreakerChanged)]
    assert changed == [], "connect failures at two hosts and more are charged to none"
    during = started(world.seen, START_S + 0.5, end_s - 12.0)
    assert {one.status for one in during} <= {503, 504}
    # One call in two seconds is let through to see whether the network is back.
    after = started(world.seen, end_s + 2.5)
    assert all(one.is_good for one in after)
    assert answered_by(after) == {ALPHA: len(after)}
    assert world.engine.prober.spent_usd <= 4 * PROBE_USD


def test_row_31_one_host_alone_is_charged() -> None:
    """Row 31, the other side: one host that cannot be reached is that host's trouble as ever."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.REFUSE, start_s=START_S),)
        await world.load(START_S + 20, rate_per_s=2.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert opened_at(world, ALPHA) - START_S <= 5.0
    assert opened_at(world, "http://alpha.test:80") - START_S <= 5.0


def test_row_46_start_without_knowledge() -> None:
    """Row 46, one pod that starts with nothing known: no burst of probes, no money, no slow first
    minute. Scores kept over a restart are the fleet's and not played here.
    """

    async def scenario(world: World) -> None:
        await world.load(60, rate_per_s=0.5, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert answered_by(world.seen) == {ALPHA: len(world.seen)}
    assert max(one.took_s for one in world.seen) < 2.5
    assert world.engine.prober.spent_usd == 0.0
    for name in (ALPHA, BETA, GAMMA):
        assert probes(world, name, kind="paid") == []
        assert len(probes(world, name, kind="free")) <= 1
    assert not any(isinstance(event, BreakerChanged) for event in world.recorder.events)


def test_row_46_start_into_an_outage() -> None:
    """Row 46: knowing nothing and meeting an outage, the first callers fail over unharmed."""

    async def scenario(world: World) -> None:
        _fail(world, "alpha", 0.0, 120.0)
        await world.load(60, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert opened_at(world, ALPHA) <= 6.0
    assert unrest(world, world.alpha, ALPHA, 60.0) == []
    assert world.engine.prober.spent_usd == 0.0


def test_row_48_traffic_returns_from_the_cheap_model() -> None:
    """Row 48: when the first tier is well again its traffic returns, however cheap the rest."""
    end_s = START_S + 120

    async def scenario(world: World) -> None:
        _fail(world, "alpha beta", START_S, end_s)
        await world.load(end_s + 150, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    during = started(world.seen, max(opened_at(world, ALPHA), opened_at(world, BETA)), end_s)
    assert answered_by(during) == {GAMMA: len(during)}
    opens = [event for event in changes(world, ALPHA, to="open") if event.at < end_s]
    longest_s = max((event.reopens_at or 0.0) - event.at for event in opens)
    after = started(world.seen, end_s + longest_s + 30.0)
    assert len(after) > 20
    assert answered_by(after)[ALPHA] >= 0.95 * len(after)
    assert all(one.degraded is None for one in after if one.endpoint == ALPHA)


def test_row_48_an_equal_that_recovered_is_not_shunned() -> None:
    """Row 48: among equals the one that took over may keep calls, but never for the price alone."""

    async def scenario(world: World) -> None:
        sick = await world.warm_up()
        began_at = now()
        _fail(world, sick.name, began_at, began_at + 60)
        await world.load(60, rate_per_s=1.0, route="pair", is_even=True)
        other = world.beta if sick is world.alpha else world.alpha
        await world.load(200, rate_per_s=1.0, route="pair", is_even=True)
        _fail(world, other.name, now(), now() + 60)
        await world.load(60, rate_per_s=1.0, route="pair", is_even=True)

    world = play(scenario)

    assert all(one.is_good and one.degraded is None for one in world.seen), "never the small one"
    assert GAMMA not in answered_by(world.seen)
