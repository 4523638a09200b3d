"""How slices stand for what was not played."""

from __future__ import annotations

import random

import pytest

from sidecar.simulate.whatif.fleet import Record, ttft_of
from sidecar.simulate.whatif.inputs import USUAL_LATENCY, Flow
from sidecar.simulate.whatif.tally import (
    Cell,
    Tally,
    expected_calls,
    figures_of,
    hour_of_week,
)
from sidecar.simulate.whatif.timeline import Piece, Rest, Timeline
from sidecar.upstream.simulated import LogEntry

MONDAY = 4 * 86_400.0
DAY = 86_400.0


def piece(start_s: float, *, is_sample: bool) -> Piece:
    """Return a calm piece of a hundred seconds."""
    return Piece(start_s=start_s, length_s=100.0, state=(), active=(), is_sample=is_sample)


TIMELINE = Timeline(
    start_s=MONDAY,
    end_s=MONDAY + 7300.0,
    pieces=(
        piece(MONDAY, is_sample=False),
        piece(MONDAY + 1000.0, is_sample=True),
        piece(MONDAY + 5000.0, is_sample=True),
    ),
    rests=(Rest(start_s=MONDAY + 100.0, end_s=MONDAY + 7300.0, state=()),),
)
FLOWS = (
    Flow(hours=(0, 0), route="r", calls_per_s=2.0, prompt_tokens=1, output_tokens=1),
    Flow(hours=(1, 167), route="r", calls_per_s=1.0, prompt_tokens=1, output_tokens=1),
)


def record(number: int, *, good: bool, took_s: float = 1.0, usd: float = 0.0) -> Record:
    """Return a call of piece ``number`` that is over."""
    found = Record(route="r", piece=number, started_at=0.0, deadline_at=9.0, output_tokens=1)
    found.ended_at, found.is_good = took_s, good
    found.sends.append(LogEntry(at_s=0.0, path="/", cost_usd=usd))
    return found


def test_the_week_begins_on_monday() -> None:
    """Hour 0 is Monday 0:00 UTC; 1970 began on a Thursday."""
    assert hour_of_week(int(MONDAY // 3600)) == 0
    assert hour_of_week(0) == 3 * 24


def test_expected_calls_follow_the_rates_of_the_hours() -> None:
    """The first hour has 3500 s at 2 a second, the next 3600 at 1, the last a hundred at 1."""
    found = expected_calls(TIMELINE, FLOWS)
    assert list(found.values()) == [7000.0, 3600.0, 100.0]


def test_slices_are_weighed_by_what_they_stand_for() -> None:
    """Of four sampled calls one failed; of ten thousand and more a quarter did."""
    tally = Tally(TIMELINE)
    tally.note(record(0, good=False, usd=7.0), MONDAY)
    for number, good in ((1, True), (1, True), (2, True), (2, False)):
        tally.note(record(number, good=good, took_s=2.0, usd=1.0), MONDAY + 1000.0)
    tally.settle()
    found = figures_of(tally, TIMELINE, FLOWS)
    assert found.total.calls == pytest.approx(10_701.0)
    assert found.total.good == pytest.approx(8025.0)
    assert found.total.usd == pytest.approx(10_707.0)
    assert found.total.latency_s(0.5) == pytest.approx(2.0, rel=0.01)
    assert [round(cell.calls) for cell in found.hours.values()] == [7001, 3600, 100]
    assert found.played_calls == 5
    # Two slices of two calls, none and one of them bad: the variance of the share is 1/16.
    assert found.margin == pytest.approx(1.96 * 0.25 * 10_700 / 10_701, rel=1e-6)


def test_probes_are_paid_by_the_second() -> None:
    """Two sampled stretches of a hundred seconds with a dollar: 7200 seconds cost 36."""
    tally = Tally(TIMELINE)
    tally.note(record(1, good=True), MONDAY + 1000.0)
    tally.note_probe(TIMELINE.pieces[1], LogEntry(at_s=0.0, path="/", cost_usd=1.0))
    tally.note_probe(TIMELINE.pieces[0], LogEntry(at_s=0.0, path="/", cost_usd=0.5))
    tally.settle()
    assert figures_of(tally, TIMELINE, FLOWS).probe_usd == pytest.approx(36.5)


def test_a_bill_that_comes_late_counts() -> None:
    """What is still under way when its call ends is billed at its own end."""
    tally = Tally(TIMELINE)
    one = record(0, good=True)
    tally.note(one, MONDAY)
    one.sends[0].cost_usd = 3.0
    tally.settle()
    assert tally.own[int(MONDAY // 3600), "r"].usd == 3.0


def test_weather_without_a_sampled_call_is_in_no_figure() -> None:
    """It is counted apart instead of being made up."""
    tally = Tally(TIMELINE)
    tally.note(record(0, good=True), MONDAY)
    found = figures_of(tally, TIMELINE, FLOWS)
    assert (found.total.calls, found.unplayed) == (1.0, 10_700.0)


def test_quantiles_are_right_to_a_percent() -> None:
    """Bins of two percent."""
    rng = random.Random(1)
    tally, values = Tally(TIMELINE), []
    for _ in range(2000):
        values.append(rng.lognormvariate(0.0, 1.0))
        tally.note(record(0, good=True, took_s=values[-1]), MONDAY)
    cell = tally.own[int(MONDAY // 3600), "r"]
    values.sort()
    for share in (0.5, 0.95, 0.99):
        assert cell.latency_s(share) == pytest.approx(values[int(share * 2000) - 1], rel=0.011)
    assert Cell().latency_s(0.5) is None


def test_first_tokens_have_the_quantiles_asked_for() -> None:
    """Drawn at the standard normal's quantiles, the three of the row come out; ever longer."""
    drawn = [ttft_of(USUAL_LATENCY, z) for z in (0.0, 1.645, 2.326)]
    assert drawn == pytest.approx([0.6, 1.5, 4.0])
    ordered = [ttft_of(USUAL_LATENCY, z / 10) for z in range(-60, 61)]
    assert ordered == sorted(ordered)
    assert ttft_of(USUAL_LATENCY, 40.0) == 600.0
