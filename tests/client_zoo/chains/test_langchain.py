"""LangChain's chat models for OpenAI and Anthropic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
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
    from langchain_core.language_models import BaseChatModel
    from zoo import Asked

HELLO = "hello"


class Forecast(BaseModel):
    """The weather of some days."""

    city: str
    days: int


def by_openai(model: str) -> BaseChatModel:
    """Return a chat model that speaks OpenAI's format, with its own habits."""
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=KEY, stream_usage=True)


def by_responses(model: str) -> BaseChatModel:
    """Return a chat model that speaks OpenAI's newer format."""
    url = f"{URL}/v1"
    return ChatOpenAI(model=model, base_url=url, api_key=KEY, use_responses_api=True)


def by_anthropic(model: str) -> BaseChatModel:
    """Return a chat model that speaks Anthropic's format."""
    return ChatAnthropic(model=model, base_url=URL, api_key=KEY, max_tokens=1000)


CHATS = pytest.mark.parametrize(
    "chat", [by_openai, by_anthropic, pytest.param(by_responses, marks=RESPONSES)]
)
Chat = Callable[[str], "BaseChatModel"]


@CHATS
@BOTH
def test_text(chat: Chat, asked: Asked, model: str) -> None:
    """A plain answer has text and token counts."""
    answer = chat(model).invoke(HELLO)
    assert answer.text == said(model)
    (entry,) = asked.of(model)
    assert answer.usage_metadata["input_tokens"] == entry["prompt_tokens"]
    assert answer.usage_metadata["output_tokens"] == entry["output_tokens"]


@CHATS
@BOTH
def test_stream(chat: Chat, asked: Asked, model: str) -> None:
    """A stream says the same in pieces, with token counts."""
    chunks = list(chat(model).stream(HELLO))
    assert "".join(chunk.text for chunk in chunks) == said(model)
    assert len(chunks) > 12
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    (entry,) = asked.of(model)
    assert whole.usage_metadata["output_tokens"] == entry["output_tokens"]
    assert whole.usage_metadata["input_tokens"] == entry["prompt_tokens"]


@CHATS
@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_tool_loop(chat: Chat, model: str, is_stream: bool) -> None:
    """A tool is called, its result goes back by id, the answer is words."""
    bound = chat(model).bind_tools([Forecast])
    turns: list[Any] = [HumanMessage(TOOL_PLEASE)]
    if is_stream:
        chunks = list(bound.stream(turns))
        first: Any = chunks[0]
        for chunk in chunks[1:]:
            first += chunk
        first = AIMessage(content=first.content, tool_calls=first.tool_calls)
    else:
        first = bound.invoke(turns)
    (call,) = first.tool_calls
    assert call["name"] == "Forecast"
    Forecast.model_validate(call["args"])
    turns += [first, ToolMessage("rain", tool_call_id=call["id"])]
    assert bound.invoke(turns).text == said(model)


@CHATS
@BOTH
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured(chat: Chat, model: str, method: str) -> None:
    """A structured answer becomes the caller's class, by tool and by schema."""
    bound = chat(model).with_structured_output(Forecast, method=method)
    assert isinstance(bound.invoke(HELLO), Forecast)


@CHATS
@BOTH
def test_image(chat: Chat, asked: Asked, model: str) -> None:
    """A picture arrives as a picture."""
    picture: Any = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    chat(model).invoke([HumanMessage([{"type": "text", "text": "what?"}, picture])])
    assert asked.of(model)[-1]["prompt_tokens"] > IMAGE_TOKENS_MIN


@CHATS
def test_unknown_model(chat: Chat, asked: Asked) -> None:
    """An unknown model is said to be one, and no provider is troubled."""
    with pytest.raises(Exception, match="no-such-model") as caught:
        chat("no-such-model").invoke(HELLO)
    assert caught.value.status_code == 404
    assert asked.count() == 0


@CHATS
@BROKEN
def test_broken_provider(chat: Chat, asked: Asked, broken: str) -> None:
    """A provider that fails is not stormed, and the error says who failed."""
    with pytest.raises(Exception, match=broken) as caught:
        chat(broken).invoke(HELLO)
    assert caught.value.status_code == 503
    assert asked.count() <= ATTEMPTS_MAX
