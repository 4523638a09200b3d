"""The silence detector: examples by hand, and properties over random histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.silence import Silence, SilenceSettings, Wait

SETTINGS = SilenceSettings()
TIMES = st.floats(0.0, 100.0)
WAITS = st.lists(
    st.builds(Wait, began_at=TIMES, usual_s=st.floats(0.01, 20.0)), min_size=0, max_size=8
)


def waits(*began_at: float, usual_s: float = 1.0) -> list[Wait]:
    """Return waits that are ordinary for ``usual_s``."""
    return [Wait(began_at=at, usual_s=usual_s) for at in began_at]


def silent_after(one: Silence, under_way: list[Wait], now: float) -> bool:
    """Look, and return the verdict."""
    one.look(under_way, now)
    return one.is_silent


def test_several_late_waits_are_a_silence() -> None:
    """Two calls, each over twice as late as usual: one in 10,000. One call is not enough, ever."""
    one = Silence()
    assert not silent_after(one, waits(0.0, 0.0), 2.0)
    assert one.is_suspect
    assert silent_after(one, waits(0.0, 0.0), 2.3)
    assert not silent_after(Silence(), waits(0.0), 1000.0)


def test_patience_is_what_is_usual_there() -> None:
    """Waits count by how late they are for this endpoint and this prompt; below 1 s none does."""
    assert not silent_after(Silence(), waits(0.0, 0.0, 0.0, usual_s=10.0), 9.9)
    assert silent_after(Silence(), waits(0.0, 0.0, 0.0, usual_s=10.0), 12.0)
    assert not silent_after(Silence(), waits(*[0.0] * 50, usual_s=0.03), 0.9)


def test_waits_given_up_count_on() -> None:
    """Hedges that rescue callers do not hide a hang: what they cut short is remembered."""
    one = Silence()
    for began_at in (0.0, 2.0):
        one.gave_up(Wait(began_at=began_at, usual_s=1.0), began_at + 1.6)
    assert not silent_after(one, [], 4.0)
    one.gave_up(Wait(began_at=4.0, usual_s=1.0), 5.6)
    assert silent_after(one, [], 5.75)


def test_answer_ends_it() -> None:
    """A first content ends a silence, and older waits start anew."""
    one = Silence()
    for began_at in (0.0, 1.0, 2.0):
        one.gave_up(Wait(began_at=began_at, usual_s=1.0), began_at + 2.0)
    assert silent_after(one, waits(0.0), 4.0)
    one.answered(3.0, 4.5)
    assert not silent_after(one, waits(0.0, 0.0, 0.0), 5.4)
    assert not one.is_suspect


def test_answer_to_an_older_call_says_nothing_of_newer_ones() -> None:
    """What was accepted before an outage is still served; what came since is not."""
    one = Silence()
    one.answered(0.0, 4.0)
    assert silent_after(one, waits(1.0, 1.2, 1.4), 4.0)
    one.answered(0.5, 4.1)
    assert silent_after(one, waits(1.0, 1.2, 1.4), 4.1)
    one.answered(1.3, 4.2)
    assert not silent_after(one, waits(1.0, 1.2, 1.4), 4.2)


def test_old_evidence_is_dropped() -> None:
    """Where nobody asks any more, traffic may try again after a while."""
    one = Silence()
    for began_at in (0.0, 1.0, 2.0):
        one.gave_up(Wait(began_at=began_at, usual_s=1.0), began_at + 2.0)
    assert silent_after(one, [], 4.0 + SETTINGS.hold_s)
    assert not silent_after(one, [], 4.1 + SETTINGS.hold_s)


@given(waits=WAITS, now=st.floats(100.0, 200.0), more_s=st.floats(0.0, 50.0))
def test_waiting_longer_never_speaks_for_the_endpoint(
    waits: list[Wait], now: float, more_s: float
) -> None:
    """A silence that nothing interrupts lasts; so does a suspicion."""
    one = Silence()
    before = silent_after(one, waits, now), one.is_suspect
    after = silent_after(one, waits, now + more_s), one.is_suspect
    assert after >= before


@given(waits=WAITS, extra=WAITS, now=st.floats(100.0, 200.0))
def test_more_waits_never_speak_for_the_endpoint(
    waits: list[Wait], extra: list[Wait], now: float
) -> None:
    """Each wait is evidence against it, or none."""
    assert silent_after(Silence(), waits + extra, now) >= silent_after(Silence(), waits, now)


@given(
    times=st.lists(st.tuples(TIMES, st.floats(0.0, 0.99)), max_size=30),
    usual_s=st.floats(1.0, 10.0),
)
def test_ordinary_waits_never_count(times: list[tuple[float, float]], usual_s: float) -> None:
    """Whatever the order: who never waits longer than usual never suspects anything."""
    one = Silence()
    for began_at, share in sorted(times):
        wait = Wait(began_at=began_at, usual_s=usual_s)
        one.gave_up(wait, began_at + share * usual_s)
        one.look([wait], began_at + share * usual_s)
        assert not one.is_suspect


def test_one_wait_says_what_its_docstring_says() -> None:
    """Usually within 1 s, silent for 2 s: log10(20) + 2 log10(2)."""
    one = Silence()
    assert one._says(Wait(began_at=0.0, usual_s=1.0), 2.0) == pytest.approx(1.903, abs=0.001)
