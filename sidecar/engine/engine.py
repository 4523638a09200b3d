"""The engine: everything a call needs, owned in one place, and the two background loops.

Owns the health registry, the router, one output model a route and the timers of all work in
progress (so that a drain can end it). Knows no sockets: an ``Upstream`` stands for the providers,
so that production, tests and simulation run the same code.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.engine.call import CallRun
from sidecar.engine.count import count_tokens
from sidecar.engine.parts import Parts
from sidecar.engine.passing import PassageRun
from sidecar.engine.prober import Prober

if TYPE_CHECKING:
    import random

    from sidecar.catalogue import Catalogue
    from sidecar.domain import Call
    from sidecar.engine.answer import CountAnswer, PlainAnswer
    from sidecar.engine.passing import Passage
    from sidecar.engine.ports import Upstream
    from sidecar.engine.relay import Relay
    from sidecar.engine.settings import EngineSettings
    from sidecar.errors import CallError
    from sidecar.events import Observer

TICK_S = 0.25
"""How often overdue calls are counted."""
CREDENTIALS_S = 2.0
"""How often a new credential is looked for: a rotated key lifts its block within 5 s."""


class Engine(Parts):
    """Answers calls. Run ``background`` beside it for overdue calls, probes and new credentials."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        settings: EngineSettings,
        upstream: Upstream,
        observer: Observer,
        rng: random.Random,
    ) -> None:
        super().__init__(
            catalogue=catalogue, settings=settings, upstream=upstream, observer=observer, rng=rng
        )
        self.prober = Prober(self)

    async def answer(self, call: Call) -> PlainAnswer | Relay:
        """Return the answer to ``call``, whole or as a committed stream.

        Raises:
            CallError: there is none; the error says why and what was tried.
        """
        call = self.keepers.pinned(call, self.catalogue)
        self.prober.wanted(call.route, loop_now())
        return await CallRun(self, call).run()

    async def count_tokens(self, call: Call) -> CountAnswer:
        """Return the input tokens of ``call``: as its provider counts them, else an estimate."""
        return await count_tokens(self, call)

    def passage(self, passage: Passage) -> PassageRun:
        """Return the run of a request that is passed on to its provider."""
        return PassageRun(self, passage)

    def interrupt(self, reason: CallError) -> None:
        """End all work in progress because of ``reason``: streams with an error event, calls with
        the error.
        """
        self.timers.interrupt(reason)

    async def background(self) -> None:
        """Run until cancelled: count overdue calls, probe, notice new credentials."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._watch_credentials())
            group.create_task(self.prober.run())

    async def _tick(self) -> None:
        while True:
            next_at = loop_now() + TICK_S
            self.health.lag.tick(loop_now(), next_at=next_at)
            await asyncio.sleep(TICK_S)
            now = loop_now()
            self.health.tick(now)
            self.ladder.observe(self._share_shut(now), now)

    def _share_shut(self, now: float) -> float:
        """Return the share of the best tiers' endpoints that take no calls, 0..1."""
        tiers = [route.tiers[0] for route in self.catalogue.routes.values() if route.is_task]
        best = dict.fromkeys(name for tier in tiers for name in tier)
        endpoints = [self.catalogue.endpoints[name] for name in best]
        shut = sum(self.health.gate(one, now) is not None for one in endpoints)
        return shut / len(endpoints) if endpoints else 0.0

    async def _watch_credentials(self) -> None:
        versions = {name: self.upstream.credential_version(name) for name in self.health.accounts}
        while True:
            await asyncio.sleep(CREDENTIALS_S)
            for name, known in versions.items():
                version = self.upstream.credential_version(name)
                if version != known:
                    versions[name] = version
                    self.health.credential_changed(name, loop_now())
