"""Callers before the sidecar, Replicate's predictions behind it: several requests, one answer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import openai
import pytest
from aiohttp import web

from tests.clients.native import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sidecar.app import App

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  far: {{kind: replicate, base_url: "{url}", api_key: {{env: REPLICATE_KEY}}}}
models:
  llama: {{provider: far, model: meta/llama-3, context: 8000}}
defaults:
  timers: {{connect: 2s, first_content: 10s, stall: 10s}}
"""
CREATE = "/v1/models/meta/llama-3/predictions"
ASK = {"model": "llama", "messages": [{"role": "user", "content": "Hi"}]}
END_S = 5.0


class Replicate:
    """Makes predictions as told, and notes every request."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.statuses = ["processing", "succeeded"]
        self.create_status = 201
        self.stream_host = ""
        self.url = ""
        self.is_streaming = True
        self.holds_creation = asyncio.Event()
        self.holds_creation.set()
        self.holds_stream = asyncio.Event()
        self.reached = asyncio.Event()
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.finish = b"event: output\ndata:  there\n\nevent: done\ndata: {}\n\n"

    def prediction(self, status: str) -> dict[str, Any]:
        """Return the prediction as it stands."""
        urls = {"get": "https://elsewhere.example/", "cancel": "https://elsewhere.example/"}
        if self.is_streaming:
            urls["stream"] = f"{self.stream_host or self.url}/stream/p1"
        output = ["Hi", " there"] if status == "succeeded" else None
        return {
            "id": "p1",
            "model": "meta/llama-3",
            "status": status,
            "urls": urls,
            "output": output,
            "error": "it broke" if status == "failed" else None,
            "metrics": {"input_token_count": 4, "output_token_count": 2},
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        assert request.headers["authorization"] == "Bearer replicate-key"
        if request.path == "/v1/account":
            return web.json_response({"type": "user"})
        self.seen.append(f"{request.method} {request.path}")
        match request.method, request.path:
            case "POST", "/v1/models/meta/llama-3/predictions":
                self.reached.set()
                # The provider has taken the order, and carries it out whoever hangs up.
                await asyncio.shield(self.holds_creation.wait())
                body = self.prediction("starting")
                if self.create_status != 201:
                    body = {"detail": "no such input", "status": self.create_status}
                return web.json_response(body, status=self.create_status)
            case "GET", "/v1/predictions/p1":
                self.asked.set()
                is_last = len(self.statuses) == 1
                status = self.statuses[0] if is_last else self.statuses.pop(0)
                return web.json_response(self.prediction(status))
            case "POST", "/v1/predictions/p1/cancel":
                self.cancelled.set()
                return web.json_response(self.prediction("canceled"))
            case "GET", "/stream/p1":
                return await self.stream(request)
            case _:
                return web.json_response({"detail": "not found"}, status=404)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send the first piece, then the rest when told to."""
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: output\ndata: Hi\n\n")
        await self.holds_stream.wait()
        await response.write(self.finish)
        await response.write_eof()
        return response


@pytest.fixture
def start(
    start_app: Callable[..., Awaitable[App]], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Any]:
    """Return what starts provider and sidecar and yields both."""
    monkeypatch.setenv("REPLICATE_KEY", "replicate-key")

    @asynccontextmanager
    async def run() -> AsyncIterator[tuple[Replicate, str]]:
        replicate = Replicate()
        async with serving(replicate.handle) as url:
            replicate.url = url
            app = await start_app(CONFIG.format(url=url))
            yield replicate, f"http://127.0.0.1:{app.ports['data']}/v1"
            await app.stop()

    return run


async def texts(url: str) -> list[str]:
    """Return the texts of a streamed answer."""
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        chunks = await client.chat.completions.create(
            model="llama", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        choices = [chunk.choices[0] async for chunk in chunks if chunk.choices]
        return [choice.delta.content for choice in choices if choice.delta.content]


async def test_whole_answer(start: Callable[[], Any]) -> None:
    """A whole answer is created and asked for until it is there; nothing is cancelled."""
    async with start() as (replicate, url):
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            answer = await client.chat.completions.create(
                model="llama", messages=[{"role": "user", "content": "Hi"}]
            )
        assert answer.choices[0].message.content == "Hi there"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 2)
        get = "GET /v1/predictions/p1"
        assert replicate.seen == [f"POST {CREATE}", get, get]


async def test_stream(start: Callable[[], Any]) -> None:
    """A stream is read at the address that the prediction names; nothing is cancelled."""
    async with start() as (replicate, url):
        replicate.holds_stream.set()
        assert await texts(url) == ["Hi", " there"]
        assert replicate.seen == [f"POST {CREATE}", "GET /stream/p1"]


@pytest.mark.parametrize("host", [None, "https://elsewhere.example", "http://127.0.0.1:9"])
async def test_stream_elsewhere_or_none(start: Callable[[], Any], host: str | None) -> None:
    """Without a stream of the provider's own the answer is asked for; the key goes nowhere else."""
    async with start() as (replicate, url):
        replicate.is_streaming = host is not None
        replicate.stream_host = host or ""
        assert await texts(url) == ["Hi there"]
        assert replicate.seen[1:] == ["GET /v1/predictions/p1"] * 2


async def test_refused_creation(start: Callable[[], Any]) -> None:
    """A refusal reaches the caller as the verdict on its request that it is."""
    async with start() as (replicate, url):
        replicate.create_status = 422
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            with pytest.raises(openai.UnprocessableEntityError, match="no such input"):
                await client.chat.completions.create(
                    model="llama", messages=[{"role": "user", "content": "Hi"}]
                )
        assert replicate.seen == [f"POST {CREATE}"]


async def test_failed_prediction(start: Callable[[], Any]) -> None:
    """A prediction that fails is an error with its own words, and is not cancelled."""
    async with start() as (replicate, url):
        replicate.statuses = ["failed"]
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            with pytest.raises(openai.InternalServerError, match="far/llama:S5"):
                await client.chat.completions.create(
                    model="llama", messages=[{"role": "user", "content": "Hi"}]
                )
        assert not replicate.cancelled.is_set()


async def test_cancelled_elsewhere(start: Callable[[], Any]) -> None:
    """A stream that ends because somebody cancelled the prediction is an error."""
    async with start() as (replicate, url):
        replicate.finish = b'event: done\ndata: {"reason":"canceled"}\n\n'
        replicate.holds_stream.set()
        with pytest.raises(openai.APIError, match="canceled"):
            await texts(url)


async def test_hanging_up_on_a_stream_cancels(start: Callable[[], Any]) -> None:
    """A caller that leaves within a stream ends the prediction too."""
    async with start() as (replicate, url), aiohttp.ClientSession() as http:
        response = await http.post(f"{url}/chat/completions", json={**ASK, "stream": True})
        await response.content.readuntil(b"Hi")
        response.close()
        async with asyncio.timeout(END_S):
            await replicate.cancelled.wait()


async def test_hanging_up_while_asking_cancels(start: Callable[[], Any]) -> None:
    """A caller that leaves while the prediction is asked for ends it too."""
    async with start() as (replicate, url), aiohttp.ClientSession() as http:
        replicate.statuses = ["processing"]
        asking = asyncio.ensure_future(http.post(f"{url}/chat/completions", json=ASK))
        async with asyncio.timeout(END_S):
            await replicate.asked.wait()
            asking.cancel()
            await replicate.cancelled.wait()


async def test_hanging_up_during_creation_cancels(start: Callable[[], Any]) -> None:
    """A prediction whose id came too late for its caller is cancelled when it comes."""
    async with start() as (replicate, url), aiohttp.ClientSession() as http:
        replicate.holds_creation.clear()
        asking = asyncio.ensure_future(http.post(f"{url}/chat/completions", json=ASK))
        async with asyncio.timeout(END_S):
            await replicate.reached.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            replicate.holds_creation.set()
            await replicate.cancelled.wait()
