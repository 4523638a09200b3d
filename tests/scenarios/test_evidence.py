"""Rows 47, 49 and 50 of the fault catalogue: evidence that misleads, and days with nothing but
noise.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import Route, RouteName
from sidecar.engine import engine, prober
from sidecar.events import EndpointEjected
from sidecar.simulate.evidence import (
    answered_by,
    changes,
    opened_at,
    outcomes,
    probes,
    requests,
    started,
)
from sidecar.simulate.world import ALPHA, BETA, GAMMA, LARGE, World, default_routes, play
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    import pytest

    from sidecar.simulate.seen import Seen

DAY_S = 86_400.0
START_S = 40.0
DRIFTED = Fault(
    kind=FaultKind.STATUS,
    status=400,
    error_type="invalid_request_error",
    message="messages: this field is no longer supported",
    start_s=START_S,
)
SHARED = tuple(f"shared-{number}" for number in range(4))
SHARED_ROUTES = (
    *default_routes(),
    *(Route(name=RouteName(name), tiers=((BETA,), (ALPHA,)), within_s=30.0) for name in SHARED),
)
"""Four applications whose first choice is beta."""


# --- row 47 ------------------------------------------------------------------------------------


async def _use(world: World, duration_s: float, names: tuple[str, ...]) -> None:
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(world.load(duration_s, rate_per_s=0.5, route=name))


def _ejections(world: World) -> list[EndpointEjected]:
    return [event for event in world.recorder.events if isinstance(event, EndpointEjected)]


def test_row_47_provider_whose_contract_drifted() -> None:
    """Row 47: a provider that suddenly calls every request of four applications malformed is set
    aside, with an alert, when that is half of what it got; then all are served elsewhere.
    """

    async def scenario(world: World) -> None:
        world.beta.faults = (DRIFTED,)
        await _use(world, START_S + 120, SHARED)

    world = play(scenario, routes=SHARED_ROUTES)

    assert all(one.is_good for one in started(world.seen, 0.0, START_S))
    ejections = _ejections(world)
    assert [event.endpoint for event in ejections] == [BETA]
    assert ejections[0].at - START_S <= START_S + 5.0
    after = started(world.seen, ejections[0].at + 0.001)
    assert all(one.is_good for one in after)
    assert answered_by(after) == {ALPHA: len(after)}
    assert requests(world.beta, ejections[0].at + 0.001, is_probe=False) == []
    assert changes(world, BETA) == [], "a 400 is no failure of a breaker"
    told = [one for one in started(world.seen, START_S) if not one.is_good]
    assert {one.status for one in told} <= {400}


def test_row_47_drift_that_is_over() -> None:
    """Row 47: an ejection ends by itself; a provider that is well again has its calls back."""
    end_s = START_S + 60.0

    async def scenario(world: World) -> None:
        world.beta.faults = (msgspec.structs.replace(DRIFTED, end_s=end_s),)
        await _use(world, START_S + 400, SHARED[:3])

    world = play(scenario, routes=SHARED_ROUTES)

    ejected_at = _ejections(world)[0].at
    late = started(world.seen, ejected_at + 305.0)
    assert len(late) > 20
    assert all(one.is_good for one in late)
    assert answered_by(late)[BETA] >= 0.9 * len(late)


def test_row_47_applications_whose_requests_are_wrong() -> None:
    """Row 47: requests that everybody refuses eject nobody, though they come from four routes."""

    async def scenario(world: World) -> None:
        for provider in world.providers.values():
            provider.faults = (msgspec.structs.replace(DRIFTED, start_s=0.0),)
        await _use(world, 90, SHARED)

    world = play(scenario, routes=SHARED_ROUTES)

    assert _ejections(world) == []
    assert {one.status for one in world.seen} == {400}
    for name in (ALPHA, BETA, GAMMA):
        assert changes(world, name) == []
    asked = requests(world.alpha, is_probe=False)
    assert len(asked) <= 90 / 2, "a second opinion each two seconds at most"


# --- row 49 ------------------------------------------------------------------------------------


def test_row_49_free_probe_closes_no_breaker() -> None:
    """Row 49: an endpoint whose model list answers while completions are dead stays open, however
    many free looks succeed; each open period ends in one paid trial that costs nothing.
    """
    end_s = START_S + 120.0

    async def scenario(world: World) -> None:
        world.alpha.faults = (
            # First it cannot be reached at all, so that the free probe goes before the paid one.
            Fault(kind=FaultKind.REFUSE, start_s=START_S, end_s=START_S + 15.0),
            Fault(kind=FaultKind.STATUS, status=500, start_s=START_S + 15.0, end_s=end_s),
        )
        await world.load(end_s + 90, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    looks = [
        probe
        for probe in probes(world, ALPHA, kind="free")
        if START_S + 15.0 <= probe.at < end_s and probe.outcome.cls.value == "OK"
    ]
    assert looks, "the list of models was fine"
    assert [event for event in changes(world, ALPHA, to="closed") if event.at < end_s] == []
    dead = requests(world.alpha, opened_at(world, ALPHA) + 0.001, end_s, is_probe=False)
    assert dead == [], "no caller was sent there on the word of a free probe"
    assert changes(world, ALPHA)[-1].new == "closed"


def test_row_49_failing_probe_against_live_answers() -> None:
    """Row 49: a model list that hangs while completions are fine: the calls outrank the probe."""

    async def scenario(world: World) -> None:
        # A fault of a model that does not exist hits the list alone.
        world.alpha.faults = (
            Fault(kind=FaultKind.HANG, model="none", hits_models=True, start_s=START_S),
        )
        await world.load(START_S, rate_per_s=1.0, is_even=True)
        for _ in range(15):
            await asyncio.sleep(100.0)
            await world.call("reason")

    world = play(scenario)

    looks = probes(world, ALPHA, kind="free")
    assert sum(probe.outcome.cls.value == "HANG" for probe in looks) >= 3
    assert all(one.is_good and one.endpoint == ALPHA for one in world.seen)
    assert changes(world, ALPHA) == []
    assert {one.cls.value for one in outcomes(world, ALPHA)} == {"OK"}
    assert world.engine.prober.spent_usd <= 0.05


# --- row 50 ------------------------------------------------------------------------------------


def _noisy(world: World) -> None:
    """Let every twentieth request fail, and some first tokens come very late."""
    tail = replace(LARGE, ttft_sigma=0.9)
    world.alpha.models["alpha-large"] = world.beta.models["beta-large"] = tail
    for provider in world.providers.values():
        provider.faults = (Fault(kind=FaultKind.STATUS, status=500, share=0.05),)


def test_row_50_day_of_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 50: a day at 5 % errors and a heavy tail, with a busy hour every eight: no caller sees
    an error, a breaker opens once at most without a cause, probes stay within their budget.

    The loops look every four seconds here, not four times in one, so that a day is played soon.
    """
    monkeypatch.setattr(engine, "TICK_S", 4.0)
    monkeypatch.setattr(prober, "LOOK_S", 4.0)

    async def scenario(world: World) -> None:
        _noisy(world)
        for _ in range(3):
            await world.load(DAY_S / 24, rate_per_s=0.12, route="pair")
            await world.load(DAY_S * 7 / 24, rate_per_s=0.012, route="pair")

    world = play(scenario)

    assert len(world.seen) > 2000
    assert _errors(world.seen) == []
    for name in (ALPHA, BETA):
        assert len(changes(world, name, to="open")) <= 1, f"{name}: false trips in a day"
    assert changes(world, "http://alpha.test:80") == changes(world, "http://beta.test:80") == []
    assert world.engine.prober.spent_usd <= 0.5
    sent = sum(len(requests(one, is_probe=False)) for one in world.providers.values())
    assert sent <= 1.15 * len(world.seen)
    assert sum(one.degraded is not None for one in world.seen) <= 0.01 * len(world.seen)


def _errors(seen: list[Seen]) -> list[str]:
    """Return the errors that an alternative could have spared: those before the first token."""
    return [f"{one.started_at:.0f}: {one.code}" for one in seen if not one.is_good]
