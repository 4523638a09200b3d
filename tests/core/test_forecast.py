"""The forecast: chances that are kept, ignorance that widens them, cuts that measure nothing."""

from __future__ import annotations

import random
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.forecast import Forecast, Length, Outlook, Question, Spread
from sidecar.core.latency import LatencyModel
from sidecar.core.output import OutputModel
from sidecar.core.pace import WritingPace

SURE = Length(median=200.0, sigma=0.0, weight=64.0, stretch=1.0)
UNSURE = Length(median=200.0, sigma=0.8, weight=64.0, stretch=6.0)


def outlook(*, mean: float = 0.0, sigma: float = 0.3, level: float = 0.0) -> Outlook:
    """The same scatter in all three respects."""
    each = (mean, sigma)
    return Outlook(first=each, pace=each, whole=each, level=level, stretch=3.0, weight=16.0)


def question(
    *, length: Length = SURE, tokens_max: int | None = None, is_stream: bool = False
) -> Question:
    """First content after 1 s, 20 ms a token."""
    return Question(
        first_s=1.0, gap_s=0.02, length=length, tokens_max=tokens_max, is_stream=is_stream
    )


def trained(sigma: float, *, samples: int = 200, seed: int = 1) -> Spread:
    """A spread that saw one lognormal ratio a second."""
    rng, spread = random.Random(seed), Spread()
    for second in range(samples):
        spread.add(rng.gauss(0.0, sigma), float(second))
    return spread


def test_the_worked_example() -> None:
    """Five seconds expected: of five it has even odds, of eight nineteen in twenty."""
    assert question().in_time(outlook(), 5.0) == pytest.approx(0.5)
    assert question().in_time(outlook(), 8.0) == pytest.approx(0.94, abs=0.005)
    assert question().in_time(outlook(), 0.0) == 0.0


@pytest.mark.parametrize("sigma", [0.2, 0.5, 0.9])
def test_learns_the_scatter(sigma: float) -> None:
    """Mean and sigma of what was measured come out, over seeds, a little wide."""
    found = [trained(sigma, seed=seed).predict(200.0) for seed in range(40)]
    assert sum(mean for mean, _ in found) / 40 == pytest.approx(0.0, abs=0.2 * sigma)
    assert sum(width for _, width in found) / 40 == pytest.approx(1.03 * sigma, rel=0.1)


def test_few_samples_and_long_silence_widen() -> None:
    """One sample is hardly better than none, and an hour later sixteen are worth little more."""
    wide = [trained(0.2, samples=count).predict(float(count))[1] for count in (0, 1, 3, 10, 100)]
    assert wide == sorted(wide, reverse=True)
    assert wide[0] > 0.8
    known = trained(0.2)
    assert known.predict(3800.0)[1] > 1.5 * known.predict(200.0)[1]


def test_a_cut_wait_is_a_lower_bound() -> None:
    """Who is always cut at 2 s is not taken for somebody who needs 2 s, nor is an early leaver."""
    rng = random.Random(3)
    cut, naive = Spread(), Spread()
    for second in range(400):
        ratio = rng.gauss(log(3.0), 0.4)
        if ratio > log(2.0):
            cut.add_at_least(log(2.0), float(second))
        else:
            cut.add(ratio, float(second))
            naive.add(ratio, float(second))
    assert exp(cut.predict(400.0)[0]) > 2.2
    assert exp(naive.predict(400.0)[0]) < 2.0
    left = trained(0.3)
    before = left.predict(200.0)
    for _ in range(50):
        left.add_at_least(log(0.2), 200.0)
    assert left.predict(200.0) == pytest.approx(before, abs=0.1)


def test_level_overrides_the_mean_beyond_scatter() -> None:
    """An endpoint thrice as slow as usual is expected so at once; ordinary scatter is not."""
    forecast = Forecast()
    for second in range(60):
        forecast.first.add(random.Random(second).gauss(0.0, 0.2), float(second))
    assert forecast.outlook(60.0, 0.2).level == 0.0
    assert exp(forecast.outlook(60.0, log(3.0)).level) > 2.5
    slow = question(is_stream=True).first_in_time(forecast.outlook(60.0, log(3.0)), 1.5)
    usual = question(is_stream=True).first_in_time(forecast.outlook(60.0, 0.0), 1.5)
    assert slow < 0.1
    assert usual > 0.9


def test_slowness_to_begin_slows_no_writing() -> None:
    """Three times the first second on top of four seconds of writing is not three times five."""
    slow = outlook(level=log(3.0))
    assert question().in_time(slow, 7.0) == pytest.approx(0.5, abs=0.02)
    assert question().in_time(slow, 5.0, is_usual=True) == pytest.approx(0.5)


def test_a_bound_on_the_answer_bounds_its_time() -> None:
    """What the caller forbids to be written takes no time."""
    free, bound = question(length=UNSURE), question(length=UNSURE, tokens_max=20)
    assert bound.in_time(outlook(), 2.5) > 0.97
    assert free.in_time(outlook(), 2.5) < 0.2


@settings(max_examples=60, derandomize=True)
@given(
    st.floats(0.05, 60.0),
    st.floats(0.05, 60.0),
    st.floats(0.1, 1.2),
    st.floats(0.0, 1.0),
    st.floats(0.0, 2.0),
    st.booleans(),
)
def test_more_time_never_lowers_a_chance(
    one_s: float, other_s: float, sigma: float, length_sigma: float, level: float, is_stream: bool
) -> None:
    """More time, less slowness and a bound on the answer can only help."""
    length = Length(median=100.0, sigma=length_sigma, weight=9.0, stretch=9.0)
    asked = question(length=length, is_stream=is_stream)
    short_s, long_s = sorted((one_s, other_s))
    now, calm = outlook(sigma=sigma, level=level), outlook(sigma=sigma)
    chance = asked.in_time(now, short_s)
    assert 0.0 <= chance <= 1.0
    assert chance <= asked.in_time(now, long_s) + 1e-9
    assert chance <= asked.in_time(calm, short_s) + 1e-9
    plain = question(length=length).in_time(calm, short_s)
    assert question(length=length, tokens_max=50).in_time(calm, short_s) >= plain - 1e-9
    assert asked.first_in_time(now, short_s) <= asked.first_in_time(now, long_s) + 1e-9


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_needed_time_gives_the_chance(share: float) -> None:
    """Who asks for as much time as is named has the chance that was meant."""
    asked, calm = question(length=UNSURE), outlook()
    assert asked.in_time(calm, asked.needs_s(calm, share)) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("is_stream", [False, True])
def test_nine_of_ten_that_were_told_so_are_in_time(is_stream: bool) -> None:
    """Calibration of the core alone: lognormal first contents, paces and lengths, 40 worlds."""
    told: list[tuple[float, bool]] = []
    for seed in range(40):
        rng = random.Random(seed)
        latency, forecast, lengths = LatencyModel(), Forecast(), OutputModel()
        ttft_s, gap_s, median = rng.uniform(0.2, 2), rng.uniform(0.005, 0.05), rng.uniform(30, 300)
        for number in range(160):
            now = 3.0 * number
            first_s = ttft_s * exp(rng.gauss(0.0, 0.35))
            pace_s = gap_s * exp(rng.gauss(0.0, 0.1))
            tokens = max(1, round(median * exp(rng.gauss(0.0, 0.5))))
            whole_s = first_s + tokens * pace_s
            if number >= 30:
                asked = Question(
                    first_s=latency.typical_ttft_s(100),
                    gap_s=latency.itl_s(now),
                    length=lengths.length(now),
                    tokens_max=None,
                    is_stream=is_stream,
                )
                within_s = (ttft_s + median * gap_s) * rng.uniform(0.6, 2.5)
                view = forecast.outlook(now, latency.level(now))
                told.append((asked.in_time(view, within_s), whole_s <= within_s))
            latency.observe_gap(pace_s, now)
            latency.observe_first_content(100, first_s, now)
            usual_s = latency.typical_ttft_s(100)
            forecast.observe(forecast.first, first_s, usual_s, now)
            forecast.observe(forecast.pace, pace_s, latency.itl_s(now), now)
            expected_s = usual_s + tokens * latency.itl_s(now)
            forecast.observe(forecast.whole, whole_s, expected_s, now)
            lengths.observe(tokens, now)
    for low, high in ((0.85, 0.95), (0.6, 0.8), (0.3, 0.5)):
        kept = [is_kept for chance, is_kept in told if low < chance <= high]
        assert len(kept) > 200
        assert low - 0.02 <= sum(kept) / len(kept) <= high + 0.02


# --- lengths and paces ---------------------------------------------------------------------------


def test_lengths_scatter_as_they_do() -> None:
    """Median and sigma of a route's answers; unknown ones may have any length."""
    model, rng = OutputModel(), random.Random(5)
    assert model.length(0.0).sigma > 1.0
    for second in range(300):
        model.observe(round(120 * exp(rng.gauss(0.0, 0.4))), float(second))
    length = model.length(300.0)
    assert length.median == pytest.approx(120, rel=0.15)
    assert length.sigma == pytest.approx(0.4, rel=0.2)


def test_answers_that_are_cut_are_longer() -> None:
    """A route whose long answers never end in time does not look like one of short answers."""
    model, rng = OutputModel(), random.Random(5)
    for second in range(300):
        tokens = 120 * exp(rng.gauss(0.0, 0.5))
        if tokens < 120:
            model.observe(round(tokens), float(second))
        else:
            model.observe_cut(120, float(second))
    assert model.length(300.0).median > 105


def test_pace_of_plain_answers_is_told_from_their_lengths() -> None:
    """Where no stream shows it, the slope of waits over lengths does."""
    pace, rng = WritingPace(), random.Random(2)
    assert pace.gap_s(0.02) == 0.02
    for _ in range(60):
        tokens = rng.randrange(20, 400)
        pace.add(tokens, 0.8 * exp(rng.gauss(0.0, 0.3)) + 0.09 * tokens)
    assert pace.gap_s(0.02) == pytest.approx(0.09, rel=0.05)


def test_one_length_tells_no_pace() -> None:
    """Answers that are all alike leave the prior as it is, within what they took."""
    pace = WritingPace()
    for _ in range(30):
        pace.add(100, 5.0)
    assert pace.gap_s(0.02) == pytest.approx(0.02)
    assert pace.gap_s(0.5) <= 0.05


def test_a_stream_knows_its_pace_better() -> None:
    """Once a stream has shown the pace, plain answers say nothing of it any more."""
    model = LatencyModel()
    for tokens in (50, 100, 150, 400) * 4:
        model.observe_written(tokens, 1.0 + 0.1 * tokens)
    assert model.itl_s(0.0) == pytest.approx(0.1, rel=0.05)
    model.observe_gap(0.03, 0.0)
    model.observe_written(100, 11.0)
    assert model.itl_s(0.0) == pytest.approx(0.03)
