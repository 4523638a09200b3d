"""What pooled outcomes come to: is it an outage, and who may say so?

The same rule as for a breaker of one's own (half of the newest outcomes are bad, and several), over
the outcomes of all pods, with a quorum: many calls of one pod are one witness. The newest outcomes
are those of the last two seconds or more, as many as it takes for ten; with a hundred pods at six
calls a minute each that is an outage known after two seconds, where one pod needs a minute.
Arithmetic on frozen values: every pod judges by itself, and all come to the same.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.fleet.settings import FleetSettings
    from sidecar.fleet.view import Pooled

WELL_SHARE = 0.2
"""With so few failures among the newest outcomes an endpoint is well."""


def quorum(pods: int, reporting: int, settings: FleetSettings) -> int:
    """Return how many pods must see an outage; in a fleet of two both, alone never enough.

    Worked example: of 100 pods 40 use the endpoint: 12 must fail.
    """
    least = max(2, min(settings.pods_min, pods))
    return max(least, ceil(settings.pods_share * reporting))


def newest(pooled: Pooled, settings: FleetSettings) -> tuple[float, float]:
    """Return the weights of successes and failures among the newest outcomes."""
    ok = fail = 0.0
    wanted = max(settings.span_min, pooled.rate_per_s * settings.span_s)
    for age, more_ok, more_fail in pooled.series:
        if age >= settings.span_s and ok + fail >= wanted:
            break
        ok, fail = ok + more_ok, fail + more_fail
    return ok, fail


def is_outage(pooled: Pooled, pods: int, settings: FleetSettings) -> bool:
    """Return whether the fleet sees an outage."""
    if pooled.failing < quorum(pods, pooled.reporting, settings):
        return False
    ok, fail = newest(pooled, settings)
    is_enough = ok + fail >= settings.outcomes_min and fail >= settings.fail_min
    return is_enough and fail >= settings.fail_share * (ok + fail)


def is_well(pooled: Pooled, settings: FleetSettings) -> bool:
    """Return whether others, two at least, are answered by it now."""
    ok, fail = newest(pooled, settings)
    others = pooled.reporting - pooled.failing
    return others > 1 and ok + fail >= settings.outcomes_min and fail < WELL_SHARE * (ok + fail)
