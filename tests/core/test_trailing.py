"""Trailing sums: nothing young is forgotten, nothing old is kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.trailing import TrailingSum

EPSILON = 1e-6


def test_values_leave_with_the_window() -> None:
    """A value counts for the window and at most one slot longer."""
    trailing = TrailingSum(60.0, 1.0)
    trailing.add(2.0, 0.0)
    trailing.add(3.0, 30.0)
    assert trailing.total(60.0) == 5.0
    assert trailing.total(61.0) == 3.0
    assert trailing.total(91.0) == 0.0


def test_a_correction_never_makes_less_than_nothing() -> None:
    """A refund whose charge has left the window is no credit."""
    trailing = TrailingSum(60.0, 1.0)
    trailing.add(5.0, 0.0)
    trailing.add(-4.0, 10.0)
    assert trailing.total(10.0) == 1.0
    assert trailing.total(65.0) == 0.0


def test_memory_does_not_grow_with_traffic() -> None:
    """However much is added, there are as many slots as fit the window, and two."""
    trailing = TrailingSum(60.0, 10.0)
    for step in range(5000):
        trailing.add(1.0, step * 0.1)
        assert len(trailing._slots) <= 8


def test_a_slot_fits_the_window() -> None:
    """A slot longer than its window is a programmer's error."""
    with pytest.raises(AssertionError):
        TrailingSum(1.0, 2.0)


@settings(max_examples=100, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0.0, 40.0), st.floats(0.0, 10.0)), max_size=40),
    st.floats(0.0, 100.0),
)
def test_bounded_by_two_exact_sums(steps: list[tuple[float, float]], rest_s: float) -> None:
    """The sum is at least that of the window and at most that of the window and one slot."""
    trailing = TrailingSum(60.0, 5.0)
    now = 0.0
    added: list[tuple[float, float]] = []
    for wait_s, value in steps:
        now += wait_s
        trailing.add(value, now)
        added.append((now, value))
    now += rest_s
    least = sum(value for at, value in added if at > now - 60.0)
    most = sum(value for at, value in added if at > now - 65.0 - EPSILON)
    assert least - EPSILON <= trailing.total(now) <= most + EPSILON
