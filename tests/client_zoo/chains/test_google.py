"""Google's client, and LangChain's chat model over it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from google import genai
from google.genai import errors, types
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_google_genai import ChatGoogleGenerativeAI
from pydantic import BaseModel
from zoo import (
    ATTEMPTS_MAX,
    BOTH,
    BROKEN,
    GEMINI,
    IMAGE_TOKENS_MIN,
    KEY,
    PIXEL,
    TOOL_PLEASE,
    URL,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoo import Asked

pytestmark = GEMINI
HELLO = "hello"


class Forecast(BaseModel):
    """The weather of some days."""

    city: str
    days: int


@pytest.fixture
def client() -> Iterator[genai.Client]:
    """Google's client at the sidecar."""
    with genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL)) as made:
        yield made


def chat(model: str, retries: int = 6) -> ChatGoogleGenerativeAI:
    """Return LangChain's chat model at the sidecar; six tries are its own habit."""
    return ChatGoogleGenerativeAI(
        model=model, base_url=URL, google_api_key=KEY, max_retries=retries
    )


@BOTH
def test_text(client: genai.Client, asked: Asked, model: str) -> None:
    """A plain answer has text, finish reason and token counts."""
    answer = client.models.generate_content(model=model, contents=HELLO)
    assert answer.text == said(model)
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    (entry,) = asked.of(model)
    assert answer.usage_metadata.prompt_token_count == entry["prompt_tokens"]
    assert answer.usage_metadata.candidates_token_count == entry["output_tokens"]


@BOTH
def test_stream(client: genai.Client, asked: Asked, model: str) -> None:
    """A stream says the same in pieces, with token counts."""
    chunks = list(client.models.generate_content_stream(model=model, contents=HELLO))
    assert "".join(chunk.text or "" for chunk in chunks) == said(model)
    assert len(chunks) > 6
    (entry,) = asked.of(model)
    assert chunks[-1].usage_metadata.candidates_token_count == entry["output_tokens"]


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_tool_loop(client: genai.Client, asked: Asked, model: str, is_stream: bool) -> None:
    """The client's own loop calls the function and ends with words."""
    called: list[tuple[str, int]] = []

    def weather(city: str, days: int) -> str:
        """Return the weather."""
        called.append((city, days))
        return "rain"

    ask: Any = {"model": model, "contents": TOOL_PLEASE}
    ask["config"] = types.GenerateContentConfig(tools=[weather])
    if is_stream:
        text = "".join(c.text or "" for c in client.models.generate_content_stream(**ask))
    else:
        text = client.models.generate_content(**ask).text or ""
    assert text == said(model)
    assert len(called) == 1
    assert len(asked.of(model)) == 2


@BOTH
def test_structured(client: genai.Client, model: str) -> None:
    """A structured answer becomes the caller's class."""
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Forecast
    )
    answer = client.models.generate_content(model=model, contents=HELLO, config=config)
    assert isinstance(answer.parsed, Forecast)


@BOTH
def test_image(client: genai.Client, asked: Asked, model: str) -> None:
    """A picture arrives as a picture."""
    picture = types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png")
    client.models.generate_content(model=model, contents=["what?", picture])
    assert asked.of(model)[-1]["prompt_tokens"] > IMAGE_TOKENS_MIN


def test_unknown_model(client: genai.Client, asked: Asked) -> None:
    """An unknown model is said to be one, and no provider is troubled."""
    with pytest.raises(errors.ClientError, match="no-such-model") as caught:
        client.models.generate_content(model="no-such-model", contents=HELLO)
    assert caught.value.code == 404
    assert asked.count() == 0


@BROKEN
def test_broken_provider(client: genai.Client, asked: Asked, broken: str) -> None:
    """A provider that fails is not stormed, and the error says who failed."""
    with pytest.raises(errors.ServerError, match=broken) as caught:
        client.models.generate_content(model=broken, contents=HELLO)
    assert caught.value.code == 503
    assert asked.count() <= ATTEMPTS_MAX


@BOTH
def test_chat(asked: Asked, model: str) -> None:
    """LangChain's model gets text and token counts, whole and streamed."""
    answer = chat(model).invoke(HELLO)
    assert answer.text == said(model)
    (entry,) = asked.of(model)
    assert answer.usage_metadata["input_tokens"] == entry["prompt_tokens"]
    assert answer.usage_metadata["output_tokens"] == entry["output_tokens"]
    chunks = list(chat(model).stream(HELLO))
    assert "".join(chunk.text for chunk in chunks) == said(model)
    assert len(chunks) > 6


@BOTH
def test_chat_with_tool(model: str) -> None:
    """A tool is called, its result goes back, the answer is words."""
    bound = chat(model).bind_tools([Forecast])
    turns: list[Any] = [HumanMessage(TOOL_PLEASE)]
    first = bound.invoke(turns)
    (call,) = first.tool_calls
    Forecast.model_validate(call["args"])
    turns += [first, ToolMessage("rain", tool_call_id=call["id"])]
    assert bound.invoke(turns).text == said(model)


@BOTH
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_chat(model: str, method: str) -> None:
    """A structured answer becomes the caller's class, by tool and by schema."""
    bound = chat(model).with_structured_output(Forecast, method=method)
    assert isinstance(bound.invoke(HELLO), Forecast)


@BOTH
def test_chat_with_image(asked: Asked, model: str) -> None:
    """A picture arrives as a picture."""
    picture: Any = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    chat(model).invoke([HumanMessage([{"type": "text", "text": "what?"}, picture])])
    assert asked.of(model)[-1]["prompt_tokens"] > IMAGE_TOKENS_MIN


def test_chat_with_unknown_model(asked: Asked) -> None:
    """An unknown model is said to be one, and no provider is troubled."""
    with pytest.raises(Exception, match="no-such-model"):
        chat("no-such-model").invoke(HELLO)
    assert asked.count() == 0


@BROKEN
def test_chat_with_broken_provider(asked: Asked, broken: str) -> None:
    """Without the client's own retries, which heed nobody, a failing provider is not stormed."""
    with pytest.raises(Exception, match=broken):
        chat(broken, retries=1).invoke(HELLO)
    assert asked.count() <= ATTEMPTS_MAX
