"""Rows 35 to 39 of the fault catalogue: too much load, and extra work that may make it worse."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.core.hedging import HedgeSettings
from sidecar.domain import Constraints, Priority, ProviderName
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.settings import EngineSettings
from sidecar.events import AttemptFinished
from sidecar.simulate.evidence import answered_by, changes, opened_at, requests, started
from sidecar.simulate.world import ALPHA, BETA, GAMMA, World, play
from sidecar.upstream.simulated import (
    Ended,
    Fault,
    FaultKind,
    Plan,
    SimulatedLimits,
    SimulatedProvider,
    SimulatedRequest,
)
from sidecar.upstream.simulated_limits import Grants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.domain import Outcome
    from sidecar.simulate.seen import Seen

START_S, END_S = 40.0, 70.0
INTERACTIVE = Constraints(within_s=5.0)
BATCH = Constraints(within_s=5.0, priority=Priority.BATCH)


async def _calls(
    world: World,
    duration_s: float,
    rate_per_s: float,
    constraints: Constraints,
    *,
    route: str,
    tries: int = 1,
) -> list[Seen]:
    """Call evenly for ``duration_s``; an application that is refused tries again at once."""
    seen: list[Seen] = []

    async def one() -> None:
        for _ in range(tries):
            seen.append(await world.call(route, constraints=constraints))
            if seen[-1].is_good:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(round(duration_s * rate_per_s)):
            group.create_task(one())
            await asyncio.sleep(1.0 / rate_per_s)
    return seen


def _at_once(provider: SimulatedProvider, count: int) -> None:
    provider._grants = Grants(SimulatedLimits(requests_at_once=count))


def _goodput(seen: Sequence[Seen]) -> float:
    return sum(one.is_good for one in seen) / len(seen)


def _hedges(world: World) -> list[Outcome]:
    return [
        event.outcome
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.kind == "hedge"
    ]


def _amplification(world: World, seen: Sequence[Seen], start_s: float, end_s: float) -> float:
    """Return the greatest ratio of attempts to calls in any ten seconds."""
    worst = 0.0
    for number in range(math.floor((end_s - start_s) / 10.0)):
        from_s = start_s + 10.0 * number
        asked = len(started(seen, from_s, from_s + 10.0))
        sent = sum(
            len(requests(provider, from_s, from_s + 10.0, is_probe=False))
            for provider in world.providers.values()
        )
        worst = max(worst, sent / asked)
    return worst


def test_row_35_twice_the_load() -> None:
    """Row 35: twice what the endpoint bears for 30 s: batch calls give way, people are served,
    nobody waits beyond the deadline, and all is as before soon after.
    """
    people: list[Seen] = []
    batch: list[Seen] = []

    async def scenario(world: World) -> None:
        _at_once(world.alpha, 10)  # some 12 calls a second

        async def other() -> None:
            batch.extend(await _calls(world, START_S, 3.0, BATCH, route="alone"))
            batch.extend(await _calls(world, END_S - START_S, 20.0, BATCH, route="alone"))
            batch.extend(await _calls(world, 60.0, 3.0, BATCH, route="alone"))

        async with asyncio.TaskGroup() as group:
            group.create_task(other())
            people.extend(await _calls(world, END_S + 60, 5.0, INTERACTIVE, route="alone"))

    world = play(scenario, seed=2)

    during = started(people, START_S, END_S)
    assert _goodput(during) >= 0.98
    crowd = started(batch, START_S, END_S)
    assert 0.1 <= _goodput(crowd) <= 0.8, "some are served, many are not"
    refused = [one for one in crowd if not one.is_good]
    assert {one.status for one in refused} <= {429, 503, 504}
    after = started(world.seen, END_S + 30.0)
    assert all(one.is_good for one in after)
    assert max(one.took_s for one in after) < 2.5


@pytest.mark.parametrize("route", ["alone", "strong"])
def test_row_36_retry_storm(route: str) -> None:
    """Row 36: a slow provider, and applications that try again at each timeout: attempts stay in
    bounds, and when the cause is gone the storm ends by itself.
    """
    seen: list[Seen] = []

    async def scenario(world: World) -> None:
        _at_once(world.alpha, 10)
        slow = Fault(kind=FaultKind.SLOW_FIRST, factor=10.0, start_s=START_S, end_s=END_S)
        world.alpha.faults = (slow,)
        hasty = Constraints(within_s=2.5)
        seen.extend(await _calls(world, END_S + 60, 5.0, hasty, route=route, tries=3))

    world = play(scenario)

    assert _goodput(started(seen, 0.0, START_S)) == 1.0
    assert _amplification(world, seen, START_S, START_S + 10.0) <= 1.5
    assert _amplification(world, seen, START_S + 10.0, END_S + 60.0) <= 1.2
    assert _goodput(started(seen, END_S + 30.0)) >= 0.95
    if route == "strong":
        assert _goodput(started(seen, START_S + 5.0)) == 1.0, "the next tier is in time"


def test_row_37_fallback_of_half_the_size() -> None:
    """Row 37: the fallback bears half of what it suddenly gets: it is used and not toppled, and
    the smaller model takes the rest.
    """
    rate_per_s = 10.0

    async def scenario(world: World) -> None:
        _at_once(world.beta, 4)
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, start_s=START_S),)
        await world.load(START_S + 60, rate_per_s=rate_per_s, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    late = started(world.seen, START_S + 15.0)
    shares = {name: count / len(late) for name, count in answered_by(late).items()}
    assert shares[BETA] >= 0.2, "what it can bear it gets"
    assert shares[GAMMA] >= 0.2, "the rest does not wait for it"
    asked = requests(world.beta, START_S + 15.0, is_probe=False)
    refused = [entry for entry in asked if entry.status != 200]
    assert len(refused) <= 0.05 * len(asked), "it is not run over"
    assert changes(world, BETA, to="open") == []
    assert max(one.took_s for one in late) < 3.0


class _Brittle(SimulatedProvider):
    """Bears seven at once; above, first contents take five times as long and every second request
    is refused, until it has come down to four.
    """

    is_over = False

    def plan(self, request: SimulatedRequest) -> Plan:
        self.is_over = self.in_flight + 1 > (4 if self.is_over else 7)
        slow = Fault(kind=FaultKind.SLOW_FIRST, factor=5.0)
        refuses = Fault(kind=FaultKind.STATUS, status=529, share=0.5, error_type="overloaded_error")
        self.faults = (refuses, slow) if self.is_over else ()
        return super().plan(request)


@pytest.mark.parametrize("is_brittle", [False, True], ids=["refuses", "degrades"])
def test_row_37_callers_of_the_fallbacks_own(is_brittle: bool) -> None:
    """Row 37: those who have nobody but the fallback keep it, whether it refuses what is too much
    or goes to its knees; the newcomers get what is left of it, and the smaller model.
    """

    async def scenario(world: World) -> None:
        name = ProviderName("beta")
        if is_brittle:
            world.beta = _Brittle("beta", world.beta.format, world.beta.models, seed=2)
            world.providers[name] = world.upstream.providers[name] = world.beta
        else:
            _at_once(world.beta, 7)
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, start_s=START_S),)
        async with asyncio.TaskGroup() as group:
            group.create_task(world.load(START_S + 120, rate_per_s=10.0))
            own = world.load(START_S + 120, rate_per_s=3.0, route="alone-beta", is_even=True)
            group.create_task(own)

    world = play(scenario)

    during = started(world.seen, START_S)
    assert _goodput([one for one in during if one.route == "alone-beta"]) >= 0.98
    newcomers = [one for one in during if one.route == "reason"]
    assert all(one.is_good for one in newcomers)
    asked = requests(world.beta, START_S, is_probe=False)
    refused = [entry for entry in asked if entry.status in (429, 529)]
    assert len(refused) <= 0.03 * len(asked)
    assert answered_by(newcomers)[BETA] >= 0.05 * len(newcomers), "what is left is used"
    assert changes(world, BETA, to="open") == []


def test_row_38_everybody_slow() -> None:
    """Row 38: when all endpoints are slow a second one is no help: hedges stay a twentieth of the
    calls and three hundredths of the money.
    """
    frugal = EngineSettings(budgets=BudgetSettings(hedge=HedgeSettings(floor_usd=0.0)))
    since: list[float] = []

    async def scenario(world: World) -> None:
        await world.load(120, rate_per_s=1.0, route="strong", is_even=True)
        await world.load(60, rate_per_s=1.0, route="alone-beta", is_even=True)
        since.append(now())
        for provider in world.providers.values():
            provider.faults = (Fault(kind=FaultKind.SLOW_FIRST, factor=6.0),)
        await world.load(100, rate_per_s=2.0, route="strong", is_even=True)

    world = play(scenario, settings=frugal)

    assert all(one.is_good for one in world.seen)
    during = started(world.seen, since[0])
    hedges = [one for one in _hedges(world) if one.started_at >= since[0]]
    assert len(hedges) <= 5 + 0.05 * len(during)
    late = [one for one in hedges if one.started_at >= since[0] + 40.0]
    assert len(late) <= 0.05 * 120 + 1, "the burst is used up once"
    spent_usd = sum(one.cost_usd or 0.0 for one in world.seen)
    assert sum(one.cost_usd for one in _hedges(world)) <= 0.03 * spent_usd
    billed = sum(entry.cost_usd for one in world.providers.values() for entry in one.log)
    probes_usd = world.engine.prober.spent_usd
    assert billed - probes_usd <= 1.05 * spent_usd, "what callers are told covers what was billed"
    assert _amplification(world, during, since[0], since[0] + 100.0) <= 1.5
    assert changes(world, ALPHA) == changes(world, BETA) == [], "slow is not broken"


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_row_39_provider_that_bills_what_was_cancelled(is_stream: bool) -> None:
    """Row 39: a provider that writes on after it was cut, and bills it: the loser of a hedge is
    counted at about what it really costs, hedges stay within their budget, nothing leaks.
    """
    since: list[float] = []

    async def scenario(world: World) -> None:
        share = 1.0 if is_stream else 0.0
        await world.load(60, rate_per_s=1.0, route="strong", is_even=True, stream_share=share)
        await world.load(20, rate_per_s=1.0, route="alone-beta", is_even=True)
        since.append(now())
        world.alpha.is_cancel_ignored = True
        world.alpha.faults = (Fault(kind=FaultKind.SLOW_FIRST, factor=8.0, share=0.2),)
        await world.load(200, rate_per_s=1.0, route="strong", is_even=True, stream_share=share)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    during = started(world.seen, since[0])
    hedges = [one for one in _hedges(world) if one.started_at >= since[0]]
    assert 3 <= len(hedges) <= 5 + 0.05 * len(during)
    cut = [
        entry
        for entry in requests(world.alpha, since[0], is_probe=False)
        if entry.ended is Ended.CANCELLED
    ]
    losers = [
        event.outcome
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.outcome.cls.value in ("CANCEL", "OUTRUN")
    ]
    assert cut
    billed_usd = sum(entry.cost_usd for entry in cut)
    assert billed_usd > 0.0, "it was billed though nobody read it"
    counted_usd = sum(one.cost_usd for one in losers if one.endpoint == ALPHA)
    assert counted_usd >= 0.5 * billed_usd, "not taken for free"
    # A stream's own tokens are not told: its ten-letter words count as several of four.
    assert counted_usd <= 3.0 * billed_usd
    assert opened_at(world, ALPHA) == math.inf
