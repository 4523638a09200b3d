"""A small world in simulated time: simulated providers, the real engine, callers that look closely.

Three providers as in most fleets: ``alpha`` (OpenAI format) and ``beta`` (Anthropic format) are of
the same class, ``gamma`` (OpenAI format) is smaller and cheaper. The engine is the production one;
only the ``Upstream`` is in memory. A caller's view is read off the bytes it gets, by plain JSON,
not by the parsers under test.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sidecar.catalogue import Catalogue
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
from sidecar.upstream.simulated import SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_memory import MemoryUpstream
from sidecar.wire.formats import codec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sidecar.engine.relay import Relay
    from sidecar.events import Event

ALPHA = EndpointId("alpha/alpha-large")
BETA = EndpointId("beta/beta-large")
GAMMA = EndpointId("gamma/gamma-small")
LARGE = SimulatedModel(
    ttft_s=0.4, ttft_sigma=0.25, itl_s=0.01, output_tokens=40, input_usd=3.0, output_usd=15.0
)
SMALL = SimulatedModel(
    ttft_s=0.15, ttft_sigma=0.25, itl_s=0.005, output_tokens=40, input_usd=0.15, output_usd=0.6
)
QUESTION = "Say something."


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
        self.alpha = _provider("alpha", WireFormat.OPENAI_CHAT, "alpha-large", LARGE, seed)
        self.beta = _provider("beta", WireFormat.ANTHROPIC_MESSAGES, "beta-large", LARGE, seed + 1)
        self.gamma = _provider("gamma", WireFormat.OPENAI_CHAT, "gamma-small", SMALL, seed + 2)
        self.providers = {
            ProviderName(one.name): one for one in (self.alpha, self.beta, self.gamma)
        }
        self.endpoints = {one.id: one for one in endpoints or default_endpoints()}
        routes = routes or default_routes()
        self.catalogue = Catalogue(
            endpoints=self.endpoints, routes={route.name: route for route in routes}
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

    async def run(self, scenario: Callable[[World], object]) -> None:
        """Run ``scenario`` (an async function of this world) beside the engine's background."""
        background = asyncio.get_running_loop().create_task(self.engine.background())
        try:
            await scenario(self)  # type: ignore[misc]  # any awaitable will do
        finally:
            background.cancel()
            with_errors = await asyncio.wait([background])
            del with_errors
        self.check_invariants()

    def check_invariants(self) -> None:
        """Demand that nothing leaked: no open answer, no permit, no timer."""
        assert self.upstream.open_count == 0, "answers left open"
        assert len(self.engine.timers) == 0, "timers left behind"
        for name, own in self.engine.health.endpoints.items():
            assert not own.in_flight, f"{name}: tickets not settled"
            assert own.limit.inflight == 0, f"{name}: places not given back"
        for seen in self.seen:
            assert len(seen.speakers()) <= 1, f"bytes of two endpoints in one answer: {seen.text}"

    async def load(
        self,
        duration_s: float,
        *,
        rate_per_s: float,
        route: str = "reason",
        stream_share: float = 0.5,
    ) -> list[Seen]:
        """Call at random moments for ``duration_s``; return what those callers saw, in order."""
        seen: list[Seen] = []
        until = loop_now() + duration_s
        async with asyncio.TaskGroup() as group:
            while True:
                gap_s = self.rng.expovariate(rate_per_s)
                if loop_now() + gap_s >= until:
                    break
                await asyncio.sleep(gap_s)
                is_stream = self.rng.random() < stream_share
                group.create_task(self._collect(seen, route, is_stream=is_stream))
        return seen

    async def _collect(self, seen: list[Seen], route: str, *, is_stream: bool) -> None:
        one = await self.call(route, is_stream=is_stream)
        seen.append(one)

    # --- one call ------------------------------------------------------------------------------

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
        seen = Seen(route=route, started_at=loop_now())
        try:
            answer = await self.engine.answer(call)
            if isinstance(answer, PlainAnswer):
                _read_plain(seen, answer, format)
            else:
                await _read_stream(seen, answer, format)
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
            "messages": [{"role": "user", "content": question}],
            "stream": is_stream,
            **(extra or {}),
        }
        if format is WireFormat.ANTHROPIC_MESSAGES:
            body.setdefault("max_tokens", 400)
        encoded = json.dumps(body).encode()
        wishes = constraints or Constraints()
        found = self.catalogue.resolve(route)
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
            facts=codec(format).inspect_request(encoded),
            constraints=wishes,
        )


def default_endpoints() -> tuple[Endpoint, ...]:
    """Return alpha and beta, of the same class, and gamma, smaller and cheaper."""
    return (
        _endpoint("alpha", "alpha-large", WireFormat.OPENAI_CHAT, LARGE, quality=0.9),
        _endpoint("beta", "beta-large", WireFormat.ANTHROPIC_MESSAGES, LARGE, quality=0.9),
        _endpoint("gamma", "gamma-small", WireFormat.OPENAI_CHAT, SMALL, quality=0.6),
    )


def default_routes() -> tuple[Route, ...]:
    """Return a chain (``reason``), a shared first tier (``pair``), and single endpoints."""
    return (
        Route(name=RouteName("reason"), tiers=((ALPHA,), (BETA,), (GAMMA,)), within_s=30.0),
        Route(name=RouteName("pair"), tiers=((ALPHA, BETA), (GAMMA,)), within_s=30.0),
        Route(name=RouteName("strong"), tiers=((ALPHA,), (BETA,)), within_s=30.0),
        Route(name=RouteName("alone"), tiers=((ALPHA,),), within_s=30.0, is_task=False),
        Route(
            name=RouteName("static"), tiers=((ALPHA,),), within_s=30.0, static='{"label":"unknown"}'
        ),
    )


def _provider(
    name: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
    model: str,
    behaviour: SimulatedModel,
    seed: int,
) -> SimulatedProvider:
    return SimulatedProvider(name, format, {model: behaviour}, seed=seed)


def _endpoint(
    provider: str,
    model: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
    behaviour: SimulatedModel,
    *,
    quality: float,
) -> Endpoint:
    return Endpoint(
        id=EndpointId(f"{provider}/{model}"),
        provider=ProviderName(provider),
        model=ModelName(model),
        upstream_model=model,
        format=format,
        host=HostName(f"http://{provider}.test:80"),
        quality=Quality(default=quality),
        price=Price(input_usd=behaviour.input_usd, output_usd=behaviour.output_usd),
    )
