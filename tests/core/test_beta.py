"""The Beta distribution against closed forms, the binomial identity and its own symmetries."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.beta import share_below, value_at

PARAMETERS = st.floats(0.05, 20_000.0)
SHARES = st.floats(0.001, 0.999)


def binomial(value: float, alpha: int, beta: int) -> float:
    """Return the share below, for whole parameters: at least ``alpha`` of n trials succeed."""
    n = alpha + beta - 1
    terms = range(alpha, n + 1)
    return sum(comb(n, j) * value**j * (1.0 - value) ** (n - j) for j in terms)


@given(st.floats(0.0, 1.0), st.integers(1, 60), st.integers(1, 60))
def test_share_below_is_the_binomial_sum(value: float, alpha: int, beta: int) -> None:
    """For whole parameters the share is a sum that can be written out."""
    assert share_below(value, alpha, beta) == pytest.approx(binomial(value, alpha, beta), abs=1e-10)


@given(SHARES, st.floats(0.3, 5_000.0))
def test_values_with_a_closed_form(share: float, alpha: float) -> None:
    """Beta(a, 1) is the a-th root, Beta(1, a) its mirror."""
    root = share ** (1.0 / alpha)
    assert value_at(share, alpha, 1.0) == pytest.approx(root, abs=1e-9)
    assert value_at(1.0 - share, 1.0, alpha) == pytest.approx(1.0 - root, abs=1e-9)


@given(SHARES, PARAMETERS, PARAMETERS)
def test_value_is_the_inverse_of_the_share(share: float, alpha: float, beta: float) -> None:
    """As much as asked for lies below the value: a little more above it, a little less below."""
    value = value_at(share, alpha, beta)
    assert share_below(value - 1e-9, alpha, beta) <= share + 1e-6
    assert share_below(value + 1e-9, alpha, beta) >= share - 1e-6


@given(SHARES, PARAMETERS, PARAMETERS)
def test_mirrored(share: float, alpha: float, beta: float) -> None:
    """What is good for one is bad for the mirror image."""
    assert value_at(share, alpha, beta) == pytest.approx(
        1.0 - value_at(1.0 - share, beta, alpha), abs=1e-7
    )


@pytest.mark.parametrize(
    ("share", "alpha", "beta", "value"),
    [
        (0.975, 2.0, 3.0, 0.8058795503),
        (0.025, 2.0, 3.0, 0.0675859865),
        (0.5, 0.5, 0.5, 0.5),
        (0.025, 0.5, 0.5, 0.0015413331),
    ],
)
def test_values_of_the_tables(share: float, alpha: float, beta: float, value: float) -> None:
    """The arcsine law and a table's row."""
    assert value_at(share, alpha, beta) == pytest.approx(value, abs=1e-9)


def test_ends() -> None:
    """Nothing is below 0, everything below 1."""
    assert share_below(0.0, 2.0, 3.0) == 0.0
    assert share_below(1.0, 2.0, 3.0) == 1.0
    assert 0.0 <= value_at(0.025, 0.01, 500.0) < 1e-9
