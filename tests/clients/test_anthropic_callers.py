"""Anthropic's SDK through the sidecar, answered by an Anthropic and by an OpenAI provider."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from pydantic import BaseModel

from sidecar.upstream.simulated_answer import words

if TYPE_CHECKING:
    from tests.clients.conftest import World

Json = Any  # what the SDKs' types are too narrow for
BOTH = pytest.mark.parametrize("model", ["beta-model", "alpha-model"])
HELLO: Any = [{"role": "user", "content": "hello"}]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"name": name, "description": "?", "input_schema": SCHEMA} for name in ("weather", "tides")
]


class Forecast(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    days: int


def said(model: str, count: int = 12) -> str:
    """Return what the provider behind ``model`` says."""
    return "".join(words(model.removesuffix("-model"), count))


def text_of(message: Json) -> str:
    """Return the text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


@BOTH
async def test_text(for_anthropic: anthropic.AsyncAnthropic, world: World, model: str) -> None:
    """A plain answer has the provider's text, stop reason and token counts."""
    answer = await for_anthropic.messages.create(model=model, max_tokens=99, messages=HELLO)
    assert (answer.type, answer.role) == ("message", "assistant")
    assert [block.type for block in answer.content] == ["text"]
    assert text_of(answer) == said(model)
    assert answer.stop_reason == "end_turn"
    (entry,) = [e for e in world.provider_of(model).log if not e.path.endswith("/models")]
    assert answer.usage.input_tokens == entry.prompt_tokens
    assert answer.usage.output_tokens == entry.output_tokens == 12


@BOTH
async def test_stream_events(for_anthropic: anthropic.AsyncAnthropic, model: str) -> None:
    """A stream has the events of the format, in their order."""
    stream = await for_anthropic.messages.create(
        model=model, max_tokens=99, messages=HELLO, stream=True
    )
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    deltas: Any = events[2:-3]
    assert "".join(event.delta.text for event in deltas) == said(model)


@BOTH
async def test_accumulated_stream(
    for_anthropic: anthropic.AsyncAnthropic, world: World, model: str
) -> None:
    """The SDK's streaming helper ends in a whole message with its usage."""
    async with for_anthropic.messages.stream(model=model, max_tokens=99, messages=HELLO) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == text_of(final) == said(model)
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 12
    assert final.usage.input_tokens == world.provider_of(model).log[-1].prompt_tokens


@BOTH
async def test_blocking_client(world: World, model: str) -> None:
    """The blocking client gets the same, plain and streamed."""

    def ask() -> tuple[Any, Any]:
        with anthropic.Anthropic(base_url=world.url, api_key="any") as client:
            plain = client.messages.create(model=model, max_tokens=99, messages=HELLO)
            with client.messages.stream(model=model, max_tokens=99, messages=HELLO) as stream:
                return plain, stream.get_final_message()

    plain, streamed = await asyncio.to_thread(ask)
    assert text_of(plain) == text_of(streamed) == said(model)


@BOTH
async def test_conversation(
    for_anthropic: anthropic.AsyncAnthropic, world: World, model: str
) -> None:
    """System prompt and earlier turns arrive in their places, in order."""
    turns: Any = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "three"},
    ]
    await for_anthropic.messages.create(
        model=model, max_tokens=9, messages=turns, system="Be brief."
    )
    body = world.provider_of(model).body()
    if model == "beta-model":
        assert (body["system"], body["messages"]) == ("Be brief.", turns)
        return
    assert [turn["role"] for turn in body["messages"]] == ["system", "user", "assistant", "user"]
    texts = [turn["content"] for turn in body["messages"]]
    assert texts == ["Be brief.", "one", "two", "three"]


@BOTH
async def test_tool_loop(for_anthropic: anthropic.AsyncAnthropic, world: World, model: str) -> None:
    """A tool is called with arguments, its result sent back by id, and the answer is words."""
    turns: list[Any] = [{"role": "user", "content": "please use a tool"}]
    create = for_anthropic.messages.create
    first = await create(model=model, max_tokens=99, messages=turns, tools=TOOLS)
    assert first.stop_reason == "tool_use"
    (block,) = first.content
    assert block.type == "tool_use"
    assert block.name == "weather"
    Forecast.model_validate(block.input)
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
    turns += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = await create(model=model, max_tokens=99, messages=turns, tools=TOOLS)
    assert text_of(second) == said(model)
    assert second.stop_reason == "end_turn"
    last = world.provider_of(model).body()["messages"][-1]
    if model == "alpha-model":
        assert last == {"role": "tool", "tool_call_id": block.id, "content": "rain"}
    else:
        assert last["content"] == [result]


@BOTH
async def test_parallel_tools_in_a_stream(
    for_anthropic: anthropic.AsyncAnthropic, model: str
) -> None:
    """Two calls at once are two blocks with ids and inputs of their own."""
    turns: Any = [{"role": "user", "content": "please use two tools"}]
    async with for_anthropic.messages.stream(
        model=model, max_tokens=99, messages=turns, tools=TOOLS
    ) as stream:
        final = await stream.get_final_message()
    blocks: Any = final.content
    assert [(block.type, block.name) for block in blocks] == [
        ("tool_use", "weather"),
        ("tool_use", "tides"),
    ]
    assert len({block.id for block in blocks}) == 2
    for block in blocks:
        Forecast.model_validate(block.input)
    assert final.stop_reason == "tool_use"


@BOTH
async def test_parallel_tool_results(
    for_anthropic: anthropic.AsyncAnthropic, world: World, model: str
) -> None:
    """Results of two calls return together, each under its own id, before the text beside them."""
    turns: list[Any] = [{"role": "user", "content": "please use two tools"}]
    create = for_anthropic.messages.create
    first = await create(model=model, max_tokens=99, messages=turns, tools=TOOLS)
    ids = [block.id for block in first.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": one, "content": one[::-1]} for one in ids]
    turns += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [*results, {"type": "text", "text": "go on"}]},
    ]
    second = await create(model=model, max_tokens=99, messages=turns, tools=TOOLS)
    assert text_of(second) == said(model)
    messages = world.provider_of(model).body()["messages"]
    if model == "alpha-model":
        assert [turn["role"] for turn in messages] == ["user", "assistant", "tool", "tool", "user"]
        assert [turn["tool_call_id"] for turn in messages[2:4]] == ids


@BOTH
@pytest.mark.parametrize(
    ("choice", "name"), [({"type": "any"}, "weather"), ({"type": "tool", "name": "tides"}, "tides")]
)
async def test_forced_tool(
    for_anthropic: anthropic.AsyncAnthropic, model: str, choice: Json, name: str
) -> None:
    """A forced tool is called though nobody mentioned it."""
    answer = await for_anthropic.messages.create(
        model=model, max_tokens=99, messages=HELLO, tools=TOOLS, tool_choice=choice
    )
    (block,) = answer.content
    assert block.type == "tool_use"
    assert block.name == name


@BOTH
async def test_image(for_anthropic: anthropic.AsyncAnthropic, world: World, model: str) -> None:
    """A picture in base64 arrives as the provider's own kind of picture."""
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    picture = {"type": "image", "source": source}
    turns: Any = [{"role": "user", "content": [picture, {"type": "text", "text": "what?"}]}]
    await for_anthropic.messages.create(model=model, max_tokens=9, messages=turns)
    part = world.provider_of(model).body()["messages"][0]["content"][0]
    if model == "beta-model":
        assert part == picture
    else:
        assert part["type"] == "image_url"
        assert part["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
async def test_stop_sequence(
    for_anthropic: anthropic.AsyncAnthropic, model: str, is_stream: bool
) -> None:
    """A stop sequence ends the text before it; who knows which one says so."""
    word = f" {model.removesuffix('-model')}:3"
    if is_stream:
        async with for_anthropic.messages.stream(
            model=model, max_tokens=99, messages=HELLO, stop_sequences=[word]
        ) as stream:
            answer: Any = await stream.get_final_message()
    else:
        answer = await for_anthropic.messages.create(
            model=model, max_tokens=99, messages=HELLO, stop_sequences=[word]
        )
    assert text_of(answer) == said(model, 3)
    if model == "beta-model":
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", word)
    else:
        assert answer.stop_reason == "end_turn"  # OpenAI says the same of both


@BOTH
async def test_length(for_anthropic: anthropic.AsyncAnthropic, model: str) -> None:
    """A limit of tokens is kept and named."""
    answer = await for_anthropic.messages.create(model=model, max_tokens=5, messages=HELLO)
    assert text_of(answer) == said(model, 5)
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 5


@BOTH
async def test_sampling_and_version(
    for_anthropic: anthropic.AsyncAnthropic, world: World, model: str
) -> None:
    """Sampling parameters arrive; the caller's API version reaches a provider of its format."""
    await for_anthropic.messages.create(
        model=model, max_tokens=9, messages=HELLO, extra_body={"temperature": 0.5, "top_p": 0.9}
    )
    provider = world.provider_of(model)
    assert (provider.body()["temperature"], provider.body()["top_p"]) == (0.5, 0.9)
    version = provider.posts()[-1].headers.get("anthropic-version")
    assert version == ("2026-10-21" if model == "beta-model" else None)


@BOTH
async def test_schema(for_anthropic: anthropic.AsyncAnthropic, world: World, model: str) -> None:
    """A structured answer keeps its schema and parses into the caller's class."""
    answer = await for_anthropic.messages.parse(
        model=model, max_tokens=99, messages=HELLO, output_format=Forecast
    )
    assert isinstance(answer.parsed_output, Forecast)
    body = json.dumps(world.provider_of(model).body())
    assert '"json_schema"' in body
    assert '"city"' in body


@BOTH
async def test_count(for_anthropic: anthropic.AsyncAnthropic, world: World, model: str) -> None:
    """Tokens are counted by a provider that can, else estimated and marked as such."""
    raw = await for_anthropic.messages.with_raw_response.count_tokens(
        model=model, messages=HELLO, system="Be brief.", tools=TOOLS
    )
    count = (await raw.parse()).input_tokens
    if model == "beta-model":
        assert world.beta.posts()[-1].path.endswith("/messages/count_tokens")
        answer = await for_anthropic.messages.create(
            model=model, max_tokens=9, messages=HELLO, system="Be brief.", tools=TOOLS
        )
        assert count == answer.usage.input_tokens
        assert "x-sidecar-estimate" not in raw.headers
    else:
        assert count > 20
        assert raw.headers["x-sidecar-estimate"] == "input_tokens"
        assert world.alpha.posts() == []


@BOTH
async def test_credentials(
    for_anthropic: anthropic.AsyncAnthropic, world: World, model: str
) -> None:
    """The provider sees its own key and nothing of the caller's."""
    await for_anthropic.messages.create(model=model, max_tokens=9, messages=HELLO)
    headers = world.provider_of(model).posts()[-1].headers
    key = f"{model.removesuffix('-model')}-key"
    assert key in (headers.get("authorization", "")[7:], headers.get("x-api-key"))
    assert "callers-own-key" not in str(headers)
    assert not [name for name in headers if name.startswith(("x-stainless", "x-sidecar"))]
