"""Who calls when in a played row: drawn from the seed before anything runs.

The judged calls are those of the study's plan, so that a scenario that both play has the same calls
in both.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sidecar.simulate.faults.staging import Caller
from sidecar.simulate.plays import WARM_S, plan_of, warm_up
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.simulate.faults.staging import Crowd, Staging

BURST_GAP_S = 0.01


@value
class Ask:
    """One call to come. ``is_for_all``: every pod makes it, to become warm."""

    at: float
    caller: Caller
    is_stream: bool
    is_judged: bool = False
    is_for_all: bool = False


@value
class Window:
    """When the fault begins and ends, and when the last caller comes."""

    fault_at: float
    fault_until: float
    end_at: float

    def has(self, at: float) -> bool:
        """Say whether ``at`` lies in the fault."""
        return self.fault_at <= at < self.fault_until


def window_of(staging: Staging, rate_per_s: float, seed: int) -> Window:
    """Return when the fault of a play lasts."""
    lapse = staging.scenario.lapse(rate_per_s, seed)
    fault_at = WARM_S + lapse.calm_s
    fault_until = fault_at + lapse.fault_s
    return Window(fault_at=fault_at, fault_until=fault_until, end_at=fault_until + lapse.return_s)


def asks_of(staging: Staging, rate_per_s: float, seed: int) -> list[Ask]:
    """Return every call of a play in the order of time."""
    window = window_of(staging, rate_per_s, seed)
    rng = random.Random(f"callers/{staging.number}/{seed}")
    asks = [
        Ask(at=one.at, caller=Caller(route=one.route), is_stream=one.is_stream, is_for_all=True)
        for one in warm_up(staging.scenario)
    ]
    for one in plan_of(staging.scenario, rate_per_s, seed):
        caller = staging.caller_of(rng.random(), is_during=window.has(one.at))
        asks.append(Ask(at=one.at, caller=caller, is_stream=one.is_stream, is_judged=True))
    asks += [
        Ask(
            at=window.fault_at + BURST_GAP_S * number,
            caller=staging.caller_of(rng.random(), is_during=True),
            is_stream=True,
            is_judged=True,
        )
        for number in range(staging.burst)
    ]
    for crowd in staging.crowds:
        asks += _crowd(crowd, window, rng)
    return sorted(asks, key=lambda ask: ask.at)


def _crowd(crowd: Crowd, window: Window, rng: random.Random) -> list[Ask]:
    """Return random arrivals whose rate changes with the fault, by thinning."""
    fastest_per_s = max(crowd.rate_per_s, crowd.fault_rate_per_s)
    asks: list[Ask] = []
    at = WARM_S
    while True:
        at += rng.expovariate(fastest_per_s)
        if at >= window.end_at:
            return asks
        rate_per_s = crowd.fault_rate_per_s if window.has(at) else crowd.rate_per_s
        is_stream = rng.random() < 0.5  # noqa: PLR2004 - half of each, as the study's calls
        if rng.random() < rate_per_s / fastest_per_s:
            asks.append(Ask(at=at, caller=crowd.caller, is_stream=is_stream))
