"""Our own faults: a late loop and a lost network are nobody else's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.local_faults import EgressMonitor, LagMonitor
from sidecar.domain import HostName

A, B = HostName("https://a.test:443"), HostName("https://b.test:443")


def monitor_with(*ticks_at: float) -> LagMonitor:
    """Return a monitor that ticked then, every 0.25 s wanted."""
    monitor = LagMonitor()
    for at in ticks_at:
        monitor.tick(at, next_at=at + 0.25)
    return monitor


def test_lag_is_how_late_the_tick_was() -> None:
    """A tick due at 0.25 that comes at 2.25 was two seconds late; the next in time ends it."""
    monitor = monitor_with(0.0, 2.25)
    assert monitor.lag_s(2.3) == 2.0
    monitor.tick(2.5, next_at=2.75)
    assert monitor.lag_s(2.5) == 0.0


def test_a_tick_that_does_not_come_is_lag_already() -> None:
    """The lag under way shows before its tick, and nothing is late before the first."""
    assert monitor_with(0.0).lag_s(1.25) == 1.0
    assert LagMonitor().lag_s(100.0) == 0.0


def regular(start: float, end: float) -> tuple[float, ...]:
    """Return instants each 0.25 s, both ends included."""
    return tuple(start + 0.25 * step for step in range(int((end - start) * 4) + 1))


@pytest.mark.parametrize(
    ("ticks", "waited_s", "now", "blame_s"),
    [
        # Nothing was late.
        (regular(0.0, 8.0), 8.0, 8.0, 8.0),
        # The loop stood still from 7 to 9, and the timer of 8 fired at 9.
        ((*regular(0.0, 7.0), 9.0), 9.0, 9.0, 7.0),
        # The same, and the timer runs before the monitor's own.
        (regular(0.0, 7.0), 9.0, 9.0, 7.0),
        # The request could not be sent for two seconds.
        ((0.0, *regular(2.0, 8.0)), 8.0, 8.0, 6.0),
        # A stall in the middle: the provider worked on.
        ((*regular(0.0, 3.0), *regular(5.0, 8.0)), 8.0, 8.0, 8.0),
        # A stall longer than the wait.
        ((1.0, 20.0), 3.0, 20.0, 0.0),
        # A hair late is noise.
        ((*regular(0.0, 7.5), 7.84, 8.0), 8.0, 8.0, 8.0),
    ],
)
def test_only_stalls_at_the_ends_are_taken_off(
    ticks: tuple[float, ...], waited_s: float, now: float, blame_s: float
) -> None:
    """A provider answers for a wait less what we slept through at its ends."""
    assert monitor_with(*ticks).blame_s(waited_s, now) == pytest.approx(blame_s)


@settings(max_examples=100, derandomize=True)
@given(
    st.lists(st.floats(0.01, 5.0), min_size=1, max_size=100), st.floats(0.0, 60.0), st.floats(0, 3)
)
def test_blame_is_never_more_than_the_wait(
    gaps_s: list[float], waited_s: float, rest_s: float
) -> None:
    """Whatever the ticks, between nothing and all of the wait is charged, in bounded memory."""
    monitor = LagMonitor()
    now = 0.0
    for gap_s in gaps_s:
        now += gap_s
        monitor.tick(now, next_at=now + 0.25)
    now += rest_s
    assert 0.0 <= monitor.blame_s(waited_s, now) <= waited_s
    if max(*gaps_s, rest_s, 0.0) <= 0.25:
        assert monitor.blame_s(waited_s, now) == waited_s
    assert len(monitor._stalls) <= 64


def test_two_hosts_failing_at_once_are_our_own_network() -> None:
    """One failing host is its own trouble, two within the window are ours."""
    monitor = EgressMonitor()
    monitor.failed(A, 0.0)
    monitor.failed(A, 1.0)
    assert not monitor.is_suspect(1.0)
    monitor.failed(B, 2.0)
    assert monitor.is_suspect(2.0)


def test_any_success_clears_egress() -> None:
    """The way out exists as soon as anybody answers."""
    monitor = EgressMonitor()
    monitor.failed(A, 0.0)
    monitor.failed(B, 0.0)
    monitor.succeeded()
    assert not monitor.is_suspect(0.0)
    monitor.failed(B, 1.0)
    assert not monitor.is_suspect(1.0)


def test_suspicion_needs_fresh_failures() -> None:
    """Failures further apart than the window are two events, and an old suspicion fades."""
    monitor = EgressMonitor()
    monitor.failed(A, 0.0)
    monitor.failed(B, 10.0)
    assert not monitor.is_suspect(10.0)
    monitor.failed(A, 11.0)
    assert monitor.is_suspect(19.9)
    assert not monitor.is_suspect(20.0)
