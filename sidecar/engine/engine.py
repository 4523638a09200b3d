"""The engine: everything a call needs, owned in one place, and the two background loops.

Owns the health registry, the router, one output model a route and the timers of all work in
progress (so that a drain can end it). Knows no sockets: an ``Upstream`` stands for the providers,
so that production, tests and simulation run the same code.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.clock import now as loop_now
from sidecar.core.caps import DAY_S
from sidecar.engine.call import CallRun
from sidecar.engine.count import count_tokens
from sidecar.engine.hearsay import Hearsay
from sidecar.engine.parts import Parts
from sidecar.engine.passing import PassageRun
from sidecar.engine.prober import Prober
from sidecar.errors import UnavailableError
from sidecar.events import SpendCapChanged

if TYPE_CHECKING:
    import random

    from sidecar.catalogue import Catalogue
    from sidecar.core.caps import SpendCaps
    from sidecar.core.ladder import Ladder
    from sidecar.core.output import OutputModel
    from sidecar.domain import Call, EndpointId, ProviderName, RouteName
    from sidecar.engine.answer import CountAnswer, PlainAnswer
    from sidecar.engine.budgets import Budgets
    from sidecar.engine.cache import StaleCache
    from sidecar.engine.fleet_port import Fleet
    from sidecar.engine.health import Health
    from sidecar.engine.keepers import Keepers
    from sidecar.engine.passing import Passage
    from sidecar.engine.ports import Upstream
    from sidecar.engine.relay import Relay
    from sidecar.engine.settings import EngineSettings
    from sidecar.engine.timer import Timers
    from sidecar.errors import CallError
    from sidecar.events import Observer

TICK_S = 0.25
"""How often overdue calls are counted."""
CREDENTIALS_S = 2.0
"""How often a new credential is looked for: a rotated key lifts its block within 5 s."""


class Engine:
    """Answers calls. Run ``background`` beside it for overdue calls, probes and new credentials.

    Owns the generation of parts that new calls begin with.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        settings: EngineSettings,
        upstream: Upstream,
        observer: Observer,
        rng: random.Random,
    ) -> None:
        self.parts = Parts(
            catalogue=catalogue, settings=settings, upstream=upstream, observer=observer, rng=rng
        )
        self.prober = Prober(self.parts)
        self._credentials: dict[ProviderName, int] = {}

    def join(self, fleet: Fleet) -> Hearsay:
        """Let ``fleet`` have a say in who probes; return where it tells what other pods know."""
        self.prober.fleet = fleet
        return Hearsay(self)

    def reload(
        self, catalogue: Catalogue, settings: EngineSettings, upstream: Upstream | None = None
    ) -> None:
        """Go by another configuration from the next call on; calls under way end with their own.

        ``upstream`` reaches the providers of ``catalogue``, where another one is needed for that.
        """
        catalogue = replace(catalogue, generation=self.catalogue.generation + 1)
        self.parts = self.parts.succeeded(catalogue, settings, upstream or self.parts.upstream)
        self.prober.adopt(self.parts)
        self._look_at_credentials()

    @property
    def catalogue(self) -> Catalogue:
        """What callers may name now."""
        return self.parts.catalogue

    @property
    def health(self) -> Health:
        """What is known of the endpoints that there are now."""
        return self.parts.health

    @property
    def budgets(self) -> Budgets:
        """What extra work may cost."""
        return self.parts.budgets

    @property
    def cache(self) -> StaleCache:
        """The answers kept for an outage."""
        return self.parts.cache

    @property
    def keepers(self) -> Keepers:
        """Who keeps what calls refer to."""
        return self.parts.keepers

    @property
    def ladder(self) -> Ladder:
        """Whether load is shed."""
        return self.parts.ladder

    @property
    def timers(self) -> Timers:
        """The timers of all work in progress."""
        return self.parts.timers

    def output_model(self, route: RouteName) -> OutputModel:
        """Return the answer-length model of ``route``."""
        return self.parts.output_model(route)

    async def answer(self, call: Call) -> PlainAnswer | Relay:
        """Return the answer to ``call``, whole or as a committed stream.

        Raises:
            CallError: there is none; the error says why and what was tried.
        """
        parts = self.parts
        call = parts.keepers.pinned(call, parts.catalogue)
        self.prober.wanted(call.route, loop_now())
        return await CallRun(parts, call).run()

    async def count_tokens(self, call: Call) -> CountAnswer:
        """Return the input tokens of ``call``: as its provider counts them, else an estimate."""
        return await count_tokens(self.parts, call)

    def passage(self, passage: Passage) -> PassageRun:
        """Return the run of a request that is passed on to its provider.

        Raises:
            UnavailableError: the provider was there when the request came, and is no more.
        """
        name = passage.request.provider
        if name not in self.catalogue.providers:
            raise UnavailableError(f"provider {name!r} was taken out of the configuration")
        return PassageRun(self.parts, passage)

    def isolate(self, endpoint: EndpointId, now: float) -> None:
        """Take an endpoint out by hand."""
        self.health.isolate(endpoint, now)

    def restore(self, endpoint: EndpointId, now: float) -> None:
        """Undo ``isolate``; a model that was rolled back is on trial again."""
        self.health.restore(endpoint, now)
        if self.parts.lots is not None:
            self.parts.lots.restore(endpoint, now)

    def interrupt(self, reason: CallError) -> None:
        """End all work in progress because of ``reason``: streams with an error event, calls with
        the error.
        """
        self.timers.interrupt(reason)

    async def background(self) -> None:
        """Run until cancelled: count overdue calls, probe, notice new credentials."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick(group))
            group.create_task(self._watch_credentials())
            group.create_task(self.prober.run())

    async def _tick(self, group: asyncio.TaskGroup) -> None:
        while True:
            next_at = loop_now() + TICK_S
            self.health.lag.tick(loop_now(), next_at=next_at)
            await asyncio.sleep(TICK_S)
            now = loop_now()
            self.health.tick(now)
            if self.parts.lots is not None:
                self.parts.lots.tick(now)
            if self.parts.shadows is not None:
                self.parts.shadows.start(group)
            self.ladder.observe(self._share_shut(now), now)
            self.parts.qualities.refresh(self.catalogue.endpoints, now)
            if self.budgets.caps is not None:
                self._look_at_caps(self.budgets.caps, now)

    def _look_at_caps(self, caps: SpendCaps, now: float) -> None:
        """Begin another day when it is one, and tell which caps were reached or came free."""
        caps.turn(int(clock.wall() // DAY_S))
        for one in caps.news():
            self.parts.observer.on_event(
                SpendCapChanged(
                    at=now,
                    scope=one.scope,
                    name=one.name,
                    is_reached=one.is_reached,
                    spent_usd=one.spent_usd,
                    usd_per_day=one.usd_per_day,
                )
            )

    def _share_shut(self, now: float) -> float:
        """Return the share of the best tiers' endpoints that take no calls, 0..1."""
        tiers = [route.tiers[0] for route in self.catalogue.routes.values() if route.is_task]
        best = dict.fromkeys(name for tier in tiers for name in tier)
        endpoints = [self.catalogue.endpoints[name] for name in best]
        shut = sum(self.health.gate(one, now) is not None for one in endpoints)
        return shut / len(endpoints) if endpoints else 0.0

    async def _watch_credentials(self) -> None:
        while True:
            self._look_at_credentials()
            await asyncio.sleep(CREDENTIALS_S)

    def _look_at_credentials(self) -> None:
        """Lift the blocks of accounts whose credential is another one than at the last look."""
        known, self._credentials = self._credentials, {}
        for name in self.health.accounts:
            version = self.parts.upstream.credential_version(name)
            self._credentials[name] = version
            if known.get(name, version) != version:
                self.health.credential_changed(name, loop_now())
