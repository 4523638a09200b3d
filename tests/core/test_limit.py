"""The concurrency limit."""

from __future__ import annotations

import pytest

from sidecar.core.limit import ConcurrencyLimit, LimitSettings


def limit_with(inflight: int, settings: LimitSettings | None = None) -> ConcurrencyLimit:
    """Return a limit with ``inflight`` places taken."""
    limit = ConcurrencyLimit(settings or LimitSettings(limit_max=8.0))
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
    limit = limit_with(7, LimitSettings(limit_max=9.5))
    limit.cut(0.0, 1.0)
    limit.value = 8.0
    for _ in range(8):
        limit.grow()
    assert limit.value == pytest.approx(9.0, abs=0.1)
    for _ in range(8):
        limit.grow()
    assert limit.value == 9.5


def test_unused_limit_does_not_grow() -> None:
    """A success while the limit is hardly used proves nothing."""
    limit = limit_with(3, LimitSettings(limit_max=20.0))
    limit.cut(0.0, 1.0)
    cut = limit.value
    limit.grow()
    assert limit.value == cut


def test_smallest_limit_can_grow() -> None:
    """A limit cut to one grows again, though its only call has left when it succeeds."""
    limit = limit_with(0, LimitSettings(cut_least=1.0))
    limit.cut(0.0, 1.0)
    assert limit.value == 1.0
    limit.grow()
    assert limit.value == 2.0


def test_no_limit_without_a_sign_of_overload() -> None:
    """A thousand calls may be under way at a provider that never complained."""
    limit = limit_with(1000, LimitSettings())
    assert limit.try_acquire(0.0)


def test_first_cut_counts_from_what_is_in_use() -> None:
    """The first overload at 100 calls under way leaves 70; in an idle minute it leaves 5.6."""
    busy = limit_with(99, LimitSettings())
    busy.cut(0.0, 1.0)
    assert busy.value == pytest.approx(70.0)
    idle = limit_with(2, LimitSettings())
    idle.cut(0.0, 1.0)
    assert idle.value == pytest.approx(5.6)


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


def test_release_without_acquire_is_a_bug() -> None:
    """A place given back twice is a programmer's error, not a larger limit."""
    with pytest.raises(AssertionError):
        limit_with(0).release()
