"""The last values of something and their quantiles."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from itertools import islice
from math import ceil

LATELY = 3
"""So many samples say how things are at present, whatever they were before."""


class Window:
    """The last values, kept in their order of arrival and sorted: each is asked for quantiles."""

    def __init__(self, size_max: int, share: float) -> None:
        self._values: deque[float] = deque()
        self._sorted: list[float] = []
        self._size_max = size_max
        self._share = share

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, value: float) -> None:
        """Add the newest value; the oldest goes where there are ``size_max``."""
        self._values.append(value)
        insort(self._sorted, value)
        if len(self._sorted) > self._size_max:
            del self._sorted[bisect_left(self._sorted, self._values.popleft())]

    def quantile(self) -> float:
        """Return the smallest value that at least ``share`` of the window does not exceed."""
        return self.at(self._share)

    def last_most(self) -> float:
        """Return the greatest of the last few values."""
        return max(islice(reversed(self._values), LATELY))

    def at(self, share: float) -> float:
        """Return another quantile."""
        return self._sorted[max(0, ceil(share * len(self._sorted)) - 1)]
