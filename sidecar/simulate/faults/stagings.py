"""How each row of the fault catalogue is played; rows 30 to 51 here: pods, callers, ourselves."""

from __future__ import annotations

from dataclasses import replace

from sidecar.core.spend import SpendSettings
from sidecar.domain import Priority, Route, RouteName
from sidecar.engine.settings import EngineSettings
from sidecar.simulate.faults.staging import Act, ActKind, Caller, Crowd, Staging
from sidecar.simulate.faults.stagings_of_providers import (
    NO_REFUGE,
    SOLELY_FAST,
    STAGINGS_OF_PROVIDERS,
    alpha,
)
from sidecar.simulate.incidents import ALPHA, BETA, GAMMA, PAIR, Scenario, Staged
from sidecar.simulate.scenarios import BY_NAME
from sidecar.simulate.world import ALPHA as ALPHA_LARGE
from sidecar.simulate.world import BETA as BETA_LARGE
from sidecar.simulate.world import default_routes
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedLimits

NOBODY = "no provider is sick"
A_SHARE = "every provider is equally sick"
APPLICATIONS = tuple(f"application-{number}" for number in range(4))
BETA_FIRST = (
    *default_routes(),
    *(
        Route(name=RouteName(name), tiers=((BETA_LARGE,), (ALPHA_LARGE,)), within_s=30.0)
        for name in APPLICATIONS
    ),
)
BY_BETA = tuple(Caller(route=name) for name in APPLICATIONS)
UNPROBED = EngineSettings(spend=SpendSettings(daily_usd=0.0))
STALLS = tuple(Act(kind=ActKind.STALL, at_s=7.0 * n, seconds=2.0) for n in range(1, 14))
S500 = Fault(kind=FaultKind.STATUS, status=500)
NOISE = (
    Fault(kind=FaultKind.STATUS, status=500, share=0.05),
    Fault(kind=FaultKind.SLOW_FIRST, factor=4.0, share=0.1),
    Fault(kind=FaultKind.SLOW_FIRST, factor=4.0, share=0.02),
)


def _calm(name: str, *, rates: tuple[float, ...] = SOLELY_FAST) -> Scenario:
    return Scenario(name=name, title=name, rates=rates)


STAGINGS = (
    *STAGINGS_OF_PROVIDERS,
    Staging(number=30, scenario=replace(BY_NAME["s500"], name="no-store", pods=3)),
    Staging(
        number=31,
        scenario=replace(_calm("no-network"), pods=3),
        acts=(
            Act(kind=ActKind.LOSE_NETWORK),
            Act(kind=ActKind.HAVE_NETWORK, is_after=True),
        ),
        no_detection=NOBODY,
        no_recovery=NOBODY,
    ),
    Staging(
        number=32,
        scenario=Scenario(
            name="hasty",
            title="hasty",
            staged=(
                Staged(provider=ALPHA, fault=Fault(kind=FaultKind.SLOW_FIRST, factor=6.0)),
                Staged(provider=BETA, fault=Fault(kind=FaultKind.SLOW_FIRST, factor=3.75)),
            ),
            answer_tokens=20,
        ),
        callers=(Caller(), Caller(within_s=1.0)),
        no_detection="slow is not sick: A is to keep those who wait",
        no_recovery="slow is not sick: A is to keep those who wait",
    ),
    Staging(
        number=33,
        scenario=replace(BY_NAME["hang"], name="leaving"),
        before=(Caller(within_s=300.0),),
        callers=(Caller(within_s=300.0, leaves_after_s=70.0),),
    ),
    Staging(
        number=34,
        scenario=_calm("wrong", rates=(1.0, 0.1)),
        callers=(Caller(), Caller(extra={"stop": 5}, is_wrong=True)),
        no_detection=NOBODY,
        no_recovery=NOBODY,
    ),
    Staging(
        number=35,
        scenario=Scenario(
            name="spike",
            title="spike",
            route="alone",
            limits={ALPHA: SimulatedLimits(requests_at_once=17)},
            rates=SOLELY_FAST,
            fault_s=30.0,
            judged_after_s=30.0,
        ),
        before=(Caller(within_s=5.0),),
        callers=(Caller(within_s=5.0),),
        crowds=(
            Crowd(caller=Caller(within_s=5.0), rate_per_s=3.0, fault_rate_per_s=3.0),
            Crowd(
                caller=Caller(within_s=5.0, priority=Priority.BATCH),
                rate_per_s=3.0,
                fault_rate_per_s=16.0,
            ),
        ),
        no_detection=NOBODY,
        no_recovery=NOBODY,
    ),
    Staging(
        number=36,
        scenario=Scenario(
            name="storm",
            title="storm",
            staged=(Staged(provider=ALPHA, fault=Fault(kind=FaultKind.SLOW_FIRST, factor=10.0)),),
            limits={ALPHA: SimulatedLimits(requests_at_once=4)},
            answer_tokens=20,
        ),
        before=(Caller(within_s=2.5, tries=3),),
        callers=(Caller(within_s=2.5, tries=3),),
    ),
    Staging(number=37, scenario=BY_NAME["half-capacity"]),
    Staging(number=38, scenario=BY_NAME["all-slow"], no_detection=NO_REFUGE, no_recovery=NO_REFUGE),
    Staging(
        number=39,
        scenario=alpha("bills-cut", Fault(kind=FaultKind.SLOW_FIRST, factor=8.0, share=0.2)),
        acts=(Act(kind=ActKind.BILL_CUT),),
        no_detection="A is slow now and then, and the first tier: it keeps its calls",
        no_recovery="A is slow now and then, and the first tier: it keeps its calls",
    ),
    Staging(number=40, scenario=BY_NAME["stragglers"]),
    Staging(
        number=41,
        scenario=replace(BY_NAME["s500"], name="left-trials", rates=SOLELY_FAST),
        crowds=(Crowd(caller=Caller(leaves_after_s=0.3), rate_per_s=1.0, fault_rate_per_s=1.0),),
        settings=UNPROBED,
    ),
    Staging(
        number=42,
        scenario=_calm("suspended", rates=(1.0, 0.1)),
        before=(Caller(within_s=3600.0),),
        callers=(Caller(within_s=3600.0),),
        acts=(Act(kind=ActKind.SUSPEND, at_s=20.0, seconds=600.0),),
        no_detection=NOBODY,
        no_recovery=NOBODY,
    ),
    Staging(
        number=43,
        scenario=_calm("slow-reader"),
        callers=(
            Caller(share=2.0, within_s=600.0),
            Caller(within_s=600.0, pause_s=12.0),
        ),
        no_detection=NOBODY,
        no_recovery=NOBODY,
    ),
    Staging(
        number=44,
        scenario=_calm("stalls"),
        acts=STALLS,
        no_detection=NOBODY,
        no_recovery=NOBODY,
    ),
    Staging(
        number=45,
        scenario=Scenario(
            name="drain",
            title="drain",
            rates=SOLELY_FAST,
            fault_s=5.0,
            return_s=0.001,
            answer_tokens=600,
        ),
        burst=50,
        acts=(Act(kind=ActKind.TERMINATE, is_after=True),),
        no_detection=NOBODY,
        no_recovery=NOBODY,
    ),
    Staging(
        number=46,
        scenario=alpha("restart", S500, rates=SOLELY_FAST),
        acts=(Act(kind=ActKind.KILL, at_s=40.0), Act(kind=ActKind.START, at_s=42.0)),
    ),
    Staging(
        number=47,
        scenario=Scenario(
            name="drift",
            title="drift",
            staged=(
                Staged(
                    provider=BETA,
                    fault=Fault(
                        kind=FaultKind.STATUS,
                        status=400,
                        error_type="invalid_request_error",
                        message="messages: this field is no longer supported",
                    ),
                ),
            ),
            sick=BETA,
            rates=SOLELY_FAST,
            return_s=420.0,
        ),
        before=BY_BETA,
        callers=BY_BETA,
        routes=BETA_FIRST,
    ),
    Staging(
        number=48,
        scenario=replace(BY_NAME["two-down"], return_s=240.0),
    ),
    Staging(
        number=49,
        scenario=Scenario(
            name="lying-probe",
            title="lying-probe",
            staged=(
                Staged(provider=ALPHA, fault=Fault(kind=FaultKind.REFUSE), until_s=15.0),
                Staged(provider=ALPHA, fault=S500),
            ),
        ),
    ),
    Staging(
        number=50,
        scenario=Scenario(
            name="noise",
            title="noise",
            route=PAIR,
            staged=tuple(
                Staged(provider=name, fault=fault)
                for name in (ALPHA, BETA, GAMMA)
                for fault in NOISE
            ),
            rates=(0.1,),
            fault_s=4 * 3600.0,
            return_s=1.0,
        ),
        no_detection=A_SHARE,
        no_recovery=A_SHARE,
    ),
    Staging(number=51, scenario=BY_NAME["half-alive"]),
)
BY_NUMBER = {staging.number: staging for staging in STAGINGS}
