"""A fleet in virtual time: an outage is learned once, tried once, and its end is shared."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from sidecar.clock import now
from sidecar.core.breaker import BreakerState
from sidecar.core.caps import CapSettings
from sidecar.domain import ProviderName
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.settings import EngineSettings
from sidecar.simulate.world import ALPHA
from sidecar.upstream.simulated_faults import Fault, FaultKind
from tests.fleet.pods import FleetWorld, play_fleet

START_S, LASTS_S = 40.0, 100.0
PODS = 20


@pytest.fixture(scope="module")
def outage() -> FleetWorld:
    """Twenty pods at six calls a minute each, and a hundred seconds of errors at alpha."""

    async def scenario(world: FleetWorld) -> None:
        fault = Fault(kind=FaultKind.STATUS, status=500, start_s=START_S, end_s=START_S + LASTS_S)
        world.alpha.faults = (fault,)
        await world.load(START_S + LASTS_S + 80.0, per_minute=6.0)

    return play_fleet(PODS, scenario)


def test_all_know_within_two_seconds_of_the_first(outage: FleetWorld) -> None:
    """Pods that make six calls a minute know of an outage after seconds, all of them together."""
    opened = [at for at in outage.opened_at(START_S) if at is not None]
    assert len(opened) == PODS
    assert max(opened) - min(opened) <= 2.0
    assert min(opened) - START_S <= 10.0, "alone each would need most of a minute"


def test_one_probe_or_two_an_open_period(outage: FleetWorld) -> None:
    """The fleet makes the trial of one pod, however many pods wait for it."""
    opens = sorted(
        {c.at for pod in outage.pods for c in pod.changes() if c.reason == "trial_failed"}
    )
    assert 2 <= len(opens) <= 8, "periods of 5, 10, 20, 40 s"
    # At the start each pod suspects by itself; the end takes two answers.
    suspicion = PODS // 2
    assert outage.probes(START_S) <= len(opens) + 2 + suspicion


def test_recovery_is_noticed_once_and_shared(outage: FleetWorld) -> None:
    """One pod finds out that alpha is back, the others return on its word, and stay."""
    last = [pod.changes()[-1] for pod in outage.pods]
    assert {one.new for one in last} == {"closed"}
    reasons = Counter(one.reason for one in last)
    assert reasons["recovered"] <= 2
    assert reasons["fleet_recovered"] >= PODS - 2
    assert max(one.at for one in last) - min(one.at for one in last) <= 3.0


def test_no_call_is_lost_to_the_outage(outage: FleetWorld) -> None:
    """Every call is answered, by others while alpha is out."""
    assert all(seen.status == 200 for pod in outage.pods for seen in pod.seen)


def test_a_pod_without_network_opens_nobodys_breakers() -> None:
    """One pod's lost way out is its own trouble: it says nothing, and no other pod believes it."""

    async def scenario(world: FleetWorld) -> None:
        await world.load(20.0, per_minute=12.0)
        world.pods[0].way.is_severed = True
        await world.load(90.0, per_minute=12.0)

    world = play_fleet(6, scenario)
    assert [at for at in world.opened_at(0.0, world.pods[1:]) if at is not None] == []
    records = world.pods[1].agent.member.view.records
    assert not any(one.is_open for one in records.values())


def test_a_pod_that_fails_alone_is_no_quorum() -> None:
    """A pod whose one host fails for it alone opens its own breaker and nobody else's."""

    async def scenario(world: FleetWorld) -> None:
        sick = world.pods[0]
        await world.load(20.0, per_minute=12.0)
        sick.way.severed_from = ProviderName("alpha")
        await world.load(90.0, per_minute=12.0)
        assert sick.state() is not BreakerState.CLOSED

    world = play_fleet(6, scenario)
    assert [at for at in world.opened_at(0.0, world.pods[1:]) if at is not None] == []


def test_a_wrong_key_blocks_one_pod_alone() -> None:
    """A pod with another key is refused; what it hears is its account's and no evidence."""

    async def scenario(world: FleetWorld) -> None:
        world.pods[0].way.set_key(ProviderName("alpha"), "wrong")
        await world.load(60.0, per_minute=12.0)
        for pod in world.pods[1:]:
            assert pod.engine.health.accounts[ProviderName("alpha")].gate(now()) is None

    world = play_fleet(5, scenario)
    assert [at for at in world.opened_at(0.0) if at is not None] == []


def test_a_skewed_clocks_wait_is_believed_for_a_minute() -> None:
    """A pushback that one pod alone heard, and that says a day, holds others for a minute."""

    async def scenario(world: FleetWorld) -> None:
        await world.load(5.0, per_minute=12.0)
        world.alpha.faults = (
            Fault(
                kind=FaultKind.STATUS,
                status=429,
                retry_after_s=80_000.0,
                start_s=0,
                end_s=now() + 6,
            ),
        )
        await world.pods[0].call()
        world.alpha.faults = ()
        await world.load(3.0, per_minute=1.0)
        account = world.pods[1].engine.health.accounts[ProviderName("alpha")]
        until = account.blocked_until(now())
        assert until is not None
        assert 30.0 < until - now() <= 66.0

    play_fleet(4, scenario)


def test_a_cap_is_the_fleets() -> None:
    """What the pods spend together stays within the cap, but for what is under way."""
    usd = 0.02
    caps = CapSettings(by_provider={ProviderName("alpha"): usd})
    settings = replace(EngineSettings(), budgets=BudgetSettings(caps=caps))

    async def scenario(world: FleetWorld) -> None:
        await world.load(120.0, per_minute=20.0)

    world = play_fleet(5, scenario, settings)
    spent = sum(
        cap.spent_usd
        for pod in world.pods
        if pod.engine.budgets.caps is not None
        for _, _, cap in pod.engine.budgets.caps.all()
    )
    assert 0.8 * usd <= spent <= 1.2 * usd


def test_a_new_pod_starts_with_what_the_others_know() -> None:
    """A pod that starts in an outage takes the endpoint out before its first call fails."""

    async def scenario(world: FleetWorld) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, start_s=20.0),)
        await world.load(45.0, per_minute=12.0)
        home = world.pods[0]
        newcomer = type(home)(world.home, world.store, 999, world.settings)
        await newcomer.agent.exchange()
        assert newcomer.state() is BreakerState.OPEN
        assert newcomer.engine.health.endpoints[ALPHA].latency.samples == 1

    play_fleet(6, scenario)
