"""Retry tokens of one host."""

from __future__ import annotations

from sidecar.core.retry_tokens import RetryTokens, RetryTokenSettings


def test_five_failures_end_retries() -> None:
    """Four failures in a row leave retries allowed, the fifth ends them."""
    tokens = RetryTokens(RetryTokenSettings())
    for _ in range(4):
        tokens.withdraw()
    assert tokens.may_retry()
    tokens.withdraw()
    assert not tokens.may_retry()


def test_ten_successes_earn_a_retry() -> None:
    """After the tokens ran low a success allows again what is above half."""
    tokens = RetryTokens(RetryTokenSettings())
    for _ in range(6):
        tokens.withdraw()
    for _ in range(9):
        tokens.deposit()
    assert not tokens.may_retry()
    tokens.deposit()
    tokens.deposit()
    assert tokens.may_retry()


def test_tokens_stay_within_bounds() -> None:
    """Neither a long outage nor a long calm is remembered beyond the bounds."""
    tokens = RetryTokens(RetryTokenSettings())
    tokens.deposit()
    assert tokens.tokens == 10.0
    for _ in range(50):
        tokens.withdraw()
    assert tokens.tokens == 0.0
