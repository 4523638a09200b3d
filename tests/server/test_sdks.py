"""The official SDKs see the error types they know, and lists they can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from sidecar import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HI: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def for_openai(port: int) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK at the sidecar."""
    base_url = f"http://127.0.0.1:{port}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", timeout=5) as client:
        yield client


@pytest.fixture
async def for_anthropic(port: int) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's SDK at the sidecar."""
    base_url = f"http://127.0.0.1:{port}"
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key="none", timeout=5) as client:
        yield client


async def test_both_list_models(for_openai: Any, for_anthropic: Any) -> None:
    """Names of routes and models can be listed and looked up."""
    assert "reason" in [model.id async for model in for_openai.models.list()]
    assert "reason" in [model.id async for model in for_anthropic.models.list()]
    assert (await for_openai.models.retrieve("claude")).id == "claude"
    assert (await for_anthropic.models.retrieve("claude")).id == "claude"
    with pytest.raises(openai.NotFoundError):
        await for_openai.models.retrieve("nobody")
    with pytest.raises(anthropic.NotFoundError):
        await for_anthropic.models.retrieve("nobody")


async def test_a_bad_request(for_openai: Any, for_anthropic: Any, world: Any) -> None:
    """A constraint that cannot be read is each SDK's BadRequestError, tried once."""
    extra = {"sidecar": {"within": "soon"}}
    with pytest.raises(openai.BadRequestError, match="expected a duration") as ours:
        await for_openai.chat.completions.create(model="reason", messages=HI, extra_body=extra)
    assert ours.value.code == "bad_request"
    with pytest.raises(anthropic.BadRequestError, match="expected a duration"):
        await for_anthropic.messages.create(
            model="reason", max_tokens=9, messages=HI, extra_body=extra
        )
    assert world.engine.calls == []


async def test_an_unknown_model(for_openai: Any, for_anthropic: Any) -> None:
    """A name that leads nowhere is each SDK's NotFoundError and lists what exists."""
    with pytest.raises(openai.NotFoundError, match="reason, claude"):
        await for_openai.chat.completions.create(model="nobody", messages=HI)
    with pytest.raises(anthropic.NotFoundError, match="reason, claude"):
        await for_anthropic.messages.create(model="nobody", max_tokens=9, messages=HI)


@pytest.mark.parametrize(
    ("error", "for_one", "for_other"),
    [
        (errors.InfeasibleError("x"), openai.UnprocessableEntityError,
         anthropic.UnprocessableEntityError),
        (errors.UnavailableError("x", retry_after_s=60.0), openai.InternalServerError,
         anthropic.InternalServerError),
        (errors.DeadlineExceededError("x"), openai.InternalServerError,
         anthropic.InternalServerError),
        (errors.ShedError("x", retry_after_s=60.0), openai.RateLimitError,
         anthropic.RateLimitError),
    ],
)  # fmt: skip
async def test_the_engines_errors(
    for_openai: Any, for_anthropic: Any, world: Any, error: Any, for_one: Any, for_other: Any
) -> None:
    """Each error is the SDK's own type, and neither SDK multiplies the sidecar's attempts."""
    world.engine.error = error
    with pytest.raises(for_one):
        await for_openai.chat.completions.create(model="reason", messages=HI)
    with pytest.raises(for_other):
        await for_anthropic.messages.create(model="reason", max_tokens=9, messages=HI)
    assert len(world.engine.calls) == 2


async def test_a_count(for_anthropic: Any) -> None:
    """Counting tokens works through the SDK."""
    count = await for_anthropic.messages.count_tokens(model="reason", messages=HI)
    assert count.input_tokens == 7


async def test_a_stream_with_a_comment_at_its_end(
    for_openai: Any, world: Any, make_stream: Any
) -> None:
    """The closing comment after ``[DONE]`` disturbs no reader."""
    data = (
        b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m",'
        b'"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}\n\n'
    )
    world.engine.stream = make_stream(data, b"data: [DONE]\n\n")
    stream = await for_openai.chat.completions.create(model="reason", messages=HI, stream=True)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["hello"]
    await world.admission.idle()
