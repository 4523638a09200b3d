"""The score: readable, 0 to 100, honest about how much is behind it."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.score import Score, score


def scored(
    *,
    reliability: float = 0.98,
    level: float = 0.0,
    headroom: float = 1.0,
    is_blocked: bool = False,
    samples: float = 30.0,
    age_s: float | None = 0.0,
) -> Score:
    """A healthy endpoint but for what the test changes."""
    return score(
        reliability=reliability,
        level=level,
        headroom=headroom,
        is_blocked=is_blocked,
        samples=samples,
        age_s=age_s,
    )


def test_healthy_endpoint_scores_high() -> None:
    """Reliability counts squared: 0.98 gives 96."""
    assert scored().value == pytest.approx(96.04)


@pytest.mark.parametrize(
    ("level", "factor"),
    [(-1.0, 1.0), (0.0, 1.0), (log(2), 2 / 3), (log(4), 1 / 3), (log(8), 0.0), (log(16), 0.0)],
)
def test_each_doubling_of_latency_costs_a_third(level: float, factor: float) -> None:
    """Twice as slow keeps two thirds, eight times nothing; faster than usual adds nothing."""
    assert scored(level=level).latency_factor == pytest.approx(factor, abs=1e-12)


def test_headroom_matters_only_when_nearly_gone() -> None:
    """A fifth of the limits left is as good as all of them, a tenth is half as good."""
    assert scored(headroom=0.2).value == pytest.approx(scored(headroom=1.0).value)
    assert scored(headroom=0.1).headroom == pytest.approx(0.5)


def test_blocked_endpoint_scores_zero_and_keeps_its_parts() -> None:
    """A shut gate forces the score to 0; the parts still tell why it might come back."""
    blocked = scored(is_blocked=True)
    assert blocked.value == 0.0
    assert blocked.reliability == 0.98


def test_confidence_grows_with_samples_and_fades_with_age() -> None:
    """No sample, no confidence; more samples, more of it; old samples, less."""
    assert scored(samples=0.0, age_s=None).confidence == 0.0
    assert scored(samples=5.0).confidence == pytest.approx(0.5)
    assert scored(samples=5.0).confidence < scored(samples=50.0).confidence < 1.0
    assert scored(age_s=600.0).confidence < scored(age_s=60.0).confidence


@settings(max_examples=60, derandomize=True)
@given(st.floats(0, 1), st.floats(-3, 3), st.floats(0, 1), st.floats(0, 1))
def test_score_is_bounded_and_monotone(
    reliability: float, level: float, headroom: float, worse: float
) -> None:
    """Within 0..100 always, and never higher for a less reliable or slower endpoint."""
    base = scored(reliability=reliability, level=level, headroom=headroom)
    assert 0.0 <= base.value <= 100.0
    less = scored(reliability=reliability * worse, level=level + worse, headroom=headroom * worse)
    assert less.value <= base.value + 1e-9
