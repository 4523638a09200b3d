"""A configuration that changes while calls are under way: nobody is dropped, nothing is forgotten
that still holds, and the next call goes by what is new.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.core.breaker import BreakerSettings, BreakerState
from sidecar.core.ladder import LadderSettings
from sidecar.core.limit import LimitSettings
from sidecar.domain import EndpointId, Gate, ModelName, Price, Route, RouteName
from sidecar.engine.endpoint_health import EndpointSettings, HealthSettings
from sidecar.engine.pacer import PacerSettings
from sidecar.engine.settings import EngineSettings
from sidecar.simulate.evidence import answered_by, requests
from sidecar.simulate.world import (
    ALPHA,
    BETA,
    GAMMA,
    LARGE,
    World,
    default_endpoints,
    default_routes,
    play,
)
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedProvider
from sidecar.upstream.simulated_memory import MemoryUpstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sidecar.catalogue import Catalogue
    from sidecar.domain import Endpoint

NEW = EndpointId("beta/beta-new")


def reload(
    world: World,
    *,
    endpoints: Iterable[Endpoint] | None = None,
    routes: Iterable[Route] | None = None,
    settings: EngineSettings | None = None,
    upstream: MemoryUpstream | None = None,
) -> None:
    """Give the engine another configuration; what is not named stays as it was."""
    if endpoints is not None:
        world.endpoints = {one.id: one for one in endpoints}
    changed: dict[str, object] = {"endpoints": world.endpoints}
    if routes is not None:
        changed["routes"] = {route.name: route for route in routes}
    catalogue: Catalogue = replace(world.catalogue, **changed)  # type: ignore[arg-type] # by name
    if upstream is None:
        world.upstream.know(world.endpoints)
    world.engine.reload(catalogue, settings or world.engine.parts.settings, upstream)
    world.catalogue = world.engine.catalogue


def without(*names: EndpointId) -> tuple[list[Endpoint], list[Route]]:
    """Return the default configuration without some endpoints."""
    routes = []
    for route in default_routes():
        tiers = tuple(tuple(one for one in tier if one not in names) for tier in route.tiers)
        if kept := tuple(tier for tier in tiers if tier):
            routes.append(replace(route, tiers=kept))
    return [one for one in default_endpoints() if one.id not in names], routes


def changed(name: EndpointId, **fields: object) -> list[Endpoint]:
    """Return the default endpoints, one of them changed."""
    return [
        replace(one, **fields) if one.id == name else one  # type: ignore[arg-type] # by name
        for one in default_endpoints()
    ]


def settings_of(**fields: object) -> EngineSettings:
    """Return settings whose endpoints have other ones."""
    own = EndpointSettings(**fields)  # type: ignore[arg-type] # by name
    return EngineSettings(health=HealthSettings(endpoint=own))


def test_calls_under_way_end_with_what_they_began_with() -> None:
    """A plain answer and a stream of a removed endpoint come whole; the next call goes elsewhere.

    And when the last is over, nothing is left of the endpoint.
    """

    async def scenario(world: World) -> None:
        await world.load(20.0, rate_per_s=1.0)
        before = world.engine.health.endpoints[ALPHA]
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(world.call("reason", is_stream=one)) for one in (False, True)
            ]
            await asyncio.sleep(0.3)
            assert len(before.in_flight) == 2
            endpoints, routes = without(ALPHA)
            reload(world, endpoints=endpoints, routes=routes)
            assert ALPHA not in world.engine.health.endpoints
            after = await world.call("reason")
        assert [call.result().endpoint for call in calls] == [ALPHA, ALPHA]
        assert all(call.result().is_good for call in calls)
        assert after.is_good
        assert after.endpoint == BETA
        assert not before.in_flight
        assert before.limit.inflight == 0

    play(scenario)


def test_failover_of_a_call_under_way_finds_its_route() -> None:
    """A call whose endpoints are all taken away fails over along the route it began with."""

    async def scenario(world: World) -> None:
        await world.load(20.0, rate_per_s=1.0)
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, delay_s=1.0),)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(world.call("strong"))
            await asyncio.sleep(0.1)
            reload(
                world,
                endpoints=[one for one in default_endpoints() if one.id == GAMMA],
                routes=[Route(name=RouteName("strong"), tiers=((GAMMA,),))],
            )
            after = await world.call("strong")
        assert call.result().endpoint == BETA
        assert after.endpoint == GAMMA

    play(scenario)


def test_health_stays_with_endpoints_that_stay() -> None:
    """Breakers, latency and accounts of endpoints that stay are what they were; an open breaker
    stays open, and reopens when it would have.
    """

    async def scenario(world: World) -> None:
        await world.load(30.0, rate_per_s=2.0)
        world.alpha.faults = (Fault(kind=FaultKind.STATUS),)
        await world.load(10.0, rate_per_s=2.0)
        health = world.engine.health
        before = health.endpoints[ALPHA]
        reopens_at = before.breaker.reopens_at(now())
        assert before.breaker.state(now()) is BreakerState.OPEN
        host, account = (
            health.hosts[before.endpoint.host],
            health.accounts[before.endpoint.provider],
        )
        samples = before.latency.samples
        endpoints, routes = without(GAMMA)
        reload(world, endpoints=endpoints, routes=routes)
        after = world.engine.health
        assert after.endpoints[ALPHA] is before
        assert before.breaker.reopens_at(now()) == reopens_at
        assert before.latency.samples == samples > 5
        assert after.hosts[before.endpoint.host] is host
        assert after.accounts[before.endpoint.provider] is account
        assert set(after.hosts) == {one.host for one in endpoints} | {
            reach.host for reach in world.catalogue.providers.values()
        }
        seen = await world.call("reason")
        assert seen.attempts == (f"{BETA}:OK",)

    play(scenario)


@pytest.mark.parametrize(
    "make",
    [
        lambda: changed(ALPHA, upstream_model="alpha-small"),
        lambda: changed(ALPHA, host="http://elsewhere.test:80"),
    ],
)
def test_another_model_or_host_under_the_same_id_starts_anew(
    make: Callable[[], list[Endpoint]],
) -> None:
    """What is known of an endpoint is not believed of another that has taken its name."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS),)
        await world.load(10.0, rate_per_s=2.0)
        before = world.engine.health.endpoints
        assert before[ALPHA].breaker.state(now()) is BreakerState.OPEN
        world.alpha.faults = ()
        reload(world, endpoints=make())
        after = world.engine.health.endpoints
        assert after[ALPHA].breaker.state(now()) is BreakerState.CLOSED
        assert after[ALPHA].latency.samples == 0
        assert after[BETA] is before[BETA]
        assert (await world.call("alone")).is_good

    play(scenario)


def test_another_provider_under_the_same_name_starts_anew() -> None:
    """Another base URL is another account: its block, its limits and its pace are its own.

    A call that is waiting for its answer gets it from where it asked.
    """

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=429, retry_after_s=600.0),)
        await world.call("reason")
        provider = world.endpoints[ALPHA].provider
        assert world.engine.health.accounts[provider].gate(now()) is Gate.ACCOUNT_RATE
        world.alpha.faults = ()
        elsewhere = SimulatedProvider("alpha", world.alpha.format, {"alpha-large": LARGE}, seed=9)
        providers = {**world.providers, provider: elsewhere}
        upstream = MemoryUpstream(providers, world.endpoints)
        reach = replace(world.catalogue.providers[provider], base_url="https://elsewhere.test/v1")
        world.catalogue = replace(
            world.catalogue, providers={**world.catalogue.providers, provider: reach}
        )
        async with asyncio.TaskGroup() as group:
            old = group.create_task(world.call("alone-beta", is_stream=True))
            await asyncio.sleep(0.5)
            reload(world, upstream=upstream)
            assert world.engine.health.accounts[provider].gate(now()) is None
            assert (await world.call("alone")).is_good
        assert old.result().is_good
        assert len(requests(elsewhere, is_probe=False)) == 1
        assert upstream.open_count == 0

    play(scenario)


def test_price_change_moves_the_workload() -> None:
    """Of two equals the one that becomes dear loses its traffic with the next decisions."""

    async def scenario(world: World) -> None:
        await world.warm_up()
        before = await world.load(60.0, rate_per_s=2.0, route="pair")
        favourite = max((ALPHA, BETA), key=lambda name: answered_by(before)[name])
        other = BETA if favourite == ALPHA else ALPHA
        reload(world, endpoints=changed(favourite, price=Price(input_usd=90.0, output_usd=450.0)))
        after = await world.load(60.0, rate_per_s=2.0, route="pair")
        assert answered_by(before)[favourite] > len(before) / 2
        assert answered_by(after)[other] > 0.95 * len(after)
        assert all(one.is_good for one in (*before, *after))

    play(scenario)


def test_new_model_gets_traffic() -> None:
    """A cheaper model of the same class that appears in a route is used by the next calls."""

    async def scenario(world: World) -> None:
        world.beta.models = {**world.beta.models, "beta-new": LARGE}
        dear = Price(input_usd=90.0, output_usd=450.0)
        reload(world, endpoints=[replace(one, price=dear) for one in default_endpoints()])
        await world.warm_up()
        new = replace(
            world.endpoints[BETA],
            id=NEW,
            model=ModelName("beta-new"),
            upstream_model="beta-new",
            price=Price(input_usd=3.0, output_usd=15.0),
        )
        routes = [
            replace(route, tiers=((ALPHA, BETA, NEW), (GAMMA,))) if route.name == "pair" else route
            for route in default_routes()
        ]
        reload(world, endpoints=[*world.endpoints.values(), new], routes=routes)
        seen = await world.load(60.0, rate_per_s=2.0, route="pair")
        assert all(one.is_good for one in seen)
        assert answered_by(seen)[NEW] > 0.9 * len(seen)

    play(scenario)


def test_kept_choice_is_not_used_after_a_reload() -> None:
    """Calls that are alike share a choice for some milliseconds, but not across a reload."""

    async def scenario(world: World) -> None:
        await world.load(20.0, rate_per_s=1.0)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(world.call("reason"))
            await asyncio.sleep(0)
            endpoints, routes = without(ALPHA)
            reload(world, endpoints=endpoints, routes=routes)
            second = group.create_task(world.call("reason"))
        assert (first.result().endpoint, second.result().endpoint) == (ALPHA, BETA)

    play(scenario)


@pytest.mark.parametrize("gone", [ALPHA, BETA])
@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_hedged_call_survives(gone: EndpointId, is_stream: bool) -> None:
    """A call with two attempts under way, one of them at an endpoint that goes, is answered."""

    async def scenario(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            for route in ("strong", "alone-beta"):
                group.create_task(world.load(20.0, rate_per_s=1.0, route=route, is_even=True))
        world.alpha.faults = (Fault(kind=FaultKind.HANG),)
        own = [world.engine.health.endpoints[one] for one in (ALPHA, BETA)]
        async with asyncio.TaskGroup() as group:
            call = group.create_task(world.call("reason", is_stream=is_stream))
            for _ in range(500):
                await asyncio.sleep(0.01)
                if all(one.in_flight for one in own):
                    break
            assert all(one.in_flight for one in own)
            endpoints, routes = without(gone)
            reload(world, endpoints=endpoints, routes=routes)
        assert call.result().endpoint == BETA
        assert call.result().is_good
        left = [ticket for one in own for ticket in one.in_flight.values()]
        assert all(ticket.is_probe for ticket in left)

    play(scenario)


def test_waiting_calls_get_their_turn() -> None:
    """Calls that wait for room at an endpoint that is taken away are served there, in turn."""

    async def scenario(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(world.call("alone")) for _ in range(5)]
            await asyncio.sleep(0.05)
            assert len(world.engine.health.room) == 4
            endpoints, routes = without(ALPHA)
            reload(world, endpoints=endpoints, routes=routes)
            assert len(world.engine.health.room) == 4
        assert [call.result().endpoint for call in calls] == [ALPHA] * 5

    play(scenario, settings=settings_of(limit=LimitSettings(limit_max=1)))


def test_new_thresholds_hold_for_what_is_there() -> None:
    """A reload's limits and open periods govern breakers and limiters that exist already."""

    async def scenario(world: World) -> None:
        await world.load(10.0, rate_per_s=1.0)
        own = world.engine.health.endpoints[ALPHA]
        breaker = BreakerSettings(open_base_s=50.0, open_jitter=0.0, open_backoff_max_s=50.0)
        reload(world, settings=settings_of(limit=LimitSettings(limit_max=3), breaker=breaker))
        assert own.limit_value == 3
        world.alpha.faults = (Fault(kind=FaultKind.STATUS),)
        await world.load(8.0, rate_per_s=2.0)
        opened_at, reopens_at = own.breaker.opened_at(now()), own.breaker.reopens_at(now())
        assert opened_at is not None
        assert reopens_at == pytest.approx(opened_at + 50.0)

    play(scenario)


def test_pacer_goes_on_counting_unless_its_limits_change() -> None:
    """A reload does not give an account its minute's requests a second time."""

    async def scenario(world: World) -> None:
        provider = world.endpoints[ALPHA].provider
        pacer = world.engine.health.pacers[provider]
        reload(world, endpoints=changed(ALPHA, price=Price(input_usd=1.0, output_usd=1.0)))
        assert world.engine.health.pacers[provider] is pacer
        assert world.engine.health.endpoints[ALPHA].pacer is pacer
        reload(world, settings=paced(120))
        assert world.engine.health.endpoints[ALPHA].pacer is not pacer

    def paced(requests_per_minute: float) -> EngineSettings:
        pace = PacerSettings(requests_per_minute=requests_per_minute)
        return EngineSettings(
            health=HealthSettings(pacers={default_endpoints()[0].provider: pace}),
            ladder=LadderSettings(),
        )

    play(scenario, settings=paced(60))


def test_probes_go_on() -> None:
    """The prober heals what stays, looks at what is new, and lets go of what is gone."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS),)
        await world.load(10.0, rate_per_s=2.0)
        endpoints, routes = without(BETA)
        reload(world, endpoints=endpoints, routes=routes)
        world.alpha.faults = ()
        asked = len(world.beta.log)
        await asyncio.sleep(300.0)
        assert world.engine.health.endpoints[ALPHA].breaker.state(now()) is BreakerState.CLOSED
        assert len(world.beta.log) == asked
        reload(world, endpoints=default_endpoints(), routes=default_routes())
        assert (await world.call("alone-beta")).is_good

    play(scenario)


def test_new_credential_lifts_a_block_at_once() -> None:
    """A key that comes with the reload is tried with the next call."""

    async def scenario(world: World) -> None:
        provider = world.endpoints[ALPHA].provider
        world.alpha.api_key = "right"
        await asyncio.sleep(1.0)
        for _ in range(3):
            await world.call("alone")
        assert world.engine.health.accounts[provider].gate(now()) is Gate.ACCOUNT_AUTH
        world.upstream.set_key(provider, "right")
        reload(world)
        assert (await world.call("alone")).is_good

    play(scenario)


def test_a_generation_goes_with_its_last_call() -> None:
    """Nobody but calls under way holds what a reload replaced, and no cycle does."""

    async def scenario(world: World) -> None:
        await world.load(20.0, rate_per_s=1.0)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(world.call("reason", is_stream=True))
            await asyncio.sleep(0.3)
            endpoints, routes = without(ALPHA)
            parts = weakref.ref(world.engine.parts)
            gone = weakref.ref(world.engine.health)
            reload(world, endpoints=endpoints, routes=routes)
            reload(world, endpoints=default_endpoints(), routes=default_routes())
            assert parts() is not None
        assert call.result().is_good
        await asyncio.sleep(1.0)  # until the loops of the engine looked at the new one
        assert parts() is None
        assert gone() is None

    gc.disable()
    try:
        play(scenario)
    finally:
        gc.enable()
