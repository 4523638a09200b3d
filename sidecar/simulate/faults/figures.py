"""What a row's play is worth: the study's figures, and attempts laid to the calls that made them.

Amplification and waste are counted by call, not by the clock, so that an attempt belongs to the
call that made it whenever it was sent, and the load beside the judged calls does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.simulate.metrics import Figures, figures_of, pool
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.simulate.plays import Played


@value
class RowFigures:
    """One play of a row, or the pool of several. ``attempts`` are those of the judged calls."""

    figures: Figures
    attempts: int

    @property
    def amplification(self) -> float:
        """Attempts over calls."""
        return self.attempts / self.figures.calls if self.figures.calls else 1.0

    @property
    def wasted(self) -> float:
        """Attempts that came to no good answer, over calls."""
        return (
            (self.attempts - self.figures.good) / self.figures.calls if self.figures.calls else 0.0
        )


def row_figures_of(played: Played, oracle: Played) -> RowFigures:
    """Return the figures of one play beside the oracle's of the same world."""
    until = played.fault_until + played.scenario.judged_after_s
    judged = [one for one in played.calls if played.fault_at <= one.started_at < until]
    return RowFigures(
        figures=figures_of(played, oracle), attempts=sum(one.attempts for one in judged)
    )


def pool_rows(several: Sequence[RowFigures]) -> RowFigures:
    """Return the figures of several plays of one row."""
    return RowFigures(
        figures=pool([one.figures for one in several]),
        attempts=sum(one.attempts for one in several),
    )
