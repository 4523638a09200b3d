"""The latency model: long prompts are not slowness; slowness shows at once, recovery later."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.latency import LatencyModel


def trained(ttft_s: float = 1.0, *, samples: int = 40, is_reasoning: bool = False) -> LatencyModel:
    """A model that saw one answer a second, ending at 0.0."""
    model = LatencyModel(is_reasoning=is_reasoning)
    for second in range(samples):
        model.observe_first_content(100, ttft_s, float(second - samples))
    return model


def test_unknown_endpoint_is_predicted_by_the_prior() -> None:
    """Before any sample: one second plus 0.2 ms a token, five for models that think."""
    assert LatencyModel().ttft_s(0, 0.0) == pytest.approx(1.0)
    assert LatencyModel().typical_ttft_s(10_000) == pytest.approx(3.0)
    assert LatencyModel(is_reasoning=True).ttft_s(0, 0.0) == pytest.approx(5.0)
    assert LatencyModel().itl_s(0.0) == pytest.approx(0.02)


def test_learns_seconds_by_prompt_size() -> None:
    """From prompts of different sizes the model learns both the constant and the slope."""
    model = LatencyModel()
    for step in range(100):
        tokens = (step % 5) * 5000
        model.observe_first_content(tokens, 0.5 + 0.0001 * tokens, float(step))
    assert model.typical_ttft_s(0) == pytest.approx(0.5, abs=0.05)
    assert model.typical_ttft_s(20_000) == pytest.approx(2.5, abs=0.1)
    assert model.level(100.0) == pytest.approx(0.0, abs=0.1)


def test_slope_is_never_negative() -> None:
    """Longer prompts that happened to be faster must not promise negative times."""
    model = LatencyModel()
    for step in range(50):
        model.observe_first_content(0, 5.0, float(step))
        model.observe_first_content(50_000, 0.5, float(step))
    assert model.typical_ttft_s(1_000_000) >= model.typical_ttft_s(0) > 0.0


def test_first_sample_is_believed_not_doubled() -> None:
    """The first measurement predicts itself: it does not both move the model and count as slow."""
    model = LatencyModel()
    model.observe_first_content(100, 6.0, 0.0)
    assert model.ttft_s(100, 0.0) == pytest.approx(6.0, rel=0.01)


def test_slowness_shows_within_seconds_and_fades_slower() -> None:
    """Two slow answers show, two fast ones a moment later do not hide it, a minute of them does."""
    model = trained()
    model.observe_first_content(100, 6.0, 1.0)
    model.observe_first_content(100, 6.0, 2.0)
    slow_s = model.ttft_s(100, 2.0)
    assert slow_s > 1.5
    model.observe_first_content(100, 1.0, 3.0)
    model.observe_first_content(100, 1.0, 4.0)
    assert model.ttft_s(100, 4.0) > 0.8 * slow_s
    for second in range(5, 125):
        model.observe_first_content(100, 1.0, float(second))
    assert model.ttft_s(100, 125.0) < 1.3


def test_waiting_calls_count_before_they_end() -> None:
    """A hanging endpoint completes nothing, and still looks slow; a short wait changes nothing."""
    model = trained()
    model.observe_waiting(100, 0.5, 1.0)
    assert model.level(1.0) == pytest.approx(0.0, abs=0.1)
    model.observe_waiting(100, 5.0, 2.0)
    assert model.ttft_s(100, 2.0) == pytest.approx(5.0, rel=0.05)
    assert model.samples == 40


def test_level_is_bounded_and_fades_when_nothing_is_measured() -> None:
    """One absurd sample counts eightfold at most, and an abandoned endpoint gets a new chance."""
    model = trained()
    model.observe_waiting(100, 1e6, 0.0)
    assert model.ttft_s(100, 0.0) == pytest.approx(8.0, rel=0.05)
    assert model.ttft_s(100, 1800.0) < 1.1


def test_weak_evidence_moves_less() -> None:
    """A sample of weight 0.25 moves the level less than one of weight 1."""
    strong, weak = trained(), trained()
    strong.observe_first_content(100, 6.0, 1.0)
    weak.observe_first_content(100, 6.0, 1.0, weight=0.25)
    assert 0.0 < weak.level(1.0) < strong.level(1.0)


def test_hang_budget_before_and_after_thirty_samples() -> None:
    """15 s while unknown, less with each of thirty samples, then thrice the worst usual time in
    8..60 s; thinking triples it.
    """
    assert LatencyModel().hang_s(100, 0.0) == 15.0
    assert LatencyModel(is_reasoning=True).hang_s(0, 0.0) == 45.0
    assert trained(samples=15).hang_s(100, 0.0) == pytest.approx(11.5)
    assert trained(samples=30).hang_s(100, 0.0) == 8.0
    assert trained(1.0).hang_s(100, 0.0) == 8.0
    assert trained(5.0, samples=200).hang_s(100, 0.0) == pytest.approx(15.0, rel=0.05)
    assert trained(100.0).hang_s(100, 0.0) == 60.0
    thinking = trained(5.0, samples=200, is_reasoning=True)
    assert thinking.hang_s(100, 0.0) == pytest.approx(45.0, rel=0.05)


def test_long_prompt_is_no_hang_while_unknown() -> None:
    """A prompt that needs minutes to read gets more than 15 s before its endpoint is blamed."""
    assert LatencyModel().hang_s(90_000, 0.0) == pytest.approx(57.0)
    assert LatencyModel().hang_s(1_000_000, 0.0) == 60.0


def test_stall_limit_follows_the_token_gaps() -> None:
    """Thirty times the slowest usual gap, within 10 and 30 s."""
    model = LatencyModel()
    assert model.stall_s(0.0) == 10.0
    model.observe_gap(0.5, 0.0)
    assert model.stall_s(0.0) == pytest.approx(15.0)
    assert model.stall_s(1.0) == pytest.approx(15.0)
    model.observe_gap(5.0, 1.0)
    assert model.stall_s(1.0) == 30.0


def test_token_gap_is_an_average_over_a_minute() -> None:
    """The first stream replaces the prior; later ones shift it by how much time passed."""
    model = LatencyModel()
    model.observe_gap(0.1, 0.0)
    assert model.itl_s(0.0) == pytest.approx(0.1)
    model.observe_gap(0.2, 60.0)
    assert model.itl_s(60.0) == pytest.approx(0.1 + 0.1 * (1 - 2.718281828**-1))


def test_sluggish_needs_five_very_slow_of_eight() -> None:
    """Of the last eight, four slow are bad luck, five sluggish; ten idle minutes pardon."""
    model = trained(samples=400)
    for second in range(4):
        model.observe_first_content(100, 7.0, float(second))
    assert not model.is_sluggish(4.0)
    model.observe_first_content(100, 7.0, 4.0)
    assert model.is_sluggish(5.0)
    assert not model.is_sluggish(700.0)


def test_slow_but_short_waits_are_not_sluggish() -> None:
    """Five times slower than usual is no reason while it is under five seconds."""
    model = trained(0.5, samples=400)
    for second in range(8):
        model.observe_first_content(100, 4.0, float(second))
    assert not model.is_sluggish(8.0)


@settings(max_examples=50, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 200_000), st.floats(0.0, 200.0), st.floats(0.0, 4000.0)),
        max_size=40,
    ),
    st.integers(0, 1_000_000),
)
def test_predictions_stay_usable_whatever_is_observed(
    samples: list[tuple[int, float, float]], tokens: int
) -> None:
    """Any history gives finite positive times, and limits within their bounds."""
    model = LatencyModel()
    now = 0.0
    for prompt_tokens, ttft_s, wait_s in samples:
        now += wait_s
        model.observe_waiting(prompt_tokens, ttft_s / 2, now)
        model.observe_first_content(prompt_tokens, ttft_s, now)
    typical_s = model.typical_ttft_s(tokens)
    assert 0.0 < typical_s < 1e9
    assert 0.19 * typical_s < model.ttft_s(tokens, now) < 8.1 * typical_s
    assert 8.0 <= model.hang_s(tokens, now) <= 60.0


def test_waits_cut_in_a_row_say_more_and_more() -> None:
    """A deadline that is always a little too short shows after a few calls; an answer ends that."""
    model = LatencyModel()
    for number in range(20):
        model.observe_first_content(100, 1.0, float(number))
    seen = []
    for number in range(4):
        model.observe_cut(100, 1.0, 20.0 + number)
        seen.append(model.ttft_s(100, 20.0 + number))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.25**4, rel=0.05)
    model.observe_first_content(100, 1.0, 60.0)
    model.observe_cut(100, 1.0, 61.0)
    assert model.ttft_s(100, 61.0) < seen[-1]


def test_who_leaves_at_once_says_nothing() -> None:
    """Callers who change their minds make nobody look slow."""
    model = LatencyModel()
    for number in range(20):
        model.observe_first_content(100, 1.0, float(number))
        model.observe_cut(100, 0.4, float(number) + 0.5)
    assert model.ttft_s(100, 20.0) == pytest.approx(1.0, rel=0.05)
