"""The comparison with the recorded ratios."""

from __future__ import annotations

import json

import pytest

from bench.check import BASELINE, WHAT, grown, ratios_of, table

RECORDED = {"call_us": 4.0, "start_s": 8.0}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({"call_us": 4.0, "start_s": 8.0}, []),
        ({"call_us": 4.59, "start_s": 9.19}, []),
        ({"call_us": 4.61, "start_s": 1.0}, ["call_us"]),
        ({"call_us": 4.61, "start_s": 9.21}, ["call_us", "start_s"]),
        ({"call_us": 4.0}, ["start_s"]),
    ],
)
def test_growth_beyond_the_allowance_fails(now: dict[str, float], expected: list[str]) -> None:
    """A ratio may grow by 15 %, may fall as far as it likes, and must not be missing."""
    assert grown(RECORDED, now) == expected
    marked = [line for line in table(RECORDED, now) if line.endswith("GROWN")]
    assert len(marked) == len(expected)


def test_ratios_are_to_the_bare_loop() -> None:
    """What is recorded is the sidecar's figure divided by the bare loop's."""
    rounds = [{"sidecar": {"call_us": 90.0}, "bare-loop": {"call_us": 30.0}}]
    assert ratios_of(rounds) == {"call_us": 3.0}


def test_everything_measured_is_recorded() -> None:
    """The committed file has a ratio for each measure, so that none goes unwatched."""
    assert json.loads(BASELINE.read_text())["ratios"].keys() == WHAT.keys()
