"""What the calls, probes and reports of one engine share; owned together, handed on as one.

Below ``engine.py``, which adds the loops and the way in, so that what it starts need not know it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.ladder import Ladder
from sidecar.core.output import OutputModel
from sidecar.core.panic import PanicRation
from sidecar.core.quality import QualityBook
from sidecar.core.routing import Router
from sidecar.engine.budgets import Budgets
from sidecar.engine.cache import StaleCache
from sidecar.engine.health import Health
from sidecar.engine.keepers import Keepers
from sidecar.engine.output_check import OutputChecks
from sidecar.engine.prospect import Prospects
from sidecar.engine.qualities import Qualities
from sidecar.engine.succession import legacy_of
from sidecar.engine.timer import Timers
from sidecar.tracing import Propagation

if TYPE_CHECKING:
    import random

    from sidecar.catalogue import Catalogue
    from sidecar.domain import EndpointId, RouteName
    from sidecar.engine.lots import Lots
    from sidecar.engine.ports import Sampler, Upstream
    from sidecar.engine.settings import EngineSettings
    from sidecar.engine.shadow import Shadows
    from sidecar.engine.succession import Legacy
    from sidecar.events import Observer


UNKNOWN_QUALITY = 0.5
SALT_BYTES = 16


class Parts:
    """Owns the health registry, the router, the budgets, all timers, one output model a route.

    One generation of them: ``succeeded`` makes the next, and who began with this one keeps it.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        settings: EngineSettings,
        upstream: Upstream,
        observer: Observer,
        rng: random.Random,
        legacy: Legacy | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.settings = settings
        self.upstream = upstream
        self.observer = observer
        self.rng = rng
        self.health = Health(catalogue, settings.health, rng, observer, legacy)
        self.router = Router(settings.routing)
        self.budgets = Budgets(settings.budgets)
        self.panic = PanicRation(settings.panic)
        self.ladder = Ladder(settings.ladder)
        self.cache = StaleCache(settings.cache)
        self.keepers = Keepers()
        self.output_checks = OutputChecks()
        self.timers = Timers()
        self.quality = QualityBook(self.configured_quality, settings.quality)
        self.qualities = Qualities(self.quality)
        self.sampler: Sampler | None = None
        self.salt = os.urandom(SALT_BYTES)
        self.prospects = Prospects(self.health)
        self.propagation = Propagation()
        self.keeps_content = False  # what is asked and answered is told to the observer
        self._outputs: dict[RouteName, OutputModel] = {}
        self.lots = self._lots_of(None)
        self.shadows = self._shadows_of(None)

    def succeeded(
        self, catalogue: Catalogue, settings: EngineSettings, upstream: Upstream
    ) -> Parts:
        """Return the parts for another configuration, with all that was learned and still holds."""
        legacy = legacy_of(self.health, self.catalogue, catalogue)
        heir = Parts(
            catalogue=catalogue,
            settings=settings,
            upstream=upstream,
            observer=self.observer,
            rng=self.rng,
            legacy=legacy,
        )
        heir.timers, heir.output_checks = self.timers, self.output_checks
        heir.propagation, heir.keeps_content = self.propagation, self.keeps_content
        heir.router, heir.budgets, heir.panic = self.router, self.budgets, self.panic
        heir.ladder, heir.cache, heir.keepers = self.ladder, self.cache, self.keepers
        heir.quality = self.quality
        heir.quality.prior_of = heir.configured_quality
        heir.quality.adapt(settings.quality)
        heir.salt, heir.sampler = self.salt, self.sampler
        heir.qualities = self.qualities
        heir.qualities.is_stale = True
        heir.router.adapt(settings.routing)
        heir.budgets.adapt(settings.budgets)
        heir.panic.adapt(settings.panic)
        heir.ladder.adapt(settings.ladder)
        heir.cache.adapt(settings.cache)
        heir.lots = heir._lots_of(self.lots)
        heir.shadows = heir._shadows_of(self.shadows)
        heir.keepers.forget(self.catalogue.endpoints.keys() - legacy.endpoints)
        for route, model in self._outputs.items():
            if route in catalogue.routes:
                model.adapt(settings.output)
                heir._outputs[route] = model
        return heir

    def configured_quality(self, route: RouteName, model: EndpointId) -> float:
        """Return the quality that the configuration gives; of what it no longer names, a half."""
        endpoint = self.catalogue.endpoints.get(model)
        return UNKNOWN_QUALITY if endpoint is None else endpoint.quality.configured(route)

    def _lots_of(self, before: Lots | None) -> Lots | None:
        """Return who draws lots, None where no route asks for any and none did."""
        if before is None and not any(route.has_lots for route in self.catalogue.routes.values()):
            return None
        from sidecar.engine.lots import Lots  # noqa: PLC0415 - few configurations need it

        settings = self.settings.canary
        lots = before or Lots(self.quality, settings, self.observer)
        lots.canaries.adapt(settings)
        lots.configured(self.catalogue, None if before is None else loop_now())
        return lots

    def _shadows_of(self, before: Shadows | None) -> Shadows | None:
        """Return who makes copies of calls, None where no route asks for any and none did."""
        if before is None and not any(route.shadow for route in self.catalogue.routes.values()):
            return None
        from sidecar.engine.shadow import Shadows  # noqa: PLC0415 - few configurations need it

        shadows = before or Shadows()
        shadows.configured(self.catalogue)
        return shadows

    def output_model(self, route: RouteName) -> OutputModel:
        """Return the answer-length model of ``route``; routes are bounded by the configuration."""
        model = self._outputs.get(route)
        if model is None:
            model = self._outputs[route] = OutputModel(self.settings.output)
        return model
