"""Together's client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import together
from zoo import ATTEMPTS_MAX, BOTH, BROKEN, IMAGE_TOKENS_MIN, KEY, PIXEL, TOOL_PLEASE, URL, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoo import Asked

HELLO: Any = [{"role": "user", "content": "hello"}]
FORECAST = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": FORECAST}}]


@pytest.fixture
def client() -> Iterator[together.Together]:
    """Together's client at the sidecar, with its own habits."""
    with together.Together(base_url=URL, api_key=KEY) as made:
        yield made


@BOTH
def test_text(client: together.Together, asked: Asked, model: str) -> None:
    """A plain answer has text, finish reason and token counts."""
    answer: Any = client.chat.completions.create(model=model, messages=HELLO)
    assert answer.choices[0].message.content == said(model)
    assert answer.choices[0].finish_reason == "stop"
    (entry,) = asked.of(model)
    assert answer.usage.prompt_tokens == entry["prompt_tokens"]
    assert answer.usage.completion_tokens == entry["output_tokens"]


@BOTH
def test_stream(client: together.Together, model: str) -> None:
    """A stream says the same in pieces."""
    stream: Any = client.chat.completions.create(model=model, messages=HELLO, stream=True)
    choices = [chunk.choices[0] for chunk in stream if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == said(model)
    assert choices[-1].finish_reason == "stop"


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_tool_loop(client: together.Together, model: str, is_stream: bool) -> None:
    """A tool is called, its result goes back by id, the answer is words."""
    turns: list[Any] = [{"role": "user", "content": TOOL_PLEASE}]
    ask: Any = {"model": model, "messages": turns, "tools": TOOLS}
    answer: Any = client.chat.completions.create(**ask, stream=is_stream)
    if is_stream:
        deltas = [choice.delta for chunk in answer for choice in chunk.choices]
        calls = [call for delta in deltas for call in delta.tool_calls or []]
        name, call_id = calls[0].function.name, calls[0].id
        arguments = "".join(call.function.arguments or "" for call in calls)
    else:
        (call,) = answer.choices[0].message.tool_calls
        name, call_id, arguments = call.function.name, call.id, call.function.arguments
    assert name == "weather"
    assert isinstance(json.loads(arguments)["days"], int)
    made = {"id": call_id, "type": "function"}
    made["function"] = {"name": name, "arguments": arguments}
    turns.append({"role": "assistant", "content": None, "tool_calls": [made]})
    turns.append({"role": "tool", "tool_call_id": call_id, "content": "rain"})
    end: Any = client.chat.completions.create(**ask)
    assert end.choices[0].message.content == said(model)


@BOTH
def test_structured(client: together.Together, model: str) -> None:
    """A structured answer is of its schema."""
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": FORECAST}}
    answer: Any = client.chat.completions.create(
        model=model, messages=HELLO, response_format=wanted
    )
    assert json.loads(answer.choices[0].message.content).keys() == {"city", "days"}


@BOTH
def test_image(client: together.Together, asked: Asked, model: str) -> None:
    """A picture arrives as a picture."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    turns: Any = [{"role": "user", "content": [{"type": "text", "text": "what?"}, picture]}]
    client.chat.completions.create(model=model, messages=turns)
    assert asked.of(model)[-1]["prompt_tokens"] > IMAGE_TOKENS_MIN


def test_unknown_model(client: together.Together, asked: Asked) -> None:
    """An unknown model is said to be one, and no provider is troubled."""
    with pytest.raises(together.NotFoundError, match="no-such-model"):
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert asked.count() == 0


@BROKEN
def test_broken_provider(client: together.Together, asked: Asked, broken: str) -> None:
    """A provider that fails is not stormed, and the error says who failed."""
    with pytest.raises(together.InternalServerError, match=broken):
        client.chat.completions.create(model=broken, messages=HELLO)
    assert asked.count() <= ATTEMPTS_MAX
