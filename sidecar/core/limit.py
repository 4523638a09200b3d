"""How many calls an endpoint may have under way: additive increase, multiplicative decrease.

TCP's rule, in the shape of Netflix's concurrency-limits. At the rates of language models no latency
gradient converges, so only explicit signs move the limit: a success while the limit is nearly used
raises it, an overload, a 429 or a hang cuts it. One cut an epoch: calls that were admitted before
the last cut saw the old limit and say nothing of the new one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Where the limit starts and how it moves.

    ``limit_start`` lets a small load through untouched. ``limit_max`` is the endpoint's own
    ``concurrency_max``. ``busy_share``: a limit that is hardly used proves nothing by a success.
    ``cut_factor``: 0.7 halves in two cuts.
    """

    limit_start: float = 8.0
    limit_min: float = 1.0
    limit_max: float = 64.0
    busy_share: float = 0.8
    cut_factor: float = 0.7


class ConcurrencyLimit:
    """Owns the calls under way of one endpoint: the limit ``value`` and its use ``inflight``."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self.value = min(settings.limit_start, settings.limit_max)
        self.inflight = 0
        self._cut_at: float | None = None

    def try_acquire(self, _now: float) -> bool:
        """Take a place if there is one; pair with ``release``. A limit of 5.6 passes six."""
        if self.inflight >= self.value:
            return False
        self.inflight += 1
        return True

    def release(self) -> None:
        """Give a place back."""
        assert self.inflight > 0, "release without acquire"
        self.inflight -= 1

    def grow(self) -> None:
        """Note a success, after its ``release``: it matters whether the limit was in use.

        Worked example: 8 grows by 1/8; eight successes of a full limit make 9, once a round trip.
        """
        settings = self._settings
        if self.inflight + 1 >= settings.busy_share * self.value:
            self.value = min(settings.limit_max, self.value + 1.0 / self.value)

    def cut(self, admitted_at: float, now: float) -> None:
        """Note that a call admitted at ``admitted_at`` met a sign of overload."""
        if self._cut_at is not None and admitted_at <= self._cut_at:
            return
        self._cut_at = now
        self.value = max(self._settings.limit_min, self.value * self._settings.cut_factor)
