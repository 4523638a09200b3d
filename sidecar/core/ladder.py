"""How far service is degraded, by name, and when load is shed before it is refused.

The ladder is what a call goes through when the best cannot be had; each answer
names its rung. One rung is the sidecar's, not a call's: with half of the best tier's capacity out,
batch calls, hedges and idle probes stop so that what is left serves people. It starts after two bad
seconds and ends after thirty good ones: the asymmetry keeps it from flapping, since shedding itself
makes things look better.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sidecar.core.tunable import Tunable
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import EndpointId


class Level(Enum):
    """The rungs, best first; the value is the name in ``x-sidecar-degraded``."""

    NORMAL = "L0"
    OTHER_REGION = "L1"
    EQUAL_CLASS = "L2"
    SMALLER = "L3"
    SHED = "L4"
    STALE = "L5"
    QUEUED = "L6"
    REFUSED = "L7"


def degraded_header(level: Level, reason: str, source: EndpointId | str) -> str | None:
    """Return ``level;reason;source`` for ``x-sidecar-degraded``, None for a normal answer."""
    return None if level is Level.NORMAL else f"{level.value};{reason};{source}"


@value
class LadderSettings:
    """Numbers of the shedding rung.

    * ``shed_share`` 0.5 of the best tier's capacity ineligible, for ``shed_after_s`` 2, sheds: a
      blink of one endpoint does not.
    * ``good_after_s`` 30 below it ends it: as long as a slow start takes.
    """

    shed_share: float = 0.5
    shed_after_s: float = 2.0
    good_after_s: float = 30.0


_DEFAULTS = LadderSettings()


class Ladder(Tunable[LadderSettings]):
    """Whether the sidecar sheds. State: that, the last observation, and since when it holds."""

    def __init__(self, settings: LadderSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._is_shedding = False
        self._is_bad = False
        self._since_at: float | None = None

    def observe(self, share_ineligible: float, now: float) -> None:
        """Note the share, 0..1, of tier-1 capacity that is ineligible; holds until the next."""
        self._settle(now)
        is_bad = share_ineligible >= self._settings.shed_share
        if self._since_at is None or is_bad is not self._is_bad:
            self._is_bad = is_bad
            self._since_at = now

    def is_shedding(self, now: float) -> bool:
        """Return whether batch calls, hedges and idle probes are off."""
        self._settle(now)
        return self._is_shedding

    def level(self, now: float) -> Level:
        """Return the rung the whole sidecar stands on."""
        return Level.SHED if self.is_shedding(now) else Level.NORMAL

    def _settle(self, now: float) -> None:
        """Let the last observation take effect if it has held long enough."""
        if self._since_at is None:
            return
        settings = self._settings
        after_s = settings.shed_after_s if self._is_bad else settings.good_after_s
        if now - self._since_at >= after_s:
            self._is_shedding = self._is_bad
