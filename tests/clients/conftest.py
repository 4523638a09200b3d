"""Real sockets all the way: simulated providers, the sidecar, the official SDKs' clients.

``world`` is one sidecar in this process between two providers, ``alpha`` (OpenAI) and ``beta``
(Anthropic). Tests name ``alpha-model`` or ``beta-model`` to choose who answers, or a route.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import anthropic
import openai
import pytest

from sidecar.app import App
from sidecar.config.load import load_text
from sidecar.domain import WireFormat
from sidecar.upstream.simulated import SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_server import SimulatedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sidecar.config.model import Config
    from sidecar.events import Event
    from sidecar.upstream.simulated import Plan, SimulatedRequest

CALLERS_KEY = "callers-own-key"
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  alpha: {{kind: openai, base_url: "{alpha}", api_key: {{env: ALPHA_KEY}}}}
  beta: {{kind: anthropic, base_url: "{beta}", api_key: {{env: BETA_KEY}}}}
models:
  alpha-model:
    {{provider: alpha, model: alpha-sim, quality: 0.9, price: {{input: 2, output: 8}},
     context: 100000}}
  beta-model:
    {{provider: beta, model: beta-sim, quality: 0.9, price: {{input: 3, output: 15}},
     context: 100000}}
routes:
  alpha-first: {{tiers: [[alpha-model], [beta-model]], within: 20s}}
  beta-first: {{tiers: [[beta-model], [alpha-model]], within: 20s}}
  modest: {{tiers: [[beta-model]], degrade: [static], static: '{{"label": "unknown"}}'}}
aliases: {{gpt-old: alpha-model}}
defaults:
  timers: {{connect: 2s, first_content: 5s, stall: 5s}}
"""


class RecordingProvider(SimulatedProvider):
    """A simulated provider that keeps what was asked of it."""

    requests: list[SimulatedRequest]

    def plan(self, request: SimulatedRequest) -> Plan:
        """Keep ``request``, then decide as ever."""
        self.requests.append(request)
        return super().plan(request)

    def body(self) -> dict[str, Any]:
        """Return the body of the last completion asked for, decoded."""
        body: dict[str, Any] = json.loads(self.posts()[-1].body)
        return body

    def posts(self) -> list[SimulatedRequest]:
        """Return the requests that are no probes."""
        return [request for request in self.requests if request.method == "POST"]


def recording(name: str, wire: WireFormat) -> RecordingProvider:
    """Return a provider with one instant model and a key of its own."""
    model = SimulatedModel(input_usd=2.0, output_usd=8.0)
    provider = RecordingProvider(name, wire, {f"{name}-sim": model}, api_key=f"{name}-key")
    provider.requests = []
    return provider


@dataclass
class Seen:
    """Every event of the sidecar, in order."""

    events: list[Event] = field(default_factory=list)

    def on_event(self, event: Event) -> None:
        """Keep ``event``."""
        self.events.append(event)


@dataclass
class World:
    """One sidecar between two providers."""

    app: App
    alpha: RecordingProvider
    beta: RecordingProvider
    servers: dict[str, SimulatedServer]
    seen: Seen

    @property
    def url(self) -> str:
        """The data plane, without ``/v1``."""
        return f"http://127.0.0.1:{self.app.ports['data']}"

    def provider_of(self, model: str) -> RecordingProvider:
        """Return who answers for ``alpha-model`` or ``beta-model``."""
        return self.alpha if model.startswith("alpha") else self.beta


@pytest.fixture
async def start_app() -> AsyncIterator[Callable[..., Awaitable[App]]]:
    """Start a sidecar with a configuration in YAML; stopped at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            text: str, observer: Seen | None = None, also: tuple[WireFormat, ...] = ()
        ) -> App:
            config = load_text(text.encode(), os.environ, source="test")
            app = App(_speaking(config, also), observer=observer, seed=1)
            await app.start()
            stack.push_async_callback(app.stop)
            return app

        yield start


def _speaking(config: Config, also: tuple[WireFormat, ...]) -> Config:
    """Return ``config`` with endpoints that speak these formats too."""
    if not also:
        return config
    catalogue = config.catalogue
    endpoints = {name: replace(one, also=also) for name, one in catalogue.endpoints.items()}
    return replace(config, catalogue=replace(catalogue, endpoints=endpoints))


@pytest.fixture
async def world(
    start_app: Callable[..., Awaitable[App]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """The sidecar of ``CONFIG`` and its providers, all running."""
    monkeypatch.setenv("ALPHA_KEY", "alpha-key")
    monkeypatch.setenv("BETA_KEY", "beta-key")
    alpha = recording("alpha", WireFormat.OPENAI_CHAT)
    beta = recording("beta", WireFormat.ANTHROPIC_MESSAGES)
    async with SimulatedServer(alpha) as a, SimulatedServer(beta) as b:
        seen = Seen()
        app = await start_app(CONFIG.format(alpha=a.base_url, beta=b.base_url), seen)
        yield World(app=app, alpha=alpha, beta=beta, servers={"alpha": a, "beta": b}, seen=seen)
        await app.stop()


@pytest.fixture
async def for_openai(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client at the sidecar, with its own habits (retries included)."""
    base_url = f"{world.url}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=CALLERS_KEY) as client:
        yield client


@pytest.fixture
async def for_anthropic(world: World) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's client at the sidecar, with its own habits."""
    async with anthropic.AsyncAnthropic(base_url=world.url, api_key=CALLERS_KEY) as client:
        yield client


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session
