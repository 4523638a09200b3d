"""Agents of pydantic-ai, over every format that it speaks."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelHTTPError, NativeOutput, ToolOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from zoo import (
    ATTEMPTS_MAX,
    BOTH,
    BROKEN,
    GEMINI,
    IMAGE_TOKENS_MIN,
    KEY,
    PIXEL,
    RESPONSES,
    TOOL_PLEASE,
    URL,
    said,
)

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from zoo import Asked

HELLO = "hello"


class Forecast(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    days: int


def openai_chat(model: str) -> Model:
    """Return a model that speaks Chat Completions."""
    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY))


def openai_responses(model: str) -> Model:
    """Return a model that speaks Responses."""
    return OpenAIResponsesModel(model, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY))


def anthropic(model: str) -> Model:
    """Return a model that speaks Messages."""
    provider = AnthropicProvider(base_url=URL, api_key=KEY)
    # what it knows of models goes by their names, and ours it does not know
    return AnthropicModel(model, provider=provider, profile={"supports_json_schema_output": True})


def google(model: str) -> Model:
    """Return a model that speaks Gemini's format; it sends two headers of the name User-Agent."""
    return GoogleModel(model, provider=GoogleProvider(base_url=URL, api_key=KEY))


CALLERS = pytest.mark.parametrize(
    "caller",
    [
        openai_chat,
        anthropic,
        pytest.param(openai_responses, marks=RESPONSES),
        pytest.param(google, marks=GEMINI),
    ],
)
Caller = Callable[[str], "Model"]


@CALLERS
@BOTH
def test_text(caller: Caller, asked: Asked, model: str) -> None:
    """A plain answer has text and token counts."""
    result = Agent(caller(model)).run_sync(HELLO)
    assert result.output == said(model)
    (entry,) = asked.of(model)
    assert result.usage.input_tokens == entry["prompt_tokens"]
    assert result.usage.output_tokens == entry["output_tokens"]


@CALLERS
@BOTH
def test_stream(caller: Caller, asked: Asked, model: str) -> None:
    """A stream says the same in pieces, with token counts."""

    async def read() -> tuple[list[str], int]:
        async with Agent(caller(model)).run_stream(HELLO) as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return pieces, result.usage.output_tokens

    pieces, output_tokens = asyncio.run(read())
    assert "".join(pieces) == said(model)
    assert len(pieces) > 6
    (entry,) = asked.of(model)
    assert output_tokens == entry["output_tokens"]


@CALLERS
@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_tool_loop(caller: Caller, asked: Asked, model: str, is_stream: bool) -> None:
    """The agent calls its tool, gives the result back, and ends with words."""
    agent = Agent(caller(model))
    called: list[tuple[str, int]] = []

    @agent.tool_plain
    def weather(city: str, days: int) -> str:
        """Return the weather."""
        called.append((city, days))
        return "rain"

    async def read() -> str:
        async with agent.run_stream(TOOL_PLEASE) as result:
            return await result.get_output()

    output = asyncio.run(read()) if is_stream else agent.run_sync(TOOL_PLEASE).output
    assert output == said(model)
    ((city, days),) = called
    assert isinstance(city, str)
    assert isinstance(days, int)
    assert len(asked.of(model)) == 2


@CALLERS
@BOTH
@pytest.mark.parametrize("kind", [ToolOutput, NativeOutput])
def test_structured(caller: Caller, asked: Asked, model: str, kind: type) -> None:
    """A structured answer becomes the caller's class at the first try, by tool and by schema."""
    result = Agent(caller(model), output_type=kind(Forecast)).run_sync(HELLO)
    assert isinstance(result.output, Forecast)
    assert len(asked.of(model)) == 1


@CALLERS
@BOTH
def test_image(caller: Caller, asked: Asked, model: str) -> None:
    """A picture arrives as a picture."""
    picture = BinaryContent(base64.b64decode(PIXEL), media_type="image/png")
    Agent(caller(model)).run_sync(["what?", picture])
    assert asked.of(model)[-1]["prompt_tokens"] > IMAGE_TOKENS_MIN


@CALLERS
def test_unknown_model(caller: Caller, asked: Asked) -> None:
    """An unknown model is said to be one, and no provider is troubled."""
    with pytest.raises(ModelHTTPError, match="no-such-model") as caught:
        Agent(caller("no-such-model")).run_sync(HELLO)
    assert caught.value.status_code == 404
    assert asked.count() == 0


@CALLERS
@BROKEN
def test_broken_provider(caller: Caller, asked: Asked, broken: str) -> None:
    """A provider that fails is not stormed, and the error says who failed."""
    with pytest.raises(ModelHTTPError, match=broken) as caught:
        Agent(caller(broken)).run_sync(HELLO)
    assert caught.value.status_code == 503
    assert asked.count() <= ATTEMPTS_MAX
