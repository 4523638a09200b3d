"""Callers' SDKs before the sidecar, Bedrock's recorded answers behind it."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from aiohttp import web

from tests.clients.native import serving, stream
from tests.wire.test_aws_event_stream import message, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sidecar.app import App

RECORDED = Path(__file__).parents[1] / "wire" / "recorded" / "bedrock"
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  aws: {{kind: bedrock, base_url: "{url}", {keys}}}
models:
  nova: {{provider: aws, model: "us.amazon.nova-micro-v1:0", context: 32000}}
"""
API_KEY = "api_key: {env: BEDROCK_KEY}"
AWS_KEYS = "region: us-east-1, access_key_id: {env: AWS_ID}, secret_access_key: {env: AWS_SECRET}"
TOOL: Any = {"type": "function", "function": {"name": "get_current_weather"}}
WEATHER = "converse-stream__test_converse_stream_no_content_tool_call__09f4a1cc.json"


def recorded(name: str) -> Any:
    """Return the first recorded answer of a file."""
    return json.loads((RECORDED / name).read_bytes())["interactions"][0]["response"]


class Bedrock:
    """Answers with what was recorded."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.requests: list[tuple[str, dict[str, str], Any]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.raw_path, headers, await request.json()))
        answer = self.answer
        if "body_b64" in answer:
            raw = base64.b64decode(answer["body_b64"])
            pieces = (raw[at : at + 1000] for at in range(0, len(raw), 1000))
            return await stream(request, "application/vnd.amazon.eventstream", *pieces)
        kept = {k: v for k, v in answer["headers"].items() if k == "x-amzn-errortype"}
        return web.Response(
            status=answer["status"],
            text=answer["body_text"],
            headers=kept,
            content_type="application/json",
        )


@pytest.fixture
def start(
    start_app: Callable[..., Awaitable[App]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return what starts provider and sidecar and yields both."""
    monkeypatch.setenv("BEDROCK_KEY", "bedrock-key")
    monkeypatch.setenv("AWS_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET", "aws-secret")

    @asynccontextmanager
    async def run(keys: str = API_KEY) -> AsyncIterator[tuple[Bedrock, str]]:
        bedrock = Bedrock()
        async with serving(bedrock.handle) as url:
            app = await start_app(CONFIG.format(url=url, keys=keys))
            yield bedrock, f"http://127.0.0.1:{app.ports['data']}"
            await app.stop()

    return run


async def test_openai_stream(start: Callable[..., Any]) -> None:
    """A recorded binary stream reaches OpenAI's client: text, two calls, usage, id and model."""
    async with start() as (bedrock, url):
        bedrock.answer = recorded(WEATHER)
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            chunks = [
                chunk
                async for chunk in await client.chat.completions.create(
                    model="nova",
                    messages=[{"role": "user", "content": "Weather?"}],
                    tools=[TOOL],
                    max_tokens=500,
                    stream=True,
                    stream_options={"include_usage": True},
                )
            ]
    path, headers, body = bedrock.requests[0]
    assert path == "/model/us.amazon.nova-micro-v1%3A0/converse-stream"
    assert headers["authorization"] == "Bearer bedrock-key"
    assert body["inferenceConfig"] == {"maxTokens": 500}
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas).startswith("<thinking>")
    calls: dict[int, str] = {}
    for call in (call for delta in deltas for call in delta.tool_calls or ()):
        assert call.function is not None
        calls[call.index] = calls.get(call.index, "") + (call.function.arguments or "")
    assert [json.loads(calls[index])["location"] for index in (0, 1)] == [
        "Seattle",
        "San Francisco",
    ]
    assert chunks[0].model == "us.amazon.nova-micro-v1:0"
    assert chunks[0].id.startswith("call_")
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (415, 195)


async def test_anthropic_answer_with_signed_requests(start: Callable[..., Any]) -> None:
    """AWS keys sign; a whole answer reaches Anthropic's client."""
    async with start(AWS_KEYS) as (bedrock, url):
        bedrock.answer = recorded("converse__test_converse_with_content__2951e561.json")
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
            answer = await client.messages.create(
                model="nova", max_tokens=10, messages=[{"role": "user", "content": "Hi"}]
            )
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == "Hi, how can I help you"
    assert answer.stop_reason == "max_tokens"
    assert answer.model == "us.amazon.nova-micro-v1:0"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (8, 10)
    _, headers, _ = bedrock.requests[0]
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")


async def test_a_stream_cut_within_a_message(start: Callable[..., Any]) -> None:
    """A binary stream that ends too early ends in an error, never as if it were complete."""
    async with start() as (bedrock, url):
        whole = recorded(WEATHER)
        half = base64.b64decode(whole["body_b64"])[:5000]
        bedrock.answer = {**whole, "body_b64": base64.b64encode(half).decode()}
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            chunks = await client.chat.completions.create(
                model="nova", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            with pytest.raises(openai.APIError, match="incomplete"):
                [chunk async for chunk in chunks]


async def test_an_exception_in_the_stream(start: Callable[..., Any]) -> None:
    """A stream that begins with an exception is judged by its name, and nothing of it is shown."""
    kind = text(":message-type", "exception") + text(":exception-type", "modelStreamErrorException")
    async with start() as (bedrock, url):
        raw = message(kind, b'{"message":"It broke"}')
        bedrock.answer = {"body_b64": base64.b64encode(raw).decode()}
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            with pytest.raises(openai.InternalServerError, match="aws/nova:S5"):
                await client.chat.completions.create(
                    model="nova", messages=[{"role": "user", "content": "Hi"}], stream=True
                )


async def test_an_unknown_model_is_gone(start: Callable[..., Any]) -> None:
    """The recorded refusal of a model's name is the configuration's fault, not the caller's."""
    async with start() as (bedrock, url):
        bedrock.answer = recorded("converse__test_model_name_suggestion_bedrock___3c60a12b.json")
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            with pytest.raises(openai.InternalServerError, match="aws/nova:GONE"):
                await client.chat.completions.create(
                    model="nova", messages=[{"role": "user", "content": "Hi"}]
                )
