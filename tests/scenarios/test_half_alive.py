"""The last endpoint left answers now and then: its shut gate is soft, as far as answers go."""

from __future__ import annotations

import pytest

from sidecar.events import AttemptFinished
from sidecar.simulate.evidence import requests, started
from sidecar.simulate.world import BETA, World, play
from sidecar.upstream.simulated import Fault, FaultKind

START_S = 20.0
DOWN = Fault(kind=FaultKind.STATUS, start_s=START_S)


def world_of(*faults: Fault, rate_per_s: float, lasts_s: float) -> World:
    """Alpha is down from ``START_S`` on, beta has ``faults``, and there is nobody else."""

    async def scenario(world: World) -> None:
        world.alpha.faults, world.beta.faults = (DOWN,), faults
        await world.load(START_S + lasts_s, rate_per_s=rate_per_s, route="strong")

    return play(scenario)


def share_answered(world: World, since_s: float, until_s: float = 1e9) -> float:
    """Return which part of the calls that began in between was answered."""
    seen = started(world.seen, since_s, until_s)
    return sum(one.is_good for one in seen) / len(seen)


def fails(share: float, **changes: object) -> Fault:
    """A share of the requests fails at once with 500, but for ``changes``."""
    given: dict[str, object] = {"kind": FaultKind.STATUS, "share": share, "start_s": START_S}
    return Fault(**(given | changes))  # type: ignore[arg-type]  # any field of a fault


@pytest.mark.parametrize(
    ("share", "rate_per_s", "lasts_s", "least"),
    [
        (0.2, 1.0, 100.0, 0.95),
        (0.5, 0.1, 800.0, 0.75),
        (0.5, 1.0, 150.0, 0.80),
        (0.5, 10.0, 30.0, 0.80),
        (0.8, 1.0, 200.0, 0.30),
    ],
)
def test_row_51_half_alive_is_asked_until_it_answers(
    share: float, rate_per_s: float, lasts_s: float, least: float
) -> None:
    """Row 51: of three tries at random 99, 88 and 49 % succeed; most of that reaches callers."""
    world = world_of(fails(share), rate_per_s=rate_per_s, lasts_s=lasts_s)
    assert share_answered(world, START_S) >= least
    kinds = {event.kind for event in world.recorder.events if isinstance(event, AttemptFinished)}
    assert "retry" in kinds or "panic" in kinds
    calls = len(started(world.seen, START_S))
    assert len(requests(world.beta, START_S, is_probe=False)) <= 3 * calls


@pytest.mark.parametrize("rate_per_s", [1.0, 20.0])
def test_row_51_dead_is_left_alone(rate_per_s: float) -> None:
    """Row 51: who never answers earns nothing: the ration and its own trials, at any rate."""
    world = world_of(DOWN, rate_per_s=rate_per_s, lasts_s=30.0)
    late_s = START_S + 10.0
    assert share_answered(world, START_S + 1.0) == 0.0
    sent = sum(len(requests(one, late_s)) for one in (world.alpha, world.beta))
    assert sent <= 20.0 / 2.0 + 12.0


def test_row_51_death_is_believed() -> None:
    """Row 51: half alive, then dead: at most the tries in hand, then the ration."""
    dead_s = START_S + 25.0
    world = world_of(
        fails(0.5, end_s=dead_s), Fault(kind=FaultKind.STATUS, start_s=dead_s),
        rate_per_s=8.0, lasts_s=45.0,
    )  # fmt: skip
    assert share_answered(world, START_S + 10.0, dead_s) >= 0.8
    assert len(requests(world.beta, dead_s)) <= 30 + 30, "in hand, and what was under way"
    assert len(requests(world.beta, dead_s + 8.0)) <= 12 / 2 + 4


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_recovery_is_seen_at_once(share: float) -> None:
    """Where tries flow, the first whole second after the recovery is already served."""
    well_s = START_S + 40.0
    world = world_of(fails(share, end_s=well_s), rate_per_s=4.0, lasts_s=55.0)
    assert share_answered(world, well_s + 1.0) == 1.0
    closed = world.engine.health.endpoints[BETA].breaker
    assert closed.refusal(1e9) is None


def test_a_stated_time_is_obeyed() -> None:
    """503 with Retry-After is no guess: nothing goes past it, however lively the endpoint was."""
    stated = fails(0.5, status=503, retry_after_s=8.0)
    world = world_of(stated, rate_per_s=2.0, lasts_s=80.0)
    refused = [
        event.outcome.ended_at
        for event in world.recorder.events
        if isinstance(event, AttemptFinished)
        and event.outcome.endpoint == BETA
        and event.outcome.status == 503
    ]
    past = [
        event.outcome.started_at
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.kind == "panic"
        and event.outcome.endpoint == BETA
    ]  # fmt: skip
    assert past
    assert all(not (at < began < at + 8.0) for at in refused for began in past)


@pytest.mark.parametrize("status", [529, 503])
def test_overload_is_no_reason_to_press(status: int) -> None:
    """A share of overloads is answered around too; the requests stay within three a call."""
    overload = fails(0.5, status=status, error_type="overloaded_error")
    world = world_of(overload, rate_per_s=2.0, lasts_s=60.0)
    assert share_answered(world, START_S) >= 0.7
    calls = len(started(world.seen, START_S))
    assert len(requests(world.beta, START_S, is_probe=False)) <= 3 * calls


def test_slow_failures_leave_room() -> None:
    """Half of the requests hang: each call has time for a second try, and half of them more."""
    world = world_of(fails(0.5, kind=FaultKind.HANG), rate_per_s=0.5, lasts_s=200.0)
    assert share_answered(world, START_S) >= 0.5


def test_a_flapping_last_endpoint_is_used_in_its_good_times() -> None:
    """Ten seconds down, ten up: it is found again within a few seconds each time."""
    flaps = tuple(
        Fault(kind=FaultKind.STATUS, start_s=at, end_s=at + 10.0)
        for at in (START_S + 20.0 * number for number in range(5))
    )
    world = world_of(*flaps, rate_per_s=3.0, lasts_s=100.0)
    good = [
        one
        for one in started(world.seen, START_S)
        if (one.started_at - START_S) % 20.0 >= 16.0
    ]  # fmt: skip
    assert sum(one.is_good for one in good) >= 0.7 * len(good)


def test_a_429_that_names_no_time_is_a_guess() -> None:
    """The rest after it is ours: who answers in between is asked on, but by few at once."""
    world = world_of(fails(0.5, status=429), rate_per_s=0.5, lasts_s=200.0)
    assert share_answered(world, START_S) >= 0.5
    calls = len(started(world.seen, START_S))
    assert len(requests(world.beta, START_S, is_probe=False)) <= 3 * calls


def test_a_429_that_names_its_time_is_obeyed() -> None:
    """Nothing is sent to the account before."""
    stated = fails(0.5, status=429, retry_after_s=6.0)
    world = world_of(stated, rate_per_s=2.0, lasts_s=60.0)
    sent = requests(world.beta, START_S)
    refused = [one.at_s for one in sent if one.status == 429]
    assert refused
    assert all(not (at + 0.1 < one.at_s < at + 6.0) for at in refused for one in sent)
