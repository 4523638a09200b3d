"""The concurrency limit."""

from __future__ import annotations

import pytest

from sidecar.core.limit import ConcurrencyLimit, LimitSettings


def limit_with(inflight: int, settings: LimitSettings | None = None) -> ConcurrencyLimit:
    """Return a limit with ``inflight`` places taken."""
    limit = ConcurrencyLimit(settings or LimitSettings())
    for _ in range(inflight):
        assert limit.try_acquire(0.0)
    return limit


def test_refuses_when_full() -> None:
    """The ninth call is refused at a limit of eight, until one ends."""
    limit = limit_with(8)
    assert not limit.try_acquire(0.0)
    limit.release()
    assert limit.try_acquire(0.0)


def test_grows_by_one_a_round_trip() -> None:
    """Successes of a full limit raise it by about one a round trip, up to its maximum."""
    limit = limit_with(7)
    for _ in range(8):
        limit.grow()
    assert limit.value == pytest.approx(9.0, abs=0.1)
    capped = limit_with(2, LimitSettings(limit_start=2.0, limit_max=2.1))
    capped.grow()
    assert capped.value == 2.1


def test_unused_limit_does_not_grow() -> None:
    """A success while the limit is hardly used proves nothing."""
    limit = limit_with(3)
    limit.grow()
    assert limit.value == 8.0


def test_smallest_limit_can_grow() -> None:
    """A limit cut to one grows again, though its only call has left when it succeeds."""
    limit = limit_with(0, LimitSettings(limit_start=1.0))
    limit.grow()
    assert limit.value == 2.0


def test_one_cut_an_epoch() -> None:
    """Calls admitted before the last cut do not cut again."""
    limit = limit_with(0)
    limit.cut(0.0, 10.0)
    assert limit.value == pytest.approx(5.6)
    limit.cut(9.0, 11.0)
    limit.cut(10.0, 11.0)
    assert limit.value == pytest.approx(5.6)
    limit.cut(10.1, 12.0)
    assert limit.value == pytest.approx(3.92)


def test_never_below_one() -> None:
    """However often it is cut, one call may go."""
    limit = limit_with(0)
    for now in range(20):
        limit.cut(float(now), now + 0.5)
    assert limit.value == 1.0
    assert limit.try_acquire(30.0)


def test_start_respects_the_maximum() -> None:
    """An endpoint with a small maximum does not start above it."""
    assert ConcurrencyLimit(LimitSettings(limit_max=2.0)).value == 2.0


def test_release_without_acquire_is_a_bug() -> None:
    """A place given back twice is a programmer's error, not a larger limit."""
    with pytest.raises(AssertionError):
        limit_with(0).release()
