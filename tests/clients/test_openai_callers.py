"""OpenAI's SDK through the sidecar, answered by an OpenAI and by an Anthropic provider.

Every test runs with both: what a caller sees must not depend on who answers, only ids and the
provider's name in the text may differ.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from pydantic import BaseModel

from sidecar.upstream.simulated_answer import words

if TYPE_CHECKING:
    from tests.clients.conftest import World

Json = Any  # what the SDKs' types are too narrow for
BOTH = pytest.mark.parametrize("model", ["alpha-model", "beta-model"])
HELLO: Any = [{"role": "user", "content": "hello"}]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": "?", "parameters": PARAMETERS}}
    for name in ("weather", "tides")
]


class Forecast(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    days: int


def said(model: str, count: int = 12) -> str:
    """Return what the provider behind ``model`` says."""
    return "".join(words(model.removesuffix("-model"), count))


async def gather(stream: Json) -> list[Any]:
    """Return every chunk of a stream."""
    return [chunk async for chunk in stream]


def text_of(chunks: list[Any]) -> str:
    """Return the text in chunks."""
    deltas = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    return "".join(deltas)


@BOTH
async def test_text(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """A plain answer has the provider's text, finish reason and token counts."""
    answer = await for_openai.chat.completions.create(model=model, messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == said(model)
    assert answer.choices[0].finish_reason == "stop"
    (entry,) = [e for e in world.provider_of(model).log if not e.path.endswith("/models")]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == entry.prompt_tokens
    assert answer.usage.completion_tokens == entry.output_tokens == 12
    assert answer.usage.total_tokens == entry.prompt_tokens + 12


@BOTH
async def test_stream(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """A stream says the same in pieces, one finish reason last, no usage unless asked for."""
    stream = await for_openai.chat.completions.create(model=model, messages=HELLO, stream=True)
    chunks = await gather(stream)
    assert text_of(chunks) == said(model)
    assert len(chunks) > 12
    assert chunks[0].choices[0].delta.role == "assistant"
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert [reason for reason in reasons if reason] == ["stop"]
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


@BOTH
async def test_usage_in_a_stream(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """``include_usage`` brings the figures in a last chunk without choices."""
    stream = await for_openai.chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = await gather(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 12
    assert chunks[-1].usage.prompt_tokens == world.provider_of(model).log[-1].prompt_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


@BOTH
async def test_accumulated_stream(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """The SDK's own accumulation of a stream ends in a whole completion."""
    async with for_openai.chat.completions.stream(
        model=model, messages=HELLO, stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert kinds.count("content.done") == 1
    assert final.choices[0].message.content == said(model)
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None
    assert final.usage.completion_tokens == 12


@BOTH
async def test_blocking_client(world: World, model: str) -> None:
    """The blocking client gets the same, plain and streamed."""

    def ask() -> tuple[Any, list[Any]]:
        with openai.OpenAI(base_url=f"{world.url}/v1", api_key="any") as client:
            plain = client.chat.completions.create(model=model, messages=HELLO)
            stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
            return plain, list(stream)

    plain, chunks = await asyncio.to_thread(ask)
    assert plain.choices[0].message.content == said(model)
    assert text_of(chunks) == said(model)


@BOTH
async def test_conversation(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """System prompt and earlier turns arrive in their places, in order."""
    turns: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "three"}]},
    ]
    await for_openai.chat.completions.create(model=model, messages=turns)
    body = world.provider_of(model).body()
    if model == "alpha-model":
        assert body["messages"] == turns
        return
    assert _flat(body["system"]) == "Be brief."
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [_flat(turn["content"]) for turn in body["messages"]] == ["one", "two", "three"]


def _flat(content: Json) -> str:
    """Return Anthropic content as text."""
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


@BOTH
async def test_tool_loop(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """A tool is called with arguments, its result sent back by id, and the answer is words."""
    turns: list[Any] = [{"role": "user", "content": "please use a tool"}]
    first = await for_openai.chat.completions.create(model=model, messages=turns, tools=TOOLS)
    (call,) = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.type == "function"
    assert call.function.name == "weather"
    Forecast.model_validate_json(call.function.arguments)
    turns += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    second = await for_openai.chat.completions.create(model=model, messages=turns, tools=TOOLS)
    assert second.choices[0].message.content == said(model)
    assert second.choices[0].finish_reason == "stop"
    last = world.provider_of(model).body()["messages"][-1]
    result = last if model == "alpha-model" else last["content"][0]
    assert call.id in (result.get("tool_call_id"), result.get("tool_use_id"))
    assert "rain" in json.dumps(result)


@BOTH
async def test_parallel_tools_in_a_stream(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """Two calls at once keep their indices, ids and arguments apart."""
    turns: Any = [{"role": "user", "content": "please use two tools"}]
    async with for_openai.chat.completions.stream(
        model=model, messages=turns, tools=TOOLS
    ) as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["weather", "tides"]
    assert len({call.id for call in calls}) == 2
    for call in calls:
        Forecast.model_validate_json(call.function.arguments)
    assert final.choices[0].finish_reason == "tool_calls"


@BOTH
async def test_parallel_tool_results(
    for_openai: openai.AsyncOpenAI, world: World, model: str
) -> None:
    """Results of two calls return together, each under its own id."""
    turns: list[Any] = [{"role": "user", "content": "please use two tools"}]
    first = await for_openai.chat.completions.create(model=model, messages=turns, tools=TOOLS)
    calls = first.choices[0].message.tool_calls or []
    turns.append(first.choices[0].message.model_dump(exclude_none=True))
    turns += [{"role": "tool", "tool_call_id": c.id, "content": c.id[::-1]} for c in calls]
    second = await for_openai.chat.completions.create(model=model, messages=turns, tools=TOOLS)
    assert second.choices[0].message.content == said(model)
    messages = world.provider_of(model).body()["messages"]
    if model == "beta-model":
        assert [block["tool_use_id"] for block in messages[-1]["content"]] == [c.id for c in calls]
        assert [turn["role"] for turn in messages] == ["user", "assistant", "user"]


@BOTH
@pytest.mark.parametrize(
    ("choice", "name"),
    [("required", "weather"), ({"type": "function", "function": {"name": "tides"}}, "tides")],
)
async def test_forced_tool(
    for_openai: openai.AsyncOpenAI, model: str, choice: Json, name: str
) -> None:
    """A forced tool is called though nobody mentioned it."""
    answer = await for_openai.chat.completions.create(
        model=model, messages=HELLO, tools=TOOLS, tool_choice=choice
    )
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == name


@BOTH
async def test_tools_forbidden(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """``none`` keeps the tools away however they are asked for."""
    turns: Any = [{"role": "user", "content": "please use a tool"}]
    answer = await for_openai.chat.completions.create(
        model=model, messages=turns, tools=TOOLS, tool_choice="none"
    )
    assert answer.choices[0].message.content == said(model)


@BOTH
async def test_image(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """A picture in a data URL arrives as the provider's own kind of picture."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    turns: Any = [{"role": "user", "content": [{"type": "text", "text": "what?"}, picture]}]
    await for_openai.chat.completions.create(model=model, messages=turns)
    part = world.provider_of(model).body()["messages"][0]["content"][1]
    if model == "alpha-model":
        assert part == picture
    else:
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        assert part == {"type": "image", "source": source}


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
async def test_stop_sequence(for_openai: openai.AsyncOpenAI, model: str, is_stream: bool) -> None:
    """A stop sequence ends the text before it; the reason is ``stop``."""
    word = f" {model.removesuffix('-model')}:3"
    create = for_openai.chat.completions.create
    if is_stream:
        stream = await create(model=model, messages=HELLO, stop=[word], stream=True)
        chunks = await gather(stream)
        text, reason = text_of(chunks), chunks[-1].choices[0].finish_reason
    else:
        answer = await create(model=model, messages=HELLO, stop=[word])
        text, reason = answer.choices[0].message.content or "", answer.choices[0].finish_reason
    assert text == said(model, 3)
    assert reason == "stop"


@BOTH
async def test_length(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """A limit of tokens is kept and named, in either spelling."""
    create = for_openai.chat.completions.create
    for answer in (
        await create(model=model, messages=HELLO, max_tokens=5),
        await create(model=model, messages=HELLO, max_completion_tokens=5),
    ):
        assert answer.choices[0].message.content == said(model, 5)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 5
    if model == "beta-model":
        assert world.beta.body()["max_tokens"] == 5


@BOTH
async def test_sampling(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """Sampling parameters arrive, or their loss is told; the API version takes them."""
    raw = await for_openai.chat.completions.with_raw_response.create(
        model=model, messages=HELLO, temperature=0.5, seed=7
    )
    provider = world.provider_of(model)
    assert provider.body()["temperature"] == 0.5
    if model == "alpha-model":
        assert provider.body()["seed"] == 7
        assert "x-sidecar-dropped" not in raw.headers
    else:
        assert raw.headers["x-sidecar-dropped"] == "seed"
        assert provider.posts()[-1].headers["anthropic-version"] == "2023-06-01"


@BOTH
async def test_schema(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """A structured answer keeps its schema and parses into the caller's class."""
    answer = await for_openai.chat.completions.parse(
        model=model, messages=HELLO, response_format=Forecast
    )
    assert isinstance(answer.choices[0].message.parsed, Forecast)
    async with for_openai.chat.completions.stream(
        model=model, messages=HELLO, response_format=Forecast
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == answer.choices[0].message.parsed


@BOTH
async def test_credentials(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """The provider sees its own key and nothing of the caller's."""
    await for_openai.chat.completions.create(model=model, messages=HELLO)
    headers = world.provider_of(model).posts()[-1].headers
    key = f"{model.removesuffix('-model')}-key"
    assert key in (headers.get("authorization", "")[7:], headers.get("x-api-key"))
    assert "callers-own-key" not in str(headers)
    assert not [name for name in headers if name.startswith(("x-stainless", "x-sidecar"))]
