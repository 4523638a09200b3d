"""Writing Anthropic requests: the rules that the API enforces with a 400."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sidecar.errors import WireError
from sidecar.wire.anthropic_messages import AnthropicMessagesCodec
from sidecar.wire.anthropic_render import MAX_TOKENS_DEFAULT
from sidecar.wire.neutral import (
    Conversation,
    ImagePart,
    OutputFormat,
    OutputMode,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    Turn,
)

CODEC = AnthropicMessagesCodec()
PARAMS = TypeAdapter(MessageCreateParamsNonStreaming)


def user(*parts: Part) -> Turn:
    """Return a user turn."""
    return Turn(role=Role.USER, parts=parts)


def assistant(*parts: Part) -> Turn:
    """Return an assistant turn."""
    return Turn(role=Role.ASSISTANT, parts=parts)


HELLO = user(TextPart(text="hello"))
CALL = ToolCallPart(id="c1", name="f", arguments="{}")
RESULT = ToolResultPart(call_id="c1", content=(TextPart(text="42"),))
TOOL = Tool(name="f", schema=b'{"type":"object"}')
REQUIRED = ToolChoice(mode=ToolChoiceMode.REQUIRED)


def exhaust(value: object) -> None:
    """Walk to the leaves: pydantic checks the SDK's iterables only while they are read."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, Iterable) and not isinstance(value, str):
        for item in value:
            exhaust(item)


def render(*turns: Turn, **fields: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the body, which the SDK's own types accept, and what was dropped."""
    whole: dict[str, Any] = {"system": (), "turns": turns or (HELLO,)} | fields
    rendered = CODEC.render_request(
        Conversation(**whole),
        model="claude",
        is_stream=False,
        max_tokens_field="max_tokens",
    )
    exhaust(PARAMS.validate_python(json.loads(rendered.body)))
    return json.loads(rendered.body), rendered.dropped


def text(words: str) -> dict[str, str]:
    """Return a text block."""
    return {"type": "text", "text": words}


def messages(*turns: Turn) -> list[dict[str, Any]]:
    """Return the messages of a rendered conversation."""
    return list(render(*turns)[0]["messages"])


# --- turns -------------------------------------------------------------------------------------


def test_neighbours_of_one_role_merge_with_tool_results_first() -> None:
    """Roles alternate, and the results of a turn stand before anything the user adds."""
    got = messages(HELLO, assistant(CALL), user(TextPart(text="and")), user(RESULT))
    assert [message["role"] for message in got] == ["user", "assistant", "user"]
    assert [block["type"] for block in got[2]["content"]] == ["tool_result", "text"]


@pytest.mark.parametrize(
    ("turns", "roles"),
    [
        ((assistant(TextPart(text="hi")), HELLO), ["user", "assistant", "user"]),
        ((user(TextPart(text=" \n")),), ["user"]),
        ((HELLO, assistant(TextPart(text="")), HELLO), ["user"]),
    ],
)
def test_the_user_begins_and_nothing_is_blank(turns: tuple[Turn, ...], roles: list[str]) -> None:
    """A missing first turn is stood in for; blank text and empty turns are not sent."""
    got = messages(*turns)
    assert [message["role"] for message in got] == roles
    assert all(block["text"].strip() for message in got for block in message["content"])


def test_a_begun_answer_ends_in_no_white_space() -> None:
    """The API refuses to continue an answer that ends in white space."""
    assert messages(HELLO, assistant(TextPart(text="Dear \n")))[-1]["content"] == [text("Dear")]


def test_every_part_has_its_block() -> None:
    """Pictures, calls, results, refusals and signed thinking are written as the API has them."""
    picture = ImagePart(media_type="image/png", data="QQ==")
    signed = ReasoningPart(text="hm", signature="s")
    result = ToolResultPart(call_id="a.b:0", content=(picture,), is_error=True)
    call = ToolCallPart(id="a.b:0", name="f", arguments=' {"x":1.0}')
    refusal = RefusalPart(text="no")
    got = messages(
        user(ImagePart(url="https://x/y.png")),
        assistant(signed, ReasoningPart(redacted="r"), refusal, call),
        user(result),
    )
    source = {"type": "base64", "media_type": "image/png", "data": "QQ=="}
    assert got == [
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "r"},
                text("no"),
                {"type": "tool_use", "id": "a_b_0", "name": "f", "input": {"x": 1.0}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a_b_0",
                    "content": [{"type": "image", "source": source}],
                    "is_error": True,
                }
            ],
        },
    ]


def test_unsigned_thinking_is_dropped_by_name() -> None:
    """Another provider's thinking has no signature that Anthropic would take."""
    body, dropped = render(HELLO, assistant(ReasoningPart(text="hm"), CALL), user(RESULT))
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert dropped == ("reasoning",)


@pytest.mark.parametrize(("arguments", "value"), [("", {}), (" ", {}), ('{"a":[1]}', {"a": [1]})])
def test_arguments_become_an_object(arguments: str, value: object) -> None:
    """No arguments at all are an empty object."""
    got = messages(HELLO, assistant(ToolCallPart(id="c", name="f", arguments=arguments)))
    assert got[1]["content"][0]["input"] == value


@pytest.mark.parametrize("arguments", ["{", "[]", "1", '{"a":1} x', "null"])
def test_broken_arguments_are_an_error(arguments: str) -> None:
    """What is not JSON of an object cannot be sent."""
    with pytest.raises(WireError):
        messages(HELLO, assistant(ToolCallPart(id="c", name="f", arguments=arguments)))


PARTS = st.sampled_from(
    [TextPart(text="a"), TextPart(text=" "), RESULT, CALL, ReasoningPart(text="hm")]
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Role), st.lists(PARTS, max_size=3)), max_size=6))
def test_any_history_alternates(history: list[tuple[Role, list[Any]]]) -> None:
    """Whatever the turns, roles alternate from the user on and no message is empty."""
    body, _ = render(*(Turn(role=role, parts=tuple(parts)) for role, parts in history))
    roles = [message["role"] for message in body["messages"]]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    assert all(message["content"] for message in body["messages"])


# --- parameters --------------------------------------------------------------------------------


def test_the_required_bound_has_a_default() -> None:
    """The API answers nothing without ``max_tokens``; a caller's own is kept."""
    assert render()[0]["max_tokens"] == MAX_TOKENS_DEFAULT
    assert render(max_tokens=7)[0]["max_tokens"] == 7


def test_streams_and_plain_fields_are_written() -> None:
    """System prompts are blocks in order; stop, user and stream flag stand in their fields."""
    wanted = Conversation(system=("one", " ", "two"), turns=(HELLO,), stop=("x", " "), user_id="u")
    rendered = CODEC.render_request(
        wanted, model="claude", is_stream=True, max_tokens_field="max_tokens"
    )
    body = json.loads(rendered.body)
    assert body["system"] == [text("one"), text("two")]
    assert body["stop_sequences"] == ["x"]
    assert body["metadata"] == {"user_id": "u"}
    assert body["stream"] is True
    assert rendered.dropped == ("stop",)


@pytest.mark.parametrize(
    ("sampling", "fields", "dropped"),
    [
        (Sampling(temperature=0.5, top_k=3), {"temperature": 0.5, "top_k": 3}, ()),
        (Sampling(temperature=1.5), {"temperature": 1.0}, ("temperature",)),
        (Sampling(top_p=0.5), {"top_p": 0.5}, ()),
        (Sampling(temperature=0.5, top_p=0.5), {"temperature": 0.5}, ("top_p",)),
        (
            Sampling(seed=0, presence_penalty=0.0, frequency_penalty=0.1),
            {},
            ("seed", "frequency_penalty"),
        ),
    ],
)
def test_sampling_is_what_the_api_takes(
    sampling: Sampling, fields: dict[str, float], dropped: tuple[str, ...]
) -> None:
    """Temperature ends at 1 and excludes ``top_p``; what has no field is named."""
    body, named = render(sampling=sampling)
    assert {k: body[k] for k in ("temperature", "top_p", "top_k") if k in body} == fields
    assert named == dropped


@pytest.mark.parametrize(
    ("fields", "budget", "max_tokens", "dropped"),
    [
        ({"reasoning_effort": "low"}, 1024, MAX_TOKENS_DEFAULT + 1024, ()),
        ({"reasoning_effort": "high", "max_tokens": 20_000}, 16_384, 20_000, ()),
        ({"reasoning_effort": "high", "max_tokens": 8000}, 4000, 8000, ()),
        ({"reasoning_effort": "low", "max_tokens": 1024}, None, 1024, ("reasoning_effort",)),
        ({"reasoning_tokens": 2000, "max_tokens": 3000}, 2000, 3000, ()),
        ({"reasoning_tokens": 10, "max_tokens": 3000}, 1024, 3000, ()),
        (
            {"reasoning_effort": "low", "tools": (TOOL,), "tool_choice": REQUIRED},
            None,
            MAX_TOKENS_DEFAULT,
            ("reasoning_effort",),
        ),
    ],
)
def test_thinking_fits_its_bound(
    fields: dict[str, Any], budget: int | None, max_tokens: int, dropped: tuple[str, ...]
) -> None:
    """A budget is below ``max_tokens``, which stays the caller's; forced tools exclude it."""
    body, named = render(**fields)
    assert body.get("thinking", {}).get("budget_tokens") == budget
    assert body["max_tokens"] == max_tokens
    assert named == dropped


@pytest.mark.parametrize(
    ("turn", "may_think"),
    [(assistant(CALL), False), (assistant(ReasoningPart(text="h", signature="s"), CALL), True)],
)
def test_thinking_needs_signed_tool_loops(turn: Turn, *, may_think: bool) -> None:
    """A tool loop begun elsewhere cannot go on with thinking."""
    body, dropped = render(HELLO, turn, user(RESULT), reasoning_effort="low")
    assert ("thinking" in body) is may_think
    assert dropped == (() if may_think else ("reasoning_effort",))


def test_thinking_takes_no_sampling() -> None:
    """The API refuses sampling parameters beside thinking; they are named."""
    body, dropped = render(reasoning_effort="low", sampling=Sampling(temperature=0.5, top_k=1))
    assert not {"temperature", "top_k"} & set(body)
    assert dropped == ("temperature", "top_k")


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, None),
        (ToolChoice(), {"type": "auto"}),
        (ToolChoice(is_parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode=ToolChoiceMode.NONE, is_parallel=False), {"type": "none"}),
        (REQUIRED, {"type": "any"}),
        (ToolChoice(mode=ToolChoiceMode.NAMED, name="f"), {"type": "tool", "name": "f"}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, written: object) -> None:
    """Every mode has its form; a choice without tools is not sent."""
    assert render(tools=(TOOL,), tool_choice=choice)[0].get("tool_choice") == written
    assert "tool_choice" not in render(tool_choice=choice)[0]


def test_tool_schemas_say_object() -> None:
    """A schema left out or without a type becomes that of an object; others stay as they are."""
    bare, typed = (
        Tool(name="a"),
        Tool(name="b", schema=TOOL.schema, description="d", is_strict=True),
    )
    assert render(tools=(bare, typed))[0]["tools"] == [
        {"name": "a", "input_schema": {"type": "object"}},
        {"name": "b", "input_schema": {"type": "object"}, "description": "d", "strict": True},
    ]


def test_structured_output() -> None:
    """A JSON schema has its field; JSON without a schema has none and is named."""
    schema = OutputFormat(mode=OutputMode.JSON_SCHEMA, name="n", schema=b'{"type":"object"}')
    wanted = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert render(output=schema)[0]["output_config"] == wanted
    assert render(output=OutputFormat(mode=OutputMode.JSON_OBJECT))[1] == ("response_format",)
