"""A small world in simulated time: simulated providers, the real engine, callers that look closely.

Three providers as in most fleets: ``alpha`` (OpenAI format) and ``beta`` (Anthropic format) are of
the same class, ``gamma`` (OpenAI format) is smaller and cheaper; ``alpha`` has a second, small
model on the same host and account. The engine is the production one; only the ``Upstream`` is in
memory. What happened is read from three places that must agree: the callers (``seen``), the
providers' own logs and the engine's events (``evidence.py``).
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sidecar.catalogue import Catalogue, Reach
from sidecar.clock import now as loop_now
from sidecar.domain import (
    Call,
    CallId,
    Constraints,
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    Price,
    ProviderName,
    Quality,
    Route,
    RouteName,
    WireFormat,
)
from sidecar.engine.answer import PlainAnswer
from sidecar.engine.engine import Engine
from sidecar.engine.settings import EngineSettings
from sidecar.errors import CallError
from sidecar.simulate.checks import LATE_S
from sidecar.simulate.loop import simulate, throttle_on_loop_time
from sidecar.simulate.seen import Seen, read_plain, read_stream
from sidecar.upstream.simulated import SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_memory import MemoryUpstream
from sidecar.wire.formats import codec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.events import Event

ALPHA = EndpointId("alpha/alpha-large")
ALPHA_SMALL = EndpointId("alpha/alpha-small")
BETA = EndpointId("beta/beta-large")
GAMMA = EndpointId("gamma/gamma-small")
LARGE = SimulatedModel(
    ttft_s=0.4, ttft_sigma=0.25, itl_s=0.02, output_tokens=20, input_usd=3.0, output_usd=15.0
)
SMALL = SimulatedModel(
    ttft_s=0.15, ttft_sigma=0.25, itl_s=0.01, output_tokens=20, input_usd=0.15, output_usd=0.6
)
QUESTION = "Say something."
_PROMPTS = {WireFormat.OPENAI_RESPONSES: "input"}


@dataclass(slots=True)
class Recorder:
    """Keeps every event, in order."""

    events: list[Event] = field(default_factory=list)

    def on_event(self, event: Event) -> None:
        """Keep ``event``."""
        self.events.append(event)


class World:
    """Providers, engine and callers on the running loop; make it inside the simulated loop."""

    def __init__(
        self,
        *,
        seed: int = 1,
        settings: EngineSettings | None = None,
        endpoints: tuple[Endpoint, ...] | None = None,
        routes: tuple[Route, ...] | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.recorder = Recorder()
        alpha = {"alpha-large": LARGE, "alpha-small": SMALL}
        self.alpha = SimulatedProvider("alpha", WireFormat.OPENAI_CHAT, alpha, seed=seed)
        beta = {"beta-large": LARGE}
        self.beta = SimulatedProvider("beta", WireFormat.ANTHROPIC_MESSAGES, beta, seed=seed + 1)
        gamma = {"gamma-small": SMALL}
        self.gamma = SimulatedProvider("gamma", WireFormat.OPENAI_CHAT, gamma, seed=seed + 2)
        self.providers = {
            ProviderName(one.name): one for one in (self.alpha, self.beta, self.gamma)
        }
        self.endpoints = {one.id: one for one in endpoints or default_endpoints()}
        routes = routes or default_routes()
        self.catalogue = Catalogue(
            endpoints=self.endpoints,
            routes={route.name: route for route in routes},
            providers={
                name: Reach(host=HostName(f"http://{name}.test:80")) for name in self.providers
            },
        )
        self.upstream = MemoryUpstream(self.providers, self.endpoints)
        self.engine = Engine(
            catalogue=self.catalogue,
            settings=settings or EngineSettings(),
            upstream=self.upstream,
            observer=self.recorder,
            rng=random.Random(seed + 3),
        )
        self.seen: list[Seen] = []
        self._calls = 0

    # --- running -------------------------------------------------------------------------------

    async def run(self, scenario: Callable[[World], Awaitable[object]]) -> None:
        """Run ``scenario`` beside the engine's background, then check the invariants."""
        try:
            async with asyncio.TaskGroup() as group:
                background = group.create_task(self.engine.background())
                await scenario(self)
                background.cancel()
        except BaseExceptionGroup as several:
            # One failure is shown as itself: a scenario's assertion, or what killed the background.
            if len(several.exceptions) == 1:
                raise several.exceptions[0] from None
            raise
        self.check_invariants()

    def check_invariants(self) -> None:
        """Demand that nothing leaked, nothing was mixed, and nobody was answered late."""
        assert self.upstream.open_count == 0, "answers left open"
        assert len(self.engine.timers) == 0, "timers left behind"
        for name, own in self.engine.health.endpoints.items():
            assert not own.in_flight, f"{name}: tickets not settled"
            assert own.limit.inflight == 0, f"{name}: places not given back"
        for provider in self.providers.values():
            assert provider.in_flight == 0, f"{provider.name}: exchanges still open"
        for seen in self.seen:
            is_joined = seen.degraded is not None and "continuation" in seen.degraded
            assert is_joined or len(seen.speakers()) <= 1, (
                f"bytes of two endpoints in one answer: {seen.text}"
            )
            assert seen.ended_at <= seen.deadline_at + LATE_S, f"answered too late: {seen}"
            assert seen.is_complete or seen.code or seen.status != 200, f"a silent end: {seen}"  # noqa: PLR2004

    # --- callers -------------------------------------------------------------------------------

    async def load(
        self,
        duration_s: float,
        *,
        rate_per_s: float,
        route: str = "reason",
        stream_share: float = 0.25,
        is_even: bool = False,
    ) -> list[Seen]:
        """Call for ``duration_s``, at random moments or evenly spaced; wait for every answer.

        Returns what those callers saw, in the order of their ends.
        """
        seen: list[Seen] = []
        until = loop_now() + duration_s
        async with asyncio.TaskGroup() as group:
            while True:
                gap_s = 1.0 / rate_per_s if is_even else self.rng.expovariate(rate_per_s)
                if loop_now() + gap_s >= until:
                    break
                await asyncio.sleep(gap_s)
                is_stream = self.rng.random() < stream_share
                group.create_task(self._collect(seen, route, is_stream=is_stream))
            await asyncio.sleep(until - loop_now())
        return seen

    async def warm_up(self) -> SimulatedProvider:
        """Let alpha and beta be known, then give the two of ``pair`` a little traffic.

        Returns the provider that came to be preferred: among equals that is chance.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self.load(40.0, rate_per_s=1.0, route="alone", is_even=True))
            group.create_task(self.load(40.0, rate_per_s=1.0, route="alone-beta", is_even=True))
        seen = await self.load(20.0, rate_per_s=1.0, route="pair", is_even=True)
        by_alpha = sum(one.endpoint == ALPHA for one in seen)
        return self.alpha if by_alpha > len(seen) / 2 else self.beta

    async def _collect(self, seen: list[Seen], route: str, *, is_stream: bool) -> None:
        one = await self.call(route, is_stream=is_stream)
        seen.append(one)

    async def call(
        self,
        route: str = "reason",
        *,
        is_stream: bool = False,
        format: WireFormat = WireFormat.OPENAI_CHAT,  # noqa: A002 - the word of the domain
        question: str = QUESTION,
        constraints: Constraints | None = None,
        extra: dict[str, object] | None = None,
    ) -> Seen:
        """Make one call and return what its caller saw; never raises for a failed call."""
        call = self.make_call(
            route,
            is_stream=is_stream,
            format=format,
            question=question,
            constraints=constraints,
            extra=extra,
        )
        seen = Seen(route=route, started_at=loop_now(), deadline_at=call.deadline_at)
        try:
            answer = await self.engine.answer(call)
            if isinstance(answer, PlainAnswer):
                read_plain(seen, answer, format)
            else:
                await read_stream(seen, answer, format)
        except CallError as error:
            seen.status, seen.code, seen.message = error.status, error.code, error.message
            seen.retry_after_s = error.retry_after_s
            seen.attempts = tuple(outcome.label() for outcome in error.attempts)
        seen.ended_at = loop_now()
        self.seen.append(seen)
        return seen

    def make_call(
        self,
        route: str = "reason",
        *,
        is_stream: bool = False,
        format: WireFormat = WireFormat.OPENAI_CHAT,  # noqa: A002 - the word of the domain
        question: str = QUESTION,
        constraints: Constraints | None = None,
        extra: dict[str, object] | None = None,
    ) -> Call:
        """Return a call as the server would have made it."""
        body: dict[str, object] = {
            "model": route,
            _PROMPTS.get(format, "messages"): [{"role": "user", "content": question}],
            "stream": is_stream,
            **(extra or {}),
        }
        if format is WireFormat.ANTHROPIC_MESSAGES:
            body.setdefault("max_tokens", 400)
        if format is WireFormat.GEMINI:
            body = {"contents": [{"parts": [{"text": question}]}], **(extra or {})}
        encoded = json.dumps(body).encode()
        found = self.catalogue.resolve(route)
        wishes = constraints or found.constraints
        if wishes.budget_usd is None and found.budget_usd is not None:
            wishes = replace(wishes, budget_usd=found.budget_usd)
        now = loop_now()
        self._calls += 1
        return Call(
            id=CallId(f"call_{self._calls:06d}"),
            arrived_at=now,
            deadline_at=now + (wishes.within_s or found.within_s),
            format=format,
            route=found,
            body=encoded,
            facts=replace(codec(format).inspect_request(encoded), model=route, is_stream=is_stream),
            constraints=wishes,
        )


def play(
    scenario: Callable[[World], Awaitable[object]],
    *,
    seed: int = 1,
    settings: EngineSettings | None = None,
    endpoints: tuple[Endpoint, ...] | None = None,
    routes: tuple[Route, ...] | None = None,
) -> World:
    """Run ``scenario`` in a new world, in simulated time; return the world for questions."""

    async def main() -> World:
        world = World(seed=seed, settings=settings, endpoints=endpoints, routes=routes)
        await world.run(scenario)
        return world

    with throttle_on_loop_time():
        return simulate(main())


def default_endpoints() -> tuple[Endpoint, ...]:
    """Return alpha and beta, of the same class, alpha's small model, and gamma, the cheapest."""
    openai, anthropic = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES
    return (
        _endpoint(ALPHA, openai, LARGE, quality=0.9),
        _endpoint(BETA, anthropic, LARGE, quality=0.9),
        _endpoint(GAMMA, openai, SMALL, quality=0.6),
        _endpoint(ALPHA_SMALL, openai, SMALL, quality=0.6),
    )


def default_routes() -> tuple[Route, ...]:
    """Return a chain (``reason``), shared first tiers (``pair``, ``quick``), and lone endpoints."""
    return (
        Route(name=RouteName("reason"), tiers=((ALPHA,), (BETA,), (GAMMA,)), within_s=30.0),
        Route(name=RouteName("pair"), tiers=((ALPHA, BETA), (GAMMA,)), within_s=30.0),
        Route(name=RouteName("strong"), tiers=((ALPHA,), (BETA,)), within_s=30.0),
        Route(name=RouteName("quick"), tiers=((ALPHA_SMALL,), (GAMMA,)), within_s=30.0),
        Route(name=RouteName("alone"), tiers=((ALPHA,),), within_s=30.0, is_task=False),
        Route(name=RouteName("alone-beta"), tiers=((BETA,),), within_s=30.0, is_task=False),
        Route(
            name=RouteName("static"), tiers=((ALPHA,),), within_s=30.0, static='{"label":"unknown"}'
        ),
    )


def _endpoint(
    name: EndpointId,
    format: WireFormat,  # noqa: A002 - the word of the domain
    behaviour: SimulatedModel,
    *,
    quality: float,
) -> Endpoint:
    provider, _, model = name.partition("/")
    return Endpoint(
        id=name,
        provider=ProviderName(provider),
        model=ModelName(model),
        upstream_model=model,
        format=format,
        host=HostName(f"http://{provider}.test:80"),
        quality=Quality(default=quality),
        price=Price(input_usd=behaviour.input_usd, output_usd=behaviour.output_usd),
    )
