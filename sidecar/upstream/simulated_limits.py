"""What a simulated provider grants: requests in any minute, and requests at once.

The minute is a real sliding window over the requests it accepted, as a provider counts them;
refusals cost nothing.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.upstream.simulated_answer import ErrorAnswer, RateState

if TYPE_CHECKING:
    from sidecar.upstream.simulated_answer import Dialect

RATE_WINDOW_S = 60.0
OVERLOADED = "Overloaded: the provider serves as many requests as it can."


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLimits:
    """What the provider grants: requests in any 60 s, and requests at once; None: any number."""

    requests_per_minute: int | None = None
    requests_at_once: int | None = None


class Grants:
    """Owns the instants of the requests that were accepted within the window."""

    def __init__(self, limits: SimulatedLimits) -> None:
        self.limits = limits
        self._granted_at: deque[float] = deque()

    def ask(
        self, at_s: float, in_flight: int, dialect: Dialect, wall_start_s: float
    ) -> tuple[ErrorAnswer | None, tuple[tuple[str, str], ...]]:
        """Accept a request (``None``) or say why not, with the headers that describe the limit."""
        at_once = self.limits.requests_at_once
        if at_once is not None and in_flight > at_once:
            return ErrorAnswer(status=dialect.overload_status, message=OVERLOADED), ()
        rate = self.limits.requests_per_minute
        if rate is None:
            return None, ()
        while self._granted_at and self._granted_at[0] + RATE_WINDOW_S <= at_s:
            self._granted_at.popleft()
        is_granted = len(self._granted_at) < rate
        if is_granted:
            self._granted_at.append(at_s)
        reset_s = self._granted_at[0] + RATE_WINDOW_S - at_s
        state = RateState(
            limit=rate,
            remaining=rate - len(self._granted_at),
            reset_s=reset_s,
            reset_at_s=wall_start_s + at_s + reset_s,
        )
        headers = dialect.rate_headers(state)
        if is_granted:
            return None, headers
        return ErrorAnswer(status=429), (*headers, ("retry-after", str(math.ceil(reset_s))))
