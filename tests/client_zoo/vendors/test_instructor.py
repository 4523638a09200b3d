"""Instructor over OpenAI's client: structured answers by tool, by schema and piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import instructor
import openai
import pytest
from instructor.core import InstructorRetryException
from pydantic import BaseModel
from zoo import ATTEMPTS_MAX, BOTH, BROKEN, IMAGE_TOKENS_MIN, KEY, PIXEL, URL

if TYPE_CHECKING:
    from zoo import Asked

HELLO: Any = [{"role": "user", "content": "hello"}]
MODES = pytest.mark.parametrize(
    "mode",
    [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA],
    ids=["tools", "schema"],
)


class Forecast(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    days: int


def client(mode: instructor.Mode = instructor.Mode.TOOLS) -> instructor.Instructor:
    """Return instructor's client at the sidecar."""
    plain = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY)
    return instructor.from_openai(plain, mode=mode)


@BOTH
@MODES
def test_structured(asked: Asked, model: str, mode: instructor.Mode) -> None:
    """An answer becomes the caller's class at the first try, with its token counts."""
    forecast, answer = client(mode).chat.completions.create_with_completion(
        model=model, messages=HELLO, response_model=Forecast
    )
    assert isinstance(forecast, Forecast)
    (entry,) = asked.of(model)
    assert answer.usage.completion_tokens == entry["output_tokens"]


@BOTH
@MODES
def test_partial(model: str, mode: instructor.Mode) -> None:
    """A stream grows into the same object."""
    parts = list(
        client(mode).chat.completions.create_partial(
            model=model, messages=HELLO, response_model=Forecast
        )
    )
    whole = client(mode).chat.completions.create(
        model=model, messages=HELLO, response_model=Forecast
    )
    assert len(parts) > 1
    assert parts[-1].model_dump() == whole.model_dump()


@BOTH
def test_image(asked: Asked, model: str) -> None:
    """Instructor's own kind of picture arrives as a picture."""
    picture = instructor.Image.from_base64(f"data:image/png;base64,{PIXEL}")
    turns: Any = [{"role": "user", "content": ["what?", picture]}]
    client().chat.completions.create(model=model, messages=turns, response_model=Forecast)
    assert asked.of(model)[-1]["prompt_tokens"] > IMAGE_TOKENS_MIN


def test_unknown_model(asked: Asked) -> None:
    """An unknown model is said to be one, and no provider is troubled."""
    with pytest.raises(InstructorRetryException, match="no-such-model"):
        client().chat.completions.create(
            model="no-such-model", messages=HELLO, response_model=Forecast
        )
    assert asked.count() == 0


@BROKEN
def test_broken_provider(asked: Asked, broken: str) -> None:
    """A provider that fails is not stormed, and the error says who failed."""
    with pytest.raises(InstructorRetryException, match=broken):
        client().chat.completions.create(model=broken, messages=HELLO, response_model=Forecast)
    assert asked.count() <= ATTEMPTS_MAX
