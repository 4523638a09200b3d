"""Percentiles, medians and ratios."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Figures = dict[str, float]
"""Measure: what was measured, in the unit its name ends with."""
Round = dict[str, Figures]
"""Candidate: its figures in one round."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of ``values`` that at least ``share`` of them do not exceed.

    Of 1..100 the percentile at 0.99 is 99.
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_of(rounds: Iterable[Round], candidate: str, measure: str) -> float | None:
    """Return the median over the rounds that have the figure, None if none has."""
    found = [
        figures[measure]
        for one in rounds
        if (figures := one.get(candidate)) is not None and measure in figures
    ]
    return statistics.median(found) if found else None


def ratio_of(
    rounds: Iterable[Round],
    measure: str,
    candidate: str,
    other: str,
    *,
    other_measure: str | None = None,
) -> float | None:
    """Return the median of the ratios of each round that has both figures.

    Within a round both ran within seconds of each other: what slows the machine for minutes slows
    both, and cancels out. ``other_measure``: the same unless given.
    """
    below = other_measure or measure
    ratios = [
        one[candidate][measure] / one[other][below]
        for one in rounds
        if measure in one.get(candidate, {}) and one.get(other, {}).get(below)
    ]
    return statistics.median(ratios) if ratios else None


def added(figures: Mapping[str, Figures], measure: str, candidate: str) -> float | None:
    """Return how much more than without any proxy, at least a microsecond (of milliseconds)."""
    own = figures.get(candidate, {}).get(measure)
    direct = figures.get("direct", {}).get(measure)
    return None if own is None or direct is None else max(0.001, own - direct)
