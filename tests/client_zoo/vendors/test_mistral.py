"""Mistral's client, in its OpenAI-like dialect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import ResponseValidationError, SDKError
from pydantic import BaseModel
from zoo import ATTEMPTS_MAX, BOTH, BROKEN, IMAGE_TOKENS_MIN, KEY, PIXEL, TOOL_PLEASE, URL, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoo import Asked

HELLO: Any = [{"role": "user", "content": "hello"}]


class Forecast(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    days: int


TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": Forecast.model_json_schema()},
    }
]


@pytest.fixture
def client() -> Iterator[Mistral]:
    """Mistral's client at the sidecar."""
    with Mistral(server_url=URL, api_key=KEY) as made:
        yield made


@BOTH
def test_text(client: Mistral, asked: Asked, model: str) -> None:
    """A plain answer has text, finish reason and token counts."""
    answer = client.chat.complete(model=model, messages=HELLO)
    assert answer.choices[0].message.content == said(model)
    assert answer.choices[0].finish_reason == "stop"
    (entry,) = asked.of(model)
    assert answer.usage.prompt_tokens == entry["prompt_tokens"]
    assert answer.usage.completion_tokens == entry["output_tokens"]


@BOTH
def test_stream(client: Mistral, model: str) -> None:
    """A stream says the same in pieces."""
    with client.chat.stream(model=model, messages=HELLO) as stream:
        choices = [event.data.choices[0] for event in stream if event.data.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == said(model)
    assert len(choices) > 12
    assert choices[-1].finish_reason == "stop"


IN_PIECES = pytest.param(
    True,
    marks=pytest.mark.xfail(
        raises=ResponseValidationError,
        reason="this client wants the tool's name in every piece, as Mistral's models send it",
    ),
)


@BOTH
@pytest.mark.parametrize("is_stream", [False, IN_PIECES])
def test_tool_loop(client: Mistral, model: str, is_stream: bool) -> None:
    """A tool is called, its result goes back by id, the answer is words."""
    turns: list[Any] = [{"role": "user", "content": TOOL_PLEASE}]
    ask: Any = {"model": model, "messages": turns, "tools": TOOLS, "tool_choice": "auto"}
    if is_stream:
        with client.chat.stream(**ask) as stream:
            deltas = [choice.delta for event in stream for choice in event.data.choices]
        calls = [call for delta in deltas for call in delta.tool_calls or []]
        name, call_id = calls[0].function.name, calls[0].id
        arguments = "".join(str(call.function.arguments) for call in calls)
    else:
        (call,) = client.chat.complete(**ask).choices[0].message.tool_calls
        name, call_id, arguments = call.function.name, call.id, call.function.arguments
    assert name == "weather"
    Forecast.model_validate_json(arguments)
    made = {"id": call_id, "type": "function"}
    made["function"] = {"name": name, "arguments": arguments}
    turns.append({"role": "assistant", "content": "", "tool_calls": [made]})
    turns.append({"role": "tool", "tool_call_id": call_id, "name": name, "content": "rain"})
    end = client.chat.complete(**ask)
    assert end.choices[0].message.content == said(model)


@BOTH
def test_forced_tool(client: Mistral, model: str) -> None:
    """A forced tool is called though nobody mentioned it."""
    answer = client.chat.complete(model=model, messages=HELLO, tools=TOOLS, tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(json.loads(call.function.arguments)["days"], int)


@BOTH
def test_structured(client: Mistral, model: str) -> None:
    """A structured answer parses into the caller's class."""
    answer = client.chat.parse(response_format=Forecast, model=model, messages=HELLO)
    assert isinstance(answer.choices[0].message.parsed, Forecast)


@BOTH
def test_image(client: Mistral, asked: Asked, model: str) -> None:
    """A picture arrives as a picture; Mistral gives its address as bare text."""
    picture = {"type": "image_url", "image_url": f"data:image/png;base64,{PIXEL}"}
    turns: Any = [{"role": "user", "content": [{"type": "text", "text": "what?"}, picture]}]
    client.chat.complete(model=model, messages=turns)
    assert asked.of(model)[-1]["prompt_tokens"] > IMAGE_TOKENS_MIN


def test_unknown_model(client: Mistral, asked: Asked) -> None:
    """An unknown model is said to be one, and no provider is troubled."""
    with pytest.raises(SDKError, match="no-such-model") as caught:
        client.chat.complete(model="no-such-model", messages=HELLO)
    assert caught.value.status_code == 404
    assert asked.count() == 0


@BROKEN
def test_broken_provider(client: Mistral, asked: Asked, broken: str) -> None:
    """A provider that fails is not stormed, and the error says who failed."""
    with pytest.raises(SDKError, match=broken) as caught:
        client.chat.complete(model=broken, messages=HELLO)
    assert caught.value.status_code == 503
    assert asked.count() <= ATTEMPTS_MAX
