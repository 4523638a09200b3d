"""Durations: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        *(("250ms", 0.25), ("2s", 2.0), ("5m", 300.0), ("1h", 3600.0), ("1.5s", 1.5)),
        *(("0s", 0.0), (" 2s ", 2.0), ("2 s", 2.0), ("0.2ms", 0.0002)),
    ],
)
def test_a_number_with_its_unit_is_read(text: str, duration_s: float) -> None:
    """Milliseconds, seconds, minutes and hours, with fractions."""
    assert parse_duration(text) == duration_s


@pytest.mark.parametrize(
    "text",
    ["", "s", "2", "2.5", "-1s", "+1s", "1e3s", "2sec", "1d", "1m30s", "٣s", "nan s", "9999h"],
)
def test_anything_else_is_refused(text: str) -> None:
    """Bare numbers, other units, signs, exponents and absurd lengths are refused."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


def test_a_bare_number_is_told_what_to_write() -> None:
    """Nobody has to guess whether a number means seconds."""
    with pytest.raises(ValueError, match='got 500; write "500s" for seconds or "500ms" for milli'):
        parse_duration("500")


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.0, "0ms"), (0.25, "250ms"), (1.5, "1.5s"), (90.0, "90s"), (120.0, "2m"), (7200.0, "2h")],
)
def test_the_largest_exact_unit_is_written(duration_s: float, text: str) -> None:
    """What is shown is what a person would write."""
    assert format_duration(duration_s) == text


@settings(max_examples=200, derandomize=True)
@given(st.integers(min_value=0, max_value=10**9).map(lambda micros: micros / 1e6))
def test_writing_and_reading_agree(duration_s: float) -> None:
    """A duration survives being written and read."""
    assert parse_duration(format_duration(duration_s)) == pytest.approx(duration_s, abs=1e-9)


@settings(max_examples=200, derandomize=True)
@given(st.text(max_size=20))
def test_no_text_raises_anything_else(text: str) -> None:
    """Whatever a header holds, reading it gives seconds or a ValueError."""
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0
