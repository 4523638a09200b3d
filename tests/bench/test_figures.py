"""Percentiles, medians and ratios of rounds."""

from __future__ import annotations

import pytest

from bench.figures import added, median_of, percentile, ratio_of

ROUNDS = [
    {"ours": {"call_us": 30.0, "other_us": 60.0}, "envoy": {"call_us": 10.0}},
    {"ours": {"call_us": 80.0, "other_us": 80.0}, "envoy": {"call_us": 20.0}},
    {"ours": {"call_us": 50.0}, "envoy": {"call_us": 10.0}},
    {"ours": {"call_us": 900.0}},
]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100)]
)
def test_percentile_is_a_value_that_occurred(share: float, expected: int) -> None:
    """Of 1..100, in any order, the percentile at a share is the smallest not exceeded by it."""
    assert percentile(range(100, 0, -1), share) == expected


def test_median_is_over_the_rounds_that_have_the_figure() -> None:
    """A round without the candidate or the measure does not count."""
    assert median_of(ROUNDS, "ours", "call_us") == 65
    assert median_of(ROUNDS, "envoy", "call_us") == 10
    assert median_of(ROUNDS, "ours", "unknown") is None


def test_ratios_are_paired() -> None:
    """Each round gives a ratio of its own, and the median is of these: 3, 4 and 5."""
    assert ratio_of(ROUNDS, "call_us", "ours", "envoy") == 4
    assert ratio_of(ROUNDS, "other_us", "ours", "ours", other_measure="call_us") == 1.5
    assert ratio_of(ROUNDS, "call_us", "ours", "nobody") is None


def test_added_is_never_nothing() -> None:
    """What is added is above the direct figure, and stays a divisor where noise makes it none."""
    pooled = {"direct": {"p50": 0.2}, "ours": {"p50": 0.5}, "envoy": {"p50": 0.1}}
    assert added(pooled, "p50", "ours") == pytest.approx(0.3)
    assert added(pooled, "p50", "envoy") == 0.001
    assert added(pooled, "p99", "ours") is None
