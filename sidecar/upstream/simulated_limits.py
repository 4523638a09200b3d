"""What a simulated provider grants: requests in a window of time, and requests at once.

The window really slides over the requests it accepted, as a provider counts them; refusals cost
nothing. Beyond ``swift_at_once`` requests share what there is: all that arrive then are slower, so
that work which nobody needs slows those that somebody waits for. A provider that returns after an
outage may be cold: it has a part of its capacity, which grows back.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from sidecar.upstream.simulated_answer import ErrorAnswer, RateState
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.upstream.simulated_answer import Dialect

RATE_WINDOW_S = 60.0
OVERLOADED = "Overloaded: the provider serves as many requests as it can."


@value
class SimulatedLimits:
    """What the provider grants: requests in any ``rate_window_s``, and requests at once; None: any
    number.

    ``swift_at_once``: so many are answered at full speed; of twice as many each takes twice as
    long. ``cold_s``: how long capacity grows after ``Grants.chilled_at_s``, from ``cold_share`` of
    it to all.
    """

    requests_per_minute: int | None = None
    requests_at_once: int | None = None
    swift_at_once: int | None = None
    rate_window_s: float = RATE_WINDOW_S
    cold_s: float = 0.0
    cold_share: float = 0.1


class Grants:
    """Owns the instants of the requests that were accepted within the window, and when the provider
    came back cold.
    """

    def __init__(self, limits: SimulatedLimits) -> None:
        self.limits = limits
        self.chilled_at_s: float | None = None
        self._granted_at: deque[float] = deque()

    def slowness(self, at_s: float, in_flight: int) -> float:
        """Return how many times longer a request takes that arrives now; ``in_flight`` with it."""
        swift = self.limits.swift_at_once
        return 1.0 if swift is None else max(1.0, in_flight / (swift * self._warmth(at_s)))

    def _warmth(self, at_s: float) -> float:
        """Return the share of its capacity that the provider has, up to 1.0."""
        if self.chilled_at_s is None or at_s < self.chilled_at_s or self.limits.cold_s <= 0.0:
            return 1.0
        grown = (at_s - self.chilled_at_s) / self.limits.cold_s
        least = self.limits.cold_share
        return min(1.0, least + (1.0 - least) * grown)

    def ask(
        self, at_s: float, in_flight: int, dialect: Dialect, wall_start_s: float
    ) -> tuple[ErrorAnswer | None, tuple[tuple[str, str], ...]]:
        """Accept a request (``None``) or say why not, with the headers that describe the limit."""
        at_once = self.limits.requests_at_once
        if at_once is not None and in_flight > at_once * self._warmth(at_s):
            return ErrorAnswer(status=dialect.overload_status, message=OVERLOADED), ()
        rate = self.limits.requests_per_minute
        if rate is None:
            return None, ()
        while self._granted_at and self._granted_at[0] + self.limits.rate_window_s <= at_s:
            self._granted_at.popleft()
        is_granted = len(self._granted_at) < rate
        if is_granted:
            self._granted_at.append(at_s)
        reset_s = self._granted_at[0] + self.limits.rate_window_s - at_s
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
