"""Worlds in which one idea of the engine should tell: each is the world of an ablation.

They are no comparison with the baselines. Each stages what the idea is for: a fleet that is rolled
out, providers that slow down under load, answers that outlive an outage, limits that are hit now
and then, outages shorter than an open period, a server that comes back cold.
"""

from __future__ import annotations

from sidecar.simulate.incidents import ALPHA, BETA, LEAN, PAIR, Scenario, Staged
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedLimits

SHORT_OUTAGE_S, SHORT_OUTAGE_EVERY_S = 12.0, 150.0
LIMIT_HIT_S, LIMIT_HIT_EVERY_S = 6.0, 60.0

_RESETS = Staged(provider=ALPHA, fault=Fault(kind=FaultKind.RESET_AFTER, after_tokens=10))
_HANG = Staged(provider=ALPHA, fault=Fault(kind=FaultKind.HANG))
_SHORT_OUTAGES = tuple(
    Staged(
        provider=ALPHA,
        fault=Fault(kind=FaultKind.STATUS, status=500, start_s=SHORT_OUTAGE_EVERY_S * number),
        until_s=SHORT_OUTAGE_EVERY_S * number + SHORT_OUTAGE_S,
    )
    for number in range(6)
)
_LIMIT_HITS = tuple(
    Staged(
        provider=ALPHA,
        fault=Fault(
            kind=FaultKind.STATUS,
            status=429,
            retry_after_s=3.0,
            start_s=LIMIT_HIT_EVERY_S * number,
        ),
        until_s=LIMIT_HIT_EVERY_S * number + LIMIT_HIT_S,
    )
    for number in range(10)
)
_UNEVEN = Fault(kind=FaultKind.SLOW_FIRST, share=0.3)

IDEA_SCENARIOS = (
    # Each sidecar is as ignorant as all others, so that all reckon alike.
    Scenario(
        name="rollout",
        title="40 new pods, A and B slow down under the load of one",
        route=PAIR,
        limits={
            ALPHA: SimulatedLimits(swift_at_once=13),
            BETA: SimulatedLimits(swift_at_once=13),
        },
        rates=(10.0,),
        calm_s=0.0,
        return_s=1.0,
        pods=40,
        is_twin=True,
        is_fresh=True,
        is_ablation=True,
    ),
    # What hedges add slows everybody, which makes hedges.
    Scenario(
        name="hedge-storm",
        title="A and B crowded, long prompts, a third of first tokens x5",
        route=PAIR,
        staged=(Staged(provider=ALPHA, fault=_UNEVEN), Staged(provider=BETA, fault=_UNEVEN)),
        limits={
            ALPHA: SimulatedLimits(swift_at_once=18),
            BETA: SimulatedLimits(swift_at_once=18),
        },
        rates=(10.0,),
        prompt_tokens=6000,
        is_twin=True,
        is_ablation=True,
    ),
    # Old answers end well while the trial of a half-open breaker still hangs.
    Scenario(
        name="long-answers",
        title="A resets after 10 tokens; old answers of a minute and more end well",
        staged=(_RESETS,),
        rates=(1.0,),
        answer_tokens=4500,
        within_s=300.0,
        stream_share=1.0,
        is_ablation=True,
    ),
    Scenario(
        name="reports",
        title="A hangs; it also writes long plain reports",
        staged=(_HANG,),
        rates=(1.0,),
        answer_tokens=500,
        max_tokens=60,
        reports_per_s=0.2,
        is_ablation=True,
    ),
    Scenario(
        name="limit-hits",
        title="A's limit is hit for 6 s a minute",
        staged=_LIMIT_HITS,
        rates=(1.0,),
        fault_s=600.0,
        is_ablation=True,
    ),
    Scenario(
        name="short-outages",
        title="A is down for 12 s, six times in 15 min; else only C",
        route=LEAN,
        staged=_SHORT_OUTAGES,
        rates=(1.0,),
        fault_s=900.0,
        is_ablation=True,
    ),
    # Nothing failed, so that no memory of failures holds anybody back.
    Scenario(
        name="maintenance",
        title="10 pods, operators take A out for 15 s, it comes back cold",
        route=PAIR,
        staged=(Staged(provider=ALPHA, fault=Fault(kind=FaultKind.STATUS, status=500)),),
        limits={ALPHA: SimulatedLimits(swift_at_once=24, cold_s=60.0)},
        rates=(10.0,),
        fault_s=15.0,
        judged_after_s=30.0,
        return_s=40.0,
        pods=10,
        is_isolated=True,
        is_ablation=True,
    ),
)
