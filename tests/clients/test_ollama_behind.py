"""Callers' SDKs before the sidecar, Ollama's native API behind it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from aiohttp import web

from tests.clients.native import serving, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sidecar.app import App

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  here: {{kind: ollama, base_url: "{url}"}}
models:
  local: {{provider: here, model: "qwen3:4b", context: 32000}}
"""
HEAD = {"model": "qwen3:4b", "created_at": "2026-08-19T10:00:00Z"}
LAST = {**HEAD, "done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 3}
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def message(**fields: Any) -> dict[str, Any]:
    """Return an unfinished object."""
    return {**HEAD, "message": {"role": "assistant", **fields}, "done": False}


class Ollama:
    """Answers with what it is given, a line each where a stream is asked for."""

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []
        self.bodies: list[Any] = []
        self.paths: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.paths.append(request.path)
        if request.method == "GET":
            return web.json_response({"models": []})
        self.bodies.append(await request.json())
        if self.bodies[-1]["stream"]:
            lines = (json.dumps(item).encode() + b"\n" for item in self.objects)
            return await stream(request, "application/x-ndjson", *lines)
        return web.json_response(self.objects[0])


@pytest.fixture
async def ollama() -> Ollama:
    """Return the provider."""
    return Ollama()


@pytest.fixture
def asked(ollama: Ollama, start_app: Callable[..., Awaitable[App]]) -> Callable[[], Any]:
    """Return what starts the provider and the sidecar and yields its address."""

    @asynccontextmanager
    async def start() -> AsyncIterator[str]:
        async with serving(ollama.handle) as url:
            app = await start_app(CONFIG.format(url=url))
            yield f"http://127.0.0.1:{app.ports['data']}"
            await app.stop()

    return start


async def test_openai_stream(ollama: Ollama, asked: Callable[[], Any]) -> None:
    """A stream of lines becomes a stream of chunks: thinking, text, a tool call, usage."""
    call = {"function": {"name": "weather", "arguments": {"city": "Bern"}}}
    ollama.objects = [
        message(thinking="hm"),
        message(content="Wait"),
        message(content=".", tool_calls=[call]),
        LAST,
    ]
    async with (
        asked() as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
    ):
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="local",
                messages=[{"role": "user", "content": "Hi"}],
                tools=[TOOL],
                max_tokens=50,
                stream=True,
                stream_options={"include_usage": True},
            )
        ]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Wait."
    calls = [each for delta in deltas for each in delta.tool_calls or ()]
    assert json.loads("".join(c.function.arguments or "" for c in calls if c.function)) == {
        "city": "Bern"
    }
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "tool_calls"
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (9, 3)
    assert ollama.bodies[0]["options"] == {"num_predict": 50}
    assert ollama.bodies[0]["model"] == "qwen3:4b"


async def test_anthropic_answer(ollama: Ollama, asked: Callable[[], Any]) -> None:
    """A whole answer reaches a caller of another format."""
    ollama.objects = [{**message(content="Hello"), **LAST}]
    async with (
        asked() as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client,
    ):
        answer = await client.messages.create(
            model="local", max_tokens=20, messages=[{"role": "user", "content": "Hi"}]
        )
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == "Hello"
    assert answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 3)


async def test_an_error_line_is_never_an_end(ollama: Ollama, asked: Callable[[], Any]) -> None:
    """A stream that ends in an error line ends in an error for the caller."""
    ollama.objects = [message(content="Hel"), {"error": "llama runner process has terminated"}]
    async with (
        asked() as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
    ):
        chunks = await client.chat.completions.create(
            model="local", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        first = await anext(chunks)
        while not (first.choices and first.choices[0].delta.content):
            first = await anext(chunks)
        assert first.choices[0].delta.content == "Hel"
        with pytest.raises(openai.APIError, match="llama runner process has terminated"):
            await anext(chunks)
