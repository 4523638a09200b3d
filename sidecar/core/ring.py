"""The last N weighted outcomes of one breaker, and whether they are bad enough to trip.

A *count* window, not a time window: calls to language models are few and long, and "20 requests in
10 s" never comes about at six calls a minute even when all of them fail. The count grows with the
rate (about ``ring_span_s`` worth of traffic), so that a busy endpoint is not tripped by a short run
of ordinary errors.

Two rules, either trips: an unbroken run of failures, or a share of the window. The run must also
last ``run_span_s``, since streams killed by one reset are one event. The share rule knows no time:
the same outcomes give the same verdict whether they came in a millisecond or in minutes.

The outcomes of a run may lie minutes apart, since few calls are all that a quiet endpoint gets; but
``ring_age_s`` without any ends it: after a night, or a machine that was suspended, windows are cold
(an endpoint quieter than that is found out by the suspicion probes after its first failure).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from math import ceil

from sidecar.core.tunable import Tunable


class Cause(Enum):
    """Why a breaker changed state: one of the ring's two rules, or what the breaker itself met."""

    CONSECUTIVE = "consecutive_failures"
    SHARE = "failure_share"
    SILENCE = "silence"
    FLEET = "fleet_outage"
    FLEET_WELL = "fleet_recovered"
    TRIAL_DUE = "trial_due"
    TRIAL_FAILED = "trial_failed"
    PUSHBACK = "trial_pushback"
    RECOVERED = "recovered"
    ISOLATED = "isolated"
    RESTORED = "restored"


@dataclass(frozen=True, kw_only=True)  # no slots: breaker settings inherit from two such classes
class RingSettings:
    """When a window of outcomes trips. Weights: a failure 1, overload or a probe's failure 0.5.

    ``ring_min``, ``ring_max``, ``ring_span_s``: N is the traffic of ``ring_span_s`` at the rate of
    the last ``rate_window_s``, within bounds: 10 outcomes are the fewest with a meaningful share,
    200 react within 20 s at 10 calls/s. ``ring_age_s``: older outcomes are another incident's.
    ``run_weight_min``, ``run_share``: the run that trips weighs at least the greater of 5 and N/10.
    ``run_span_s``: a burst within half a second is one event. ``share_count_min``,
    ``share_weight_min``, ``share_min``: of at least 5 outcomes, at least 4 and half are bad; at 5 %
    independent errors that happens less than once in ten days of one call a second.
    """

    ring_min: int = 10
    ring_max: int = 200
    ring_span_s: float = 20.0
    rate_window_s: float = 60.0
    ring_age_s: float = 600.0
    run_weight_min: float = 5.0
    run_share: float = 0.1
    run_span_s: float = 0.5
    share_count_min: int = 5
    share_weight_min: float = 4.0
    share_min: float = 0.5


class CountRing(Tunable[RingSettings]):
    """Owns the outcomes of one breaker while it is closed, at most ``history_max`` of them."""

    def __init__(self, settings: RingSettings) -> None:
        self._settings = settings
        # As many as tell every rate up to the one at which N reaches its upper bound.
        history_max = ceil(settings.ring_max * settings.rate_window_s / settings.ring_span_s)
        self._entries: deque[tuple[float, float]] = deque(
            maxlen=max(history_max, settings.ring_max)
        )
        self._run_weight = 0.0
        self._run_started_at: float | None = None
        self._run_span_s = 0.0

    def run_weight(self, now: float) -> float:
        """Return what the failures since the last success weigh, 0.0 without any."""
        is_old = not self._entries or now - self._entries[-1][0] > self._settings.ring_age_s
        return 0.0 if is_old else self._run_weight

    def record(self, fail: float, now: float, *, ends_run: bool = True) -> None:
        """Add an outcome: 0.0 a success, above 0 the weight of a failure. A success that
        ``ends_run`` is false for counts for the share alone.
        """
        if self._entries and now - self._entries[-1][0] > self._settings.ring_age_s:
            # A run that nothing was added to for so long was another incident's.
            self._end_run()
        self._entries.append((now, fail))
        if fail > 0.0:
            self._run_weight += fail
            if self._run_started_at is None:
                self._run_started_at = now
            self._run_span_s = now - self._run_started_at
        elif ends_run:
            self._end_run()

    def clear(self) -> None:
        """Forget everything, as a breaker does when it closes."""
        self._entries.clear()
        self._end_run()

    def size(self, now: float) -> int:
        """Return N, the number of outcomes that the share rule looks at.

        Worked example: 90 outcomes in the last 60 s are 1.5/s, and 20 s of that are N = 30.
        """
        settings = self._settings
        since = now - settings.rate_window_s
        count = 0
        for at, _ in reversed(self._entries):
            if at <= since:
                break
            count += 1
        wanted = ceil(count * settings.ring_span_s / settings.rate_window_s)
        return min(max(wanted, settings.ring_min), settings.ring_max)

    def verdict(self, now: float) -> Cause | None:
        """Say whether to trip, and by which rule."""
        size = self.size(now)
        if self._is_long_run(size):
            return Cause.CONSECUTIVE
        return Cause.SHARE if self._is_bad_share(size, now) else None

    def _is_long_run(self, size: int) -> bool:
        settings = self._settings
        least = max(settings.run_weight_min, ceil(size * settings.run_share))
        return self._run_weight >= least and self._run_span_s >= settings.run_span_s

    def _is_bad_share(self, size: int, now: float) -> bool:
        settings = self._settings
        since = now - settings.ring_age_s
        window = [fail for at, fail in islice(reversed(self._entries), size) if at >= since]
        least = max(settings.share_weight_min, ceil(len(window) * settings.share_min))
        return len(window) >= settings.share_count_min and sum(window) >= least

    def _end_run(self) -> None:
        self._run_weight = 0.0
        self._run_started_at = None
        self._run_span_s = 0.0
