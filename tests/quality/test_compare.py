"""Comparing two beliefs: sure where the evidence is, unsure where it is not, the same each time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.quality import Posterior
from sidecar.quality.compare import difference, scores_needed

SCORES = st.floats(1.0, 2000.0)


def belief(good: float, bad: float) -> Posterior:
    """Return a belief from so many scores of each kind."""
    return Posterior(alpha=1.0 + good, beta=1.0 + bad, n=good + bad)


@settings(max_examples=8)
@given(SCORES, SCORES, SCORES, SCORES)
def test_the_interval_holds_the_mean(a: float, b: float, c: float, d: float) -> None:
    """And the same question has the same answer."""
    gap = difference(belief(a, b), belief(c, d), 0.02)
    assert gap.low - 0.02 <= gap.mean <= gap.high + 0.02
    assert -1.0 <= gap.low <= gap.high <= 1.0
    assert gap.not_worse >= gap.better
    assert gap == difference(belief(a, b), belief(c, d), 0.02)


def test_the_interval_is_that_of_the_normal_law_where_there_is_much() -> None:
    """0.8 and 0.8 of a thousand scores each: 1.96 standard errors of the difference."""
    gap = difference(belief(800, 200), belief(800, 200), 0.02)
    half = 1.96 * (2 * 0.16 / 1000) ** 0.5
    assert (gap.low, gap.high) == pytest.approx((-half, half), abs=0.003)
    assert gap.better == pytest.approx(0.5, abs=0.03)


def test_nothing_known_is_nothing_sure() -> None:
    """Two models of which nobody said anything."""
    gap = difference(belief(0, 0), belief(0, 0), 0.02)
    assert gap.high - gap.low > 1.3
    assert 0.4 < gap.not_worse < 0.6


@pytest.mark.parametrize(
    ("own", "first", "wanted"),
    [
        (belief(80_000, 20_000), belief(80_000, 20_000), (1104, 1104)),  # the other is known
        (belief(0, 0), belief(0, 0), (3383, 3383)),  # of two that nobody knows
        (belief(90_000, 10_000), belief(80_000, 20_000), (17, 30)),  # a plain difference
        (belief(8, 2), belief(80_000, 20_000), (1278, 2406)),
    ],
)
def test_scores_needed(own: Posterior, first: Posterior, wanted: tuple[int, int]) -> None:
    """Fewer where the difference is plain, and where the other one is well known."""
    found = scores_needed(own, first, 0.02)
    assert found == pytest.approx(wanted, rel=0.05)


def test_settled_evidence_settles() -> None:
    """With as many scores as were said to be needed, the answer is sure."""
    some = belief(85, 15)
    needed, _ = scores_needed(some, some, 0.02)
    own = belief(0.85 * needed, 0.15 * needed)
    assert difference(own, own, 0.02).not_worse == pytest.approx(0.95, abs=0.01)
