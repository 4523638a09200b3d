"""The overload throttle."""

from __future__ import annotations

import random

import pytest

from sidecar.core.throttle import OverloadThrottle, ThrottleSettings


def throttle() -> OverloadThrottle:
    """Return a throttle with a fixed chance."""
    return OverloadThrottle(ThrottleSettings(), random.Random(7))


def test_no_overload_no_refusal() -> None:
    """Calls under way, however many and slow, are no sign of overload."""
    own = throttle()
    assert all(own.admits(0.0) for _ in range(500))
    assert own.refusal_chance(0.0) == 0.0


def test_few_requests_prove_nothing() -> None:
    """Below ten requests nothing is refused."""
    own = throttle()
    for _ in range(9):
        assert own.admits(0.0)
        own.overloaded(0.0)
    assert own.refusal_chance(0.0) == 0.0


def test_total_overload_refuses_four_in_five() -> None:
    """One in five still goes when everything is overloaded: recovery must be noticed."""
    own = throttle()
    for _ in range(20):
        if own.admits(0.0):
            own.overloaded(0.0)
    assert own.refusal_chance(0.0) == 0.8
    admitted = 0
    for _ in range(1000):
        if own.admits(0.0):
            admitted += 1
            own.overloaded(0.0)
    assert 150 <= admitted <= 250


def test_chance_follows_the_formula() -> None:
    """With fewer than half accepted the chance is (requests - 2 accepts) / (requests + 1)."""
    own = throttle()
    for _ in range(9):
        assert own.admits(0.0)
        own.overloaded(0.0)
    assert own.admits(0.0)
    assert own.refusal_chance(0.0) == pytest.approx((10 - 2) / 11)


def test_half_overloaded_is_let_through() -> None:
    """Up to twice of what is accepted goes out."""
    own = throttle()
    for number in range(40):
        assert own.admits(0.0)
        if number % 2:
            own.overloaded(0.0)
    assert own.refusal_chance(0.0) == 0.0


def test_window_forgets() -> None:
    """Two minutes later the overload is forgotten."""
    own = throttle()
    for _ in range(9):
        own.admits(0.0)
        own.overloaded(0.0)
    own.admits(0.0)
    assert own.refusal_chance(119.0) > 0.5
    assert own.refusal_chance(120.0) == 0.0


def test_late_accepts_count() -> None:
    """Calls admitted before the window and accepted within it speak for the provider."""
    own = throttle()
    for _ in range(10):
        own.admits(0.0)
        own.overloaded(125.0)
    for _ in range(10):
        if own.admits(125.0):
            own.overloaded(125.0)
    before = own.refusal_chance(125.0)
    for _ in range(10):
        own.accepted(125.0)
    assert before == 0.8
    assert own.refusal_chance(125.0) == 0.0
