"""Amplification: extra attempts stay in proportion, people before batch."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.amplification import AmplificationGuard


def guard_with(requests: int, extra: int, *, at: float = 0.0) -> AmplificationGuard:
    """Return a guard that counted so much at ``at``."""
    guard = AmplificationGuard()
    for _ in range(requests):
        guard.request(at)
    for _ in range(extra):
        guard.extra(at)
    return guard


@pytest.mark.parametrize(
    ("requests", "extra", "allowed"),
    [
        (0, 0, True),
        (1, 9, True),
        (1, 10, False),
        (20, 9, True),
        (20, 10, False),
        (100, 49, True),
        (100, 50, False),
    ],
)
def test_half_as_many_extra_attempts_as_requests(
    requests: int, extra: int, *, allowed: bool
) -> None:
    """Ten extra attempts a minute are free, beyond them the ratio stays at 1.5."""
    assert guard_with(requests, extra).may_extra(1.0, is_interactive=False) is allowed


def test_interactive_calls_still_fail_over() -> None:
    """Above the bound a person's call goes on."""
    guard = guard_with(10, 100)
    assert not guard.may_extra(1.0, is_interactive=False)
    assert guard.may_extra(1.0, is_interactive=True)


def test_the_minute_passes() -> None:
    """An outage's attempts are forgotten after a minute."""
    guard = guard_with(10, 100)
    assert not guard.may_extra(60.0, is_interactive=False)
    assert guard.may_extra(61.0, is_interactive=False)


def test_ratio_is_attempts_per_request() -> None:
    """What telemetry shows is attempts over requests, 1 when idle."""
    assert guard_with(0, 0).ratio(0.0) == 1.0
    assert guard_with(10, 3).ratio(0.0) == pytest.approx(1.3)


@settings(max_examples=80, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=120))
def test_agrees_with_counting_by_hand(steps: list[tuple[int, bool]]) -> None:
    """At whole seconds the guard decides as lists of instants do, and batch keeps the bound."""
    guard = AmplificationGuard()
    requests: list[int] = []
    extras: list[int] = []
    now = 0
    for wait_s, is_extra in steps:
        now += wait_s
        if not is_extra:
            guard.request(now)
            requests.append(now)
            continue
        asked = sum(1 for at in requests if at > now - 61)
        made = sum(1 for at in extras if at > now - 61)
        allowed = made + 1 <= max(10, asked * 0.5)
        assert guard.may_extra(now, is_interactive=False) is allowed
        if allowed:
            guard.extra(now)
            extras.append(now)
