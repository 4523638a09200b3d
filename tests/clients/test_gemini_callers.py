"""Google's SDK through the sidecar, answered by an OpenAI and by an Anthropic provider."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from sidecar.upstream.simulated import Fault, FaultKind
from sidecar.upstream.simulated_answer import words
from tests.clients.conftest import CALLERS_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from tests.clients.conftest import World

pytestmark = pytest.mark.filterwarnings(
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"  # the SDK's own
)
BOTH = pytest.mark.parametrize("model", ["alpha-model", "beta-model"])
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FUNCTIONS = [
    types.FunctionDeclaration(
        name=name,
        description="?",
        parameters=types.Schema(
            type=types.Type.OBJECT,
            properties={
                "city": types.Schema(type=types.Type.STRING),
                "days": types.Schema(type=types.Type.INTEGER),
            },
            required=["city", "days"],
        ),
    )
    for name in ("weather", "tides")
]
TOOLS: Any = [types.Tool(function_declarations=FUNCTIONS)]
NO_LOOP = types.AutomaticFunctionCallingConfig(disable=True)


class Forecast(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    days: int


def said(model: str, count: int = 12) -> str:
    """Return what the provider behind ``model`` says."""
    return "".join(words(model.removesuffix("-model"), count))


@pytest.fixture
async def for_gemini(world: World) -> AsyncIterator[genai.Client]:
    """Google's client at the sidecar, with its own habits."""
    client = genai.Client(
        api_key=CALLERS_KEY, http_options=types.HttpOptions(base_url=world.url, timeout=15_000)
    )
    yield client
    await client.aio.aclose()


async def drain(stream: Any) -> None:
    """Read a stream to its end."""
    async for _ in stream:
        pass


async def gather(stream: Any) -> list[types.GenerateContentResponse]:
    """Return every chunk of a stream."""
    return [chunk async for chunk in await stream]


@BOTH
async def test_text(for_gemini: genai.Client, world: World, model: str) -> None:
    """A plain answer has the provider's text, finish reason and token counts."""
    answer = await for_gemini.aio.models.generate_content(model=model, contents="hello")
    assert answer.text == said(model)
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    (entry,) = [e for e in world.provider_of(model).log if not e.path.endswith("/models")]
    usage = answer.usage_metadata
    assert usage is not None
    assert usage.prompt_token_count == entry.prompt_tokens
    assert usage.candidates_token_count == entry.output_tokens == 12
    assert usage.total_token_count == entry.prompt_tokens + 12


@BOTH
async def test_stream(for_gemini: genai.Client, model: str) -> None:
    """A stream comes in pieces, the last with finish reason and usage, and no line that the SDK
    would not read.
    """
    chunks = await gather(
        for_gemini.aio.models.generate_content_stream(model=model, contents="hello")
    )
    assert "".join(chunk.text or "" for chunk in chunks) == said(model)
    assert len(chunks) > 3
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
    assert reasons == [None] * (len(chunks) - 1) + [types.FinishReason.STOP]
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.candidates_token_count == 12


@BOTH
@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
async def test_tools(for_gemini: genai.Client, world: World, model: str, is_stream: bool) -> None:
    """Parallel calls arrive whole, with ids that their results are matched by."""
    config = types.GenerateContentConfig(
        tools=TOOLS,
        automatic_function_calling=NO_LOOP,
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY
            )
        ),
    )
    models = for_gemini.aio.models
    asked: Any = [types.Content(role="user", parts=[types.Part(text="weather and tides?")])]
    if is_stream:
        chunks = await gather(
            models.generate_content_stream(model=model, contents=asked, config=config)
        )
        calls = [call for chunk in chunks for call in chunk.function_calls or ()]
    else:
        calls = (
            await models.generate_content(model=model, contents=asked, config=config)
        ).function_calls or []
    assert calls
    assert {call.name for call in calls} <= {"weather", "tides"}
    assert all(set(call.args or {}) == {"city", "days"} for call in calls)
    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"output": f"fine {number}"}
            )
        )
        for number, call in enumerate(calls)
    ]
    asked += [
        types.Content(role="model", parts=[types.Part(function_call=call) for call in calls]),
        types.Content(role="user", parts=results),
    ]
    plain = types.GenerateContentConfig(tools=TOOLS, automatic_function_calling=NO_LOOP)
    await models.generate_content(model=model, contents=asked, config=plain)
    heard = json.dumps(world.provider_of(model).body())
    assert all(f"fine {number}" in heard for number in range(len(calls)))
    assert all(heard.count(str(call.id)) == 2 for call in calls)


@BOTH
async def test_schema(for_gemini: genai.Client, world: World, model: str) -> None:
    """A response schema in Google's dialect becomes the provider's own, and the answer parses."""
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Forecast
    )
    answer = await for_gemini.aio.models.generate_content(
        model=model, contents="forecast", config=config
    )
    assert isinstance(answer.parsed, Forecast)
    sent = json.dumps(world.provider_of(model).body())
    assert '"type": "object"' in sent
    assert '"OBJECT"' not in sent


@BOTH
async def test_image_and_settings(for_gemini: genai.Client, world: World, model: str) -> None:
    """An image, the system prompt and the settings arrive."""
    contents: Any = ["what?", types.Part.from_bytes(data=PIXEL, mime_type="image/png")]
    config = types.GenerateContentConfig(
        system_instruction="Be terse.", max_output_tokens=50, temperature=0.5, stop_sequences=["X"]
    )
    await for_gemini.aio.models.generate_content(model=model, contents=contents, config=config)
    body = world.provider_of(model).body()
    sent = json.dumps(body)
    assert base64.b64encode(PIXEL).decode() in sent
    assert "Be terse." in sent
    assert body["temperature"] == 0.5
    assert (body.get("stop") or body.get("stop_sequences")) == ["X"]
    assert 50 in (body.get("max_tokens"), body.get("max_completion_tokens"))


async def test_count_tokens(for_gemini: genai.Client) -> None:
    """No provider here counts for Gemini: the caller gets the estimate, and is told so."""
    answer = await for_gemini.aio.models.count_tokens(model="alpha-model", contents="hello " * 50)
    assert answer.total_tokens is not None
    assert 40 < answer.total_tokens < 120
    assert answer.sdk_http_response is not None
    headers = {k.lower(): v for k, v in (answer.sdk_http_response.headers or {}).items()}
    assert headers["x-sidecar-estimate"] == "input_tokens"


async def test_models(for_gemini: genai.Client) -> None:
    """Routes and models are listed in Google's shape."""
    names = [model.name async for model in await for_gemini.aio.models.list()]
    assert {"models/alpha-model", "models/beta-first"} <= set(names)
    assert (await for_gemini.aio.models.get(model="beta-first")).name == "models/beta-first"


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
async def test_an_unknown_model(for_gemini: genai.Client, is_stream: bool) -> None:
    """A name that leads nowhere is Google's 404."""
    models = for_gemini.aio.models
    asks = models.generate_content_stream if is_stream else models.generate_content
    with pytest.raises(errors.ClientError, match="nobody") as caught:
        await gather(asks(model="nobody", contents="hello"))
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


async def test_failover_and_its_end(for_gemini: genai.Client, world: World) -> None:
    """One provider's outage is unseen; with both out, Google's 503 says why."""
    out = [Fault(kind=FaultKind.STATUS, status=503)]
    await world.servers["alpha"].set_faults(out)
    models = for_gemini.aio.models
    answer = await models.generate_content(model="alpha-first", contents="hello")
    assert answer.text == said("beta-model")
    await world.servers["beta"].set_faults(out)
    with pytest.raises(errors.ServerError) as caught:
        await models.generate_content(model="alpha-first", contents="hello")
    assert (caught.value.code, caught.value.status) == (503, "UNAVAILABLE")
    assert "beta/beta-model" in str(caught.value.message)


async def test_a_stream_that_breaks(for_gemini: genai.Client, world: World) -> None:
    """After the first words a broken stream raises; it never ends as if it were whole."""
    reset = Fault(kind=FaultKind.RESET_AFTER, after_tokens=3)
    await world.servers["alpha"].set_faults([reset])
    stream = await for_gemini.aio.models.generate_content_stream(
        model="alpha-model", contents="hello"
    )
    assert (await anext(stream)).text
    with pytest.raises(errors.ServerError) as caught:
        await drain(stream)
    assert caught.value.status == "UNAVAILABLE"


async def test_the_callers_key_stays_here(for_gemini: genai.Client, world: World) -> None:
    """No provider sees the caller's key, be it in the header or in the query."""
    await for_gemini.aio.models.generate_content(model="alpha-model", contents="hello")
    for request in (*world.alpha.requests, *world.beta.requests):
        assert CALLERS_KEY not in repr(request)


async def test_an_array_without_alt_sse(world: World, http: aiohttp.ClientSession) -> None:
    """Without ``alt=sse`` a stream is one JSON array; the key in the query goes nowhere."""
    url = f"{world.url}/v1beta/models/alpha-model:streamGenerateContent?key={CALLERS_KEY}"
    body = {"contents": [{"parts": [{"text": "hello"}]}], "sidecar": {"within": "9s"}}
    async with http.post(url, json=body) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        chunks = json.loads(await answer.text())
    texts = [part["text"] for c in chunks for part in c["candidates"][0]["content"]["parts"]]
    assert "".join(texts) == said("alpha-model")
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert "sidecar" not in world.alpha.body()
    assert CALLERS_KEY not in repr(world.alpha.requests)
