"""OpenAI's SDK asks in Responses, answered by providers that speak only other formats.

Every test runs with a provider of OpenAI's chat and one of Anthropic's format: what a caller sees
must not depend on who answers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from sidecar.upstream.simulated import Fault, FaultKind
from tests.clients.test_openai_callers import PARAMETERS, PIXEL, Forecast, said

if TYPE_CHECKING:
    from tests.clients.conftest import World

BOTH = pytest.mark.parametrize("model", ["alpha-model", "beta-model"])
TOOLS: Any = [
    {"type": "function", "name": name, "description": "?", "parameters": PARAMETERS, "strict": True}
    for name in ("weather", "tides")
]


@BOTH
async def test_text(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """A plain answer has the provider's text, a status and the provider's counts."""
    answer = await for_openai.responses.create(model=model, input="hello", instructions="Be brief.")
    assert answer.output_text == said(model)
    assert (answer.object, answer.status, answer.error) == ("response", "completed", None)
    assert answer.id.startswith("resp_")
    (entry,) = [e for e in world.provider_of(model).log if not e.path.endswith("/models")]
    assert answer.usage is not None
    assert answer.usage.input_tokens == entry.prompt_tokens
    assert answer.usage.output_tokens == entry.output_tokens == 12
    assert answer.usage.total_tokens == entry.prompt_tokens + 12
    assert "Be brief." in json.dumps(world.provider_of(model).body())


@BOTH
async def test_stream(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """A stream plays the whole script in order, numbered, and ends with the whole answer."""
    stream = await for_openai.responses.create(model=model, input="hello", stream=True)
    events: list[Any] = [event async for event in stream]
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == said(model)
    assert events[-1].response.output_text == said(model)
    assert events[-1].response.usage.output_tokens == 12


@BOTH
async def test_accumulated_stream(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """The SDK's own accumulation of a stream ends in a whole response."""
    async with for_openai.responses.stream(model=model, input="hello") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds.count("response.output_text.done") == 1
    assert final.output_text == said(model)


@BOTH
async def test_parse(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """A structured answer keeps its schema and parses into the caller's class, streamed too."""
    answer = await for_openai.responses.parse(model=model, input="hello", text_format=Forecast)
    assert isinstance(answer.output_parsed, Forecast)
    async with for_openai.responses.stream(
        model=model, input="hello", text_format=Forecast
    ) as stream:
        final = await stream.get_final_response()
    assert final.output_parsed == answer.output_parsed


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
async def test_tool_loop(
    for_openai: openai.AsyncOpenAI, world: World, model: str, is_stream: bool
) -> None:
    """Two calls come with arguments, their results return by id, and the answer is words."""
    turns: list[Any] = [{"role": "user", "content": "please use two tools"}]
    ask: Any = {"model": model, "tools": TOOLS}
    if is_stream:
        async with for_openai.responses.stream(input=turns, **ask) as stream:
            first: Any = await stream.get_final_response()
    else:
        first = await for_openai.responses.create(input=turns, **ask)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["weather", "tides"]
    assert len({call.call_id for call in calls} | {call.id for call in calls}) == 4
    for call in calls:
        Forecast.model_validate_json(call.arguments)
    turns += [item.model_dump(exclude_none=True) for item in first.output]
    turns += [
        {"type": "function_call_output", "call_id": call.call_id, "output": call.call_id[::-1]}
        for call in calls
    ]
    second = await for_openai.responses.create(input=turns, **ask)
    assert second.output_text == said(model)
    sent = world.provider_of(model).body()["messages"]
    if model == "beta-model":
        assert [turn["role"] for turn in sent] == ["user", "assistant", "user"]
        assert [part["tool_use_id"] for part in sent[2]["content"]] == [c.call_id for c in calls]
    else:
        assert [turn["role"] for turn in sent] == ["user", "assistant", "tool", "tool"]
        assert [turn["tool_call_id"] for turn in sent[2:]] == [c.call_id for c in calls]


@BOTH
async def test_forced_tool(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """A forced tool is called though nobody mentioned it."""
    answer = await for_openai.responses.create(
        model=model, input="hello", tools=TOOLS, tool_choice={"type": "function", "name": "tides"}
    )
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert call.name == "tides"


@BOTH
async def test_image(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """A picture in a data URL arrives as the provider's own kind of picture."""
    url = f"data:image/png;base64,{PIXEL}"
    parts: Any = [
        {"type": "input_text", "text": "what?"},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    await for_openai.responses.create(model=model, input=[{"role": "user", "content": parts}])
    part = world.provider_of(model).body()["messages"][0]["content"][1]
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    assert part in (
        {"type": "image", "source": source},
        {"type": "image_url", "image_url": {"url": url}},
    )


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
async def test_length(for_openai: openai.AsyncOpenAI, model: str, is_stream: bool) -> None:
    """An answer cut by its bound is incomplete, and says by what."""
    ask: Any = {"model": model, "input": "hello", "max_output_tokens": 5}
    if is_stream:
        stream: Any = await for_openai.responses.create(**ask, stream=True)
        last = [event async for event in stream][-1]
        assert last.type == "response.incomplete"
        answer = last.response
    else:
        answer = await for_openai.responses.create(**ask)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.output_text == said(model, 5)


@BOTH
async def test_losses_are_named(for_openai: openai.AsyncOpenAI, model: str) -> None:
    """What another format cannot say is named in a header; what holds by itself is not."""
    raw = await for_openai.responses.with_raw_response.create(
        model=model,
        input="hello",
        store=False,
        include=["reasoning.encrypted_content"],
        truncation="auto",
        metadata={},
    )
    assert raw.headers["x-sidecar-dropped"] == "include,truncation"


@pytest.mark.parametrize(
    "wish",
    [
        {"tools": [{"type": "web_search"}]},
        {"store": True},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
    ],
    ids=lambda wish: next(iter(wish)),
)
async def test_what_nobody_else_can_do(for_openai: openai.AsyncOpenAI, wish: Any) -> None:
    """A hosted tool, a wish to store or a file needs a provider of the format; none is refused."""
    ask: Any = {"model": "alpha-first", "input": "hello", **wish}
    with pytest.raises(openai.UnprocessableEntityError, match="can serve this call"):
        await for_openai.responses.create(**ask)


async def test_nobody_keeps_a_translated_answer(
    for_openai: openai.AsyncOpenAI, world: World
) -> None:
    """To go on from an answer that was translated is refused at once, with the place."""
    first = await for_openai.responses.create(model="beta-first", input="hello")
    with pytest.raises(openai.BadRequestError) as caught:
        await for_openai.responses.create(
            model="beta-first", input="and?", previous_response_id=first.id
        )
    body: Any = caught.value.body
    assert body["param"] == "previous_response_id"
    assert body["sidecar"]["path"] == "$.previous_response_id"
    assert "nobody keeps" in body["message"]
    assert len(world.beta.posts()) == 1


@BOTH
async def test_a_broken_stream(for_openai: openai.AsyncOpenAI, world: World, model: str) -> None:
    """A stream that breaks after its first words raises in the SDK, with our reason."""
    world.provider_of(model).faults = (Fault(kind=FaultKind.RESET_AFTER, after_tokens=4),)
    stream = await for_openai.responses.create(model=model, input="hello", stream=True)
    deltas: list[str] = []
    with pytest.raises(openai.APIError, match="broke off") as caught:
        await _collect(stream, deltas)
    assert "".join(deltas) == said(model, 4)
    body: Any = caught.value.body
    assert body["code"] == "upstream_interrupted"


async def _collect(stream: Any, deltas: list[str]) -> None:
    async for event in stream:
        deltas += [event.delta] if event.type == "response.output_text.delta" else []


async def test_failover(for_openai: openai.AsyncOpenAI, world: World) -> None:
    """Another format's provider takes over before the first words, unseen."""
    world.alpha.faults = (Fault(kind=FaultKind.STATUS),)
    raw = await for_openai.responses.with_raw_response.create(model="alpha-first", input="hello")
    assert raw.parse().output_text == said("beta-model")
    assert raw.headers["x-sidecar-attempts"] == "alpha/alpha-model:S5,beta/beta-model:OK"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_static_answer(for_openai: openai.AsyncOpenAI, world: World, is_stream: bool) -> None:
    """The answer of last resort comes in this format too, marked as such."""
    world.beta.faults = (Fault(kind=FaultKind.STATUS),)
    create = for_openai.responses.with_raw_response.create
    raw: Any = await create(model="modest", input="hello", stream=is_stream)
    assert raw.headers["x-sidecar-degraded"].endswith(";static")
    answer = raw.parse()
    if is_stream:
        answer = [event async for event in answer][-1].response
    assert answer.output_text == '{"label": "unknown"}'


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"input": []}, "input"),
        ({"background": True}, "background"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ],
    ids=str,
)
async def test_bad_request(for_openai: openai.AsyncOpenAI, wish: Any, param: str) -> None:
    """A faulty request is refused in OpenAI's shape, which names the field."""
    ask: Any = {"model": "alpha-model", "input": "hello", **wish}
    with pytest.raises(openai.BadRequestError) as caught:
        await for_openai.responses.create(**ask)
    assert caught.value.param == param
