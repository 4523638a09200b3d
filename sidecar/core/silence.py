"""Whether an endpoint has fallen silent: many waits without a first content, none answered since.

A hang shows as nothing at all, and the hang budget of one call is seconds long; five calls that
run it out in a row are a quarter of a minute in which callers wait. But nobody needs to see one
wait to its end: what counts is how unlikely all the waits together are. As the phi accrual detector
does for heartbeats (Hayashibara et al., 2004), each wait adds the logarithm of the chance that a
healthy endpoint would still be silent; here over all calls that wait now and those that were given
up since the endpoint last answered. The first content of a call ends the suspicion, unless that
call is older than those that wait: an endpoint that takes nothing new still ends what it began.

The chance is that of a heavy tail, not of a bell: one in twenty is later than ``usual_s`` (by its
meaning) and a hundred times fewer at ten times that. No single wait says enough, since single calls
do get lost.

The verdict is soft: an endpoint may just have become many times slower. It keeps callers away as
long as somebody else is left, and asks for a probe, whose answer ends it or whose hang counts for
the breaker.
"""

from __future__ import annotations

from math import inf, log10
from typing import TYPE_CHECKING

from sidecar.core.tunable import Tunable
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable


@value
class SilenceSettings:
    """Numbers of the verdict.

    * ``late_share`` 0.05 of healthy first contents come after ``usual_s``, fewer by
      ``tail_power`` 2 of how many times later: one in 2,000 at ten times.
    * ``usual_min_s`` 1: pauses below it (collecting garbage, loading a batch) are nobody's outage.
    * ``one_most`` 2.5: what one wait says at most.
    * ``suspect_at`` 1.6: one in forty; enough to ask a quiet endpoint for a sign of life.
    * ``silent_at`` 4: one in ten thousand, if waits were independent.
    * ``hold_s`` 30: nobody answered and nobody was asked: let traffic try again.
    """

    late_share: float = 0.05
    tail_power: float = 2.0
    usual_min_s: float = 1.0
    one_most: float = 2.5
    suspect_at: float = 1.6
    silent_at: float = 4.0
    hold_s: float = 30.0


@value
class Wait:
    """A call without content since ``began_at``; one in twenty takes longer than ``usual_s``."""

    began_at: float
    usual_s: float


_DEFAULTS = SilenceSettings()


class Silence(Tunable[SilenceSettings]):
    """Evidence of one endpoint. State: what it last answered and when, what given-up waits said
    since.
    """

    def __init__(self, settings: SilenceSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._answered_at = -inf
        self._answered_began_at = -inf
        self._given_up = 0.0
        self._given_up_at = -inf
        self._given_up_began_at = -inf
        self._waiting = 0.0
        self._silent_since: float | None = None

    @property
    def is_silent(self) -> bool:
        """Return whether callers had better go elsewhere."""
        return self._silent_since is not None

    def is_proof(self, began_at: float) -> bool:
        """Return whether a hang that began then is no mere part of the silence but confirms it."""
        return self._silent_since is not None and began_at >= self._silent_since

    @property
    def is_suspect(self) -> bool:
        """Return whether a sign of life is worth asking for."""
        return self._given_up + self._waiting >= self._settings.suspect_at

    def answered(self, began_at: float, now: float) -> None:
        """Note the first content of a call begun at ``began_at``; ``look`` draws the conclusion."""
        if began_at >= self._answered_began_at:
            self._answered_began_at, self._answered_at = began_at, now
        if began_at >= self._given_up_began_at:
            self._given_up = 0.0

    def gave_up(self, wait: Wait, now: float) -> None:
        """Keep what a wait that ended without content says: hung, outrun or left."""
        self._given_up += self._says(wait, now)
        self._given_up_at = now
        self._given_up_began_at = max(self._given_up_began_at, wait.began_at)

    def look(self, waits: Iterable[Wait], now: float) -> None:
        """Judge anew; ``waits`` are those under way."""
        settings = self._settings
        if self._given_up > 0.0 and now - self._given_up_at > settings.hold_s:
            self._given_up = 0.0
        self._waiting = sum(self._says(wait, now) for wait in waits)
        if self._given_up + self._waiting < settings.silent_at:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now

    def _says(self, wait: Wait, now: float) -> float:
        """Return minus the log of the chance of such a wait, 0 for an ordinary one.

        Usually within 1 s, silent for 2 s: log10(20) + 2 log10(2) = 1.9.
        """
        settings = self._settings
        is_older = wait.began_at <= self._answered_began_at
        since = max(wait.began_at, self._answered_at) if is_older else wait.began_at
        times = (now - since) / max(settings.usual_min_s, wait.usual_s)
        if times < 1.0:
            return 0.0
        says = settings.tail_power * log10(times) - log10(settings.late_share)
        return min(settings.one_most, says)
