"""Anthropic requests: reading them, and writing them so that the API accepts them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import TypeAdapter

from sidecar.abilities import Ability
from sidecar.errors import WireError
from sidecar.wire.anthropic_messages import AnthropicMessagesCodec
from sidecar.wire.anthropic_request import inspect_count
from sidecar.wire.neutral import (
    Conversation,
    TextPart,
    ToolCallPart,
    Turn,
)

CODEC = AnthropicMessagesCodec()
PARAMS = TypeAdapter(MessageCreateParamsNonStreaming)
RECORDED = Path(__file__).parent / "recorded" / "anthropic"


def recorded_requests(api: str) -> list[Any]:
    """Return every recorded request body to ``/v1/…``, named by file and index."""
    return [
        pytest.param(entry["request"]["body_text"].encode(), id=f"{path.stem[:60]}-{number}")
        for path in sorted(RECORDED.glob("*.json"))
        for number, entry in enumerate(json.loads(path.read_bytes())["interactions"])
        if entry["api"] == api and entry["request"].get("body_text")
    ]


MESSAGES = recorded_requests("messages")


def request(**fields: object) -> bytes:
    """Return a request body with ``fields`` on top of the required ones."""
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps(body | fields).encode()


def content(*blocks: dict[str, Any], role: str = "user") -> bytes:
    """Return a request whose one message has ``blocks``."""
    return request(messages=[{"role": role, "content": list(blocks)}])


# --- recorded traffic --------------------------------------------------------------------------


@pytest.mark.parametrize("body", MESSAGES)
def test_recorded_requests_survive_the_neutral_form(body: bytes) -> None:
    """Whatever the neutral form holds of real requests is still there after writing it anew."""
    first = CODEC.parse_request(body)
    first = replace(first, dropped=(), reasoning_effort=None)  # an effort is sent as a budget
    again = CODEC.render_request(
        first, model="claude", is_stream=False, max_tokens_field="max_tokens"
    )
    PARAMS.validate_python(json.loads(again.body))
    second = CODEC.parse_request(again.body)
    assert again.dropped == ()
    assert _comparable(second) == _comparable(first)


def _comparable(wanted: Conversation) -> Conversation:
    """Return the conversation with its JSON in one spelling, its turns joined as the API joins."""
    turns: list[Turn] = []
    for turn in wanted.turns:
        parts = tuple(
            replace(part, arguments=_spelled(part.arguments))
            if isinstance(part, ToolCallPart)
            else part
            for part in turn.parts
        )
        if turns and turns[-1].role is turn.role:
            turns[-1] = replace(turn, parts=turns[-1].parts + parts)
        elif parts:
            turns.append(replace(turn, parts=parts))
    tools = tuple(replace(t, schema=_spelled(t.schema).encode()) for t in wanted.tools)
    schema = wanted.output.schema
    output = replace(wanted.output, schema=schema and _spelled(schema).encode())
    choice = wanted.tool_choice if tools else None
    return replace(wanted, turns=tuple(turns), tools=tools, output=output, tool_choice=choice)


def _spelled(text: str | bytes) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


@pytest.mark.parametrize("body", MESSAGES)
def test_recorded_requests_lose_nothing_in_silence(body: bytes) -> None:
    """Text, tools and pictures of real requests are all in the neutral form or named as dropped."""
    plain = json.loads(body)
    parsed = CODEC.parse_request(body)
    named = set(parsed.dropped)
    blocks = [
        block
        for message in plain["messages"]
        if message["role"] != "system" and isinstance(message["content"], list)
        for block in message["content"]
    ]
    parts = [part for turn in parsed.turns for part in turn.parts]
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    assert [b["text"] for b in blocks if b["type"] == "text"] == [
        text for text in texts if text not in _strings(plain)
    ]
    known = {"text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking"}
    assert {block["type"] for block in blocks} - known <= named
    names = [tool.name for tool in parsed.tools]
    assert names == [tool["name"] for tool in plain.get("tools", []) if "input_schema" in tool]


def _strings(plain: dict[str, Any]) -> set[str]:
    contents = [message["content"] for message in plain["messages"]]
    return {text for text in contents if isinstance(text, str)}


@pytest.mark.parametrize("body", MESSAGES)
def test_facts_of_recorded_requests(body: bytes) -> None:
    """The facts agree with a plain reading, and what is untranslatable is also named as dropped."""
    plain = json.loads(body)
    facts = CODEC.inspect_request(body)
    assert facts.model == plain["model"]
    assert facts.is_stream is bool(plain.get("stream"))
    assert facts.max_tokens == plain["max_tokens"]
    assert facts.has_tools is bool(plain.get("tools"))
    dropped = CODEC.parse_request(body).dropped
    assert set(facts.untranslatable) - {"prefill"} <= set(dropped)


@pytest.mark.parametrize("body", MESSAGES)
def test_rewriting_changes_only_the_model(body: bytes) -> None:
    """The provider gets the caller's bytes but for the model's name."""
    name = json.dumps(json.loads(body)["model"]).encode()
    assert CODEC.rewrite_request(body, model="other") == body.replace(name, b'"other"', 1)


@pytest.mark.parametrize("body", recorded_requests("count_tokens"))
def test_counting_needs_no_max_tokens(body: bytes) -> None:
    """Requests to count tokens are read although they bound no answer."""
    facts = inspect_count(body)
    assert facts.max_tokens is None
    assert facts.prompt_tokens > 0


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"max_tokens":1,"messages":[]}', "$"),
        (b'{"model":"m","messages":[]}', "$"),
        (b'{"model":"m","max_tokens":1}', "$"),
        (b"[]", "$"),
        (b'{"model":"m"', "$"),
        (b'{"model":"\xff","max_tokens":1,"messages":[]}', "$"),
        (request(model=1), "$.model"),
        (request(max_tokens="9"), "$.max_tokens"),
        (request(messages=[{"role": "user", "content": 1}]), "$.messages[0].content"),
        (request(system=7), "$.system"),
    ],
)
def test_bad_requests_say_where(body: bytes, path: str) -> None:
    """A missing or wrong field that the engine needs is found by either reading."""
    for read in (CODEC.inspect_request, CODEC.parse_request):
        with pytest.raises(WireError) as caught:
            read(body)
        assert caught.value.path == path


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (content({"type": "text", "text": 1}), "$.messages[0].content[0].text"),
        (
            content({"type": "tool_use", "id": "a", "name": "b", "input": []}),
            "$.messages[0].content[0].input",
        ),
        (content({"type": "image", "source": {"type": "url"}}), "$.messages[0].content[0].source"),
        (
            content({"type": "tool_result", "tool_use_id": "a", "content": [{"type": 1}]}),
            "$.messages[0].content[0].content[0].type",
        ),
        (request(tools=[{"name": "a"}]), "$.tools[0]"),
        (request(tool_choice={"type": "tool"}), "$.tool_choice"),
        (request(tool_choice={"type": "maybe"}), "$.tool_choice.type"),
        (request(thinking={"type": "enabled"}), "$.thinking"),
        (request(temperature="hot"), "$.temperature"),
        (request(messages=[{"role": "tool", "content": "x"}]), "$.messages[0].role"),
    ],
)
def test_translation_checks_every_field(body: bytes, path: str) -> None:
    """A wrong field that has to be translated is an error with its place."""
    with pytest.raises(WireError) as caught:
        CODEC.parse_request(body)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        (content({"type": "document", "source": {"type": "text", "data": "x"}}), "document"),
        (content({"type": "future_block", "text": {"no": "string"}}), "future_block"),
        (content({"type": "image", "source": {"type": "file", "file_id": "f"}}), "image_file"),
        (request(tools=[{"type": "web_search_20250305", "name": "w"}]), "web_search_20250305"),
        (request(mcp_servers=[{"url": "u"}]), "mcp_servers"),
        (request(container="c"), "container"),
    ],
)
def test_what_only_anthropic_can_do_is_untranslatable(body: bytes, feature: str) -> None:
    """No other format is tried for features that change the answer; a translation names them."""
    assert CODEC.inspect_request(body).untranslatable == (feature,)
    assert CODEC.parse_request(body).dropped == (feature,)


def test_prefill_is_untranslatable() -> None:
    """A begun answer is continued by this format alone: others would answer anew."""
    assert CODEC.inspect_request(content(role="assistant")).untranslatable == ("prefill",)


def test_polish_is_dropped_by_name() -> None:
    """Fields that change price or polish do not stop a translation, but are named."""
    body = request(
        service_tier="auto",
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        thinking={"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
        container=None,
    )
    parsed = CODEC.parse_request(body)
    assert parsed.dropped == ("service_tier", "cache_control", "thinking.display")
    assert parsed.reasoning_tokens == 2000
    assert CODEC.inspect_request(body).untranslatable == ()


def test_system_messages_join_the_system_prompt() -> None:
    """Instructions in the middle of a conversation are instructions still."""
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": "two"}]
    assert CODEC.parse_request(request(system="one", messages=messages)).system == ("one", "two")


def test_pictures_count_by_the_piece() -> None:
    """Base64 is never counted as text; pictures within tool results are seen."""
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 90_000}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}
    result["content"] = [{"type": "image", "source": source}, {"type": "text", "text": "x" * 36}]
    facts = CODEC.inspect_request(content(result))
    assert facts.has_images
    assert facts.prompt_tokens == 1600 + 10


def test_rewriting_can_replace_prompt_and_bound() -> None:
    """Asked to, a rewrite replaces system prompt and bound and keeps the rest."""
    body = b'{"model": "a", "x": 1.50, "system":[{}], "max_tokens": 9}'
    new = CODEC.rewrite_request(body, model="b", system="s", max_tokens=("max_tokens", 5))
    assert new == b'{"model": "b", "x": 1.50, "system":"s", "max_tokens": 5}'


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"tool_choice": {"type": "auto"}}, set()),
        ({"tool_choice": {"type": "any"}}, {Ability.FORCED_TOOL}),
        ({"tool_choice": {"type": "tool", "name": "f"}}, {Ability.FORCED_TOOL}),
        ({"output_format": {"type": "json_schema", "schema": {}}}, {Ability.SCHEMA}),
        ({"output_config": {"format": {"type": "json_schema"}}}, {Ability.SCHEMA}),
        ({"output_config": {"effort": "low"}}, set()),
        ({"messages": [{"role": "assistant", "content": "{"}]}, {Ability.PREFILL}),
    ],
)
def test_what_a_model_must_be_able_to_do(extra: dict[str, object], expected: set[Ability]) -> None:
    """A request's needs are read off it without asking anybody."""
    facts = CODEC.inspect_request(request(**extra))
    assert facts.all_needs() == expected
