"""How much of an endpoint calls may take that are at home elsewhere.

When the first choice of a route fails, its calls come to the next one, which has callers of its own
and may bear only a part of the newcomers. Its concurrency limit finds what it bears, but by
overloads, and those hit its own callers as well, who often have nobody else. So what is *spilled*
onto an endpoint, calls whose route prefers another one, gets the limit less what the endpoint's own
calls use, and after each overload comes back slowly, like the traffic of an endpoint that
recovered: from half to all of it in half a minute. The rest goes to the next tier. Overloads then
come once a ramp instead of once a second.

By time alone: a dozen successes come within a second at the rates where this matters, and say
nothing of the thirteenth call beside them.

Before the first overload nothing is held back: most fallbacks bear all that comes, and a ramp for
its own sake would send calls to a lesser model for nothing. Nor where nobody else is left
(``engine/views.py``): then each call held back is an error, and more of them than own calls saved.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from sidecar.value import value


@value
class HeadroomSettings:
    """Numbers of the headroom.

    * ``ramp_s`` 30 from ``ramp_min`` 0.5 to all, as long as a recovered breaker's slow start; the
      limit was just cut by a third, and less than half would leave idle what the endpoint bears.
    * ``own_quantile`` 0.95 of the time own calls under way were no more, over ``own_s`` 300: what
      own callers nearly always find room in. By time, not by call: one call a minute would keep a
      place for ever. At most ``own_changes_max`` 512 starts and ends are remembered, the newest.
    """

    ramp_s: float = 30.0
    ramp_min: float = 0.5
    own_quantile: float = 0.95
    own_s: float = 300.0
    own_changes_max: int = 512


_DEFAULTS = HeadroomSettings()
USE_S = 1.0
"""How often the own use is worked out anew: every call asks."""


class Headroom:
    """Owns the counts of own and of spilled calls under way, and how many own ones there were."""

    def __init__(self, settings: HeadroomSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._own: deque[tuple[float, int]] = deque(maxlen=settings.own_changes_max)
        self._use = 0
        self._use_at: float | None = None
        self.own_count = 0
        self.spilled_count = 0

    def start(self, now: float, *, is_spilled: bool) -> None:
        """Count a call in; pair with ``end``."""
        if is_spilled:
            self.spilled_count += 1
        else:
            self.own_count += 1
            self._own.append((now, self.own_count))

    def end(self, now: float, *, is_spilled: bool) -> None:
        """Count a call out."""
        if is_spilled:
            assert self.spilled_count > 0, "a spilled call ended that never started"
            self.spilled_count -= 1
        else:
            assert self.own_count > 0, "an own call ended that never started"
            self.own_count -= 1
            self._own.append((now, self.own_count))

    def may_spill(self, limit: float, cut_at: float | None, now: float) -> bool:
        """Return whether one more spilled call may start.

        ``limit`` is how many calls may be under way in all, ``cut_at`` when an overload last cut
        it, None if never.
        """
        return cut_at is None or self.spilled_count < self.allowed(limit, cut_at, now)

    def allowed(self, limit: float, cut_at: float, now: float) -> float:
        """Return how many spilled calls may be under way; 0.3 of a call passes one.

        Worked example: a limit of 10 cut 15 s ago, own use of 4: half of 6 is 3. Where own calls
        use all there is, nothing.
        """
        settings = self._settings
        ramp = min(1.0, max(settings.ramp_min, (now - cut_at) / settings.ramp_s))
        return ramp * max(0.0, limit - self.own_use(now))

    def own_use(self, now: float) -> int:
        """Return the own calls under way that are hardly ever exceeded; 0 without any."""
        if self._use_at is None or now - self._use_at >= USE_S:
            self._use, self._use_at = self._quantile(now), now
        return self._use

    def _quantile(self, now: float) -> int:
        since = now - self._settings.own_s
        while len(self._own) > 1 and self._own[1][0] <= since:
            self._own.popleft()
        lasted_s: dict[int, float] = {}
        for (at, count), (until, _) in pairwise((*self._own, (now, 0))):
            lasted_s[count] = lasted_s.get(count, 0.0) + until - max(at, since)
        left_s = self._settings.own_quantile * sum(lasted_s.values())
        for count in sorted(lasted_s):
            left_s -= lasted_s[count]
            if left_s <= 0.0:
                return count
        return self.own_count
