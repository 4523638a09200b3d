"""Limits of one attempt: leave room for the next, blame nobody for the caller's haste."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.timers import AttemptLimits, attempt_limits
from sidecar.domain import Timers


def limits(
    *,
    deadline_at: float = 110.0,
    timers: Timers | None = None,
    hang_s: float = 30.0,
    output_s: float = 2.0,
    is_stream: bool = True,
    next_total_s: float | None = None,
) -> AttemptLimits:
    """An attempt at 100.0 whose first token takes a second."""
    return attempt_limits(
        now=100.0,
        deadline_at=deadline_at,
        timers=timers or Timers(),
        hang_s=hang_s,
        ttft_s=1.0,
        output_s=output_s,
        is_stream=is_stream,
        next_total_s=next_total_s,
        stall_s=12.0,
    )


def test_attempt_leaves_room_for_the_next_endpoint() -> None:
    """Ten seconds left, four for the next endpoint, one to spare: five for this one, no blame."""
    made = limits(next_total_s=4.0)
    assert made.first_content_at == pytest.approx(105.0)
    assert made.is_short
    assert made.end_at == 110.0


def test_no_room_for_two_gives_one_everything() -> None:
    """Room for less than one and a half first tokens is not made: the attempt gets what is left."""
    assert limits(next_total_s=9.0).first_content_at == pytest.approx(110.0)
    assert limits(next_total_s=8.5).first_content_at == pytest.approx(101.5)


def test_hang_budget_bounds_silence_when_time_is_plenty() -> None:
    """With time to spare, silence beyond the hang budget is the endpoint's fault."""
    made = limits(deadline_at=220.0, next_total_s=4.0)
    assert made.first_content_at == pytest.approx(130.0)
    assert not made.is_short


def test_caller_in_a_hurry_is_not_the_endpoints_fault() -> None:
    """A deadline before the hang budget makes the limit short."""
    made = limits(deadline_at=101.0)
    assert made.first_content_at == 101.0
    assert made.is_short


def test_plain_answer_may_be_silent_while_it_is_written() -> None:
    """Three times the expected writing time is added, and the room rule counts writing as well."""
    made = limits(deadline_at=220.0, is_stream=False)
    assert made.first_content_at == pytest.approx(136.0)
    # 10 - 6 = 4 s of room is under 1.5 * (1 + 2) = 4.5 s.
    assert limits(is_stream=False, next_total_s=6.0).first_content_at == pytest.approx(110.0)
    assert limits(is_stream=True, next_total_s=6.0).first_content_at == pytest.approx(103.0)


def test_configured_limits_replace_the_adaptive_ones() -> None:
    """The operator says what a hang is: reaching a configured limit is one, however short."""
    timers = Timers(connect_s=0.5, first_content_s=2.0, attempt_s=5.0, stall_s=1.0)
    made = limits(timers=timers)
    assert made == AttemptLimits(
        connect_s=0.5, first_content_at=102.0, stall_s=1.0, end_at=105.0, is_short=False
    )


def test_attempt_limit_bounds_silence_too() -> None:
    """An attempt over at 5 s cannot be silent for 30."""
    made = limits(timers=Timers(attempt_s=5.0))
    assert made.first_content_at == 105.0
    assert not made.is_short


def test_connecting_takes_at_most_a_third_of_what_is_left() -> None:
    """A host that does not answer must leave time to try others."""
    assert limits(deadline_at=103.0).connect_s == pytest.approx(1.0)
    assert limits(deadline_at=220.0).connect_s == 3.0
    assert limits().stall_s == 12.0


@settings(max_examples=100, derandomize=True)
@given(
    deadline_at=st.floats(90.0, 300.0),
    hang_s=st.floats(1.0, 180.0),
    output_s=st.floats(0.0, 60.0),
    is_stream=st.booleans(),
    next_total_s=st.none() | st.floats(0.0, 200.0),
)
def test_limits_are_ordered_and_short_exactly_below_the_hang_budget(
    deadline_at: float,
    hang_s: float,
    output_s: float,
    is_stream: bool,
    next_total_s: float | None,
) -> None:
    """Start <= first content <= end <= deadline, and blame only at the full hang budget."""
    made = limits(
        deadline_at=deadline_at,
        hang_s=hang_s,
        output_s=output_s,
        is_stream=is_stream,
        next_total_s=next_total_s,
    )
    assert 100.0 <= made.first_content_at <= made.end_at + 1e-9
    assert made.end_at == max(100.0, deadline_at)
    budget_s = hang_s if is_stream else hang_s + 3 * output_s
    assert made.is_short == (made.first_content_at - 100.0 < budget_s - 1e-9)
