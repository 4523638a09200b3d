"""A sidecar between two simulated providers on loopback, with an environment of its own."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sidecar.app import App
from sidecar.config.load import load_text
from sidecar.domain import WireFormat
from sidecar.upstream.simulated import SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_server import SimulatedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  alpha: {{kind: openai, base_url: "{alpha}"{more}}}
  beta: {{kind: anthropic, base_url: "{beta}"}}
models:
  big: {{provider: alpha, model: big-1, price: {{input: 1, output: 2}}, context: 9000}}
  other: {{provider: beta, model: other-1, price: {{input: 1, output: 2}}, context: 9000}}
routes:
  reason: {{tiers: [[big], [other]], within: 20s}}
{extra}
"""
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class World:
    """One sidecar and its providers."""

    app: App
    alpha: SimulatedProvider
    beta: SimulatedProvider
    client: aiohttp.ClientSession
    heard: list[dict[str, str]]

    async def ask(
        self,
        route: str = "reason",
        *,
        is_stream: bool = False,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """Make a call; return its status and its id."""
        body = {
            "model": route,
            "stream": is_stream,
            "messages": [{"role": "user", "content": "my mail is ada@example.org, secret-4711"}],
        }
        async with self.client.post(
            f"http://127.0.0.1:{self.app.ports['data']}/v1/chat/completions",
            json=body,
            headers=headers,
        ) as answer:
            await answer.read()
            return answer.status, answer.headers.get("x-sidecar-call-id", "")

    async def metrics(self, accept: str = "") -> str:
        """Scrape."""
        url = f"http://127.0.0.1:{self.app.ports['health']}/metrics"
        async with self.client.get(url, headers={"accept": accept}) as answer:
            return await answer.text()


class Hearing(SimulatedProvider):
    """A provider that remembers the headers it was sent."""

    heard: list[dict[str, str]]

    def plan(self, request: Any) -> Any:
        """Keep the headers, then decide as ever."""
        self.heard.append({name.lower(): said for name, said in request.headers.items()})
        return super().plan(request)


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[World]]]:
    """Start a world with an environment; stopped at the end, or by its app's own ``stop``."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(env: dict[str, str], more: str = "", extra: str = "") -> World:
            model = SimulatedModel(input_usd=1.0, output_usd=2.0)
            alpha = Hearing("alpha", WireFormat.OPENAI_CHAT, {"big-1": model})
            alpha.heard = []
            beta = SimulatedProvider("beta", WireFormat.ANTHROPIC_MESSAGES, {"other-1": model})
            servers = [SimulatedServer(alpha), SimulatedServer(beta)]
            for server in servers:
                await stack.enter_async_context(server)
            urls = [server.base_url for server in servers]
            text = CONFIG.format(alpha=urls[0], beta=urls[1], more=more, extra=extra)
            app = App(load_text(text.encode(), {}, source="test"), seed=1, env=env)
            await app.start()
            stack.push_async_callback(app.stop)
            client = await stack.enter_async_context(aiohttp.ClientSession())
            return World(app=app, alpha=alpha, beta=beta, client=client, heard=alpha.heard)

        yield begin
