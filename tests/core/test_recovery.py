"""How long open, how slowly back."""

from __future__ import annotations

import random

import pytest

from sidecar.core.recovery import Recovery, RecoverySettings

NO_JITTER = RecoverySettings(open_jitter=0.0)


def recovery(settings: RecoverySettings = NO_JITTER) -> Recovery:
    """Return a recovery with a fixed chance."""
    return Recovery(settings, random.Random(1))


def test_period_doubles_with_failed_trials() -> None:
    """Each failed trial doubles the period, up to two minutes."""
    own = recovery()
    periods = []
    for _ in range(7):
        periods.append(own.opened(0.0, None))
        own.trial_failed()
    assert periods == [5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0]


def test_failed_trials_are_forgotten_while_closed() -> None:
    """A minute closed forgets one failed trial, a flapping endpoint keeps most of them."""
    own = recovery()
    for _ in range(3):
        own.trial_failed()
    own.closed(100.0)
    assert own.opened(100.0 + 119.0, None) == 20.0
    own.closed(300.0)
    assert own.opened(10_000.0, None) == 5.0


def test_relapse_counts_as_a_failed_trial() -> None:
    """What opens again within a minute of closing had not recovered."""
    own = recovery()
    assert own.opened(0.0, None) == 5.0
    own.closed(6.0)
    assert own.opened(65.0, None) == 10.0
    own.closed(80.0)
    assert own.opened(139.0, None) == 20.0
    own.closed(160.0)
    assert own.opened(221.0, None) == 10.0


def test_pushback_is_a_floor_with_a_ceiling() -> None:
    """A pushback lengthens the period, never shortens it, and never beyond five minutes."""
    own = recovery()
    assert own.opened(0.0, 60.0) == 60.0
    assert own.opened(0.0, 0.1) == 5.0
    assert own.opened(0.0, 1e9) == 300.0
    assert own.bounded(0.0) == 1.0


def test_jitter_spreads_the_return() -> None:
    """The period varies by a quarter either way."""
    own = recovery(RecoverySettings())
    periods = [own.opened(0.0, None) for _ in range(200)]
    assert 3.75 <= min(periods) < 4.2
    assert 5.8 < max(periods) <= 6.25


def test_huge_counts_stay_finite() -> None:
    """An endpoint that failed thousands of trials still has a period."""
    own = recovery()
    for _ in range(5000):
        own.trial_failed()
    assert own.opened(0.0, None) == 120.0


def test_slow_start_ramps_by_time_or_successes() -> None:
    """After closing the share grows with time or successes, whichever is further."""
    own = recovery()
    assert own.slow_start(0.0) == 1.0
    own.closed(100.0)
    assert own.slow_start(100.0) == pytest.approx(0.1)
    own.succeeded()
    own.succeeded()
    assert own.slow_start(103.0) == pytest.approx(0.2)
    assert own.slow_start(115.0) == pytest.approx(0.5)
    assert own.slow_start(200.0) == 1.0


@pytest.mark.parametrize("odd_s", [float("nan"), float("inf"), -1.0])
def test_odd_pushback_never_shuts_for_ever(odd_s: float) -> None:
    """Whatever number a pushback is, the period is one that ends."""
    own = recovery()
    assert 1.0 <= own.bounded(odd_s) <= 300.0
    assert 5.0 <= own.opened(0.0, odd_s) <= 300.0
