"""Every threshold of the engine in one value; each group stands beside the code that reads it."""

from __future__ import annotations

from dataclasses import field

from sidecar.core.attempts import AttemptSettings
from sidecar.core.canary import CanarySettings
from sidecar.core.ladder import LadderSettings
from sidecar.core.output import OutputSettings
from sidecar.core.panic import PanicSettings
from sidecar.core.probing import ProbeSettings
from sidecar.core.quality import QualitySettings
from sidecar.core.routing import RoutingSettings
from sidecar.core.spend import SpendSettings
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.cache import CacheSettings
from sidecar.engine.endpoint_health import HealthSettings
from sidecar.value import value


@value
class EngineSettings:
    """The engine's settings, by owner."""

    health: HealthSettings = field(default_factory=HealthSettings)
    attempts: AttemptSettings = field(default_factory=AttemptSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    probes: ProbeSettings = field(default_factory=ProbeSettings)
    spend: SpendSettings = field(default_factory=SpendSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    budgets: BudgetSettings = field(default_factory=BudgetSettings)
    panic: PanicSettings = field(default_factory=PanicSettings)
    ladder: LadderSettings = field(default_factory=LadderSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    canary: CanarySettings = field(default_factory=CanarySettings)
