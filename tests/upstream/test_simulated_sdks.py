"""The simulated provider's shapes are genuine: the official SDKs read them as their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from sidecar.domain import WireFormat
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_answer import words
from sidecar.upstream.simulated_server import SimulatedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TEXT = "".join(words("alpha", 12))
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["celsius", "kelvin"]},
        "days": {"type": "integer"},
    },
    "required": ["city"],
}
ARGUMENTS = {"city": "Zürich", "unit": "celsius", "days": 1}
OPENAI_TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
]
ANTHROPIC_TOOLS: list[Any] = [{"name": "weather", "input_schema": SCHEMA}]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def provider(wire: WireFormat) -> SimulatedProvider:
    """Return a provider with one instant model and a key."""
    return SimulatedProvider("alpha", wire, {"sim": SimulatedModel()}, api_key="right")


@pytest.fixture
async def openai_side() -> AsyncIterator[tuple[SimulatedProvider, openai.AsyncOpenAI]]:
    """A simulated OpenAI and the official client pointed at it."""
    alpha = provider(WireFormat.OPENAI_CHAT)
    async with (
        SimulatedServer(alpha) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="right", max_retries=0) as client,
    ):
        yield alpha, client


@pytest.fixture
async def anthropic_side() -> AsyncIterator[tuple[SimulatedProvider, anthropic.AsyncAnthropic]]:
    """A simulated Anthropic and the official client pointed at it."""
    alpha = provider(WireFormat.ANTHROPIC_MESSAGES)
    async with (
        SimulatedServer(alpha) as server,
        anthropic.AsyncAnthropic(
            base_url=server.base_url, api_key="right", max_retries=0
        ) as client,
    ):
        yield alpha, client


OpenAiSide = tuple[SimulatedProvider, openai.AsyncOpenAI]
AnthropicSide = tuple[SimulatedProvider, anthropic.AsyncAnthropic]


async def test_openai_plain(openai_side: OpenAiSide) -> None:
    """A plain answer carries text, finish reason and usage, and the log agrees on the tokens."""
    alpha, client = openai_side
    answer = await client.chat.completions.create(model="sim", messages=HELLO)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == alpha.log[0].output_tokens == 12
    assert answer.usage.prompt_tokens == alpha.log[0].prompt_tokens
    assert alpha.log[0].cost_usd == pytest.approx((answer.usage.prompt_tokens + 12 * 4) / 1e6)


@pytest.mark.parametrize("is_sliced", [False, True])
async def test_openai_stream(openai_side: OpenAiSide, *, is_sliced: bool) -> None:
    """A stream gives the same text, whole or cut at every byte; usage comes last when asked for."""
    alpha, client = openai_side
    alpha.faults = (Fault(kind=FaultKind.SLICE),) if is_sliced else ()
    stream = await client.chat.completions.create(
        model="sim", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == TEXT
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12


async def test_openai_stream_without_usage(openai_side: OpenAiSide) -> None:
    """No usage is sent in a stream that did not ask for it."""
    _, client = openai_side
    stream = await client.chat.completions.create(model="sim", messages=HELLO, stream=True)
    assert all([chunk.choices and chunk.usage is None async for chunk in stream])


async def test_openai_tools(openai_side: OpenAiSide) -> None:
    """A named tool is called with arguments of its schema, and its result is answered in words."""
    _, client = openai_side
    answer = await client.chat.completions.create(
        model="sim", messages=HELLO, tools=OPENAI_TOOLS, tool_choice="required"
    )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert json.loads(call.function.arguments) == ARGUMENTS
    result = {"role": "tool", "tool_call_id": call.id, "content": "7 degrees"}
    turns: list[Any] = [
        {"role": "user", "content": "use a tool"},
        message.model_dump(exclude_none=True),
        result,
    ]
    after = await client.chat.completions.create(model="sim", messages=turns, tools=OPENAI_TOOLS)
    assert after.choices[0].message.content == TEXT


async def test_openai_parallel_tools_streamed(openai_side: OpenAiSide) -> None:
    """Two calls at once come as fragments that the SDK's own accumulator puts together."""
    _, client = openai_side
    asking: list[Any] = [{"role": "user", "content": "please call two tools"}]
    async with client.chat.completions.stream(
        model="sim", messages=asking, tools=OPENAI_TOOLS
    ) as stream:
        answer = await stream.get_final_completion()
    calls: Any = answer.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [ARGUMENTS, ARGUMENTS]
    assert calls[0].id != calls[1].id


async def test_openai_bounds_schema_and_images(openai_side: OpenAiSide) -> None:
    """max_tokens cuts with finish length, stop before its word; a schema gets JSON."""
    _, client = openai_side
    cut = await client.chat.completions.create(model="sim", messages=HELLO, max_completion_tokens=3)
    assert cut.choices[0].finish_reason == "length"
    assert cut.choices[0].message.content == "alpha:0 alpha:1 alpha:2"
    stopped = await client.chat.completions.create(model="sim", messages=HELLO, stop=[" alpha:2"])
    assert stopped.choices[0].message.content == "alpha:0 alpha:1"
    shape: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    seeing: Any = [{"role": "user", "content": [{"type": "text", "text": "what?"}, image]}]
    told = await client.chat.completions.create(model="sim", messages=seeing, response_format=shape)
    assert json.loads(told.choices[0].message.content or "") == ARGUMENTS
    assert told.usage is not None
    assert told.usage.prompt_tokens > 700


async def test_openai_models(openai_side: OpenAiSide) -> None:
    """The model list is the SDK's page of models."""
    _, client = openai_side
    assert [model.id async for model in await client.models.list()] == ["sim"]


async def test_openai_errors(openai_side: OpenAiSide) -> None:
    """Errors raise the SDK's own exceptions, in the stream too, with retry-after where staged."""
    alpha, client = openai_side
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="none", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="wrong").models.list()
    alpha.faults = (Fault(kind=FaultKind.STATUS, status=429, retry_after_s=12),)
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="sim", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "12"
    assert caught.value.code == "rate_limit_exceeded"
    alpha.faults = (Fault(kind=FaultKind.STREAM_ERROR, after_tokens=2),)
    stream = await client.chat.completions.create(model="sim", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="server had an error"):
        [chunk async for chunk in stream]


async def test_anthropic_plain_and_count(anthropic_side: AnthropicSide) -> None:
    """A message carries text, stop reason and usage; counting tokens agrees with the usage."""
    alpha, client = anthropic_side
    answer = await client.messages.create(model="sim", max_tokens=99, messages=HELLO)
    block: Any = answer.content[0]
    assert block.text == TEXT
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == alpha.log[0].output_tokens == 12
    counted = await client.messages.count_tokens(model="sim", messages=HELLO)
    assert counted.input_tokens == answer.usage.input_tokens


@pytest.mark.parametrize("is_sliced", [False, True])
async def test_anthropic_stream(anthropic_side: AnthropicSide, *, is_sliced: bool) -> None:
    """The SDK's accumulator rebuilds the whole message, whole or cut at every byte."""
    alpha, client = anthropic_side
    alpha.faults = (Fault(kind=FaultKind.SLICE),) if is_sliced else ()
    async with client.messages.stream(model="sim", max_tokens=5, messages=HELLO) as stream:
        answer = await stream.get_final_message()
    block: Any = answer.content[0]
    assert block.text == "".join(words("alpha", 5))
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 5


async def test_anthropic_tools(anthropic_side: AnthropicSide) -> None:
    """Tools are called plain and streamed, and a tool result is answered in words."""
    _, client = anthropic_side
    asking: list[Any] = [{"role": "user", "content": "please call two tools"}]
    async with client.messages.stream(
        model="sim", max_tokens=99, messages=asking, tools=ANTHROPIC_TOOLS
    ) as stream:
        answer = await stream.get_final_message()
    blocks: Any = answer.content
    assert answer.stop_reason == "tool_use"
    assert [block.input for block in blocks] == [ARGUMENTS, ARGUMENTS]
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "7"} for block in blocks]
    turns: list[Any] = [
        *asking,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": results},
    ]
    after = await client.messages.create(
        model="sim", max_tokens=99, messages=turns, tools=ANTHROPIC_TOOLS
    )
    said: Any = after.content[0]
    assert said.text == TEXT
    named = await client.messages.create(
        model="sim",
        max_tokens=99,
        messages=HELLO,
        tools=ANTHROPIC_TOOLS,
        tool_choice={"type": "tool", "name": "weather"},
    )
    called: Any = named.content[0]
    assert called.input == ARGUMENTS


async def test_anthropic_stop_schema_and_models(anthropic_side: AnthropicSide) -> None:
    """A stop sequence is named, a schema is answered in JSON, models are listed."""
    _, client = anthropic_side
    stopped = await client.messages.create(
        model="sim", max_tokens=99, messages=HELLO, stop_sequences=[" alpha:2"]
    )
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " alpha:2")
    shape: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    told = await client.messages.create(
        model="sim", max_tokens=99, messages=HELLO, output_config=shape
    )
    block: Any = told.content[0]
    assert json.loads(block.text) == ARGUMENTS
    assert [model.id async for model in await client.models.list()] == ["sim"]


async def test_anthropic_errors(anthropic_side: AnthropicSide) -> None:
    """Errors raise the SDK's own exceptions, in the stream too."""
    alpha, client = anthropic_side
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.create(model="none", max_tokens=9, messages=HELLO)
    alpha.faults = (Fault(kind=FaultKind.STATUS, status=529),)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await client.messages.create(model="sim", max_tokens=9, messages=HELLO)
    body: Any = caught.value.body
    assert body["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    alpha.faults = (Fault(kind=FaultKind.STREAM_ERROR, status=529, after_tokens=2),)
    async with client.messages.stream(model="sim", max_tokens=9, messages=HELLO) as stream:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            await stream.get_final_message()
