"""Money for probes: a leaky bucket that never spends more than its budget in any 24 hours.

Half the budget is the bucket's size, the other half flows back over a day; whatever the day's
boundaries, what fits in is size plus refill, the budget. Classes may fill the bucket to different
heights, so that looking after idle endpoints cannot use up what proving a recovery needs (OPEN
before SUSPECT before IDLE).
"""

from __future__ import annotations

from sidecar.core.probing import ProbeWhy
from sidecar.value import value

DAY_S = 86_400.0


@value
class SpendSettings:
    """Numbers of the probe budget.

    * ``daily_usd`` 0.5: some 1,700 probes of a dear model or 40,000 of a cheap one.
    * ``burst_share`` 0.5: what may be spent at once; the rest comes back evenly over the day.
    * ``open_share`` 1, ``suspect_share`` 0.8, ``idle_share`` 0.5: how far each class may fill the
      bucket.
    """

    daily_usd: float = 0.5
    burst_share: float = 0.5
    open_share: float = 1.0
    suspect_share: float = 0.8
    idle_share: float = 0.5


_DEFAULTS = SpendSettings()


class SpendGate:
    """The probe budget. State: how full the bucket is, and when that was."""

    def __init__(self, settings: SpendSettings = _DEFAULTS) -> None:
        self._filled_usd = 0.0
        self._at = 0.0
        self.adapt(settings)

    def adapt(self, settings: SpendSettings) -> None:
        """Go by ``settings`` from now on; what was spent stays spent."""
        self._size_usd = settings.daily_usd * settings.burst_share
        self._refill_usd_per_s = settings.daily_usd * (1.0 - settings.burst_share) / DAY_S
        self._shares = {
            ProbeWhy.OPEN: settings.open_share,
            ProbeWhy.SUSPECT: settings.suspect_share,
            ProbeWhy.IDLE: settings.idle_share,
        }

    def may_spend(self, usd: float, why: ProbeWhy, now: float) -> bool:
        """Return whether a probe of ``usd`` fits, as a free one always does; reserves nothing."""
        return usd <= 0.0 or self._filled(now) + usd <= self._size_usd * self._shares[why]

    def spent(self, usd: float, now: float) -> None:
        """Record what a probe cost, whether or not it was allowed."""
        self._filled_usd = self._filled(now) + usd
        self._at = max(self._at, now)

    def _filled(self, now: float) -> float:
        return max(0.0, self._filled_usd - max(0.0, now - self._at) * self._refill_usd_per_s)
