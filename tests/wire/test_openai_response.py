"""OpenAI chat answers and errors: recorded ones, and the corners by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.neutral import (
    Completion,
    Finish,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from sidecar.wire.openai_chat import OpenAIChatCodec

CODEC = OpenAIChatCodec()
RECORDED = Path(__file__).parent / "recorded" / "openai"


def recorded_bodies(*, is_error: bool) -> list[Any]:
    """Return every recorded whole answer, or every error body, with its name."""
    params = []
    for path in sorted(RECORDED.glob("*.json")):
        for position, interaction in enumerate(json.loads(path.read_text())["interactions"]):
            body = interaction["response"].get("body_text")
            if interaction["api"] not in {"chat", "openai_chat"} or not body:
                continue
            is_stream = bool(json.loads(interaction["request"]["body_text"]).get("stream"))
            status = interaction["response"]["status"]
            has_failed = status != 200 or '"error":' in body[:20].replace(" ", "")
            if has_failed == is_error and (is_error or not is_stream):
                params.append(pytest.param(body.encode(), id=f"{path.stem}-{position}"))
    return params


def answer(**message: object) -> bytes:
    """Return an answer with this message."""
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "i", "model": "m", "choices": [choice]}).encode()


def naive_text(content: object) -> str:
    """Return the text of a content, read naively."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content if isinstance(content, str) else ""


def text_of(completion: Completion, kind: type) -> str:
    """Return the joined text of all parts of one kind."""
    return "".join(part.text for part in completion.parts if isinstance(part, kind))  # type: ignore[union-attr]  # kinds with text


@pytest.mark.parametrize("body", recorded_bodies(is_error=False))
def test_recorded_answer_is_read_whole(body: bytes) -> None:
    """Text, reasoning, tool calls, usage and finish are those of the JSON."""
    naive = json.loads(body)
    message, reason = naive["choices"][0]["message"], naive["choices"][0]["finish_reason"]
    completion = CODEC.parse_response(body)
    assert (completion.id, completion.model) == (naive["id"], naive["model"])
    assert completion.created == naive["created"]
    assert text_of(completion, TextPart) == naive_text(message.get("content"))
    assert text_of(completion, RefusalPart) == (message.get("refusal") or "")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if reasoning:
        assert text_of(completion, ReasoningPart) == reasoning
    calls = message.get("tool_calls") or []
    assert [
        (p.id, p.name, p.arguments) for p in completion.parts if isinstance(p, ToolCallPart)
    ] == [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls]
    expected = {"stop": Finish.STOP, "length": Finish.LENGTH, "tool_calls": Finish.TOOL_CALLS}
    assert completion.finish is (
        Finish.TOOL_CALLS if calls and reason == "stop" else expected.get(reason, Finish.STOP)
    )
    usage = naive["usage"]
    assert completion.usage is not None
    assert completion.usage.input_tokens == usage["prompt_tokens"]
    assert completion.usage.output_tokens == usage["completion_tokens"]
    details = usage.get("completion_tokens_details") or {}
    assert completion.usage.reasoning_tokens == (details.get("reasoning_tokens") or 0)
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    assert completion.usage.cached_tokens == min(cached, usage["prompt_tokens"])


@pytest.mark.parametrize("body", recorded_bodies(is_error=False))
def test_recorded_answer_survives_render(body: bytes) -> None:
    """A rendered answer is one to the official SDK, and reads back the same."""
    completion = CODEC.parse_response(body)
    rendered = CODEC.render_response(completion)
    ChatCompletion.model_validate_json(rendered, strict=True)
    again = CODEC.parse_response(rendered)
    assert text_of(again, TextPart) == text_of(completion, TextPart)
    assert text_of(again, ReasoningPart) == text_of(completion, ReasoningPart)
    assert [p for p in again.parts if isinstance(p, ToolCallPart)] == [
        p for p in completion.parts if isinstance(p, ToolCallPart)
    ]
    assert (again.usage, again.finish, again.id, again.created) == (
        completion.usage,
        completion.finish,
        completion.id,
        completion.created,
    )


@pytest.mark.parametrize("body", recorded_bodies(is_error=True))
def test_recorded_error_has_a_message(body: bytes) -> None:
    """Every provider's error body gives its own message, and is no answer."""
    message = CODEC.error_text(body)
    assert message
    assert message in json.dumps(json.loads(body), ensure_ascii=False)
    with pytest.raises(WireError):
        CODEC.parse_response(body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":{"message":"m"}}', "m"),
        (b'{"error":"m"}', "m"),
        (b'{"object":"error","message":"m"}', "m"),
        (b'{"detail":"m"}', "m"),
        (b'{"detail":[{"msg":"m"}]}', '[{"msg":"m"}]'),
        (b'[{"error":{"message":"m"}}]', "m"),
        (b"{}", None),
        (b"[]", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_error_text(body: bytes, text: str | None) -> None:
    """The message is found wherever servers put it; no message is None, never an exception."""
    assert CODEC.error_text(body) == text


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{}", b'{"choices":[]}', b'{"error":{"message":"x"}}', b'{"choices":[{}]}'],
)
def test_what_is_no_answer(body: bytes) -> None:
    """A success without a choice is not an answer."""
    with pytest.raises(WireError):
        CODEC.parse_response(body)


@pytest.mark.parametrize("reason", [None, "", "error"])
def test_unfinished_answer_has_no_finish(reason: str | None) -> None:
    """Without a finish reason, or with an error for one, the answer is not complete."""
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": reason}]}
    assert CODEC.parse_response(json.dumps(body).encode()).finish is None


def test_forced_tool_call_ends_in_tool_calls() -> None:
    """OpenAI ends a forced call with ``stop``; other formats must still see a tool call."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert CODEC.parse_response(answer(tool_calls=[call])).finish is Finish.TOOL_CALLS


def test_arguments_as_object_become_text() -> None:
    """Servers that write arguments as an object, or none, still give JSON text."""
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "g"}}]
    assert CODEC.parse_response(answer(tool_calls=calls)).parts == (
        ToolCallPart(id="call_0", name="f", arguments='{"a": 1}'),
        ToolCallPart(id="call_1", name="g", arguments="{}"),
    )


def test_all_parts_render() -> None:
    """Every part and every token count has its place in a rendered answer."""
    parts = (
        ReasoningPart(text="r"),
        TextPart(text="a"),
        TextPart(text="b"),
        RefusalPart(text="no"),
        ToolCallPart(id="c", name="f", arguments="{}"),
    )
    usage = Usage(input_tokens=5, output_tokens=4, cached_tokens=3, reasoning_tokens=2)
    body = CODEC.render_response(
        Completion(id="i", model="m", parts=parts, finish=Finish.TOOL_CALLS, usage=usage)
    )
    read = ChatCompletion.model_validate_json(body, strict=True)
    message = read.choices[0].message
    assert (message.content, message.refusal) == ("ab", "no")
    assert json.loads(body)["choices"][0]["message"]["reasoning_content"] == "r"
    assert CODEC.parse_response(body).usage == usage
    assert (read.created, read.object) == (0, "chat.completion")


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        (Finish.STOP, "stop"),
        (Finish.STOP_SEQUENCE, "stop"),
        (Finish.LENGTH, "length"),
        (Finish.TOOL_CALLS, "tool_calls"),
        (Finish.CONTENT_FILTER, "content_filter"),
        (Finish.REFUSAL, "content_filter"),
        (Finish.PAUSE, "stop"),
        (Finish.OTHER, "stop"),
        (None, None),
    ],
)
def test_finish_reasons(finish: Finish | None, reason: str | None) -> None:
    """Every finish has a word of this format."""
    body = CODEC.render_response(Completion(id="", model="", parts=(), finish=finish))
    assert json.loads(body)["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (503, "server_error"),
    ],
)
def test_render_error(status: int, kind: str) -> None:
    """An error has OpenAI's shape and type for its status, and our details inside."""
    body = CODEC.render_error(status=status, code="c", message="m", details={"call_id": "x"})
    assert json.loads(body)["error"] == {
        "message": "m",
        "type": kind,
        "param": None,
        "code": "c",
        "sidecar": {"call_id": "x"},
    }
