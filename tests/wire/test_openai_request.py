"""OpenAI chat requests: recorded ones, and every field by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.abilities import Ability
from sidecar.errors import WireError
from sidecar.wire.neutral import (
    Conversation,
    ImagePart,
    OutputFormat,
    OutputMode,
    ReasoningPart,
    RefusalPart,
    Rendered,
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
from sidecar.wire.openai_chat import OpenAIChatCodec

CODEC = OpenAIChatCodec()
RECORDED = Path(__file__).parent / "recorded" / "openai"


def recorded_requests() -> list[Any]:
    """Return every recorded chat request with its name."""
    return [
        pytest.param(interaction["request"]["body_text"].encode(), id=f"{path.stem}-{position}")
        for path in sorted(RECORDED.glob("*.json"))
        for position, interaction in enumerate(json.loads(path.read_text())["interactions"])
        if interaction["api"] in {"chat", "openai_chat"}
    ]


def request(**fields: object) -> bytes:
    """Return a request with one user message and these fields."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return json.dumps(body).encode()


def messages(*items: dict[str, object]) -> Conversation:
    """Return what a request of these messages means."""
    return CODEC.parse_request(request(messages=items))


def render(conversation: Conversation, *, is_stream: bool = False) -> Rendered:
    """Return the rendered request."""
    return CODEC.render_request(
        conversation, model="m", is_stream=is_stream, max_tokens_field="max_tokens"
    )


def without_unsayable(conversation: Conversation) -> Conversation:
    """Return the conversation without what an OpenAI request cannot say: reasoning, reports."""
    turns = (
        replace(turn, parts=tuple(p for p in turn.parts if not isinstance(p, ReasoningPart)))
        for turn in conversation.turns
    )
    return replace(conversation, turns=tuple(t for t in turns if t.parts), dropped=())


def all_text(value: object, keys: tuple[str, ...]) -> list[str]:
    """Return the non-empty strings under ``keys``, anywhere in a JSON value: a naive reading."""
    if isinstance(value, list):
        return [text for item in value for text in all_text(item, keys)]
    if not isinstance(value, dict):
        return []
    own = [value[k] for k in keys if isinstance(value.get(k), str) and value[k]]
    return own + [text for item in value.values() for text in all_text(item, keys)]


def texts_of(conversation: Conversation) -> list[str]:
    """Return every text of a conversation."""
    parts = [part for turn in conversation.turns for part in turn.parts]
    inner = [p for part in parts if isinstance(part, ToolResultPart) for p in part.content]
    spoken = TextPart | ReasoningPart | RefusalPart
    return [*conversation.system, *(p.text for p in [*parts, *inner] if isinstance(p, spoken))]


@pytest.mark.parametrize("body", recorded_requests())
def test_recorded_request_loses_nothing(body: bytes) -> None:
    """Every text, tool call, tool and image of a real request is in the neutral form."""
    naive = json.loads(body)
    conversation = CODEC.parse_request(body)
    texts = sorted(texts_of(conversation))
    keys = ("content", "text", "reasoning", "reasoning_content", "refusal")
    expected = [t for m in naive["messages"] for t in all_text(_without_details(m), keys)]
    assert texts == sorted(expected)
    calls = [p for t in conversation.turns for p in t.parts if isinstance(p, ToolCallPart)]
    raw_calls = [c for m in naive["messages"] for c in m.get("tool_calls") or []]
    assert [(c.id, c.name, c.arguments) for c in calls] == [
        (c["id"], c["function"]["name"], c["function"]["arguments"]) for c in raw_calls
    ]
    functions = [t["function"]["name"] for t in naive.get("tools") or [] if "function" in t]
    assert [tool.name for tool in conversation.tools] == functions
    facts = CODEC.inspect_request(body)
    assert facts.model == naive["model"]
    assert facts.is_stream == bool(naive.get("stream"))
    assert facts.has_images == ("image_url" in all_text(naive["messages"], ("type",)))
    assert 0 < facts.prompt_tokens < 20_000


def _without_details(message: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says the same a second time."""
    twice = {"reasoning_details", "tool_calls"}
    if message.get("reasoning_content") == message.get("reasoning"):
        twice.add("reasoning")
    return {k: v for k, v in message.items() if k not in twice}


@pytest.mark.parametrize("body", recorded_requests())
def test_recorded_request_survives_render(body: bytes) -> None:
    """Rendering and parsing again gives the same conversation."""
    conversation = without_unsayable(CODEC.parse_request(body))
    again = CODEC.parse_request(render(conversation).body)
    images = [p for t in conversation.turns for p in t.parts if isinstance(p, ToolResultPart)]
    if any(isinstance(inner, ImagePart) for result in images for inner in result.content):
        assert again.turns[-1].parts == tuple(
            p for r in images for p in r.content if isinstance(p, ImagePart)
        )
        return
    assert again == conversation


@pytest.mark.parametrize("body", recorded_requests())
def test_rewrite_changes_the_model_alone(body: bytes) -> None:
    """A forwarded request differs in the bytes of the model's name only."""
    name = json.dumps(json.loads(body)["model"]).encode()
    start = body.index(b'"model"')
    at = body.index(name, start + 7)
    changed = CODEC.rewrite_request(body, model="other/model")
    assert changed == body[:at] + b'"other/model"' + body[at + len(name) :]


def test_every_field_is_held() -> None:
    """All fields of the neutral form are read from where OpenAI has them."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    conversation = CODEC.parse_request(
        request(
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": "d",
                        "parameters": schema,
                        "strict": True,
                    },
                }
            ],
            tool_choice={"type": "function", "function": {"name": "f"}},
            parallel_tool_calls=False,
            max_completion_tokens=7,
            stop=["a", "b"],
            temperature=0,
            top_p=0.5,
            top_k=3,
            seed=4,
            frequency_penalty=0.1,
            presence_penalty=-0.1,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": schema, "strict": False},
            },
            reasoning_effort="low",
            user="u",
        )
    )
    raw = json.dumps(schema).encode()
    assert conversation == Conversation(
        system=(),
        turns=(Turn(role=Role.USER, parts=(TextPart(text="hi"),)),),
        tools=(Tool(name="f", description="d", schema=raw, is_strict=True),),
        tool_choice=ToolChoice(mode=ToolChoiceMode.NAMED, name="f", is_parallel=False),
        max_tokens=7,
        stop=("a", "b"),
        sampling=Sampling(
            temperature=0,
            top_p=0.5,
            top_k=3,
            seed=4,
            frequency_penalty=0.1,
            presence_penalty=-0.1,
        ),
        output=OutputFormat(mode=OutputMode.JSON_SCHEMA, name="n", schema=raw, is_strict=False),
        reasoning_effort="low",
        user_id="u",
    )
    rendered = render(conversation)
    assert rendered.dropped == ("top_k",)
    again = CODEC.parse_request(rendered.body)
    assert again == replace(conversation, sampling=replace(conversation.sampling, top_k=None))


def test_messages_become_turns() -> None:
    """System and developer text is gathered; all kinds of parts keep their place."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    conversation = messages(
        {"role": "system", "content": "one"},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            ],
        },
        {"role": "assistant", "content": "t", "reasoning_content": "r", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "42"}]},
        {"role": "assistant", "content": None, "refusal": "no"},
    )
    png = ImagePart(media_type="image/png", data="QUJD")
    result = ToolResultPart(call_id="c", content=(TextPart(text="42"),))
    called = ToolCallPart(id="c", name="f", arguments="{}")
    assert conversation.system == ("one", "two")
    assert [turn.parts for turn in conversation.turns] == [
        (TextPart(text="look"), png, ImagePart(url="https://x/y.png")),
        (ReasoningPart(text="r"), TextPart(text="t"), called),
        (result,),
        (RefusalPart(text="no"),),
    ]


@pytest.mark.parametrize(
    ("fields", "untranslatable", "dropped"),
    [
        ({"n": 2}, ("n",), ("n",)),
        ({"n": 1, "logprobs": False, "store": False, "logit_bias": {}}, (), ()),
        ({"logprobs": True, "top_logprobs": 2}, ("logprobs",), ("logprobs", "top_logprobs")),
        ({"modalities": ["text", "audio"], "audio": {}}, ("audio", "modalities"), None),
        ({"modalities": ["text"]}, (), ()),
        ({"functions": [{"name": "f"}]}, ("functions",), ("functions",)),
        ({"tools": [{"type": "custom", "custom": {}}]}, ("tools",), ("tools.custom",)),
        ({"logit_bias": {"5": 1}, "prediction": {}}, (), ("logit_bias", "prediction")),
        ({"something_new": 1, "metadata": None}, (), ("something_new",)),
        ({"reasoning_effort": "none"}, (), ("reasoning_effort",)),
        ({"response_format": {"type": "grammar"}}, (), ("response_format",)),
    ],
)
def test_what_only_openai_can_say(
    fields: dict[str, object], untranslatable: tuple[str, ...], dropped: tuple[str, ...] | None
) -> None:
    """A feature of this format alone bars translation or is reported, never lost in silence."""
    body = request(**fields)
    assert CODEC.inspect_request(body).untranslatable == untranslatable
    parsed = CODEC.parse_request(body).dropped
    assert set(parsed) == set(untranslatable if dropped is None else dropped)


@pytest.mark.parametrize("kind", ["input_audio", "file", "video_url"])
def test_unknown_parts_bar_translation(kind: str) -> None:
    """A part that another format would not see makes its answer one to another question."""
    body = request(messages=[{"role": "user", "content": [{"type": kind, kind: {}}]}])
    assert CODEC.inspect_request(body).untranslatable == (kind,)
    assert CODEC.parse_request(body).dropped == (f"messages.{kind}",)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"[]", "$"),
        (b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}', "$"),
        (b'{"messages":[{"role":"user","content":"x"}]}', "$"),
        (request(model=""), "$.model"),
        (request(model=5), "$.model"),
        (request(messages=[]), "$.messages"),
        (request(messages="x"), "$.messages"),
        (request(messages=[{"role": "user", "content": 5}]), "$.messages[0].content"),
        (request(messages=[{"role": "user"}, {"role": 1}]), "$.messages[1].role"),
        (request(stream="yes"), "$.stream"),
        (request(max_tokens="1"), "$.max_tokens"),
        (request(tools={}), "$.tools"),
    ],
)
def test_wrong_types_say_where(body: bytes, path: str) -> None:
    """A broken request is refused by the glance and by the whole reading, with its path."""
    for read in (CODEC.inspect_request, CODEC.parse_request):
        with pytest.raises(WireError) as caught:
            read(body)
        assert caught.value.path == path


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (request(messages=[{"role": "robot", "content": "x"}]), "$.messages[0].role"),
        (request(messages=[{"role": "tool", "content": "x"}]), "$.messages[0].tool_call_id"),
        (request(tool_choice="maybe"), "$.tool_choice"),
        (request(stop=5), "$.stop"),
        (request(response_format={"type": "json_schema"}), "$.response_format.json_schema"),
    ],
)
def test_values_without_meaning_say_where(body: bytes, path: str) -> None:
    """What has the right type but no meaning is refused with its path."""
    with pytest.raises(WireError) as caught:
        CODEC.parse_request(body)
    assert caught.value.path == path


def test_image_data_is_not_prompt_text() -> None:
    """Base64 counts as an image, not as characters."""
    url = "data:image/png;base64," + "A" * 100_000
    part = {"type": "image_url", "image_url": {"url": url}}
    facts = CODEC.inspect_request(request(messages=[{"role": "user", "content": [part]}]))
    assert facts.prompt_tokens == 800
    assert facts.has_images


def test_rewrite_with_prompt_and_bound() -> None:
    """A route's prompt replaces all system text, a bound replaces either bound; the rest stays."""
    kept = '{"role": "user", "content": "h\\u0069"}'
    body = (
        f'{{"model": "a", "max_tokens": 9, "messages": [{{"role": "system", "content": "s"}}, '
        f"{kept},"
        f' {{"role": "developer", "content": "d"}}], "x": 1.50}}'
    ).encode()
    changed = CODEC.rewrite_request(
        body, model="b", system="new", max_tokens=("max_completion_tokens", 5)
    )
    decoded = json.loads(changed)
    assert decoded["model"] == "b"
    assert decoded["max_completion_tokens"] == 5
    assert "max_tokens" not in decoded
    assert [m["content"] for m in decoded["messages"]] == ["new", "hi"]
    assert kept.encode() in changed
    assert b'"x": 1.50' in changed


def test_result_images_move_behind_all_results() -> None:
    """Tool messages stay together right after their calls; images follow in a user message."""
    image = ImagePart(url="https://x/y.png")
    results = [ToolResultPart(call_id=i, content=(TextPart(text=i), image)) for i in ("a", "b")]
    conversation = Conversation(
        system=(), turns=tuple(Turn(role=Role.USER, parts=(result,)) for result in results)
    )
    items = json.loads(render(conversation).body)["messages"]
    assert [m["role"] for m in items] == ["tool", "tool", "user"]
    assert len(items[2]["content"]) == 2


def test_render_reports_what_it_cannot_say() -> None:
    """Reasoning, a thinking budget and a failed tool are reported; a choice needs tools."""
    parts = (ReasoningPart(text="r", signature="s"), TextPart(text="t"))
    failed = ToolResultPart(call_id="c", content=(TextPart(text="x"),), is_error=True)
    conversation = Conversation(
        system=("s",),
        turns=(Turn(role=Role.ASSISTANT, parts=parts), Turn(role=Role.USER, parts=(failed,))),
        reasoning_tokens=1024,
        tool_choice=ToolChoice(),
        dropped=("metadata",),
    )
    rendered = render(conversation, is_stream=True)
    assert rendered.dropped == (
        "metadata",
        "messages.reasoning",
        "messages.tool_result.is_error",
        "thinking.budget_tokens",
    )
    assert json.loads(rendered.body) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "assistant", "content": "t"},
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, set()),
        ({"tool_choice": "auto", "logprobs": False, "response_format": {"type": "text"}}, set()),
        ({"tool_choice": "required"}, {Ability.FORCED_TOOL}),
        ({"tool_choice": {"type": "function"}}, {Ability.FORCED_TOOL}),
        ({"response_format": {"type": "json_schema"}}, {Ability.SCHEMA}),
        ({"response_format": {"type": "json_object"}}, set()),
        ({"logprobs": True}, {Ability.LOGPROBS}),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {Ability.TOOLS}),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            {Ability.VISION},
        ),
    ],
)
def test_what_a_model_must_be_able_to_do(extra: dict[str, object], expected: set[Ability]) -> None:
    """A request's needs are read off it without asking anybody."""
    facts = CODEC.inspect_request(request(**extra))
    assert facts.all_needs() == expected
