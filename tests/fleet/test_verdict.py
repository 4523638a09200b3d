"""What pooled outcomes come to."""

from __future__ import annotations

import pytest

from sidecar.fleet.settings import DEFAULTS
from sidecar.fleet.verdict import is_outage, is_well, quorum
from sidecar.fleet.view import Pooled


def pooled(*series: tuple[float, float, float], reporting: int, failing: int) -> Pooled:
    """Return outcomes."""
    return Pooled(series=series, reporting=reporting, failing=failing)


@pytest.mark.parametrize(
    ("pods", "reporting", "needed"),
    [(1, 1, 2), (2, 2, 2), (3, 3, 3), (10, 10, 3), (100, 40, 12), (10_000, 4, 3)],
)
def test_quorum(pods: int, reporting: int, needed: int) -> None:
    """Three pods and a third of those who report; two in a fleet of two; nobody alone."""
    assert quorum(pods, reporting, DEFAULTS) == needed


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (pooled((0, 0, 6), reporting=4, failing=4), True),
        (pooled((0, 0, 600), reporting=10, failing=1), False),
        (pooled((0, 0, 600), reporting=100, failing=20), False),
        (pooled((0, 3, 3), reporting=4, failing=4), False),
        (pooled((0, 5, 5), reporting=4, failing=4), True),
        (pooled((0, 6, 4), reporting=4, failing=4), False),
        (pooled((0, 0, 20), (1, 0, 20), (5, 500, 0), reporting=9, failing=9), False),
        (pooled((0, 0, 60), (1, 0, 60), (5, 500, 0), reporting=9, failing=9), True),
        (pooled(reporting=9, failing=9), False),
    ],
)
def test_an_outage_needs_witnesses_and_newest_outcomes(case: Pooled, expected: bool) -> None:
    """Half of the newest outcomes, several of them, and a quorum: all three."""
    assert is_outage(case, 100, DEFAULTS) is expected


def test_who_is_well() -> None:
    """Others must be answered, two at least, and hardly anything fail."""
    assert is_well(pooled((0, 9, 1), reporting=5, failing=1), DEFAULTS)
    assert not is_well(pooled((0, 9, 1), reporting=2, failing=1), DEFAULTS)
    assert not is_well(pooled((0, 7, 3), reporting=5, failing=1), DEFAULTS)
