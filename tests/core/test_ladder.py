"""The ladder: names of the rungs, and shedding that does not flap."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.ladder import Ladder, Level, degraded_header


def test_header_names_level_reason_and_source() -> None:
    """A degraded answer says how far, why and who; a normal one says nothing."""
    assert degraded_header(Level.SMALLER, "HANG", "c/m") == "L3;HANG;c/m"
    assert degraded_header(Level.NORMAL, "", "a/m") is None
    assert [level.value for level in Level] == [f"L{number}" for number in range(8)]


def test_sheds_after_two_bad_seconds() -> None:
    """Half of the tier out for two seconds sheds, and not a moment earlier."""
    ladder = Ladder()
    ladder.observe(0.5, 10.0)
    assert not ladder.is_shedding(11.9)
    assert ladder.is_shedding(12.0)
    assert ladder.level(12.0) is Level.SHED


def test_a_blink_does_not_shed() -> None:
    """A good moment in between starts the two seconds anew."""
    ladder = Ladder()
    ladder.observe(1.0, 0.0)
    ladder.observe(0.49, 1.5)
    ladder.observe(1.0, 1.6)
    assert not ladder.is_shedding(3.5)
    assert ladder.is_shedding(3.6)


def test_ends_after_thirty_good_seconds() -> None:
    """One bad moment within the thirty keeps it shedding."""
    ladder = Ladder()
    ladder.observe(1.0, 0.0)
    ladder.observe(0.0, 5.0)
    ladder.observe(0.6, 30.0)
    ladder.observe(0.0, 30.5)
    assert ladder.is_shedding(60.4)
    assert not ladder.is_shedding(60.5)
    assert ladder.level(60.5) is Level.NORMAL


def test_an_unwatched_stretch_counts() -> None:
    """What nobody asked about in time took effect all the same."""
    ladder = Ladder()
    ladder.observe(1.0, 0.0)
    ladder.observe(0.0, 2.0)
    assert ladder.is_shedding(2.0)


def test_unobserved_is_well() -> None:
    """Nothing is shed before anything was seen."""
    assert not Ladder().is_shedding(100.0)


@settings(max_examples=100, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0.0, 0.4, 0.5, 1.0])), max_size=25))
def test_agrees_with_a_second_by_second_history(steps: list[tuple[int, float]]) -> None:
    """Shedding is on iff some two bad seconds came after the last thirty good ones."""
    ladder = Ladder()
    history: list[bool] = []
    for length_s, share in steps:
        ladder.observe(share, float(len(history)))
        history += [share >= 0.5] * length_s
        now = len(history)
        shedding = False
        for end in range(1, now + 1):
            if end >= 2 and all(history[end - 2 : end]):
                shedding = True
            if end >= 30 and not any(history[end - 30 : end]):
                shedding = False
        assert ladder.is_shedding(float(now)) is shedding
