"""The application: names every layer once. Build, start, reload, drain, stop.

``process.py`` runs one until it is told to stop, and drains it then (``engine/drain.py``); after
that listeners, provider connections and background loops are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from typing import TYPE_CHECKING

from sidecar import clock, operations
from sidecar.engine import lots_shown, spending
from sidecar.engine.admission import Admission
from sidecar.engine.drain import Drain
from sidecar.engine.engine import Engine
from sidecar.engine.state import snapshot
from sidecar.events import FanOut
from sidecar.ledger.ledger import Ledger
from sidecar.ledger.showing import observed, shown
from sidecar.log import LogObserver
from sidecar.membership import Membership
from sidecar.operations import Operations, drillable, drills_of
from sidecar.quality.desk import Desk
from sidecar.reload import Origin, Reloader
from sidecar.repricing import PriceRefresh
from sidecar.server.admin import AdminPlane, Controls
from sidecar.server.data import DataPlane
from sidecar.server.feedback import FeedbackDesk
from sidecar.server.front import Front, Plane
from sidecar.server.guard import Guard, GuardSettings
from sidecar.server.health import HealthPlane, HealthStatus
from sidecar.server.intake import Intake
from sidecar.server.timeline import Timeline
from sidecar.targets import credential_of, target_of
from sidecar.telemetry.environment import read_environment
from sidecar.telemetry.readings import readings
from sidecar.telemetry.telemetry import Telemetry
from sidecar.upstream.http import HttpUpstream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.catalogue import Catalogue
    from sidecar.config.model import Config, Target
    from sidecar.domain import EndpointId
    from sidecar.events import Observer
    from sidecar.upstream.http import ProviderTarget

log = logging.getLogger("sidecar")


class App:
    """One sidecar. ``ports`` are the bound ones after ``start``, by plane."""

    def __init__(
        self,
        config: Config,
        *,
        observer: Observer | None = None,
        seed: int | None = None,
        origin: Origin | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self.ports: dict[str, int] = {}
        self._rng = random.Random(seed)
        self._providers = {name: target_of(target) for name, target in config.targets.items()}
        self.upstream = HttpUpstream(
            providers=self._providers, endpoints=config.catalogue.endpoints
        )
        self.ledger = Ledger(config.ledger)
        self.telemetry = Telemetry(
            read_environment(os.environ if env is None else env), config.telemetry, self._catalogue
        )
        self.timeline = Timeline(self._host_of)
        self._membership = Membership(config, self._rng)
        hearers = (observer or LogObserver(), self.ledger, self.timeline, self.telemetry)
        self._observer = FanOut(*hearers, *self._membership.observers)
        self.drills = drills_of(config, self._observer)
        self.engine = Engine(
            catalogue=config.catalogue,
            settings=config.settings,
            upstream=drillable(self.upstream, self.drills),
            observer=self._observer,
            rng=self._rng,
        )
        self.desk = Desk(self.engine, self.ledger)
        self._intake = Intake(self._catalogue, self._rng)
        self._operations = Operations(self.engine, self.ledger, self._intake, lambda: self.drills)
        self.admission = Admission(config.admission)
        self.reloader = Reloader(origin or Origin(load=lambda: self.config), config, self.reload)
        self.prices = PriceRefresh(config.prices, self.reloader.ask, self._rng)
        self._front = Front()
        self._drain = Drain(
            self.admission, lambda: self._front.deserted("data"), self.engine.interrupt
        )
        self._background: asyncio.Task[None] | None = None
        self._is_started = False
        self._register()

    def _register(self) -> None:
        """Let the parts tell their figures."""
        self.telemetry.attend(self.engine.parts)
        self.telemetry.registry.add(
            *observed(self.ledger),
            *spending.observed(lambda: self.engine.budgets.caps),
            *self.desk.observed(),
            *operations.observed(lambda: self.drills),
            *lots_shown.observed(lambda: self.engine.parts),
            *readings(self.engine, self.admission),
            *self.reloader.observed(lambda: self.engine.catalogue.generation),
        )

    async def start(self) -> None:
        """Open the providers' client, the planes and the background loops.

        Raises:
            OSError: a plane's address is taken.
        """
        await self.upstream.start()
        self.ledger.start()
        self._membership.join(self.engine, self.config, self._providers)
        self.telemetry.registry.add(*self._membership.observed())
        self.telemetry.start()
        if self.engine.budgets.caps is not None:
            if not await self.ledger.load():
                log.warning("spend caps count from now: what was spent today cannot be read")
            self._recall_caps()
        try:
            for plane in self._planes():
                self.ports[plane.name] = await self._front.open(plane)
        except OSError:
            await self.stop()
            raise
        # Owned here and ended in `stop`; a task group would tie its life to one function's frame.
        self._background = asyncio.get_running_loop().create_task(self._run())
        self._background.add_done_callback(_tell_death)
        self._is_started = True

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.background())
            group.create_task(self.reloader.run())
            group.create_task(self.prices.run())
            if self._membership.agent is not None:
                group.create_task(self._membership.agent.run())

    def reload(self, config: Config) -> None:
        """Go by ``config`` from the next call on, but for what needs a restart.

        Calls under way end as they began; what was learned of endpoints that stay is kept.

        Raises:
            ConfigError: a key or a URL cannot be used; then nothing has changed.
        """
        providers = {name: self._again(target) for name, target in config.targets.items()}
        before, endpoints = self.config.catalogue.endpoints, config.catalogue.endpoints
        upstream = self.upstream.successor(providers=providers, endpoints=endpoints)
        self.drills = drills_of(config, self._observer, self.drills)
        self.engine.reload(config.catalogue, config.settings, drillable(upstream, self.drills))
        self._recall_caps()
        self._membership.adopt(config, providers)
        self.desk.adopt()
        self.upstream, self._providers = upstream, providers
        self.admission.settings = config.admission
        self.prices.adapt(config.prices)
        self.config = config
        log.info(
            "configuration reloaded generation=%d endpoints=%d new=%s gone=%s",
            self.engine.catalogue.generation,
            len(endpoints),
            ",".join(name for name in endpoints if name not in before) or "-",
            ",".join(name for name in before if name not in endpoints) or "-",
        )

    def _again(self, target: Target) -> ProviderTarget:
        """Return where a provider is now; keys that are named as before go on being watched."""
        known = self.config.targets.get(target.name)
        is_kept = known is not None and (known.api_key, known.aws) == (target.api_key, target.aws)
        return target_of(target, self._providers[target.name] if is_kept else None)

    async def drain(self, *, is_hasty: bool = False) -> None:
        """Let calls come to their end within the grace; a hasty one takes no new ones meanwhile."""
        await self._drain.run(self.config.drain, is_hasty=is_hasty)

    async def stop(self) -> None:
        """Close everything; may repeat."""
        self._is_started = False
        await self._front.close()
        if self._background is not None:
            self._background.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._background
            self._background = None
        await self.desk.aclose()
        await self.upstream.aclose()
        await self.ledger.aclose()
        await self.telemetry.aclose()

    # --- parts ---------------------------------------------------------------------------------

    def _planes(self) -> tuple[Plane, ...]:
        listen = self.config.listen
        guard = Guard(self._guard_settings())
        feedback = FeedbackDesk(self.desk)
        data = DataPlane(self.engine, self.admission, self._intake, guard, feedback, self._observer)
        does = self._operations
        admin = AdminPlane(
            guard,
            Controls(
                state=self.state,
                calls=does.calls,
                advice=self.desk.advice,
                isolate=does.isolate,
                restore=does.restore,
                explain=does.explain,
                drills=does.drills,
                drill=does.drill,
                end_drill=does.end_drill,
                timeline=self.timeline,
            ),
        )
        health = HealthPlane(self._status, self._metrics)
        addresses = (
            ("data", listen.data, data.handle),
            ("admin", listen.admin, admin.handle),
            ("health", listen.health, health.handle),
        )
        return tuple(
            Plane(name=name, host=address.host, port=address.port, handler=handler)
            for name, address, handler in addresses
        )

    def _metrics(self, accept: str) -> tuple[str, str]:
        self.ledger.catch_up()
        return self.telemetry.scrape(accept)

    def _guard_settings(self) -> GuardSettings:
        listen = self.config.listen
        token = None if listen.token is None else credential_of(listen.token).value().encode()
        return GuardSettings(allow_remote=listen.allow_remote, token=token)

    def _catalogue(self) -> Catalogue:
        return self.engine.catalogue

    def _status(self) -> HealthStatus:
        return HealthStatus(
            is_started=self._is_started,
            is_draining=self._drain.has_begun,
            config=self.reloader.status.shown(self.engine.catalogue.generation),
        )

    def _recall_caps(self) -> None:
        """Tell spend caps that are new what was spent today, as far as the ledger knows."""
        caps = self.engine.budgets.caps
        if caps is not None:
            caps.recall(*self.ledger.spent_on(caps.day))

    def _host_of(self, name: EndpointId) -> str | None:
        endpoint = self.engine.catalogue.endpoints.get(name)
        return None if endpoint is None else endpoint.host

    def state(self) -> dict[str, object]:
        """Return what the admin plane shows."""
        status = self.reloader.status
        return {
            "source": self.config.source,
            "config": {
                **status.shown(self.engine.catalogue.generation),
                "reloads": status.reloads_count,
                "refused": status.refused_count,
            },
            "draining": self._drain.has_begun,
            "calls_in_flight": self.admission.calls,
            "tasks": len(asyncio.all_tasks()),
            **snapshot(self.engine, clock.now()),
            "drills": self._operations.drills(),
            "ledger": shown(self.ledger, clock.wall()),
            "prices": self.prices.status,
            "fleet": self._membership.status(),
            **self.desk.shown(),
        }


def _tell_death(task: asyncio.Task[None]) -> None:
    """A background loop never ends by itself: if it does, that is a defect to be seen."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background loop died", exc_info=error)
