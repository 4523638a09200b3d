"""The sections under ``defaults:`` and of a model: which settings each holds."""

from __future__ import annotations

from typing import Annotated

from sidecar.config.groups import Given, section_mark
from sidecar.core.account import AccountSettings
from sidecar.core.amplification import AmplificationSettings
from sidecar.core.attempts import AttemptSettings
from sidecar.core.breaker import BreakerSettings
from sidecar.core.canary import CanarySettings
from sidecar.core.forecast import ForecastSettings
from sidecar.core.hedging import HedgeSettings
from sidecar.core.ladder import LadderSettings
from sidecar.core.latency import LatencySettings
from sidecar.core.life import LifeSettings
from sidecar.core.limit import LimitSettings
from sidecar.core.output import OutputSettings
from sidecar.core.panic import PanicSettings
from sidecar.core.probing import ProbeSettings
from sidecar.core.quality import QualitySettings
from sidecar.core.reliability import PenaltySettings, ReliabilitySettings
from sidecar.core.retry_tokens import RetryTokenSettings
from sidecar.core.routing import RoutingSettings, RoutingWeights
from sidecar.core.silence import SilenceSettings
from sidecar.core.spend import SpendSettings
from sidecar.core.throttle import ThrottleSettings
from sidecar.core.waste import WasteSettings
from sidecar.domain import Timers
from sidecar.engine.admission import AdmissionSettings
from sidecar.engine.cache import CacheSettings
from sidecar.engine.drain import DrainSettings

TimersGiven = Annotated[Given, section_mark(Timers)]
BreakerGiven = Annotated[Given, section_mark(BreakerSettings)]
LimitGiven = Annotated[Given, section_mark(LimitSettings)]
ThrottleGiven = Annotated[Given, section_mark(ThrottleSettings)]
LatencyGiven = Annotated[Given, section_mark(LatencySettings)]
ForecastGiven = Annotated[Given, section_mark(ForecastSettings)]
LifeGiven = Annotated[Given, section_mark(LifeSettings)]
SilenceGiven = Annotated[Given, section_mark(SilenceSettings)]
ReliabilityGiven = Annotated[Given, section_mark(ReliabilitySettings)]
PenaltyGiven = Annotated[Given, section_mark(PenaltySettings)]
AccountGiven = Annotated[Given, section_mark(AccountSettings)]
RetryTokensGiven = Annotated[Given, section_mark(RetryTokenSettings)]
OutputGiven = Annotated[Given, section_mark(OutputSettings)]
ProbesGiven = Annotated[Given, section_mark(ProbeSettings)]
SpendGiven = Annotated[Given, section_mark(SpendSettings)]
RoutingGiven = Annotated[Given, section_mark(RoutingSettings)]
RetriesGiven = Annotated[Given, section_mark(AttemptSettings)]
AdmissionGiven = Annotated[Given, section_mark(AdmissionSettings)]
DrainGiven = Annotated[Given, section_mark(DrainSettings)]
HedgeGiven = Annotated[Given, section_mark(HedgeSettings)]
AmplificationGiven = Annotated[Given, section_mark(AmplificationSettings)]
WasteGiven = Annotated[Given, section_mark(WasteSettings)]
PanicGiven = Annotated[Given, section_mark(PanicSettings)]
LadderGiven = Annotated[Given, section_mark(LadderSettings)]
QualityGiven = Annotated[Given, section_mark(QualitySettings)]
CacheGiven = Annotated[Given, section_mark(CacheSettings)]
CanaryGiven = Annotated[Given, section_mark(CanarySettings)]


SECTIONS: tuple[type, ...] = (
    Timers,
    BreakerSettings,
    LimitSettings,
    ThrottleSettings,
    LatencySettings,
    ForecastSettings,
    SilenceSettings,
    ReliabilitySettings,
    PenaltySettings,
    LifeSettings,
    AccountSettings,
    RetryTokenSettings,
    OutputSettings,
    ProbeSettings,
    SpendSettings,
    RoutingSettings,
    RoutingWeights,
    AttemptSettings,
    AdmissionSettings,
    DrainSettings,
    HedgeSettings,
    AmplificationSettings,
    WasteSettings,
    PanicSettings,
    LadderSettings,
    QualitySettings,
    CacheSettings,
    CanarySettings,
)
