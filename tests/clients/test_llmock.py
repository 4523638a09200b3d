"""A mock of the vendors' APIs that others wrote (PyPI ``llmock``, MIT) as both providers.

It calls offered tools, fails by script, and judges its client: ``GET /_llmock/verdict`` knows
whether we waited, gave up, stormed, or took a cut stream for a whole one.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from sidecar.domain import WireFormat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import aiohttp

    from sidecar.app import App

pytest.importorskip("llmock", reason="the package llmock is not installed")

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  first: {{kind: openai, base_url: "{url}/v1", api_key: {{env: MOCK_KEY}}}}
  twin: {{kind: openai, base_url: "{twin}/v1", api_key: {{env: MOCK_KEY}}}}
  second: {{kind: anthropic, base_url: "{url}/anthropic", api_key: {{env: MOCK_KEY}}}}
  third: {{kind: gemini, base_url: "{url}/gemini/v1beta", api_key: {{env: MOCK_KEY}}}}
models:
  gpt: {{provider: first, model: gpt-4o, price: {{input: 1, output: 2}}, context: 100000}}
  gpt-twin: {{provider: twin, model: gpt-4o, price: {{input: 1, output: 2}}, context: 100000}}
  claude:
    {{provider: second, model: claude-sonnet-4-5, price: {{input: 1, output: 2}}, context: 100000}}
  embed: {{provider: first, model: text-embedding-3-small, price: {{input: 1, output: 0}}}}
  gemini:
    {{provider: third, model: gemini-2.5-pro, price: {{input: 1, output: 2}}, context: 100000}}
routes:
  twins: {{tiers: [[gpt], [gpt-twin]], within: 20s}}
  gpt-first: {{tiers: [[gpt], [claude]], within: 20s}}
  claude-first: {{tiers: [[claude], [gpt]], within: 20s}}
defaults:
  timers: {{connect: 2s, first_content: 5s, stall: 500ms}}
"""
READY_TRIES = 600
HELLO: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
RESPONSES_TOOLS: Any = [
    {"type": "function", "name": "weather", "parameters": CITY, "strict": False}
]
ANTHROPIC_TOOLS: Any = [{"name": "weather", "input_schema": CITY}]


@pytest.fixture(scope="session")
def llmock_url() -> Iterator[str]:
    """A running llmock."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "error"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(READY_TRIES):
            assert process.poll() is None, "llmock ended at its start"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


class Mock:
    """llmock's control API."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def script(self, **behavior: object) -> None:
        """Queue one behaviour."""
        url = f"{self._url}/_llmock/scenario"
        async with self._http.post(url, json={"behaviors": [behavior]}) as answer:
            assert answer.status == 201, await answer.text()

    async def reset(self) -> None:
        """Forget requests and behaviours."""
        async with self._http.post(f"{self._url}/_llmock/reset") as answer:
            assert answer.status == 200

    async def requests(self) -> list[dict[str, Any]]:
        """Return the completions it was asked for by us and not by a probe, oldest first."""
        async with self._http.get(f"{self._url}/_llmock/requests") as answer:
            said = await answer.json()
        return [one for one in said["requests"] if "Paris" in json.dumps(one["body"])]

    async def findings(self) -> list[str]:
        """Return what it holds against us."""
        async with self._http.get(f"{self._url}/_llmock/verdict") as answer:
            verdict = await answer.json()
        return [f"{one['severity']}: {one['code']} {one['title']}" for one in verdict["findings"]]


@pytest.fixture
async def mock(llmock_url: str, http: aiohttp.ClientSession) -> AsyncIterator[Mock]:
    """An llmock that has forgotten everything."""
    made = Mock(llmock_url, http)
    await made.reset()
    yield made
    await made.reset()


@pytest.fixture
async def url(
    mock: Mock,
    llmock_url: str,
    start_app: Callable[[str], Awaitable[App]],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A sidecar between three faces of llmock."""
    monkeypatch.setenv("MOCK_KEY", "mock-key")
    app = await start_app(
        CONFIG.format(url=llmock_url, twin=llmock_url.replace("127.0.0.1", "localhost"))
    )
    return f"http://127.0.0.1:{app.ports['data']}"


@pytest.fixture
async def ours(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
        yield client


@pytest.fixture
async def theirs(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's client."""
    async with anthropic.AsyncAnthropic(base_url=url, api_key="any") as client:
        yield client


@pytest.fixture
async def native(
    mock: Mock,
    llmock_url: str,
    start_app: Callable[..., Awaitable[App]],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client before llmock's own ``/v1/responses``."""
    monkeypatch.setenv("MOCK_KEY", "mock-key")
    twin = llmock_url.replace("127.0.0.1", "localhost")
    text = CONFIG.format(url=llmock_url, twin=twin)
    app = await start_app(text, also=(WireFormat.OPENAI_RESPONSES,))
    url = f"http://127.0.0.1:{app.ports['data']}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


@pytest.mark.filterwarnings(
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"  # the SDK's own
)
@pytest.mark.parametrize("model", ["gpt", "claude", "gemini"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_googles_tool_loop(url: str, mock: Mock, model: str, is_stream: bool) -> None:
    """Google's SDK closes an agent's loop by itself, whichever face calls its function."""
    asked: list[str] = []

    def weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "rain"

    options = types.HttpOptions(base_url=url)
    ask: Any = {"model": model, "contents": "What is the weather in Paris?"}
    ask["config"] = types.GenerateContentConfig(tools=[weather])
    async with genai.Client(api_key="any", http_options=options).aio as client:
        if is_stream:
            stream = await client.models.generate_content_stream(**ask)
            texts = [chunk.text or "" async for chunk in stream]
        else:
            texts = [(await client.models.generate_content(**ask)).text or ""]
    assert asked
    assert "".join(texts)
    assert await mock.findings() == []


@pytest.mark.parametrize("model", ["gpt", "claude", "gemini"])
async def test_text_both_ways(
    ours: openai.AsyncOpenAI, theirs: anthropic.AsyncAnthropic, mock: Mock, model: str
) -> None:
    """Both SDKs get text from both faces, whole and streamed, and the mock is content with us."""
    chat = await ours.chat.completions.create(model=model, messages=HELLO)
    assert chat.choices[0].message.content
    assert chat.choices[0].finish_reason == "stop"
    assert chat.usage is not None
    assert chat.usage.completion_tokens > 0
    async with ours.chat.completions.stream(model=model, messages=HELLO) as chat_stream:
        final = await chat_stream.get_final_completion()
    assert final.choices[0].message.content
    message: Any = await theirs.messages.create(model=model, max_tokens=99, messages=HELLO)
    assert message.content[0].text
    assert message.stop_reason == "end_turn"
    async with theirs.messages.stream(model=model, max_tokens=99, messages=HELLO) as stream:
        assert (await stream.get_final_message()).usage.output_tokens > 0
    assert len(await mock.requests()) == 4
    assert await mock.findings() == []


@pytest.mark.parametrize("model", ["gpt", "claude", "gemini"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_tool_loop(
    ours: openai.AsyncOpenAI, theirs: anthropic.AsyncAnthropic, model: str, is_stream: bool
) -> None:
    """An agent's loop with a tool closes in both SDKs, whichever face calls it."""
    turns: list[Any] = list(HELLO)
    async with ours.chat.completions.stream(
        model=model, messages=turns, tools=OPENAI_TOOLS
    ) as chat_stream:
        final: Any = await chat_stream.get_final_completion()
    if not is_stream:
        final = await ours.chat.completions.create(model=model, messages=turns, tools=OPENAI_TOOLS)
    (call,) = final.choices[0].message.tool_calls
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    turns.append({"role": "assistant", "tool_calls": [_plain_call(call)]})
    turns.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})
    end = await ours.chat.completions.create(model=model, messages=turns, tools=OPENAI_TOOLS)
    assert end.choices[0].finish_reason == "stop"

    turns = list(HELLO)
    ask: Any = {"model": model, "max_tokens": 99, "tools": ANTHROPIC_TOOLS}
    if is_stream:
        async with theirs.messages.stream(messages=turns, **ask) as stream:
            message: Any = await stream.get_final_message()
    else:
        message = await theirs.messages.create(messages=turns, **ask)
    block = next(block for block in message.content if block.type == "tool_use")
    assert isinstance(block.input["city"], str)
    turns.append({"role": "assistant", "content": message.content})
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
    turns.append({"role": "user", "content": [result]})
    message = await theirs.messages.create(messages=turns, **ask)
    assert message.stop_reason == "end_turn"


def _plain_call(call: openai.types.chat.ChatCompletionMessageFunctionToolCall) -> dict[str, object]:
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": "function", "function": function}


EXCUSED = (
    "retry_after_ignored",
    "retried_non_retryable",
    "no_backoff",
    "malformed_chunk_ignored",
)
FAILURES: list[dict[str, Any]] = [
    {"type": "fail", "status": 500},
    {"type": "fail", "status": 503, "retry_after": 30},
    {"type": "fail", "status": 429, "retry_after": 30},
    {"type": "fail", "status": 529},
    {"type": "fail", "status": 401},
    {"type": "stream_fault", "kind": "disconnect", "after_chunks": 0},
    {"type": "stream_fault", "kind": "truncate", "after_chunks": 0},
    {"type": "stream_fault", "kind": "malformed", "after_chunks": 0},
]


@pytest.mark.parametrize("first", ["openai", "anthropic"])
@pytest.mark.parametrize("failure", FAILURES, ids=str)
async def test_failover(
    ours: openai.AsyncOpenAI, mock: Mock, failure: dict[str, Any], first: str
) -> None:
    """Whatever the first provider does before its first words, the second one answers, unseen."""
    await mock.script(**failure, match={"provider": first}, times=None)
    route = "gpt-first" if first == "openai" else "claude-first"
    stream = await ours.chat.completions.create(model=route, messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].choices[0].finish_reason == "stop"
    asked = [request["provider"] for request in await mock.requests()]
    assert asked == [first, "anthropic" if first == "openai" else "openai"]


@pytest.mark.parametrize(
    ("failure", "is_stream"),
    [(one, True) for one in FAILURES] + [(one, False) for one in FAILURES if "status" in one],
    ids=str,
)
async def test_verdict(
    ours: openai.AsyncOpenAI, mock: Mock, failure: dict[str, Any], is_stream: bool
) -> None:
    """A failover to a twin, which the mock can tell from a new call, leaves it content with us.

    It thinks of one account, so it cannot know that the twin need not wait; and on loopback its
    whole stream is out before anyone can stop reading at the malformed chunk.
    """
    await mock.script(**failure)
    answer: Any = await ours.chat.completions.create(
        model="twins", messages=HELLO, stream=is_stream
    )
    if is_stream:
        assert [chunk async for chunk in answer][-1].choices[0].finish_reason == "stop"
    assert len(await mock.requests()) == 2
    findings = [one.split()[1] for one in await mock.findings()]
    assert [one for one in findings if one not in EXCUSED] == []


@pytest.mark.parametrize("model", ["gpt", "claude", "gemini"])
@pytest.mark.parametrize("kind", ["delay", "slow_first_token"])
async def test_patience(ours: openai.AsyncOpenAI, mock: Mock, model: str, kind: str) -> None:
    """Who is only slow is waited for and asked once, and is content with us."""
    await mock.script(type=kind, seconds=0.2)
    stream = await ours.chat.completions.create(model=model, messages=HELLO, stream=True)
    assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"
    assert len(await mock.requests()) == 1
    assert await mock.findings() == []


@pytest.mark.parametrize("model", ["gpt", "claude", "gemini"])
async def test_verdict_on_a_stall(ours: openai.AsyncOpenAI, mock: Mock, model: str) -> None:
    """A stream that stops for good is left, which is what the mock wants to see."""
    after = 2 if model == "gemini" else 4  # Gemini opens with words, not with a role
    await mock.script(type="stream_fault", kind="stall", after_chunks=after, stall_seconds=30)
    stream = await ours.chat.completions.create(model=model, messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="broke off"):
        _ = [chunk async for chunk in stream]
    assert len(await mock.requests()) == 1
    assert await mock.findings() == []


@pytest.mark.parametrize("model", ["gpt", "claude", "gemini"])
@pytest.mark.parametrize("kind", ["disconnect", "truncate", "stall", "malformed"])
async def test_a_stream_that_breaks(
    ours: openai.AsyncOpenAI,
    theirs: anthropic.AsyncAnthropic,
    mock: Mock,
    model: str,
    kind: str,
) -> None:
    """A stream that breaks after its first words is an error in both SDKs, asked for once."""
    after = 2 if model == "gemini" else 4  # Gemini opens with words, not with a role
    fault: Any = {"type": "stream_fault", "kind": kind, "after_chunks": after, "times": None}
    await mock.script(**fault)
    with pytest.raises(openai.APIError, match="broke off"):
        async with ours.chat.completions.stream(model=model, messages=HELLO) as chat_stream:
            await chat_stream.get_final_completion()
    with pytest.raises(anthropic.APIError, match="broke off"):
        async with theirs.messages.stream(model=model, max_tokens=99, messages=HELLO) as stream:
            await stream.get_final_message()
    assert len(await mock.requests()) == 2


async def test_responses_is_content(native: openai.AsyncOpenAI, mock: Mock) -> None:
    """Text whole and streamed, from the other's own events, and no finding against us."""
    answer = await native.responses.create(model="gpt", input=HELLO[0]["content"])
    assert answer.output_text
    async with native.responses.stream(model="gpt", input=HELLO[0]["content"]) as stream:
        final = await stream.get_final_response()
    assert final.output_text
    asked = await mock.requests()
    assert [one["body"]["input"] for one in asked] == [HELLO[0]["content"]] * 2
    assert await mock.findings() == []


async def test_responses_calls_tools(native: openai.AsyncOpenAI) -> None:
    """An agent's loop closes, its items sent back as they came."""
    turns: list[Any] = list(HELLO)
    first: Any = await native.responses.create(model="gpt", input=turns, tools=RESPONSES_TOOLS)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert isinstance(json.loads(call.arguments)["city"], str)
    turns += first.output
    turns.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    second = await native.responses.create(model="gpt", input=turns, tools=RESPONSES_TOOLS)
    assert second.output_text


@pytest.mark.parametrize("kind", ["disconnect", "truncate", "malformed"])
async def test_responses_breaks(native: openai.AsyncOpenAI, mock: Mock, kind: str) -> None:
    """A native stream that breaks before its words is answered by the twin."""
    await mock.script(type="stream_fault", kind=kind, after_chunks=0)
    stream: Any = await native.responses.create(
        model="twins", input=HELLO[0]["content"], stream=True
    )
    events = [event async for event in stream]
    assert events[-1].type == "response.completed"
    assert len(await mock.requests()) == 2


async def test_embeddings(ours: openai.AsyncOpenAI) -> None:
    """A mock that knows numbers only; the SDK asks for base64, and base64 it gets."""
    raw = await ours.embeddings.with_raw_response.create(model="embed", input=["Paris", "Rome"])
    said = json.loads(raw.text)
    assert [type(item["embedding"]) for item in said["data"]] == [str, str]
    found = [item.embedding for item in raw.parse().data]
    assert [len(one) for one in found] == [1536, 1536]
    assert found[0] != found[1]
