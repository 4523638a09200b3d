"""The count ring: when outcomes trip."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.ring import Cause, CountRing, RingSettings

WEIGHTS = st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=40)


def ring_of(
    fails: list[float], *, gap_s: float = 1.0, config: RingSettings | None = None
) -> CountRing:
    """Return a ring that saw ``fails`` at ``gap_s`` intervals from 0.0 on."""
    ring = CountRing(config or RingSettings())
    for number, fail in enumerate(fails):
        ring.record(fail, number * gap_s)
    return ring


def test_empty_ring_passes() -> None:
    """Nothing known is no reason to trip."""
    assert ring_of([]).verdict(0.0) is None


def test_five_failures_in_a_row_trip() -> None:
    """Five failures in a row trip, four do not."""
    assert ring_of([1.0] * 4).verdict(3.0) is None
    assert ring_of([1.0] * 5).verdict(4.0) is Cause.CONSECUTIVE


def test_success_ends_the_run() -> None:
    """A success between failures ends the run; the share still counts them."""
    assert ring_of([1.0, 1.0, 0.0, 1.0, 1.0]).verdict(4.0) is Cause.SHARE
    assert ring_of([0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0]).verdict(8.0) is None


def test_burst_is_no_run() -> None:
    """Many streams killed at one instant are one event for the run rule."""
    config = RingSettings(ring_min=40, ring_max=40)
    burst = ring_of([0.0] * 40, config=config)
    for _ in range(8):
        burst.record(1.0, 40.0)
    assert burst.verdict(40.0) is None
    burst.record(1.0, 40.5)
    assert burst.verdict(40.5) is Cause.CONSECUTIVE


def test_soft_failures_weigh_half() -> None:
    """Overload answers weigh half: five in a row do not trip, eight in ten do."""
    assert ring_of([0.5] * 5).verdict(4.0) is None
    assert ring_of([0.5] * 9).verdict(8.0) is None
    assert ring_of([0.5] * 10).verdict(9.0) is Cause.CONSECUTIVE
    assert ring_of([1.0, *[0.5] * 6]).verdict(6.0) is Cause.SHARE


def test_few_outcomes_have_no_share() -> None:
    """Below five outcomes there is no share, and below four failures no trip."""
    assert ring_of([1.0, 1.0, 1.0, 0.0]).verdict(3.0) is None
    assert ring_of([1.0, 0.0, 1.0, 0.0, 1.0]).verdict(4.0) is None
    assert ring_of([1.0, 1.0, 0.0, 1.0, 0.0, 1.0]).verdict(5.0) is Cause.SHARE


def test_success_from_before_counts_for_the_share_alone() -> None:
    """It leaves the run as it is, and is one more good outcome of the window."""
    ring = ring_of([1.0] * 3)
    ring.record(0.0, 3.0, ends_run=False)
    assert ring.run_weight(3.0) == 3.0
    ring.record(1.0, 4.0)
    assert ring.verdict(4.0) is Cause.SHARE
    ring.record(0.0, 5.0)
    assert ring.run_weight(5.0) == 0.0


def test_old_outcomes_leave_the_share_but_not_the_run() -> None:
    """Ten minutes end an outcome's say in the share; a run goes on, however long it takes."""
    mixed = ring_of([1.0, 1.0, 0.0, 1.0, 1.0])
    assert mixed.verdict(700.0) is None
    assert ring_of([1.0] * 5, gap_s=600.0).verdict(2400.0) is Cause.CONSECUTIVE


def test_long_pause_ends_the_run() -> None:
    """After more than ten minutes without any outcome the windows are cold."""
    ring = ring_of([1.0] * 4)
    ring.record(1.0, 3.0 + 601.0)
    assert ring.verdict(604.0) is None
    for second in range(4):
        ring.record(1.0, 605.0 + second)
    assert ring.verdict(608.0) is Cause.CONSECUTIVE


def test_only_the_last_n_count() -> None:
    """With N = 10 an outage before the last ten outcomes is forgotten."""
    assert ring_of([1.0, 1.0, 1.0, 0.0, 1.0, *[0.0] * 6], gap_s=7.0).verdict(80.0) is None


def test_size_follows_the_rate() -> None:
    """N is 20 s of traffic at the rate of the last minute, between 10 and 200."""
    assert ring_of([]).size(0.0) == 10
    assert ring_of([0.0] * 60).size(59.0) == 20
    assert ring_of([0.0] * 90, gap_s=0.5).size(45.0) == 30
    assert ring_of([0.0] * 2000, gap_s=0.01).size(20.0) == 200
    assert ring_of([0.0] * 60).size(200.0) == 10


def test_clear_forgets() -> None:
    """A cleared ring is as new."""
    ring = ring_of([1.0] * 9)
    ring.clear()
    assert ring.verdict(9.0) is None
    assert ring.size(9.0) == 10


@settings(max_examples=150, deadline=None, derandomize=True)
@given(fails=WEIGHTS, gaps=st.lists(st.floats(0.5, 10.0), min_size=40, max_size=40))
def test_verdict_is_independent_of_the_rate(fails: list[float], gaps: list[float]) -> None:
    """For one N, the same outcomes give the same verdict however they are spread in time."""
    config = RingSettings(ring_min=20, ring_max=20)
    spread = CountRing(config)
    now = 0.0
    for fail, gap_s in zip(fails, gaps, strict=False):
        now += gap_s
        spread.record(fail, now)
    even = ring_of(fails, config=config)
    assert spread.verdict(now) is even.verdict(float(len(fails)))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(fails=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=40))
def test_share_does_not_know_time(fails: list[float]) -> None:
    """The same burst trips at the same sample in a millisecond and over minutes."""
    config = RingSettings(ring_max=10)
    fast = CountRing(config)
    slow = CountRing(config)
    for number, fail in enumerate(fails):
        fast.record(fail, number * 1e-6)
        slow.record(fail, number * 10.0)
        is_fast_bad = fast.verdict(number * 1e-6) is not None
        assert is_fast_bad == (slow.verdict(number * 10.0) is not None)
