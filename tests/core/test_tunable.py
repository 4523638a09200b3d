"""New settings for what lives on: they hold at once, and nothing learned is lost."""

from __future__ import annotations

import random

import pytest

from sidecar.core.breaker import Breaker, BreakerSettings, BreakerState
from sidecar.core.latency import LatencyModel, LatencySettings
from sidecar.core.limit import ConcurrencyLimit, LimitSettings, Started
from sidecar.core.probing import ProbeWhy
from sidecar.core.retry_tokens import RetryTokens, RetryTokenSettings
from sidecar.core.spend import SpendGate, SpendSettings


def test_settings_are_replaced_and_state_is_not() -> None:
    """The plain case: the next question is answered by the new settings, from the old state."""
    tokens = RetryTokens(RetryTokenSettings(tokens_max=10.0, retry_above=5.0))
    tokens.withdraw()
    tokens.adapt(RetryTokenSettings(tokens_max=10.0, retry_above=9.0))
    assert tokens.tokens == 9.0
    assert not tokens.may_retry()


def test_a_limit_without_overload_is_the_highest() -> None:
    """A limit that nothing has cut follows its bound both ways; a cut one only downwards."""
    limit = ConcurrencyLimit(LimitSettings(limit_max=10))
    limit.adapt(LimitSettings(limit_max=20))
    assert limit.value == 20
    limit.adapt(LimitSettings(limit_max=5))
    assert limit.value == 5
    for number in range(4):
        assert limit.try_acquire(0.0)
        limit.refuse(Started(at=0.0, level=1, number=number + 1), 1.0)
    assert limit.cut_at == 1.0
    cut = limit.value
    limit.adapt(LimitSettings(limit_max=50))
    assert limit.value == cut
    limit.adapt(LimitSettings(limit_max=1))
    assert limit.value == 1


def test_spent_money_stays_spent() -> None:
    """A larger budget allows the difference, a smaller one nothing until the old spending faded."""
    spend = SpendGate(SpendSettings(daily_usd=1.0, burst_share=0.5))
    spend.spent(0.4, 0.0)
    assert not spend.may_spend(0.2, ProbeWhy.OPEN, 0.0)
    spend.adapt(SpendSettings(daily_usd=2.0, burst_share=0.5))
    assert spend.may_spend(0.55, ProbeWhy.OPEN, 0.0)
    assert not spend.may_spend(0.65, ProbeWhy.OPEN, 0.0)
    spend.adapt(SpendSettings(daily_usd=0.5, burst_share=0.5))
    assert not spend.may_spend(0.01, ProbeWhy.OPEN, 0.0)


def test_latency_goes_by_new_bounds_from_old_samples() -> None:
    """The hang budget moves with its setting, what a prompt takes does not."""
    model = LatencyModel(LatencySettings())
    for second in range(40):
        model.observe_first_content(100, 0.5, float(second))
    before_s = model.typical_ttft_s(100)
    model.adapt(LatencySettings(hang_min_s=33.0, hang_max_s=40.0))
    assert model.hang_s(100, 40.0) == pytest.approx(33.0)
    assert model.typical_ttft_s(100) == pytest.approx(before_s)
    assert model.samples == 40


def test_a_breaker_goes_on_where_it_is() -> None:
    """An open breaker keeps its period; how many trials close it, and the next period, are new."""
    settings = BreakerSettings(open_base_s=5.0, open_jitter=0.0, trial_successes=1)
    breaker = Breaker("e", settings, random.Random(1), lambda _: None)
    breaker.trip(0.0)
    assert breaker.reopens_at(0.0) == 5.0
    breaker.adapt(BreakerSettings(open_base_s=20.0, open_jitter=0.0, trial_successes=2))
    assert breaker.reopens_at(0.0) == 5.0
    for at in (5.0, 6.0):
        assert breaker.state(at) is not BreakerState.CLOSED
        permit = breaker.admit(at, lease_s=1.0)
        assert permit is not None
        breaker.settle(permit, fail=0.0, now=at)
    assert breaker.state(6.0) is BreakerState.CLOSED
    breaker.trip(7.0)
    assert breaker.reopens_at(7.0) == pytest.approx(47.0), "so soon counts as a failed trial"
