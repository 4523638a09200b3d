"""How an endpoint stands, whoever asks: what all calls of the same moment see alike.

A call looks at several endpoints, and most of what it sees of one (how reliable, how slow, which
gates are shut) does not depend on the call. So it is worked out once for ``FRESH_S``, which is less
than any network jitters, and at once when something happened that could shut a gate: each verdict
but an ordinary success makes all standings old (``Health.version``). Only a healthy standing is
kept: a shut gate opens at an instant, and who waits for it must not be told otherwise.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from sidecar.core.breaker import BreakerState
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.core.forecast import Outlook
    from sidecar.domain import Endpoint, Gate
    from sidecar.engine.health import Health

FRESH_S = 0.02


@value
class Standing:
    """An endpoint at ``at``. ``gate`` is shut for everybody, its fullness apart; ``is_trial``: a
    call now would be a trial of its breaker or its host's. ``slowness`` is how many times the usual
    time to first content it takes, ``outlook`` how far its times scatter.
    """

    at: float
    version: int
    gate: Gate | None
    is_trial: bool
    slowness: float
    itl_s: float
    reliability: float
    availability: float
    penalty_s: float
    slow_start: float
    is_sluggish: bool
    is_suspect: bool
    outlook: Outlook

    def is_fresh(self, version: int, now: float) -> bool:
        """Return whether it still holds."""
        is_healthy = self.gate is None and not self.is_trial
        return is_healthy and self.version == version and 0.0 <= now - self.at < FRESH_S


def standing(endpoint: Endpoint, health: Health, now: float) -> Standing:
    """Work out how ``endpoint`` stands now."""
    own = health.endpoints[endpoint.id]
    breaker, latency = own.breaker, own.latency
    host_state = health.hosts[endpoint.host].state(now)
    is_calm = breaker.state(now) is BreakerState.CLOSED and host_state is BreakerState.CLOSED
    level = latency.level(now)
    return Standing(
        at=now,
        version=health.version,
        gate=health.lasting_gate(endpoint, now),
        is_trial=not is_calm,
        slowness=exp(level),
        itl_s=latency.itl_s(now),
        reliability=own.reliability.value(now),
        availability=own.availability.value(now),
        penalty_s=own.penalty.value_s(now),
        slow_start=breaker.slow_start(now),
        is_sluggish=latency.is_sluggish(now),
        is_suspect=breaker.is_suspect(now) or latency.is_suspect(now),
        outlook=own.forecast.outlook(now, level),
    )
