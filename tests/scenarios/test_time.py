"""Rows 40, 42, 44 and 45 of the fault catalogue: old verdicts, jumping clocks, stalls of our own,
and the end.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.domain import Constraints, Timers, WireFormat
from sidecar.engine.admission import Admission, AdmissionSettings
from sidecar.engine.drain import Drain, DrainSettings
from sidecar.errors import DrainingError
from sidecar.events import BreakerChanged
from sidecar.simulate.evidence import changes, outcomes, requests, started
from sidecar.simulate.loop import SimulatedLoop, simulate, throttle_on_loop_time
from sidecar.simulate.world import ALPHA, BETA, World, default_endpoints, play
from sidecar.upstream.simulated import Ended, Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENT = Constraints(within_s=3600.0)
CHARGED = {"HANG", "STALL_MID", "CONNECT", "S5", "RESET_MID", "TRUNC"}
"""Classes that say a provider failed."""


def _jump(seconds: float) -> None:
    """Stand still for ``seconds``, as a suspended machine or a loop that does not get its turn."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop.jump(seconds)


def _breaker_changes(world: World) -> list[BreakerChanged]:
    return [event for event in world.recorder.events if isinstance(event, BreakerChanged)]


def _charged(world: World) -> list[str]:
    both = outcomes(world, ALPHA) + outcomes(world, BETA)
    return [one.cls.value for one in both if one.cls.value in CHARGED]


def _state_at(world: World, at: float) -> str:
    """Return the state of alpha's breaker just before ``at``."""
    return ([event.new for event in changes(world, ALPHA) if event.at < at] or ["closed"])[-1]


@pytest.mark.parametrize(
    ("kind", "met"), [(FaultKind.STATUS, "open"), (FaultKind.HANG, "half_open")]
)
def test_row_40_streams_from_before_the_trip(kind: FaultKind, met: str) -> None:
    """Row 40: streams that began before an outage end well during it; their success, from before
    the trip, neither closes the breaker nor helps a trial.
    """
    start_s, end_s = 30.0, 200.0
    long = Constraints(within_s=150.0)

    async def scenario(world: World) -> None:
        world.alpha.faults = (
            Fault(kind=FaultKind.DRIP, factor=250.0, end_s=start_s),
            Fault(kind=kind, start_s=start_s, end_s=end_s),
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(28):
                group.create_task(world.call("alone", is_stream=True, constraints=long))
                await asyncio.sleep(1.0)
            await asyncio.sleep(start_s - now())
            group.create_task(world.load(360, rate_per_s=0.5, route="strong", is_even=True))

    world = play(scenario)

    streams = [one for one in world.seen if one.route == "alone"]
    assert all(one.is_good and one.took_s > 80.0 for one in streams)
    assert all(one.is_good for one in world.seen)
    assert met in {_state_at(world, one.ended_at) for one in streams}
    ends = {one.ended_at for one in streams}
    assert not any(event.at in ends for event in changes(world, ALPHA)), "no end moved it"
    assert all(event.at > end_s for event in changes(world, ALPHA, to="closed"))
    assert changes(world, ALPHA)[-1].new == "closed", "its own trials close it"


def test_row_42_suspended_for_ten_minutes() -> None:
    """Row 42: after ten minutes without a clock tick what was counted before is cold: three
    failures before (and a probe's) and two after are not six in a row. Nobody is harmed, no probe
    storm breaks out.
    """

    async def scenario(world: World) -> None:
        world.alpha.faults = (
            Fault(kind=FaultKind.STATUS, status=500, start_s=60.5, end_s=63.5),
            Fault(kind=FaultKind.STATUS, status=500, start_s=664.0, end_s=668.2),
        )
        await world.load(64.6, rate_per_s=1.0, is_even=True)
        await asyncio.sleep(1.0)
        _jump(600.0)
        await asyncio.sleep(0.01)
        await world.load(30, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    failed = [entry for entry in requests(world.alpha, is_probe=False) if entry.status == 500]
    assert len([entry for entry in failed if entry.at_s < 100]) == 3
    assert 1 <= len([entry for entry in failed if entry.at_s > 600]) <= 2
    assert _breaker_changes(world) == []
    woken = [
        entry
        for provider in world.providers.values()
        for entry in requests(provider, 664.0, 670.0, is_probe=True)
    ]
    assert len(woken) <= 8


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_row_42_calls_in_flight_when_suspended(is_stream: bool) -> None:
    """Row 42: calls that were under way when the machine stood still are no mass failure of their
    provider, and whoever has time left gets an answer.
    """

    async def scenario(world: World) -> None:
        await world.load(40, rate_per_s=1.0, is_even=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(world.call("strong", is_stream=is_stream, constraints=PATIENT))
            await asyncio.sleep(0.05)
            _jump(600.0)
        await world.load(20, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert _charged(world) == []
    assert _breaker_changes(world) == []


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_row_42_wall_clock_steps(step_s: float) -> None:
    """Row 42: a wall clock that steps an hour changes nothing: every decision is on the other."""

    async def sick(world: World) -> None:
        world.alpha.faults = (
            Fault(kind=FaultKind.STATUS, status=503, retry_after_s=5, start_s=20, end_s=40),
        )
        await world.load(30, rate_per_s=1.0, is_even=True)
        await world.load(40, rate_per_s=1.0, is_even=True)

    async def stepped(world: World) -> None:
        world.alpha.faults = (
            Fault(kind=FaultKind.STATUS, status=503, retry_after_s=5, start_s=20, end_s=40),
        )
        await world.load(30, rate_per_s=1.0, is_even=True)
        for provider in world.providers.values():
            provider.wall_start_s += step_s
        await world.load(40, rate_per_s=1.0, is_even=True)

    steady, stepping = play(sick), play(stepped)

    assert changes(steady, ALPHA), "there was something to decide"
    assert stepping.recorder.events == steady.recorder.events


def _play_timed(
    scenario: Callable[[World], Awaitable[object]], first_content_s: float | None
) -> World:
    """Play in a world whose endpoints have a configured limit on silence."""
    timers = Timers(first_content_s=first_content_s)

    async def main() -> World:
        endpoints = tuple(replace(one, timers=timers) for one in default_endpoints())
        world = World(endpoints=endpoints)
        await world.run(scenario)
        return world

    with throttle_on_loop_time():
        return simulate(main())


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("stall_s", "first_content_s"), [(2.0, 1.5), (2.0, None), (9.5, None), (12.0, None)]
)
def test_row_44_event_loop_that_stalls(
    stall_s: float, first_content_s: float | None, is_stream: bool
) -> None:
    """Row 44: timers that run over because our own loop stood still are charged to nobody, before
    the first content and in the middle of a stream.
    """

    async def scenario(world: World) -> None:
        await world.load(40, rate_per_s=1.0, is_even=True)
        for after_s in (0.05, 0.3, 0.55):
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(world.call("strong", is_stream=is_stream))
                await asyncio.sleep(after_s)
                _jump(stall_s)
            await world.load(5, rate_per_s=1.0, is_even=True)

    world = _play_timed(scenario, first_content_s)

    assert _charged(world) == []
    assert _breaker_changes(world) == []
    assert all(one.is_good for one in world.seen)
    assert world.engine.prober.spent_usd == 0.0, "no suspicion either"


def test_row_44_real_hang_beside_small_stalls() -> None:
    """Row 44: a provider that hangs is still found out while our loop hiccups all the time."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.HANG, start_s=40.0),)
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(world.load(80, rate_per_s=1.0, is_even=True))
            while not loading.done():
                await asyncio.sleep(1.7)
                _jump(0.3)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert changes(world, ALPHA, to="open")
    late = started(world.seen, 75.0)
    assert max(one.took_s for one in late) < 3.0


async def _hold(world: World, admission: Admission, format: WireFormat) -> None:  # noqa: A002
    """Call as the data plane does: through the door, and out again whatever happens."""
    admission.enter(100)
    try:
        await world.call("strong", is_stream=True, format=format, constraints=PATIENT)
    finally:
        admission.leave(100)


async def _deserted() -> None:
    """Say that no app is connected any more."""


@pytest.mark.parametrize("grace_s", [30.0, 10.0], ids=["enough", "too-short"])
def test_row_45_drain_with_fifty_streams(grace_s: float) -> None:
    """Row 45: within the grace not one of fifty streams is cut; after it each that is left ends in
    an error event, at once and without a terminal mark. New calls are refused meanwhile.
    """
    drained_at: list[float] = []

    async def scenario(world: World) -> None:
        # A second between tokens: each stream takes some twenty.
        world.alpha.faults = (Fault(kind=FaultKind.DRIP, factor=50.0),)
        admission = Admission(AdmissionSettings())
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                format_ = (WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES)[number % 2]
                group.create_task(_hold(world, admission, format_))
            await asyncio.sleep(5.0)
            drain = Drain(admission, _deserted, world.engine.interrupt)
            draining = group.create_task(drain.run(DrainSettings(grace_s=grace_s)))
            await asyncio.sleep(1.0)
            with pytest.raises(DrainingError):
                admission.enter(100)
            await draining
            drained_at.append(now())

    world = play(scenario)

    assert len(world.seen) == 50
    if grace_s > 20:
        assert all(one.is_good for one in world.seen), "none was cut inside the grace"
        assert {entry.ended for entry in world.alpha.log} == {Ended.COMPLETE}
        return
    last_words_at = 5.0 + DrainSettings(grace_s=grace_s).end_after_s
    assert drained_at[0] == pytest.approx(last_words_at, abs=0.5), "and not a moment longer"
    assert {one.code for one in world.seen} == {"draining"}
    assert not any(one.is_complete for one in world.seen)
    assert all(b"[DONE]" not in one.raw and b"message_stop" not in one.raw for one in world.seen)
    assert all(one.text for one in world.seen), "what was delivered stays"
    assert _charged(world) == []
    assert _breaker_changes(world) == []
