"""What is played of a period: every instant once, by itself or by slices of the same weather."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.simulate.whatif.inputs import Incident
from sidecar.simulate.whatif.timeline import Sampling, Timeline, lay_out
from sidecar.upstream.simulated_faults import FaultKind

WHOLE = Sampling(seconds_max=math.inf)


def incident(start_s: float, end_s: float, provider: str = "a", share: float = 1.0) -> Incident:
    """Return an incident of errors."""
    return Incident(
        start_s=start_s, end_s=end_s, provider=provider, kind=FaultKind.STATUS, share=share
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Incident, ...]:
    """Draw incidents around a period of two days."""
    starts = draw(st.lists(st.integers(min_value=-50_000, max_value=200_000), max_size=6))
    return tuple(
        incident(
            float(start),
            float(start + draw(st.integers(min_value=1, max_value=60_000))),
            draw(st.sampled_from("ab")),
            draw(st.sampled_from((0.1, 1.0))),
        )
        for start in starts
    )


PERIOD = (0.0, 172_800.0)


@settings(max_examples=100, deadline=None)
@given(some=histories(), seconds_max=st.sampled_from((1.0, 5_000.0, 40_000.0, math.inf)))
def test_every_instant_counts_once(some: tuple[Incident, ...], seconds_max: float) -> None:
    """Heads and rests tile the period; slices lie within a rest of their own weather."""
    found = lay_out(some, PERIOD, Sampling(seconds_max=seconds_max), 1)
    heads = [(one.start_s, one.start_s + one.length_s) for one in found.pieces if not one.is_sample]
    tiles = sorted([*heads, *((one.start_s, one.end_s) for one in found.rests)])
    assert tiles[0][0] == PERIOD[0]
    assert tiles[-1][1] == pytest.approx(PERIOD[1])
    for (_, end), (start, _) in pairwise(tiles):
        assert start == pytest.approx(end)
    states = {rest.state for rest in found.rests}
    for piece in found.pieces:
        hit = {one.sickness() for one in some if overlaps(one, piece.start_s + 1e-6)}
        assert set(piece.state) == hit
        if piece.is_sample:
            assert any(
                rest.start_s - 1e-6 <= piece.start_s
                and piece.start_s + piece.length_s <= rest.end_s + 1e-6
                and rest.state == piece.state
                for rest in found.rests
            )
    assert states <= {piece.state for piece in found.pieces if piece.is_sample}


def overlaps(one: Incident, at_s: float) -> bool:
    """Return whether an incident is on at an instant."""
    return one.start_s <= at_s < one.end_s


@settings(max_examples=60, deadline=None)
@given(some=histories())
def test_what_is_played_keeps_within_bounds(some: tuple[Incident, ...]) -> None:
    """It is at most what was asked for, but for heads and one slice a span; and in order."""
    for seconds_max in (5_000.0, 40_000.0):
        found = lay_out(some, PERIOD, Sampling(seconds_max=seconds_max), 1)
        spans = sum(not piece.is_sample for piece in found.pieces)
        assert found.played_s <= max(seconds_max, spans * 420.0) + 1e-6
        starts = [piece.start_s for piece in found.pieces]
        assert starts == sorted(starts)


def test_with_room_for_all_nothing_is_sampled() -> None:
    """Everything is played, by itself."""
    found = lay_out((incident(1000.0, 2000.0),), PERIOD, WHOLE, 1)
    assert found.rests == ()
    assert found.played_s == PERIOD[1]


def test_what_follows_a_change_is_played_whole() -> None:
    """The first five minutes after a beginning and after an end are there."""
    found = lay_out((incident(50_000.0, 90_000.0),), PERIOD, Sampling(seconds_max=5_000.0), 1)
    heads = [piece for piece in found.pieces if not piece.is_sample]
    assert [(piece.start_s, piece.length_s, len(piece.state)) for piece in heads] == [
        (0.0, 300.0, 0),
        (50_000.0, 300.0, 1),
        (90_000.0, 300.0, 0),
    ]
    assert found.played_s > 4_000.0


def test_slices_are_denser_in_an_incident() -> None:
    """There answers differ."""
    found = lay_out((incident(0.0, 86_400.0),), PERIOD, Sampling(seconds_max=20_000.0), 1)
    sick = sum(piece.is_sample and bool(piece.state) for piece in found.pieces)
    calm = sum(piece.is_sample and not piece.state for piece in found.pieces)
    assert sick == pytest.approx(4 * calm, rel=0.1)


def test_the_seed_moves_the_slices() -> None:
    """Equal seeds, equal slices; another seed, others."""
    sampling = Sampling(seconds_max=10_000.0)

    def of(seed: int) -> Timeline:
        return lay_out((), PERIOD, sampling, seed)

    assert of(1) == of(1)
    assert of(1) != of(2)
