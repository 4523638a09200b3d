"""Random worlds whose configuration changes all the time: every promise holds as if it did not."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.simulate.loop import simulate, throttle_on_loop_time
from sidecar.simulate.swarm_options import draw_options
from sidecar.simulate.swarm_world import SwarmWorld

if TYPE_CHECKING:
    from sidecar.catalogue import Catalogue
    from sidecar.domain import Endpoint, EndpointId, Route
    from sidecar.engine.endpoint_health import EndpointHealth
    from sidecar.simulate.swarm_options import Act, SwarmOptions

SEEDS = range(300, 312)
EVERY_S = (0.05, 8.0)
DROPPED_SHARE = 0.3
DEARER = (1.0, 1.0, 3.0, 20.0)


class ReloadedWorld(SwarmWorld):
    """A world with random reloads while things fail; at the end of that it is as it began."""

    def __init__(self, options: SwarmOptions) -> None:
        super().__init__(options)
        self.everyone: dict[int, EndpointHealth] = {}
        self.busy_count = 0  # endpoints that were taken away with calls under way
        self._renewed: set[str] = set()
        self._first = self.catalogue
        self._luck = random.Random(f"reloads/{options.seed}")

    async def _act(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super()._act())
            while now() < self.options.faulty_s:
                await asyncio.sleep(self._luck.uniform(*EVERY_S))
                self._reload(self._drawn())
            self._reload(self._first)

    def _do(self, act: Act) -> None:
        if act.endpoint is None or act.endpoint in self.engine.health.endpoints:
            super()._do(act)

    def _reload(self, catalogue: Catalogue) -> None:
        before = self.engine.health
        self.engine.reload(catalogue, self.options.settings)
        self.catalogue = self.engine.catalogue
        after = self.engine.health
        self.everyone |= {id(own): own for own in before.endpoints.values()}
        for name, own in before.endpoints.items():
            if after.endpoints.get(name) is not own:
                self._renewed.add(name)
                self.busy_count += bool(own.in_flight)
        for host, breaker in before.hosts.items():
            if after.hosts.get(host) is not breaker:
                self._renewed.add(host)
        for account in before.accounts:
            if after.accounts.get(account) is not before.accounts[account]:
                self._renewed.add(account)

    async def _drain(self) -> None:
        await super()._drain()
        for name in self._renewed:
            # Several bore the name, and events do not tell whose breaker or block they are of.
            self.traces.breakers.pop(name, None)
            self.traces.accounts.pop(name, None)

    def _drawn(self) -> Catalogue:
        """Return some of the endpoints, some dearer, and all routes over these alone."""
        luck, everybody = self._luck, list(self._first.endpoints.values())
        kept = [one for one in everybody if luck.random() > DROPPED_SHARE]
        kept = kept or [luck.choice(everybody)]
        endpoints = {one.id: self._dearer(one) for one in kept}
        routes = {
            name: self._narrowed(route, endpoints) for name, route in self._first.routes.items()
        }
        return replace(self._first, endpoints=endpoints, routes=routes)

    def _dearer(self, one: Endpoint) -> Endpoint:
        factor = self._luck.choice(DEARER)
        if one.price is None:
            return one
        price = replace(
            one.price,
            input_usd=one.price.input_usd * factor,
            output_usd=one.price.output_usd * factor,
        )
        return replace(one, price=price)

    def _narrowed(self, route: Route, endpoints: dict[EndpointId, Endpoint]) -> Route:
        tiers = [tuple(name for name in tier if name in endpoints) for tier in route.tiers]
        left = tuple(tier for tier in tiers if tier)
        return replace(route, tiers=left or ((self._luck.choice(list(endpoints)),),))


def played(seed: int) -> ReloadedWorld:
    """Play one world to its end."""

    async def main() -> ReloadedWorld:
        world = ReloadedWorld(draw_options(seed))
        await world.run()
        return world

    with throttle_on_loop_time():
        return simulate(main())


@pytest.mark.parametrize("seed", SEEDS)
def test_world_holds_whatever_is_reloaded(seed: int) -> None:
    """Each call is answered once and in time, by its own endpoints; nothing is left anywhere."""
    world = played(seed)
    assert world.traces.broken == {}
    assert world.engine.catalogue.generation > 5
    for own in world.everyone.values():
        assert not own.in_flight, own.endpoint.id
        assert own.limit.inflight == 0, own.endpoint.id


def test_worlds_take_endpoints_away_from_under_calls() -> None:
    """The worlds above are worth playing: endpoints go while calls are under way there."""
    assert sum(played(seed).busy_count for seed in SEEDS[:3]) > 0
