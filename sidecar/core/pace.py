"""How long a plain answer takes to write a token, where no stream ever showed it.

The slope of waits over lengths, by moving least squares: an endpoint that is asked for whole
answers only would else be taken to write at the prior's pace, and what it spends on writing to be
the wait for its first token. The slope leans on the prior until lengths have spread.
"""

from __future__ import annotations

MEMORY = 64.0
"""Answers that the slope is learned from."""
SPREAD_TOKENS = 30.0
"""Lengths must spread this far for one answer to weigh as much as the prior."""
LEAST_SHARE = 0.05
"""Of the prior: nobody writes for nothing, and predictions divide by it."""


class WritingPace:
    """Moving moments of (tokens, seconds) of whole answers."""

    __slots__ = ("_cross", "_seconds", "_square", "_tokens", "_weight")

    def __init__(self) -> None:
        self._weight = 0.0
        self._tokens = self._seconds = 0.0  # means
        self._square = self._cross = 0.0  # variance of tokens, covariance with seconds

    def add(self, tokens: int, seconds: float) -> None:
        """Record one whole answer."""
        self._weight = min(MEMORY, self._weight + 1.0)
        share = 1.0 / self._weight
        off = tokens - self._tokens
        off_s = seconds - self._seconds
        self._tokens += share * off
        self._seconds += share * off_s
        self._square += share * ((1.0 - share) * off * off - self._square)
        self._cross += share * ((1.0 - share) * off * off_s - self._cross)

    def gap_s(self, prior_s: float) -> float:
        """Return seconds a token; ``prior_s`` before anything is known.

        Ten answers of 100 or 300 tokens after 3 or 13 s: (500 + 90 * 0.02) / (10000 + 90),
        0.0497 of the 0.05 that it is.
        """
        if self._weight == 0.0:
            return prior_s
        ridge = SPREAD_TOKENS**2 / self._weight
        slope_s = (self._cross + ridge * prior_s) / (self._square + ridge)
        most_s = self._seconds / max(1.0, self._tokens)
        return max(LEAST_SHARE * prior_s, min(slope_s, max(most_s, LEAST_SHARE * prior_s)))
