"""The token bucket."""

from __future__ import annotations

from math import inf, isfinite, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.bucket import TokenBucket

ODD = st.sampled_from([None, nan, inf, -inf, -1.0, 0.0])


def test_goes_at_once_while_tokens_last() -> None:
    """A full bucket lets its contents through at once, then asks for the time to refill."""
    bucket = TokenBucket(600.0)
    assert bucket.reserve(600.0, 0.0) == 0.0
    assert bucket.reserve(10.0, 0.0) == pytest.approx(1.0)
    assert bucket.reserve(10.0, 0.0) == pytest.approx(2.0)


def test_refills_evenly_to_the_brim() -> None:
    """600 per minute are 10 per second, never more than 600."""
    bucket = TokenBucket(600.0)
    bucket.reserve(600.0, 0.0)
    assert bucket.level(5.0) == pytest.approx(50.0)
    assert bucket.level(1000.0) == 600.0


def test_oversize_goes_when_full_and_leaves_debt() -> None:
    """A request larger than the bucket is admitted when it is full; later ones pay."""
    bucket = TokenBucket(600.0)
    assert bucket.reserve(1500.0, 0.0) == 0.0
    assert bucket.level(0.0) == -900.0
    assert bucket.reserve(10.0, 0.0) == pytest.approx(91.0)


def test_oversize_waits_for_full() -> None:
    """A request larger than the bucket waits for the brim, not for ever."""
    bucket = TokenBucket(600.0)
    bucket.reserve(300.0, 0.0)
    assert bucket.reserve(10_000.0, 0.0) == pytest.approx(30.0)


def test_reconcile_gives_back_or_charges() -> None:
    """The difference between estimate and use is corrected either way."""
    bucket = TokenBucket(600.0)
    bucket.reserve(500.0, 0.0)
    bucket.reconcile(500.0, 200.0, 0.0)
    assert bucket.level(0.0) == 400.0
    bucket.reserve(100.0, 0.0)
    bucket.reconcile(100.0, 900.0, 0.0)
    assert bucket.level(0.0) == -500.0


def test_cancel_gives_all_back() -> None:
    """A reservation that was never used leaves no trace, and no surplus."""
    bucket = TokenBucket(600.0)
    bucket.reserve(400.0, 0.0)
    bucket.cancel(400.0)
    assert bucket.level(0.0) == 600.0
    bucket.cancel(400.0)
    assert bucket.level(0.0) == 600.0


def test_sync_lowers_and_never_raises_the_level() -> None:
    """The provider's count wins when it is lower and is old news when it is higher."""
    bucket = TokenBucket(600.0)
    bucket.sync(100.0, None, None, 0.0)
    assert bucket.level(0.0) == 100.0
    bucket.sync(500.0, 6000.0, None, 0.0)
    assert bucket.level(0.0) == 100.0
    assert bucket.level(1.0) == pytest.approx(200.0)
    bucket.sync(None, 60.0, None, 1.0)
    assert bucket.level(1.0) == 60.0


def test_sync_learns_longer_windows() -> None:
    """A reset that is further off than a minute's limit explains slows the refill."""
    bucket = TokenBucket(600.0)
    bucket.sync(0.0, 600.0, 600.0, 0.0)
    assert bucket.level(60.0) == pytest.approx(60.0)


def test_rounded_reset_of_a_full_bucket_tells_nothing() -> None:
    """While little is used, a reset rounded to a second does not slow the refill."""
    bucket = TokenBucket(6000.0)
    bucket.sync(5999.0, 6000.0, 1.0, 0.0)
    bucket.reserve(5999.0, 0.0)
    assert bucket.level(1.0) == pytest.approx(100.0)


def test_block_empties_and_delays_the_refill() -> None:
    """After a 429 nothing goes before its time, and then no faster than the refill."""
    bucket = TokenBucket(600.0)
    bucket.block_until(30.0)
    assert bucket.level(10.0) == 0.0
    assert bucket.reserve(50.0, 10.0) == pytest.approx(25.0)
    bucket.block_until(20.0)
    assert bucket.reserve(0.0, 10.0) == pytest.approx(25.0)


def test_impossible_limits_cannot_be_built() -> None:
    """A bucket that never refills is a programmer's error."""
    for odd in (0.0, -1.0, nan, inf):
        with pytest.raises(AssertionError):
            TokenBucket(odd)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    asks=st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 3000.0)), max_size=30),
)
def test_first_come_first_served(asks: list[tuple[float, float]]) -> None:
    """Nobody who asks later goes earlier, whatever the sizes."""
    bucket = TokenBucket(600.0)
    now = 0.0
    last_go_at = 0.0
    for gap_s, tokens in asks:
        now += gap_s
        go_at = now + bucket.reserve(tokens, now)
        assert go_at >= last_go_at - 1e-6
        last_go_at = go_at


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    asks=st.lists(st.floats(1.0, 900.0), min_size=1, max_size=30),
)
def test_never_more_than_the_limit(asks: list[float]) -> None:
    """What has gone by any time is at most a full bucket, the refill since, and one oversize."""
    bucket = TokenBucket(600.0)
    gone = 0.0
    for tokens in asks:
        wait_s = bucket.reserve(tokens, 0.0)
        gone += tokens
        assert gone <= 600.0 + 10.0 * wait_s + max(0.0, tokens - 600.0) + 1e-6


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    remaining=ODD | st.floats(0.0, 1e6),
    limit=ODD | st.floats(1.0, 1e6),
    reset_s=ODD | st.floats(0.001, 1e6),
    amount=st.sampled_from([nan, inf, -inf, -5.0, 0.0, 50.0]),
)
def test_odd_input_never_raises(
    remaining: float | None, limit: float | None, reset_s: float | None, amount: float
) -> None:
    """Whatever headers say, the bucket stays usable, and sync never raises its level."""
    bucket = TokenBucket(600.0)
    bucket.reserve(100.0, 10.0)
    before = bucket.level(10.0)
    bucket.sync(remaining, limit, reset_s, 10.0)
    assert bucket.level(10.0) <= before
    bucket.sync(remaining, limit, reset_s, 5.0)
    bucket.reconcile(amount, 50.0, 10.0)
    bucket.reconcile(50.0, amount, 10.0)
    bucket.cancel(amount)
    bucket.block_until(amount)
    wait_s = bucket.reserve(amount, 11.0)
    assert isfinite(wait_s)
    assert wait_s >= 0.0
    assert isfinite(bucket.level(11.0))
