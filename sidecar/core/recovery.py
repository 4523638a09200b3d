"""How a breaker comes back: how long it stays open, and how slowly traffic returns after it closed.

The open period doubles with each failed trial, and with each relapse soon after a trial succeeded,
and is forgotten slowly: an endpoint that flaps, or that answers probes and breaks off real answers,
is left alone for longer each time. Chance spreads the return of many sidecars. After closing,
the share of traffic ramps up: what just recovered topples under a rush, and providers answer steep
ramps with 429.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.core.tunable import Tunable

if TYPE_CHECKING:
    import random


@dataclass(frozen=True, kw_only=True)  # no slots: breaker settings inherit from two such classes
class RecoverySettings:
    """How long a breaker stays open, and what it takes to be trusted again.

    Open for ``open_base_s`` · 2^k, at most ``open_backoff_max_s``, times 1 ± ``open_jitter``; k
    counts failed trials and relapses within ``backoff_decay_s`` of closing, and falls by one each
    ``backoff_decay_s`` closed. A pushback lengthens it;
    the result lies within ``open_min_s`` and ``open_max_s``: no header may shut an endpoint for
    longer. ``trial_successes``: one lucky answer is not a recovery. Traffic ramps from
    ``slow_start_min`` over ``slow_start_s`` or ``slow_start_successes``.
    """

    open_base_s: float = 5.0
    open_backoff_max_s: float = 120.0
    open_jitter: float = 0.25
    open_min_s: float = 1.0
    open_max_s: float = 300.0
    backoff_decay_s: float = 60.0
    trial_successes: int = 2
    slow_start_s: float = 30.0
    slow_start_successes: int = 10
    slow_start_min: float = 0.1


class Recovery(Tunable[RecoverySettings]):
    """Owns one breaker's count of failed trials and its time since closing."""

    def __init__(self, settings: RecoverySettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._failed_trials = 0
        self._closed_at: float | None = None
        self._successes = 0

    def trial_failed(self) -> None:
        """Count a trial that failed; a pushback is none."""
        self._failed_trials += 1

    def succeeded(self) -> None:
        """Count a success while closed."""
        self._successes += 1

    def closed(self, now: float) -> None:
        """Start the ramp, and the time after which failed trials are forgotten."""
        self._closed_at = now
        self._successes = 0

    def opened(self, now: float, pushback_s: float | None) -> float:
        """Return how long to stay open from now on; call once each time the breaker opens.

        Worked example: the second failed trial in a row gives 5 s · 2^2 = 20 s, 15 to 25 with
        jitter, and a pushback of 60 s makes it 60.
        """
        settings = self._settings
        if self._closed_at is not None:
            forgotten = int((now - self._closed_at) // settings.backoff_decay_s)
            # What opens again so soon had not recovered: its trials deceived, which counts as much.
            change = -forgotten if forgotten > 0 else 1
            self._failed_trials = max(0, self._failed_trials + change)
            self._closed_at = None
        doubled = settings.open_base_s * 2.0 ** min(self._failed_trials, _DOUBLINGS_MAX)
        jitter = self._rng.uniform(1.0 - settings.open_jitter, 1.0 + settings.open_jitter)
        wanted = min(settings.open_backoff_max_s, doubled) * jitter
        return self.bounded(max(wanted, pushback_s or 0.0))

    def bounded(self, open_s: float) -> float:
        """Return ``open_s`` within what is allowed, the least of it for not-a-number."""
        return min(max(self._settings.open_min_s, open_s), self._settings.open_max_s)

    def slow_start(self, now: float) -> float:
        """Return the share of its weight that a closed breaker deserves, ``slow_start_min``..1.0.

        Worked example: 15 s after closing with 2 successes it is max(0.1, 15/30, 2/10) = 0.5.
        """
        if self._closed_at is None:
            return 1.0
        settings = self._settings
        by_time = (now - self._closed_at) / settings.slow_start_s
        by_count = self._successes / settings.slow_start_successes
        return min(1.0, max(settings.slow_start_min, by_time, by_count))


_DOUBLINGS_MAX = 30
"""The period is cut long before; this keeps the power of a forgotten endpoint finite."""
