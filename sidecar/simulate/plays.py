"""One play of the study: a scenario, a rate, a policy, a seed, and what came of it.

Every policy meets the same world: the same calls at the same instants (drawn from the seed before
anything runs), the same faults, and providers whose n-th request has the same luck (common random
numbers). First each large model gets thirty calls of its own, so that the engine knows it, as one
that has run for a while does; the baselines make the same calls.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import (
    Constraints,
    EndpointId,
    Price,
    ProviderName,
    Route,
    RouteName,
    WireFormat,
)
from sidecar.engine.answer import PlainAnswer
from sidecar.engine.budgets import HEDGE
from sidecar.engine.engine import Engine
from sidecar.engine.settings import EngineSettings
from sidecar.errors import CallError
from sidecar.events import AttemptFinished
from sidecar.simulate.client import Result
from sidecar.simulate.evidence import changes, ejections
from sidecar.simulate.incidents import LEAN
from sidecar.simulate.loop import simulate, throttle_on_loop_time
from sidecar.simulate.policies import Policy, policy_of
from sidecar.simulate.seen import Seen, read_plain, read_stream
from sidecar.simulate.world import (
    ALPHA,
    BETA,
    GAMMA,
    LARGE,
    QUESTION,
    SMALL,
    World,
    default_endpoints,
    default_routes,
)
from sidecar.upstream.simulated import SimulatedProvider
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from sidecar.domain import Call, Endpoint
    from sidecar.simulate.incidents import Scenario
    from sidecar.upstream.simulated import LogEntry

ENGINE = "engine"
WARM_CALLS, WARM_S = 30, 60.0
CHUNK_TOKENS_MAX = 150
"""More in one event would make a stream silent for as long as if it had stalled."""
FILLER = "abc "
"""A token as providers count: four characters."""
LONE = ("alone", "alone-beta")
REPORTS = "strong"
DEARER = 1.1
_LEAN_ROUTE = Route(name=RouteName(LEAN), tiers=((ALPHA,), (GAMMA,)), within_s=30.0)


@value
class Planned:
    """One call to come; ``at`` counts from the start of the play."""

    at: float
    route: str
    is_stream: bool


@value
class Played:
    """What a play came to. ``calls`` in the order of their arrival, warm-up apart."""

    scenario: Scenario
    rate_per_s: float
    fault_at: float
    fault_until: float
    calls: tuple[Result, ...]
    logs: dict[str, list[LogEntry]]
    shut_at: tuple[float, ...]
    changes: int
    hedge_usd: float


@value
class Variant:
    """A design under test: the engine with ``settings`` and, while it plays, ``patch`` applied."""

    settings: EngineSettings
    patch: AbstractContextManager[object]


class EnginePolicy:
    """The production engine behind the face of a policy."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def answer(self, call: Call, result: Result) -> None:
        """Answer by the engine and look at the bytes as a caller would."""
        seen = Seen(route=call.route.name, started_at=loop_now(), deadline_at=call.deadline_at)
        try:
            answer = await self._engine.answer(call)
            if isinstance(answer, PlainAnswer):
                read_plain(seen, answer, WireFormat.OPENAI_CHAT)
            else:
                await read_stream(seen, answer, WireFormat.OPENAI_CHAT)
        except CallError as error:
            seen.code, seen.status = error.code, error.status
            result.attempts = len(error.attempts)
            return
        result.first_at, result.endpoint = seen.first_at, seen.endpoint
        result.is_whole = seen.is_complete
        result.is_delivered = seen.code is None and seen.status == 200  # noqa: PLR2004 - HTTP
        result.attempts = len(seen.attempts)


def plan_of(scenario: Scenario, rate_per_s: float, seed: int) -> list[Planned]:
    """Return the calls that follow the warm-up: random arrivals, the same for every policy."""
    rng = random.Random(f"calls/{scenario.name}/{rate_per_s}/{seed}")
    lapse = scenario.lapse(rate_per_s, seed)
    end_s = WARM_S + lapse.calm_s + lapse.fault_s + lapse.return_s
    planned: list[Planned] = []
    at = WARM_S - (0.5 / rate_per_s if scenario.is_even else 0.0)
    while True:
        at += 1.0 / rate_per_s if scenario.is_even else rng.expovariate(rate_per_s)
        if at >= end_s:
            return planned
        is_stream = rng.random() < scenario.stream_share
        planned.append(Planned(at=at, route=scenario.route, is_stream=is_stream))


def perform(
    scenario: Scenario, rate_per_s: float, policy: str, seed: int, variant: Variant | None = None
) -> Played:
    """Play ``scenario`` in simulated time; ``variant`` replaces the engine's own settings."""
    settings = EngineSettings() if variant is None else variant.settings
    patch = nullcontext() if variant is None else variant.patch

    async def main() -> Played:
        world = world_of(scenario, seed, settings)
        return await _Play(world, scenario, rate_per_s, policy, seed).run()

    with patch, throttle_on_loop_time():
        return simulate(main())


def world_of(
    scenario: Scenario,
    seed: int,
    settings: EngineSettings,
    routes: tuple[Route, ...] | None = None,
) -> World:
    """Return a world of providers as usual in the study, with the limits of ``scenario``."""
    endpoints = default_endpoints()
    if scenario.is_twin:
        endpoints = tuple(_dearer(one) if one.id == BETA else one for one in endpoints)
    every = (*default_routes(), _LEAN_ROUTE) if routes is None else routes
    world = World(seed=seed, settings=settings, endpoints=endpoints, routes=every)
    tokens = scenario.answer_tokens
    chunk = min(CHUNK_TOKENS_MAX, max(1, tokens // 10))
    usual = replace(LARGE, ttft_s=0.5, output_tokens=tokens, output_sigma=0.3, chunk_tokens=chunk)
    small = replace(SMALL, output_tokens=tokens, output_sigma=0.3, chunk_tokens=chunk)
    world.gamma.models["gamma-small"] = small
    world.alpha.models["alpha-large"] = usual
    other = replace(usual, ttft_s=0.8, itl_s=0.025)
    world.beta.models["beta-large"] = usual if scenario.is_twin else other
    for name, limits in scenario.limits.items():
        old = world.providers[ProviderName(name)]
        new = SimulatedProvider(name, old.format, old.models, seed=old.seed, limits=limits)
        world.providers[ProviderName(name)] = world.upstream.providers[ProviderName(name)] = new
    return world


def _dearer(endpoint: Endpoint) -> Endpoint:
    price = Price(input_usd=DEARER * LARGE.input_usd, output_usd=DEARER * LARGE.output_usd)
    return replace(endpoint, price=price)


class _Play:
    """One play under way."""

    def __init__(
        self, world: World, scenario: Scenario, rate_per_s: float, policy: str, seed: int
    ) -> None:
        self._world = world
        self._scenario = scenario
        self._rate_per_s = rate_per_s
        self._planned = plan_of(scenario, rate_per_s, seed)
        self._results: list[Result] = []
        self._asked = 0
        self._engines = _engines(world, scenario.pods, seed) if policy == ENGINE else []
        self._policies: list[Policy] = [EnginePolicy(engine) for engine in self._engines] or [
            policy_of(policy, world, scenario.limits) for _ in range(scenario.pods)
        ]
        lapse = scenario.lapse(rate_per_s, seed)
        self._fault_at = WARM_S + lapse.calm_s
        self._fault_until = self._fault_at + lapse.fault_s
        for name, faults in scenario.faults(self._fault_at, lapse.fault_s, seed).items():
            world.providers[ProviderName(name)].faults = faults
        for name in scenario.limits:
            world.providers[ProviderName(name)].chill(self._fault_until)

    async def run(self) -> Played:
        """Warm up, call, let everything end."""
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(engine.background()) for engine in self._engines]
            if self._scenario.is_isolated:
                background.append(group.create_task(self._isolate()))
            async with asyncio.TaskGroup() as callers:
                scenario = self._scenario
                reports = _reports(scenario, self._planned)
                every = [*warm_up(scenario), *reports, *self._planned]
                for planned in sorted(every, key=lambda one: one.at):
                    await asyncio.sleep(planned.at - loop_now())
                    callers.create_task(self._call(planned))
            for task in background:
                task.cancel()
        if len(self._engines) == 1:
            self._world.check_invariants()
        window = (self._fault_at, self._fault_until)
        return played_of(self._world, self._scenario, self._rate_per_s, window, self._results)

    async def _call(self, planned: Planned) -> None:
        call = self._made(planned)
        result = Result(
            started_at=loop_now(), deadline_at=call.deadline_at, is_stream=planned.is_stream
        )
        pods = self._policies
        if planned.at >= WARM_S:
            self._asked += 1
            pods = [pods[self._asked % len(pods)]]
        if planned.route == self._scenario.route:
            self._results.append(result)
        for pod in pods:
            await pod.answer(call, result)
        result.ended_at = loop_now()

    async def _isolate(self) -> None:
        """Do as an operator does who takes the provider out for maintenance, and back in."""
        name = EndpointId(f"{self._scenario.sick}/{self._scenario.sick}-large")
        await asyncio.sleep(self._fault_at - loop_now())
        for engine in self._engines:
            engine.health.isolate(name, loop_now())
        await asyncio.sleep(self._fault_until - loop_now())
        for engine in self._engines:
            engine.health.restore(name, loop_now())

    def _made(self, planned: Planned) -> Call:
        scenario = self._scenario
        extra: dict[str, object] = {}
        if planned.is_stream:
            # Callers ask for usage, as frameworks do: the words of simulated models are no tokens.
            extra["stream_options"] = {"include_usage": True}
        if scenario.max_tokens is not None and planned.route == scenario.route:
            extra["max_tokens"] = scenario.max_tokens
        return self._world.make_call(
            planned.route,
            is_stream=planned.is_stream,
            extra=extra,
            constraints=Constraints(within_s=scenario.within_s),
            question=QUESTION + FILLER * scenario.prompt_tokens,
        )


def played_of(
    world: World,
    scenario: Scenario,
    rate_per_s: float,
    window: tuple[float, float],
    results: Sequence[Result],
) -> Played:
    """Return what came of a play whose fault lasted for ``window``, start and end."""
    fault_at, fault_until = window
    sick = world.endpoints[EndpointId(f"{scenario.sick}/{scenario.sick}-large")]
    moved = [one for one in changes(world, sick.id) if one.at >= fault_at]
    shut = [one.at for one in changes(world, sick.id, to="open")]
    shut += [one.at for one in changes(world, sick.host, to="open")]
    shut += [one.at for one in ejections(world, sick.id)]
    hedges = [
        event.outcome.cost_usd
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.kind == HEDGE
    ]
    return Played(
        scenario=scenario,
        rate_per_s=rate_per_s,
        fault_at=fault_at,
        fault_until=fault_until,
        calls=tuple(results),
        logs={name: provider.log for name, provider in world.providers.items()},
        shut_at=tuple(sorted(at for at in shut if at >= fault_at)),
        changes=len(moved),
        hedge_usd=sum(hedges),
    )


def _engines(world: World, pods: int, seed: int) -> list[Engine]:
    """Return the world's engine and its neighbours: all meet the same providers."""
    more = [
        Engine(
            catalogue=world.catalogue,
            settings=world.engine.parts.settings,
            upstream=world.upstream,
            observer=world.recorder,
            rng=random.Random(f"pod/{seed}/{number}"),
        )
        for number in range(1, pods)
    ]
    return [world.engine, *more]


def _reports(scenario: Scenario, planned: Sequence[Planned]) -> list[Planned]:
    """Return the calls beside those that are judged: evenly spaced, as long as there are any."""
    if not scenario.reports_per_s or not planned:
        return []
    gap_s = 1.0 / scenario.reports_per_s
    count = int((planned[-1].at - WARM_S) / gap_s)
    return [
        Planned(at=WARM_S + gap_s * number, route=REPORTS, is_stream=False)
        for number in range(count)
    ]


def warm_up(scenario: Scenario) -> list[Planned]:
    """Return the calls by which each large model becomes known."""
    if scenario.is_fresh:
        return []
    gap_s = WARM_S / WARM_CALLS
    return [
        Planned(
            at=gap_s * number,
            route=route,
            is_stream=scenario.stream_share == 1.0 or number % 2 == 0,
        )
        for number in range(WARM_CALLS)
        for route in LONE
    ]
