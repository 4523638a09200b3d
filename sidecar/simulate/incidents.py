"""What a scenario of the study is, and how real faults shape its numbers.

Times count from the start of the fault. How long it lasts depends on the rate (``LAPSES``): at six
calls a minute two minutes would hold a dozen calls.

Where the numbers come from (aggregates only, computed from public data):

* Incidents: of the API incidents of two providers 2021-2025 on their status pages (collected by
  atlarge-research, FAILS and llm-service-analysis, CC-BY-NC papers; figures quoted, no data copied)
  the median lasts 72 minutes and 5 % close within 5; so no retry inside a call bridges one.
* Bursts: llmperf-leaderboard 2023-12 (ray-project, Apache-2.0): at an endpoint that failed in 65 of
  100 (bedrock 13b) 74 of 100 failures were followed by another. BurstGPT's README: 1.8 % of the
  requests of ordinary months fail. A Gilbert-Elliott chain in time, 15 s bad at 80 % and 30 s good
  at 1.8 % on average, makes 75 of 100 at one call a second.
* Slow hour: first tokens of replicate 70b in the same llmperf data: p50 1.2 s, p90 12 s, p95 24 s.
"""

from __future__ import annotations

import random
from dataclasses import field
from typing import TYPE_CHECKING

import msgspec

from sidecar.upstream.simulated import Fault, FaultKind
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.upstream.simulated import SimulatedLimits

ALPHA, BETA, GAMMA = "alpha", "beta", "gamma"
CHAIN, PAIR, STRONG, LEAN = "reason", "pair", "strong", "lean"
"""Routes: three tiers of one; two equals before a small one; A before the small one."""

BURST_BAD_S, BURST_GOOD_S = 15.0, 30.0
BURST_BAD_SHARE, BURST_GOOD_SHARE = 0.8, 0.018
MEDIAN_INCIDENT_S = 72 * 60.0


@value
class Lapse:
    """How long the parts of a play last at one rate: calm, then the fault, then the return."""

    calm_s: float
    fault_s: float
    return_s: float


LAPSES = {
    10.0: Lapse(calm_s=30.0, fault_s=60.0, return_s=60.0),
    1.0: Lapse(calm_s=60.0, fault_s=120.0, return_s=120.0),
    0.1: Lapse(calm_s=180.0, fault_s=600.0, return_s=300.0),
}
"""By calls a second."""


@value
class Staged:
    """One fault at one provider; its window counts from the start of the scenario's fault.

    ``until_s`` None: as long as the scenario's fault. ``is_after``: both count from its end.
    """

    provider: str
    fault: Fault
    until_s: float | None = None
    is_after: bool = False


@value
class Scenario:
    """What is played. ``sick`` is the provider whose traffic is judged.

    ``calm_s``, ``fault_s`` and ``return_s`` replace the rate's own. ``limits`` bound what a
    provider grants. ``answer_tokens`` is the median length of an answer. ``pods`` sidecars (or
    clients) share the calls and know nothing of each other. ``judged_after_s``: calls that start so
    long after the fault still count for it. ``within_s`` replaces the route's deadline. Prompts
    have about ``prompt_tokens`` more than a question. ``max_tokens`` bounds the answers of the
    calls that are judged; ``reports_per_s`` plain calls a second without a bound go to A beside
    them. ``is_twin``: B is as fast as A and a tenth dearer. ``is_fresh``: nobody knows anything
    yet. ``is_isolated``: an operator takes A out during the fault. ``is_ablation``: a world for
    ablations, not for the baselines.
    """

    name: str
    title: str
    route: str = CHAIN
    staged: tuple[Staged, ...] = ()
    sick: str = ALPHA
    rates: tuple[float, ...] = (1.0, 0.1)
    calm_s: float | None = None
    fault_s: float | None = None
    return_s: float | None = None
    limits: Mapping[str, SimulatedLimits] = field(default_factory=dict)
    answer_tokens: int = 60
    is_even: bool = False
    stream_share: float = 0.5
    pods: int = 1
    judged_after_s: float = 0.0
    is_bursty: bool = False
    within_s: float | None = None
    prompt_tokens: int = 0
    max_tokens: int | None = None
    reports_per_s: float = 0.0
    is_twin: bool = False
    is_fresh: bool = False
    is_isolated: bool = False
    is_ablation: bool = False

    @property
    def has_fault(self) -> bool:
        """Whether anything fails at all."""
        return self.is_bursty or bool(self.staged)

    @property
    def has_refuge(self) -> bool:
        """Whether some provider stays well."""
        return {one.provider for one in self.staged} != {ALPHA, BETA, GAMMA}

    def lapse(self, rate_per_s: float, seed: int) -> Lapse:
        """Return how long the parts last at ``rate_per_s``.

        Faults vary in length by a fifth from seed to seed, so that no policy's period fits.
        """
        usual = LAPSES[rate_per_s]
        factor = random.Random(f"length/{seed}").uniform(0.8, 1.2)
        fault_s = (self.fault_s or usual.fault_s) * factor
        return Lapse(
            calm_s=usual.calm_s if self.calm_s is None else self.calm_s,
            fault_s=fault_s,
            return_s=self.return_s or usual.return_s,
        )

    def faults(self, start_s: float, fault_s: float, seed: int) -> dict[str, tuple[Fault, ...]]:
        """Return each provider's faults on the clock of a play."""
        found: dict[str, list[Fault]] = {}
        staged = bursts(self.sick, fault_s, seed) if self.is_bursty else self.staged
        for one in staged:
            begin_s, until_s = one.fault.start_s, one.until_s
            if one.is_after:
                begin_s, until_s = begin_s + fault_s, (until_s or 0.0) + fault_s
            until_s = fault_s if until_s is None else until_s
            moved = _windowed(one.fault, start_s + begin_s, start_s + until_s)
            found.setdefault(one.provider, []).append(moved)
        return {name: tuple(faults) for name, faults in found.items()}


def bursts(provider: str, fault_s: float, seed: int) -> tuple[Staged, ...]:
    """Return a Gilbert-Elliott chain as windows of errors, the same for every policy."""
    rng = random.Random(f"bursts/{seed}")
    staged: list[Staged] = []
    at_s, is_bad = 0.0, True
    while at_s < fault_s:
        mean_s = BURST_BAD_S if is_bad else BURST_GOOD_S
        until_s = min(fault_s, at_s + rng.expovariate(1.0 / mean_s))
        share = BURST_BAD_SHARE if is_bad else BURST_GOOD_SHARE
        fault = Fault(kind=FaultKind.STATUS, status=500, share=share, start_s=at_s)
        staged.append(Staged(provider=provider, fault=fault, until_s=until_s))
        at_s, is_bad = until_s, not is_bad
    return tuple(staged)


def _windowed(fault: Fault, start_s: float, end_s: float) -> Fault:
    return msgspec.structs.replace(fault, start_s=start_s, end_s=end_s)
