"""Whether an endpoint that fails still answers now and then, and how many tries that earns it.

A breaker knows two verdicts, but an endpoint that fails half of its requests is neither well nor
down: shut, it answers nobody, where who asks twice is mostly answered. As long as somebody better
is there the breaker is right. Where nobody is left, its gate is soft: past it go as many tries as
answers have earned. It is the token bucket of gRPC's retry throttling turned round: there failures
take the right to repeat away, here each answer gives so many more tries (so that whoever answers
more often than one request in ten is asked by everybody, and the flow grows tenfold with each round
of answers), each try costs one, and who is down altogether is left alone after at most
``tries_max``: what remains is the ration (``core/panic.py``).

Tries are earned only after a failure and until it is well again: what was healthy and falls over
has none, and the healthy path keeps no books. A time that the provider stated itself
(429 or 503 with Retry-After) is a fact and outlasts every answer; a 429 that names none is not.
"""

from __future__ import annotations

from sidecar.core.tunable import Tunable
from sidecar.value import value


@value
class LifeSettings:
    """What answers earn.

    * ``tries_per_answer`` 10: who answers one request in ten or more is worth asking; three tries
      are then answered more often than one in four.
    * ``tries_max`` 30: an endpoint that answers a fifth of its requests fails as often in a row
      once in a thousand times; more only delays that a death is believed.
    * ``fresh_s`` 120: at six calls a minute the last answer of such an endpoint is a minute old.
    * ``well_after`` 10 answers in a row, the breaker closed: no books are kept any more. What was
      earned stays until ``fresh_s`` is over, since one in five failing has such runs, too.
    * ``trial_every_s`` 5: how often an answer past the gate may make the breaker's trial due; its
      probes cost money, and half of them fail like everything else.
    * ``stated_s_max`` 300: no header may shut an endpoint for longer.
    """

    tries_per_answer: int = 10
    tries_max: int = 30
    fresh_s: float = 120.0
    well_after: int = 10
    trial_every_s: float = 5.0
    stated_s_max: float = 300.0


class Life(Tunable[LifeSettings]):
    """The tries that one endpoint has earned. ``is_watched``: it failed and is not yet well."""

    def __init__(self, settings: LifeSettings) -> None:
        self._settings = settings
        self.is_watched = False
        self.tries = 0
        self._watched_at = 0.0
        self._answers_in_a_row = 0
        self._answered_at = 0.0
        self._stated_until: float | None = None
        self._trial_at: float | None = None

    def may_try(self, now: float) -> bool:
        """Return whether one more try past the gate is earned."""
        is_fresh = now - self._answered_at < self._settings.fresh_s
        return self.tries > 0 and is_fresh and not self.is_told(now)

    def is_told(self, now: float) -> bool:
        """Return whether the provider itself said that it is not back yet."""
        return self._stated_until is not None and now < self._stated_until

    def take(self) -> None:
        """Use one try; it is paid for whatever comes of it."""
        assert self.tries > 0, "a try that was not earned"
        self.tries -= 1

    def failed(self, now: float, *, is_paid: bool, stated_s: float | None = None) -> None:
        """Note a failure; it costs a try unless ``take`` took one. ``stated_s``: when to return."""
        self._watch(now)
        self._answers_in_a_row = 0
        if not is_paid:
            self.tries = max(0, self.tries - 1)
        if stated_s is not None:
            until = now + min(self._settings.stated_s_max, stated_s)
            self._stated_until = max(self._stated_until or now, until)

    def answered(self, now: float, *, began_at: float, is_usual: bool) -> None:
        """Note an answer to what was asked at ``began_at``: before the first failure it tells of
        better times. ``is_usual``: of a call through a closed gate; only those end the watch, since
        the others still need their tries.
        """
        self._watch(began_at)
        if began_at < self._watched_at:
            return
        self._answers_in_a_row += 1
        if is_usual and self._answers_in_a_row >= self._settings.well_after:
            self.is_watched = False
            return
        self._answered_at = now
        earned = self.tries + self._settings.tries_per_answer
        self.tries = min(self._settings.tries_max, earned)

    def _watch(self, now: float) -> None:
        if not self.is_watched:
            self.is_watched, self._watched_at = True, now

    def may_hurry(self, now: float) -> bool:
        """Return whether an answer past the gate is to make the breaker's trial due; counts."""
        is_early = (
            self._trial_at is not None and now - self._trial_at < self._settings.trial_every_s
        )
        if is_early or self.is_told(now):
            return False
        self._trial_at = now
        return True
