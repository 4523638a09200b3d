"""Which failures are our own: a stalled event loop, a lost way out.

A loop that stalls two seconds lets timers fire late and before the bytes that came meanwhile are
read; charged to providers, one pause of a busy node would open every breaker. A pod that lost its
network fails to connect everywhere at once; that says nothing of any provider.

A stall matters only at the ends of a wait. At its start the request was not sent yet, at its end
the answer was not read yet. In the middle the provider worked on, and what it sent was read at once
afterwards: taking such stalls off too would, under small pauses, never charge a real hang.

Egress is suspect while connects fail on several hosts and nothing succeeds; the first success
anywhere ends it. If all providers of a configuration are down at once it looks the same, which is
why the suspicion fades with the window: it needs fresh failures.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import HostName


@value
class LagSettings:
    """Numbers of the lag monitor.

    * ``noise_s`` 0.1: ticks are late by some milliseconds all the time.
    * ``settle_s`` 0.5: how near to an end of a wait a stall must be to count: connecting and
      sending takes that long, and so does reading what piled up.
    * ``stalls_max`` 64: the stalls that are remembered; the longest wait outlives few of them.
    """

    noise_s: float = 0.1
    settle_s: float = 0.5
    stalls_max: int = 64


_LAG_DEFAULTS = LagSettings()


class LagMonitor:
    """How late the event loop is. State: the tick that is awaited, and recent stalls."""

    def __init__(self, settings: LagSettings = _LAG_DEFAULTS) -> None:
        self._settings = settings
        self._ticked_at: float | None = None
        self._next_at: float | None = None
        self._last_lag_s = 0.0
        self._stalls: deque[_Stall] = deque(maxlen=settings.stalls_max)

    def tick(self, now: float, *, next_at: float) -> None:
        """Note that the monitor's own timer fired, and when it is due again."""
        stall = self._stall(now)
        if stall is not None:
            self._stalls.append(stall)
        self._last_lag_s = self._overdue_s(now)
        self._ticked_at = now
        self._next_at = next_at

    def lag_s(self, now: float) -> float:
        """Return how late the last tick was, or the awaited one already is, seconds."""
        return max(self._last_lag_s, self._overdue_s(now))

    def blame_s(self, waited_s: float, now: float) -> float:
        """Return how much of a wait that ends now, ``waited_s`` long, the other side answers for.

        A timer that fired with less than its limit here overran by our own lag: wait for the
        rest, or charge nobody.
        """
        since = now - waited_s
        settle_s = self._settings.settle_s
        open_stall = self._stall(now)
        own_s = 0.0
        for stall in (*self._stalls, *(() if open_stall is None else (open_stall,))):
            at_start = stall.began_at <= since + settle_s
            at_end = stall.ended_at >= now - settle_s
            if at_start or at_end:
                own_s += max(0.0, min(now, stall.ended_at) - max(since, stall.began_at))
        return max(0.0, waited_s - own_s)

    def _overdue_s(self, now: float) -> float:
        return 0.0 if self._next_at is None else max(0.0, now - self._next_at)

    def _stall(self, now: float) -> _Stall | None:
        """The stall that the awaited tick shows; it may have begun right after the last one."""
        if self._ticked_at is None or self._overdue_s(now) < self._settings.noise_s:
            return None
        return _Stall(began_at=self._ticked_at, ended_at=now)


@value
class _Stall:
    """The loop did not run, or for less than a tick, in between."""

    began_at: float
    ended_at: float


@value
class EgressSettings:
    """Numbers of the egress monitor.

    * ``hosts_min`` 2: one host is that host's trouble.
    * ``window_s`` 10: failures this far apart are one event; three connects of three seconds fit.
    """

    hosts_min: int = 2
    window_s: float = 10.0


_EGRESS_DEFAULTS = EgressSettings()


class EgressMonitor:
    """Whether our own way out is gone. State: when each host last failed since any success."""

    def __init__(self, settings: EgressSettings = _EGRESS_DEFAULTS) -> None:
        self._settings = settings
        self._failed_at: dict[HostName, float] = {}

    def failed(self, host: HostName, now: float) -> None:
        """Note that connecting to ``host`` failed; ask ``is_suspect`` afterwards."""
        self._failed_at[host] = now

    def succeeded(self) -> None:
        """Note that bytes came back from any host."""
        self._failed_at.clear()

    def is_suspect(self, now: float) -> bool:
        """Return whether connect failures are not to be charged to providers."""
        if not self._failed_at:
            return False
        since = now - self._settings.window_s
        recent = sum(1 for at in self._failed_at.values() if at > since)
        return recent >= self._settings.hosts_min
