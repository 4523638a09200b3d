"""Whether more money may be risked on tokens nobody gets: a tenth of the trailing spend.

An attempt that failed before its first token is free, and failing over must not ask for leave: with
tokens alone a 30 % partial outage drains any retry budget although the other endpoint is healthy.
What costs is what was paid for and never delivered: aborted answers, streams lost in the middle,
hedge losers. That is bounded in dollars, since one attempt may cost a thousand
times another.
"""

from __future__ import annotations

from sidecar.core.trailing import TrailingSum
from sidecar.core.tunable import Tunable
from sidecar.value import value


@value
class WasteSettings:
    """Numbers of the waste budget.

    * ``share`` 0.1 of what was spent in the trailing ``window_s`` 3600: a bad hour costs a tenth
      more, not twice as much.
    * ``floor_usd`` 0.1: a quiet sidecar may still save a few calls an hour.
    * ``slot_s`` 60: the window moves by the minute.
    """

    share: float = 0.1
    floor_usd: float = 0.1
    window_s: float = 3600.0
    slot_s: float = 60.0


_DEFAULTS = WasteSettings()


class WasteBudget(Tunable[WasteSettings]):
    """Money paid and money wasted of one sidecar. State: two trailing sums."""

    def __init__(self, settings: WasteSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._spent = TrailingSum(settings.window_s, settings.slot_s)
        self._wasted = TrailingSum(settings.window_s, settings.slot_s)

    def spent(self, usd: float, now: float) -> None:
        """Record what any attempt cost, wasted or not."""
        self._spent.add(usd, now)

    def wasted(self, usd: float, now: float) -> None:
        """Record the part of it that paid for tokens never delivered."""
        self._wasted.add(usd, now)

    def left_usd(self, now: float) -> float:
        """Return what may still be wasted; below 0 when more was lost than allowed.

        Worked example: $5 spent and $0.45 wasted in the last hour: 0.1 * 5 + 0.1 - 0.45 = $0.15.
        """
        settings = self._settings
        allowed_usd = settings.share * self._spent.total(now) + settings.floor_usd
        return allowed_usd - self._wasted.total(now)

    def may_waste(self, usd: float, now: float) -> bool:
        """Return whether ``usd`` more may be lost, as nothing always may; reserves nothing."""
        return usd <= 0.0 or usd <= self.left_usd(now)
