"""The calibration's figures: kept as told, with the engine as it is."""

from __future__ import annotations

import pytest

from sidecar.simulate.calibration import KINDS, Told, observe, rows, table


def test_rows_count_by_chance_told() -> None:
    """Each call falls into one row, empty rows are left out."""
    told = [Told(chance=0.9, is_in_time=n % 10 > 0) for n in range(20)]
    told.append(Told(chance=0.0, is_in_time=False))
    low, high = rows(told)
    assert (low.calls, low.kept) == (1, 0.0)
    assert (high.calls, high.kept) == (20, 0.9)
    assert high.told == pytest.approx(0.9)
    assert table([("streams", [high])]).splitlines()[2] == "| streams | 20 | 0.90 | 0.90 |"


def test_the_engine_keeps_what_it_tells() -> None:
    """As many calls are in time as they were told chances, in all and among the likely ones."""
    told = [one for seed in range(2) for one in observe(KINDS[0], seed, calls=90)]
    likely = [one for one in told if one.chance > 0.8]
    assert len(likely) > 60
    for each in (told, likely):
        expected = sum(one.chance for one in each) / len(each)
        assert sum(one.is_in_time for one in each) / len(each) == pytest.approx(expected, abs=0.1)
