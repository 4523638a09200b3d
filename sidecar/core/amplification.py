"""Whether a call may make another attempt, seen from all calls: attempts per request, bounded.

A retry storm feeds itself: slowness makes retries, retries make slowness, and it goes on when its
cause is gone (Bronson et al., "Metastable Failures in Distributed Systems"). Failing over to
another endpoint does not burden the sick one, so tokens are not the gate; the sum over all
endpoints is: at most half as many extra attempts as requests in a minute. The
first few are free, as a ratio of few requests says nothing. Above the bound batch calls stop, since
they can wait; interactive ones go on, bounded by their own ``attempts_max``.
"""

from __future__ import annotations

from sidecar.core.trailing import TrailingSum
from sidecar.core.tunable import Tunable
from sidecar.value import value


@value
class AmplificationSettings:
    """Numbers of the guard.

    * ``attempts_per_request`` 1.5 over ``window_s`` 60: what an outage needs until its breaker
      opens, not more. ``slot_s`` 1: the window moves by the second.
    * ``free_extra`` 10 extra attempts a window pass whatever the ratio.
    """

    attempts_per_request: float = 1.5
    window_s: float = 60.0
    slot_s: float = 1.0
    free_extra: int = 10


_DEFAULTS = AmplificationSettings()


class AmplificationGuard(Tunable[AmplificationSettings]):
    """Requests and extra attempts of one sidecar. State: two trailing counts."""

    def __init__(self, settings: AmplificationSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._requests = TrailingSum(settings.window_s, settings.slot_s)
        self._extra = TrailingSum(settings.window_s, settings.slot_s)

    def request(self, now: float) -> None:
        """Count a call, with its first attempt."""
        self._requests.add(1.0, now)

    def extra(self, now: float) -> None:
        """Count an attempt beyond a call's first: retry, failover or hedge, allowed or not."""
        self._extra.add(1.0, now)

    def may_extra(self, now: float, *, is_interactive: bool) -> bool:
        """Return whether one more extra attempt may start; reserves nothing.

        Worked example: 100 requests in the minute allow 50 extra attempts, 10 requests allow 10.
        """
        if is_interactive:
            return True
        settings = self._settings
        share = settings.attempts_per_request - 1.0
        allowed = max(float(settings.free_extra), share * self._requests.total(now))
        return self._extra.total(now) + 1.0 <= allowed

    def ratio(self, now: float) -> float:
        """Return attempts per request over the window, for telemetry; 1 without any request."""
        requests = self._requests.total(now)
        return 1.0 + self._extra.total(now) / requests if requests > 0.0 else 1.0
