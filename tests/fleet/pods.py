"""Pods with whole engines on one simulated store, between the same simulated providers."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

from sidecar.engine.engine import Engine
from sidecar.engine.settings import EngineSettings
from sidecar.events import FanOut
from sidecar.fleet.agent import FleetAgent
from sidecar.fleet.names import Names
from sidecar.simulate.faults.pods import PodUpstream
from sidecar.simulate.fleet_store import SimulatedStore
from sidecar.simulate.loop import simulate, throttle_on_loop_time
from sidecar.simulate.world import ALPHA, Recorder, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.core.breaker import BreakerState
    from sidecar.domain import EndpointId, ProviderName
    from sidecar.events import BreakerChanged, Event
    from sidecar.simulate.seen import Seen


class Late:
    """An observer that is not there yet when the engine is made."""

    def __init__(self) -> None:
        self.agent: FleetAgent | None = None

    def on_event(self, event: Event) -> None:
        """Hand on."""
        if self.agent is not None:
            self.agent.on_event(event)


class FleetPod(World):
    """One pod: its engine and agent; providers are those of ``home``."""

    def __init__(
        self, home: World, store: SimulatedStore, seed: int, settings: EngineSettings
    ) -> None:
        self.rng = random.Random(seed)
        self.catalogue, self.endpoints = home.catalogue, home.endpoints
        self.recorder, late = Recorder(), Late()
        self.seen: list[Seen] = []
        self._calls = seed * 1000
        self.way = PodUpstream(home.providers, home.endpoints)
        self.engine = Engine(
            catalogue=self.catalogue,
            settings=settings,
            upstream=self.way,
            observer=FanOut(self.recorder, late),
            rng=random.Random(seed + 1),
        )
        names = Names(self.catalogue, self.key_of)
        self.agent = late.agent = FleetAgent(self.engine, store, names, random.Random(seed + 2))

    def key_of(self, provider: ProviderName) -> str:
        """Return the pod's key: everybody's."""
        return f"key of {provider}"

    async def background(self) -> None:
        """Run the engine's and the agent's tasks."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.background())
            group.create_task(self.agent.run())

    def state(self, name: EndpointId = ALPHA) -> BreakerState:
        """Return the state of an endpoint's breaker."""
        return self.engine.health.endpoints[name].breaker.state(0.0)

    def changes(self, name: str = ALPHA) -> list[BreakerChanged]:
        """Return what the breaker did."""
        found = (one for one in self.recorder.events if one.__class__.__name__ == "BreakerChanged")
        return [one for one in found if one.name == name]  # type: ignore[union-attr, misc]


class FleetWorld:
    """Providers, a store and pods."""

    def __init__(self, count: int, settings: EngineSettings | None = None, seed: int = 7) -> None:
        self.home = World(seed=seed)
        self.alpha = self.home.alpha
        self.store = SimulatedStore(random.Random(seed))
        settings = settings or EngineSettings()
        self.pods = [FleetPod(self.home, self.store, 100 + i, settings) for i in range(count)]
        self.settings = settings

    async def load(self, duration_s: float, per_minute: float, *, route: str = "reason") -> None:
        """Let callers of every pod call at random moments."""
        async with asyncio.TaskGroup() as group:
            for pod in self.pods:
                group.create_task(
                    pod.load(duration_s, rate_per_s=per_minute / 60, route=route, stream_share=0.0)
                )

    def opened_at(self, since: float, pods: list[FleetPod] | None = None) -> list[float | None]:
        """Return for each pod when its breaker of alpha opened after ``since``, if it did."""
        return [
            next((c.at for c in pod.changes() if c.new == "open" and c.at >= since), None)
            for pod in pods or self.pods
        ]

    def probes(self, since: float) -> int:
        """Return how many paid requests of probes alpha had."""
        entries = self.alpha.log
        return sum(e.at_s >= since and e.is_probe and e.model is not None for e in entries)


def play_fleet(
    count: int,
    scenario: Callable[[FleetWorld], Awaitable[object]],
    settings: EngineSettings | None = None,
) -> FleetWorld:
    """Run ``scenario`` in virtual time with ``count`` pods."""

    async def main() -> FleetWorld:
        world = FleetWorld(count, settings)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pod.background()) for pod in world.pods]
            await scenario(world)
            for task in tasks:
                task.cancel()
        return world

    with throttle_on_loop_time():
        return simulate(main())


def said(value: object) -> str:
    """Return ``value`` as everything that could be read of it."""
    return json.dumps(value, default=str)
