"""The scenarios of the study, as data.

A is the best, B its equal elsewhere, C small and cheap. On the route ``reason`` they are three
tiers, on ``pair`` A and B share the first. Faults that are hard to overlook stand on the chain,
where A gets everything while it is well; those that only disturb on the pair, where the engine may
choose.
"""

from __future__ import annotations

from sidecar.simulate.incidents import (
    ALPHA,
    BETA,
    GAMMA,
    MEDIAN_INCIDENT_S,
    PAIR,
    STRONG,
    Scenario,
    Staged,
)
from sidecar.simulate.scenarios_of_ideas import IDEA_SCENARIOS
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedLimits


def _fails(
    provider: str,
    status: int,
    *,
    share: float = 1.0,
    retry_after_s: float | None = None,
    error_type: str | None = None,
) -> Staged:
    fault = Fault(
        kind=FaultKind.STATUS,
        status=status,
        share=share,
        retry_after_s=retry_after_s,
        error_type=error_type,
    )
    return Staged(provider=provider, fault=fault)


def _alpha(kind: FaultKind, *, share: float = 1.0, factor: float = 5.0, after: int = 0) -> Staged:
    fault = Fault(kind=kind, share=share, factor=factor, after_tokens=after)
    return Staged(provider=ALPHA, fault=fault)


FLAPS = tuple(
    Staged(
        provider=ALPHA,
        fault=Fault(kind=FaultKind.STATUS, status=500, start_s=at_s),
        until_s=at_s + 5.0,
    )
    for at_s in range(0, 120, 10)
)

COLD = Staged(
    provider=ALPHA,
    fault=Fault(kind=FaultKind.STATUS, status=529, share=0.5, error_type="overloaded_error"),
    until_s=20.0,
    is_after=True,
)

SCENARIOS = (
    Scenario(name="calm", title="Calm day"),
    Scenario(name="refused", title="A refuses connections", staged=(_alpha(FaultKind.REFUSE),)),
    Scenario(name="s500", title="A answers 500", staged=(_fails(ALPHA, 500),)),
    Scenario(
        name="s503",
        title="A answers 503, Retry-After 40",
        staged=(_fails(ALPHA, 503, retry_after_s=40.0),),
    ),
    Scenario(name="hang", title="A accepts and never answers", staged=(_alpha(FaultKind.HANG),)),
    Scenario(
        name="silent",
        title="A sends heads and pings, no content",
        staged=(_alpha(FaultKind.SILENT_STREAM),),
    ),
    Scenario(
        name="brownout",
        title="A's first token x5",
        route=PAIR,
        staged=(_alpha(FaultKind.SLOW_FIRST),),
    ),
    Scenario(
        name="partial30", title="A fails 30 %", route=PAIR, staged=(_fails(ALPHA, 500, share=0.3),)
    ),
    Scenario(name="bursty", title="A fails in bursts", route=PAIR, is_bursty=True),
    Scenario(
        name="incident",
        title="A fails in bursts for 72 min",
        is_bursty=True,
        rates=(0.1,),
        fault_s=MEDIAN_INCIDENT_S,
    ),
    Scenario(name="flapping", title="A 5 s down, 5 s up", staged=FLAPS, rates=(1.0,)),
    Scenario(
        name="rate429",
        title="A answers 429, Retry-After 12",
        staged=(_fails(ALPHA, 429, retry_after_s=12.0),),
    ),
    Scenario(
        name="overload",
        title="A overloaded (529) half the time",
        route=PAIR,
        staged=(_fails(ALPHA, 529, share=0.5, error_type="overloaded_error"),),
    ),
    Scenario(
        name="resets",
        title="A resets after 10 tokens",
        staged=(_alpha(FaultKind.RESET_AFTER, after=10),),
    ),
    Scenario(
        name="truncation",
        title="A ends after 10 tokens without a marker",
        staged=(_alpha(FaultKind.EOF_AFTER, after=10),),
    ),
    Scenario(
        name="two-down", title="A and B answer 500", staged=(_fails(ALPHA, 500), _fails(BETA, 500))
    ),
    Scenario(
        name="all-down",
        title="A, B, C answer 500, back together",
        staged=tuple(_fails(name, 500) for name in (ALPHA, BETA, GAMMA)),
        judged_after_s=60.0,
    ),
    Scenario(
        name="half-alive",
        title="A answers 500, B fails half; no C",
        route=STRONG,
        staged=(_fails(ALPHA, 500), _fails(BETA, 500, share=0.5)),
    ),
    Scenario(
        name="half-capacity",
        title="A down, B serves half the load",
        staged=(_fails(ALPHA, 500),),
        limits={BETA: SimulatedLimits(requests_at_once=2)},
        rates=(1.0,),
        pods=3,
    ),
    Scenario(
        name="slow-hour",
        title="A's first tokens with a heavy tail",
        route=PAIR,
        staged=(
            _alpha(FaultKind.SLOW_FIRST, factor=2.0),
            _alpha(FaultKind.SLOW_FIRST, share=0.12, factor=10.0),
            _alpha(FaultKind.SLOW_FIRST, share=0.05, factor=10.0),
        ),
    ),
    Scenario(
        name="stragglers",
        title="A answers 500, then hangs; old answers of 12 s end well",
        staged=(
            Staged(provider=ALPHA, fault=Fault(kind=FaultKind.STATUS, status=500), until_s=8.0),
            Staged(provider=ALPHA, fault=Fault(kind=FaultKind.HANG, start_s=8.0)),
        ),
        answer_tokens=600,
        rates=(1.0,),
        stream_share=1.0,
    ),
    Scenario(
        name="blip",
        title="A answers 500 for 15 s",
        staged=(_fails(ALPHA, 500),),
        fault_s=15.0,
        rates=(1.0,),
    ),
    Scenario(
        name="all-slow",
        title="A and B: first token x8",
        route=PAIR,
        staged=(
            _alpha(FaultKind.SLOW_FIRST, factor=8.0),
            Staged(provider=BETA, fault=Fault(kind=FaultKind.SLOW_FIRST, factor=8.0)),
        ),
    ),
    Scenario(
        name="rate-limit",
        title="A and B grant 40 calls a minute each",
        limits={
            ALPHA: SimulatedLimits(requests_per_minute=40),
            BETA: SimulatedLimits(requests_per_minute=40),
        },
        rates=(1.0,),
    ),
    Scenario(
        name="cold-return",
        title="A answers 500, then 529 half the time for 20 s",
        route=PAIR,
        staged=(_fails(ALPHA, 500), COLD),
        rates=(1.0,),
        judged_after_s=40.0,
    ),
)
BY_NAME = {scenario.name: scenario for scenario in (*SCENARIOS, *IDEA_SCENARIOS)}
