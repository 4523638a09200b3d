"""OpenAI's client in its newer format, Responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from pydantic import BaseModel
from zoo import (
    ATTEMPTS_MAX,
    BOTH,
    BROKEN,
    IMAGE_TOKENS_MIN,
    KEY,
    PIXEL,
    RESPONSES,
    TOOL_PLEASE,
    URL,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoo import Asked

pytestmark = RESPONSES
HELLO = "hello"


class Forecast(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    days: int


TOOLS: Any = [
    {"type": "function", "name": "weather", "parameters": Forecast.model_json_schema()},
]


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    """OpenAI's client at the sidecar, with its own habits."""
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY) as made:
        yield made


@BOTH
def test_text(client: openai.OpenAI, asked: Asked, model: str) -> None:
    """A plain answer has text and token counts."""
    answer = client.responses.create(model=model, input=HELLO)
    assert answer.output_text == said(model)
    assert answer.status == "completed"
    (entry,) = asked.of(model)
    assert answer.usage.input_tokens == entry["prompt_tokens"]
    assert answer.usage.output_tokens == entry["output_tokens"]


@BOTH
def test_stream(client: openai.OpenAI, asked: Asked, model: str) -> None:
    """A stream says the same in pieces, and ends in the whole answer."""
    with client.responses.stream(model=model, input=HELLO) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.output_text.delta") >= 12
    assert final.output_text == said(model)
    (entry,) = asked.of(model)
    assert final.usage.output_tokens == entry["output_tokens"]


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_tool_loop(client: openai.OpenAI, model: str, is_stream: bool) -> None:
    """A tool is called, its result goes back by id, the answer is words."""
    turns: list[Any] = [{"role": "user", "content": TOOL_PLEASE}]
    if is_stream:
        with client.responses.stream(model=model, input=turns, tools=TOOLS) as stream:
            first: Any = stream.get_final_response()
    else:
        first = client.responses.create(model=model, input=turns, tools=TOOLS)
    (call,) = [item for item in first.output if item.type == "function_call"]
    Forecast.model_validate_json(call.arguments)
    turns += [item.model_dump(exclude={"parsed_arguments"}) for item in first.output]
    turns.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    end = client.responses.create(model=model, input=turns, tools=TOOLS)
    assert end.output_text == said(model)


@BOTH
def test_structured(client: openai.OpenAI, model: str) -> None:
    """A structured answer becomes the caller's class."""
    answer = client.responses.parse(model=model, input=HELLO, text_format=Forecast)
    assert isinstance(answer.output_parsed, Forecast)


@BOTH
def test_image(client: openai.OpenAI, asked: Asked, model: str) -> None:
    """A picture arrives as a picture."""
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
    content = [{"type": "input_text", "text": "what?"}, {**picture, "detail": "auto"}]
    turns: Any = [{"role": "user", "content": content}]
    client.responses.create(model=model, input=turns)
    assert asked.of(model)[-1]["prompt_tokens"] > IMAGE_TOKENS_MIN


def test_unknown_model(client: openai.OpenAI, asked: Asked) -> None:
    """An unknown model is said to be one, and no provider is troubled."""
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        client.responses.create(model="no-such-model", input=HELLO)
    assert asked.count() == 0


@BROKEN
def test_broken_provider(client: openai.OpenAI, asked: Asked, broken: str) -> None:
    """A provider that fails is not stormed, and the error says who failed."""
    with pytest.raises(openai.InternalServerError, match=broken):
        client.responses.create(model=broken, input=HELLO)
    assert asked.count() <= ATTEMPTS_MAX
