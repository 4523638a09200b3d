"""Whom to try when nothing is eligible: one call in two seconds, more where answers have come.

When every gate is shut, refusing all is the one answer that cannot notice a recovery before the
gates do; letting all through would topple whoever recovers (Envoy's panic mode does, on purpose).
So a ration, shared out by reliability times the chance that the gate opens soon. An endpoint that
answers then earns more tries than the ration (``core/life.py``).

Only gates that are our own guess may be passed: a breaker or the throttle. Never one that states a
fact: an operator's isolation, a model that is gone, a blocked account (for its rate too: the
provider said when to return, and asking before is no trial but a certain refusal), a full endpoint,
or anything the call itself rules out. (Earned tries also go past a 429 that names no time.)
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from sidecar.core.tunable import Tunable
from sidecar.domain import Gate
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.core.routing import EndpointView
    from sidecar.domain import EndpointId

PASSABLE = frozenset(
    {
        Gate.BREAKER_OPEN,
        Gate.BREAKER_TRIAL_TAKEN,
        Gate.HOST_OPEN,
        Gate.EGRESS,
        Gate.THROTTLED,
        Gate.DRIFT,
        Gate.SILENT,
    }
)

EARNED = PASSABLE - {Gate.EGRESS}
"""The gates that tries earned by answers go past: our own lost network is not refuted by what came
a while ago. An overloaded endpoint is spared by its concurrency limit, which nothing goes past.
"""


@value
class PanicSettings:
    """Numbers of the ration.

    * ``every_s`` 2: what a recovering provider surely bears, and a recovery is seen within it.
    * ``soon_s`` 10: a gate that opens in ten seconds is a third as likely to be wrong by now as one
      due: open periods double with every failed trial, so a far opening is a long outage.
    * ``chance_unknown`` 0.5: for a gate that does not say when it opens.
    * ``chance_far`` 0.4: at least; the far opening is of whoever fails its trials, which one that
      answers half of them does, too, and nobody else finds out that it is back.
    * ``turns_s`` 60: who was not asked for so long is as good as never asked.
    """

    every_s: float = 2.0
    soon_s: float = 10.0
    chance_unknown: float = 0.5
    chance_far: float = 0.4
    turns_s: float = 60.0


_DEFAULTS = PanicSettings()


class PanicRation(Tunable[PanicSettings]):
    """The ration of one sidecar. State: when it was last used, and for whom; at most
    ``turns_s / every_s`` names.
    """

    def __init__(self, settings: PanicSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._used_at: float | None = None
        self._tried_at: dict[EndpointId, float] = {}

    def choose(
        self,
        views: Sequence[EndpointView],
        now: float,
        rejected: Iterable[tuple[EndpointId, Gate]] = (),
    ) -> EndpointView | None:
        """Return whom to try past its gate, and use the ration; None: refuse.

        ``rejected`` is ``Choice.rejected``, which knows what the call itself rules out; without it
        each view's own gate counts alone. Ties go to the first.
        """
        if self._used_at is not None and now - self._used_at < self._settings.every_s:
            return None
        reasons = dict(rejected)
        candidates = [
            view for view in views if reasons.get(view.endpoint.id, view.gate) in PASSABLE
        ]
        if not candidates:
            return None
        self._used_at = now
        chosen = max(candidates, key=lambda view: self._worth(view, now))
        turns_s = self._settings.turns_s
        self._tried_at = {name: at for name, at in self._tried_at.items() if now - at < turns_s}
        self._tried_at[chosen.endpoint.id] = now
        return chosen

    def _worth(self, view: EndpointView, now: float) -> float:
        """Return the chance of an answer times how long it was not asked: so each has its share."""
        turns_s = self._settings.turns_s
        waited_s = now - self._tried_at.get(view.endpoint.id, now - turns_s)
        return view.reliability * self._opens_soon(view, now) * min(waited_s, turns_s)

    def _opens_soon(self, view: EndpointView, now: float) -> float:
        settings = self._settings
        if view.opens_at is None:
            return settings.chance_unknown
        soon = exp(-max(0.0, view.opens_at - now) / settings.soon_s)
        return max(settings.chance_far, soon)
