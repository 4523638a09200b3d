"""From the sections of a file to the settings of the core.

A section under a model replaces single fields of the same section under ``defaults``; everything
else holds for all. The defaults themselves stand in the dataclasses of the core and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.groups import build
from sidecar.core.account import AccountSettings
from sidecar.core.amplification import AmplificationSettings
from sidecar.core.attempts import AttemptSettings
from sidecar.core.breaker import BreakerSettings
from sidecar.core.canary import CanarySettings
from sidecar.core.caps import CapSettings
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
from sidecar.core.routing import RoutingSettings
from sidecar.core.silence import SilenceSettings
from sidecar.core.spend import SpendSettings
from sidecar.core.throttle import ThrottleSettings
from sidecar.core.waste import WasteSettings
from sidecar.domain import ProviderName, RouteName
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.cache import CacheSettings
from sidecar.engine.endpoint_health import EndpointSettings, HealthSettings
from sidecar.engine.pacer import PacerSettings
from sidecar.engine.settings import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.schema import DefaultsEntry, File, ModelEntry
    from sidecar.domain import EndpointId


def build_settings(file: File, ids: Mapping[str, EndpointId]) -> EngineSettings:
    """Return the settings of ``file``; ``ids`` leads from the name of a model to its endpoint."""
    defaults = file.defaults
    host_given: dict[str, object] = {"trial_successes": HealthSettings().host.trial_successes}
    health = HealthSettings(
        endpoint=_endpoint(defaults),
        by_endpoint={ids[name]: _endpoint(defaults, model) for name, model in file.models.items()},
        host=build(BreakerSettings, host_given, defaults.host_breaker),
        account=build(AccountSettings, defaults.account),
        retry_tokens=build(RetryTokenSettings, defaults.retry_tokens),
        pacers={
            ProviderName(name): PacerSettings(
                requests_per_minute=provider.limits.rpm, tokens_per_minute=provider.limits.tpm
            )
            for name, provider in file.providers.items()
            if provider.limits.rpm is not None or provider.limits.tpm is not None
        },
    )
    return EngineSettings(
        health=health,
        output=build(OutputSettings, defaults.output),
        probes=build(ProbeSettings, defaults.probes),
        spend=build(SpendSettings, defaults.spend),
        routing=build(RoutingSettings, defaults.routing),
        attempts=build(AttemptSettings, _attempts_most(file), defaults.retries),
        budgets=BudgetSettings(
            hedge=build(HedgeSettings, defaults.hedge),
            amplification=build(AmplificationSettings, defaults.amplification),
            waste=build(WasteSettings, defaults.waste),
            caps=_caps(file),
        ),
        panic=build(PanicSettings, defaults.panic),
        ladder=build(LadderSettings, defaults.ladder),
        quality=build(QualitySettings, defaults.quality),
        cache=build(CacheSettings, defaults.cache),
        canary=build(CanarySettings, defaults.canary),
    )


def _caps(file: File) -> CapSettings:
    """Return the daily spend caps."""
    providers = ((name, entry.limits.usd_per_day) for name, entry in file.providers.items())
    routes = ((name, entry.limits.usd_per_day) for name, entry in file.routes.items())
    return CapSettings(
        by_provider={ProviderName(name): usd for name, usd in providers if usd is not None},
        by_route={RouteName(name): usd for name, usd in routes if usd is not None},
    )


def _attempts_most(file: File) -> dict[str, object]:
    """Return the bound over all routes as high as the highest of them."""
    asked = [route.attempts for route in file.routes.values() if route.attempts is not None]
    return {"attempts_max": max([file.defaults.attempts, *asked])}


def _endpoint(*layers: DefaultsEntry | ModelEntry) -> EndpointSettings:
    """Return the thresholds of one endpoint; a later layer wins, field by field."""
    return EndpointSettings(
        breaker=build(BreakerSettings, *(layer.breaker for layer in layers)),
        limit=build(LimitSettings, *(layer.limit for layer in layers)),
        throttle=build(ThrottleSettings, *(layer.throttle for layer in layers)),
        latency=build(LatencySettings, *(layer.latency for layer in layers)),
        forecast=build(ForecastSettings, *(layer.forecast for layer in layers)),
        silence=build(SilenceSettings, *(layer.silence for layer in layers)),
        reliability=build(ReliabilitySettings, *(layer.reliability for layer in layers)),
        penalty=build(PenaltySettings, *(layer.penalty for layer in layers)),
        life=build(LifeSettings, *(layer.life for layer in layers)),
    )
