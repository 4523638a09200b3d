"""The headroom of calls that are at home elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.headroom import USE_S, Headroom

Steps = st.lists(
    st.tuples(
        st.sampled_from(("own", "spilled", "own ends", "spilled ends", "ask")),
        st.integers(min_value=0, max_value=40),
    ),
    max_size=60,
)


KNOWN_S = 100.0
"""Calls that have lasted so long are what is usual."""


def headroom_with(own: int, spilled: int = 0) -> Headroom:
    """Return a headroom at second 0 with so many calls under way, own ones first."""
    headroom = Headroom()
    for _ in range(own):
        headroom.start(0.0, is_spilled=False)
    for _ in range(spilled):
        headroom.start(0.0, is_spilled=True)
    return headroom


def test_nothing_is_held_back_before_the_first_overload() -> None:
    """A fallback that never complained takes a thousand newcomers beside its own."""
    assert headroom_with(50, 1000).may_spill(20.0, None, 10.0)


def test_the_rest_of_the_limit_after_half_a_minute() -> None:
    """Own calls use four of ten: six may be spilled, the seventh not."""
    headroom = headroom_with(4)
    assert headroom.allowed(10.0, 0.0, 30.0) == 6.0
    assert headroom_with(4, 5).may_spill(10.0, 0.0, 30.0)
    assert not headroom_with(4, 6).may_spill(10.0, 0.0, 30.0)


@pytest.mark.parametrize(
    ("since_s", "allowed"), [(0.0, 3.0), (15.0, 3.0), (24.0, 4.8), (99.0, 6.0)]
)
def test_returns_slowly_after_an_overload(since_s: float, allowed: float) -> None:
    """From half to all in thirty seconds, whoever succeeds meanwhile."""
    assert headroom_with(4).allowed(10.0, 50.0, 50.0 + since_s) == pytest.approx(allowed)


def test_own_calls_may_need_it_all() -> None:
    """Nothing is left where own calls use the whole limit."""
    assert not headroom_with(9).may_spill(7.0, 0.0, 100.0)


def test_a_part_of_a_call_passes_one() -> None:
    """Else a small limit would pass nobody, and nobody would find out that it grew."""
    assert headroom_with(4).may_spill(4.5, 0.0, 5.0)
    assert not headroom_with(4, 1).may_spill(4.5, 0.0, 5.0)


def test_rare_peaks_are_not_reserved() -> None:
    """For a twentieth of the time own calls may find less room than they would need."""
    headroom = headroom_with(2)
    headroom.start(95.1, is_spilled=False)
    assert headroom.own_use(100.0) == 2
    assert headroom.own_use(102.0) == 3


def test_one_call_a_minute_keeps_no_place() -> None:
    """What an endpoint hardly ever does for its own callers leaves all its room to others."""
    headroom = Headroom()
    for minute in range(5):
        headroom.start(60.0 * minute, is_spilled=False)
        headroom.end(60.0 * minute + 2.0, is_spilled=False)
    assert headroom.own_use(300.0) == 0
    assert headroom.may_spill(1.0, 299.0, 300.0)


def test_old_use_is_forgotten() -> None:
    """Own callers who left five minutes ago keep no room."""
    headroom = headroom_with(6)
    for _ in range(6):
        headroom.end(200.0, is_spilled=False)
    assert headroom.own_use(230.0) == 6
    assert headroom.own_use(490.0) == 0, "but ten seconds of five minutes"
    assert headroom.own_use(900.0) == 0


def test_use_is_worked_out_once_a_second() -> None:
    """What every call asks is remembered for a moment."""
    headroom = Headroom()
    assert headroom.own_use(10.0) == 0
    headroom.start(10.5, is_spilled=False)
    assert headroom.own_use(10.9) == 0
    assert headroom.own_use(10.0 + USE_S) == 1


@pytest.mark.parametrize("is_spilled", [False, True])
def test_an_end_has_a_start(is_spilled: bool) -> None:
    """Counting out what never came in is a bug of ours."""
    with pytest.raises(AssertionError, match="never started"):
        Headroom().end(0.0, is_spilled=is_spilled)


def naive_use(changes: list[tuple[float, int]], now: float) -> int:
    """Return the least count that held, or fewer did, for 95 % of the last five minutes."""
    ends = [*(at for at, _ in changes), now][1:]
    since = now - 300.0
    spans = [
        (count, max(0.0, until - max(at, since)))
        for (at, count), until in zip(changes, ends, strict=True)
    ]
    total_s = sum(span_s for _, span_s in spans)
    enough = [
        count
        for count, _ in spans
        if sum(span_s for other, span_s in spans if other <= count) >= 0.95 * total_s - 1e-9
    ]
    return min(enough, default=0)


@given(steps=Steps, limit=st.floats(min_value=1.0, max_value=30.0))
def test_behaves_like_a_naive_model(steps: list[tuple[str, int]], limit: float) -> None:
    """The same verdicts as from the whole history, and never more spilled than what is left."""
    headroom = Headroom()
    now, own, spilled = 0.0, 0, 0
    changes: list[tuple[float, int]] = []
    for verb, wait_s in steps:
        now += wait_s
        if verb == "own":
            own += 1
            changes.append((now, own))
            headroom.start(now, is_spilled=False)
        elif verb == "own ends" and own:
            own -= 1
            changes.append((now, own))
            headroom.end(now, is_spilled=False)
        elif verb == "spilled" and headroom.may_spill(limit, 0.0, now):
            spilled += 1
            headroom.start(now, is_spilled=True)
            assert spilled - 1 < limit
        elif verb == "spilled ends" and spilled:
            spilled -= 1
            headroom.end(now, is_spilled=True)
        elif verb == "ask":
            now += USE_S
            ramp = min(1.0, max(0.5, now / 30.0))
            allowed = ramp * max(0.0, limit - naive_use(changes, now))
            assert headroom.may_spill(limit, 0.0, now) is (spilled < allowed)
    assert (headroom.own_count, headroom.spilled_count) == (own, spilled)


@given(
    own=st.integers(min_value=0, max_value=20),
    more=st.integers(min_value=0, max_value=5),
    limit=st.floats(min_value=1.0, max_value=30.0),
    since_s=st.floats(min_value=0.0, max_value=60.0),
    later_s=st.floats(min_value=0.0, max_value=60.0),
)
def test_is_monotone(own: int, more: int, limit: float, since_s: float, later_s: float) -> None:
    """More own use never leaves more, a higher limit and more time never less."""
    cut_at, now = KNOWN_S, KNOWN_S + since_s
    allowed = headroom_with(own).allowed(limit, cut_at, now)
    assert headroom_with(own + more).allowed(limit, cut_at, now) <= allowed
    assert headroom_with(own).allowed(limit + more, cut_at, now) >= allowed
    assert headroom_with(own).allowed(limit, cut_at, now + later_s) >= allowed
    assert 0.0 <= allowed <= limit
