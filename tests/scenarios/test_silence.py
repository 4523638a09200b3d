"""Rows 13 and 14 of the fault catalogue: a provider that accepts and then says nothing."""

from __future__ import annotations

from functools import cache

import pytest

from sidecar.clock import now
from sidecar.domain import Constraints
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
from sidecar.simulate.world import ALPHA, ALPHA_SMALL, BETA, World, play
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedProvider

START_S, END_S = 40.0, 110.0
HANG_S = 8.0
"""What a fast endpoint's silence is worth after thirty samples: the floor of the hang budget."""
SILENT_KINDS = (FaultKind.HANG, FaultKind.SILENT_STREAM)


@cache
def _outage(kind: FaultKind) -> World:
    """Play one outage; two tests ask it their questions."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=kind, start_s=START_S, end_s=END_S),)
        await world.load(END_S + 80, rate_per_s=1.0, is_even=True)

    return play(scenario)


@pytest.mark.parametrize("kind", SILENT_KINDS)
def test_silence_is_an_outage_before_the_calls_end(kind: FaultKind) -> None:
    """Rows 13 and 14: calls that hang or are outrun open the breaker; pings are no content; callers
    are answered by a hedge or fail over.
    """
    world = _outage(kind)

    assert all(one.is_good for one in world.seen)
    shunned_at = ejections(world, ALPHA)[0].at
    assert shunned_at - START_S <= 5.0, "at one call a second"
    tripped_at = opened_at(world, ALPHA)
    assert tripped_at - shunned_at <= HANG_S + 1.0, "one probe that hangs is the proof"
    waiting = started(world.seen, START_S, shunned_at)
    assert answered_by(waiting) == {BETA: len(waiting)}, "not one was committed to silence"
    assert all(one.took_s <= HANG_S + 4.0 for one in waiting)
    after = started(world.seen, shunned_at + 0.001, END_S)
    assert all(one.took_s < 2.0 for one in after)
    asked = requests(world.alpha, START_S, END_S, is_probe=False)
    during = [one for one in outcomes(world, ALPHA) if START_S <= one.started_at < END_S]
    hung = [one for one in during if one.cls.value == "HANG"]
    outrun = [one for one in during if one.cls.value == "OUTRUN"]
    assert len(hung) + len(outrun) == len(asked)
    assert all(one.ended_at > shunned_at for one in during[1:]), "known before they ended"
    assert requests(world.alpha, shunned_at + 0.001, END_S, is_probe=False) == []


@pytest.mark.parametrize("kind", SILENT_KINDS)
def test_silent_host_is_tried_without_waste(kind: FaultKind) -> None:
    """Row 13: its rest is kept; a host in doubt is cleared for free, by no model nobody uses."""
    world = _outage(kind)

    assert unrest(world, world.alpha, ALPHA, END_S) == []
    assert probes(world, ALPHA_SMALL, kind="paid") == []
    longest_s = max((event.reopens_at or 0) - event.at for event in changes(world, ALPHA))
    assert changes(world, ALPHA, to="closed")[0].at <= END_S + longest_s + 30


@pytest.mark.parametrize("is_stream", [False, True])
def test_silence_of_the_only_endpoint_ends_at_the_deadline(is_stream: bool) -> None:
    """Row 13: with nobody else to ask the caller hears 504 at its deadline, not later."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.HANG, start_s=START_S),)
        await world.load(START_S, rate_per_s=1.0, route="alone", is_even=True)
        wishes = Constraints(within_s=6.0)
        await world.call("alone", is_stream=is_stream, constraints=wishes)

    world = play(scenario)

    last = world.seen[-1]
    assert (last.status, last.code) == (504, "deadline_exceeded")
    assert last.attempts == (f"{ALPHA}:CALLER_SHORT",)
    assert last.took_s == pytest.approx(6.0, abs=0.05)
    assert changes(world, ALPHA) == [], "six seconds are the caller's haste, not yet a hang"


def test_silence_shows_among_equals_within_the_first_calls() -> None:
    """Row 14: an endpoint whose calls still wait loses the traffic to its equal at once."""
    sick: list[SimulatedProvider] = []
    since: list[float] = []

    async def scenario(world: World) -> None:
        sick.append(await world.warm_up())
        since.append(now())
        sick[0].faults = (Fault(kind=FaultKind.SILENT_STREAM),)
        await world.load(40, rate_per_s=1.0, route="pair", is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert len(requests(sick[0], since[0], is_probe=False)) <= 5
    assert requests(sick[0], since[0] + 8.0, is_probe=False) == []


def test_silence_from_the_start_leaves_room_for_the_next_endpoint() -> None:
    """Row 13: before anything is known of an endpoint its silence may use up the deadline, nearly.

    What is left must do for an answer slower than usual: no caller sees an error while another
    endpoint is healthy.
    """

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.HANG),)
        await world.load(150, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert answered_by(world.seen) == {BETA: len(world.seen)}
