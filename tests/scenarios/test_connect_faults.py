"""Rows 1 to 4 of the fault catalogue: a provider that cannot be reached."""

from __future__ import annotations

import pytest

from sidecar.domain import ProviderName
from sidecar.simulate.evidence import (
    answered_by,
    changes,
    ejections,
    opened_at,
    outcomes,
    probes,
    requests,
    started,
    unrest,
)
from sidecar.simulate.world import ALPHA, ALPHA_SMALL, BETA, GAMMA, World, play
from sidecar.upstream.simulated import Fault, FaultKind

ALPHA_HOST = "http://alpha.test:80"
START_S, END_S = 40.0, 100.0


def _forget_connections(world: World) -> None:
    """Close the kept-alive connections, as an idle timeout does."""
    world.upstream.idle_counts[ProviderName("alpha")] = 0


@pytest.mark.parametrize(
    ("rate_per_s", "start_s", "end_s", "detected_within_s"),
    [(1.0, 40.0, 100.0, 5.0), (0.1, 350.0, 470.0, 15.0)],
    ids=["one-a-second", "six-a-minute"],
)
def test_refused_connections_cost_callers_nothing(
    rate_per_s: float, start_s: float, end_s: float, detected_within_s: float
) -> None:
    """Row 1: no caller notices, the host rests within seconds, and traffic returns by itself."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.REFUSE, start_s=start_s, end_s=end_s),)
        await world.load(end_s + 110, rate_per_s=rate_per_s, is_even=True)

    world = play(scenario)

    assert all(one.is_good and one.degraded is None for one in world.seen)
    during = started(world.seen, start_s, end_s)
    assert answered_by(during) == {BETA: len(during)}
    assert max(one.took_s for one in during) < 2.0
    assert opened_at(world, ALPHA_HOST) - start_s <= detected_within_s
    assert opened_at(world, ALPHA) - start_s <= detected_within_s
    detected_at = opened_at(world, ALPHA_HOST) + 0.001
    assert requests(world.alpha, detected_at, end_s, is_probe=False) == []
    assert unrest(world, world.alpha, ALPHA_HOST, end_s) == []
    assert {probe.kind for probe in probes(world, ALPHA) if detected_at < probe.at < end_s} == {
        "free"
    }, "an unreachable host is looked at for free"
    longest_s = max((event.reopens_at or 0) - event.at for event in changes(world, ALPHA_HOST))
    closed_at = changes(world, ALPHA, to="closed")[0].at
    assert closed_at <= end_s + longest_s + 30
    assert answered_by(started(world.seen, closed_at + 1))[ALPHA] > 0


def test_refused_connections_gate_every_model_of_the_host() -> None:
    """Row 1: what five callers of one model learned spares the callers of another."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.REFUSE),)
        await world.load(6.5, rate_per_s=1.0, is_even=True)
        await world.load(2.5, rate_per_s=2.0, route="quick", is_even=True)

    world = play(scenario)

    quick = [one for one in world.seen if one.route == "quick"]
    assert len(quick) == 4
    assert all(one.is_good and one.attempts == (f"{GAMMA}:OK",) for one in quick)
    assert [entry for entry in requests(world.alpha, 6.5) if entry.model == "alpha-small"] == []
    assert changes(world, ALPHA_SMALL) == [], "its own breaker has seen nothing"


def test_blackhole_is_waited_for_once_not_by_everybody() -> None:
    """Row 2: those who were already connecting wait 3 s and fail over; nobody after the trip."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.BLACKHOLE, start_s=START_S, end_s=END_S),)
        await world.load(START_S + 30, rate_per_s=3.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    (shunned_at,) = [one.at for one in ejections(world, ALPHA)]
    assert shunned_at - START_S <= 2.5, "before the connect limit has cut the first of them"
    waiting = started(world.seen, START_S, shunned_at)
    assert all(one.took_s <= 3.0 + 2.0 for one in waiting)
    after = started(world.seen, shunned_at + 0.001)
    assert len(after) > 50
    assert all(one.took_s < 2.0 and one.attempts == (f"{BETA}:OK",) for one in after)
    assert requests(world.alpha, shunned_at + 0.001, is_probe=False) == []


def test_dns_failure_leaves_kept_connections_working() -> None:
    """Row 3: a name that no longer resolves is nobody's trouble while connections live."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.DNS_FAILURE, start_s=START_S),)
        await world.load(START_S + 40, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good and one.attempts == (f"{ALPHA}:OK",) for one in world.seen)
    assert changes(world, ALPHA) == changes(world, ALPHA_HOST) == []


@pytest.mark.parametrize("kind", [FaultKind.DNS_FAILURE, FaultKind.TLS_FAILURE])
def test_new_connections_that_fail_are_a_connect_fault(kind: FaultKind) -> None:
    """Rows 3 and 4: without live connections it is like a refusal: failover, rest, free probes."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=kind, start_s=START_S, end_s=END_S),)
        await world.load(START_S, rate_per_s=1.0, is_even=True)
        _forget_connections(world)
        await world.load(END_S - START_S, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    failed = [one for one in outcomes(world, ALPHA) if one.cls.value != "OK"]
    assert {one.cls.value for one in failed} == {"CONNECT"}
    assert opened_at(world, ALPHA_HOST) - START_S <= 5.5, "the first call comes after a second"
    detected_at = opened_at(world, ALPHA_HOST) + 0.001
    assert requests(world.alpha, detected_at, END_S, is_probe=False) == []
    assert unrest(world, world.alpha, ALPHA_HOST, END_S) == []
    red = [probe for probe in probes(world, ALPHA) if probe.at > detected_at]
    assert red
    assert all(probe.kind == "free" and probe.outcome.cls.value == "CONNECT" for probe in red)
    assert world.engine.prober.spent_usd == 0.0, "an expired certificate costs no probe money"
