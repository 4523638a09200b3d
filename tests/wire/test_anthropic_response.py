"""Anthropic answers and errors, against recorded ones and the SDK's own types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, APIStatusError
from anthropic.types import Message

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.anthropic_messages import AnthropicMessagesCodec
from sidecar.wire.neutral import (
    AnswerPart,
    Completion,
    Finish,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)

CODEC = AnthropicMessagesCodec()
RECORDED = Path(__file__).parent / "recorded" / "anthropic"
KNOWN = {"text", "tool_use", "thinking", "redacted_thinking"}


def recorded_answers(*, is_error: bool) -> list[Any]:
    """Return every recorded JSON answer of the messages API, named by file and index."""
    return [
        pytest.param(entry["response"]["body_text"].encode(), id=f"{path.stem[:60]}-{number}")
        for path in sorted(RECORDED.glob("*.json"))
        for number, entry in enumerate(json.loads(path.read_bytes())["interactions"])
        if entry["api"] == "messages"
        and (entry["response"]["status"] >= 400) is is_error
        and (entry["response"].get("body_text") or "").startswith("{")
    ]


def completion(*parts: AnswerPart, **fields: object) -> Completion:
    """Return a finished answer."""
    whole: dict[str, Any] = {"id": "i", "model": "m", "finish": Finish.STOP, "parts": parts}
    return Completion(**(whole | fields))


def render(wanted: Completion) -> Message:
    """Return the rendered answer as the SDK's type, every field checked."""
    return Message.model_validate_json(CODEC.render_response(wanted), strict=True)


@pytest.mark.parametrize("body", recorded_answers(is_error=False))
def test_recorded_answers_say_what_a_plain_reading_says(body: bytes) -> None:
    """Content, usage and finish of real answers are read in full, unknown blocks passed over."""
    plain = json.loads(body)
    read = CODEC.parse_response(body)
    blocks = [block for block in plain["content"] if block["type"] in KNOWN]
    assert [_plain(part) for part in read.parts] == [
        {key: block[key] for key in block if key not in {"citations", "caller"}} for block in blocks
    ]
    usage = plain["usage"]
    assert read.usage is not None
    assert read.usage.input_tokens == sum(
        usage.get(key) or 0
        for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    assert read.usage.output_tokens == usage["output_tokens"]
    assert (read.finish is Finish.TOOL_CALLS) is (plain["stop_reason"] == "tool_use")
    assert (read.finish is Finish.STOP) is (plain["stop_reason"] == "end_turn")


def _plain(part: AnswerPart) -> dict[str, Any]:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": text}
        case ToolCallPart():
            arguments = json.loads(part.arguments)
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}
        case ReasoningPart(redacted=None):
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case _:
            raise AssertionError(part)


@pytest.mark.parametrize("body", recorded_answers(is_error=False))
def test_recorded_answers_survive_the_neutral_form(body: bytes) -> None:
    """Reading, writing and reading again gives the same answer, in the SDK's own types."""
    first = CODEC.parse_response(body)
    again = CODEC.render_response(first)
    Message.model_validate_json(again, strict=True)
    assert CODEC.parse_response(again) == first


@pytest.mark.parametrize("body", recorded_answers(is_error=True))
def test_recorded_errors_are_not_answers(body: bytes) -> None:
    """An error body is no answer, and its message is found."""
    with pytest.raises(WireError):
        CODEC.parse_response(body)
    assert CODEC.error_text(body) == json.loads(body)["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"error":"x"}', b"\xff"])
def test_what_is_no_error_body_has_no_message(body: bytes) -> None:
    """Other bytes than this format's errors give no message rather than an exception."""
    assert CODEC.error_text(body) is None


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("stop_sequence", Finish.STOP_SEQUENCE),
        ("tool_use", Finish.TOOL_CALLS),
        ("refusal", Finish.REFUSAL),
        ("pause_turn", Finish.PAUSE),
        ("model_context_window_exceeded", Finish.LENGTH),
        ("tomorrow", Finish.OTHER),
        (None, None),
    ],
)
def test_stop_reasons(reason: str | None, finish: Finish | None) -> None:
    """Every stop reason has its finish; an unknown one is still a finish, a missing one is none."""
    body: dict[str, object] = {
        "type": "message",
        "id": "i",
        "model": "m",
        "content": [],
        "stop_reason": reason,
    }
    assert CODEC.parse_response(json.dumps(body).encode()).finish is finish


@pytest.mark.parametrize(
    ("finish", "parts", "reason"),
    [
        (Finish.STOP, (TextPart(text="a"),), "end_turn"),
        (Finish.STOP, (ToolCallPart(id="c", name="f", arguments=""),), "tool_use"),
        (Finish.STOP, (RefusalPart(text="no"),), "refusal"),
        (Finish.CONTENT_FILTER, (), "refusal"),
        (Finish.LENGTH, (), "max_tokens"),
        (Finish.OTHER, (), "end_turn"),
        (Finish.PAUSE, (), "pause_turn"),
        (None, (), None),
    ],
)
def test_finishes_are_written(
    finish: Finish | None, parts: tuple[AnswerPart, ...], reason: str | None
) -> None:
    """Callers act on the stop reason, also where the provider only said "stop"."""
    assert render(completion(*parts, finish=finish)).stop_reason == reason


def test_usage_is_counted_as_anthropic_counts() -> None:
    """Cached tokens are within the neutral input count and beside Anthropic's."""
    neutral = Usage(
        input_tokens=10,
        output_tokens=5,
        cached_tokens=3,
        cache_write_tokens=2,
        reasoning_tokens=4,
    )
    written = render(completion(usage=neutral)).usage
    assert (written.input_tokens, written.output_tokens) == (5, 5)
    assert (written.cache_read_input_tokens, written.cache_creation_input_tokens) == (3, 2)
    assert written.output_tokens_details is not None
    assert written.output_tokens_details.thinking_tokens == 4
    assert CODEC.parse_response(CODEC.render_response(completion(usage=neutral))).usage == neutral


def test_arguments_must_be_whole_unless_the_answer_is_cut() -> None:
    """Broken arguments are an error; cut at the token limit they are left empty."""
    call = ToolCallPart(id="c", name="f", arguments='{"a":')
    with pytest.raises(WireError):
        CODEC.render_response(completion(call))
    cut = render(completion(call, finish=Finish.LENGTH))
    assert cut.stop_reason == "max_tokens"
    assert cut.content[0].model_dump()["input"] == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_the_sdk_raises_what_the_status_says(status: int, kind: str) -> None:
    """The SDK finds type and message, and the details are there to read."""
    body = CODEC.render_error(status=status, code="c", message="why", details={"attempts": ["a"]})
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, content=body))
    with (
        httpx2.Client(transport=transport) as http,
        Anthropic(api_key="k", max_retries=0, http_client=http) as client,
        pytest.raises(APIStatusError) as caught,
    ):
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "a"}])
    assert caught.value.body == json.loads(body)
    error = json.loads(body)["error"]
    assert (error["type"], error["message"]) == (kind, "why")
    assert error["sidecar"] == {"code": "c", "attempts": ["a"]}
    assert CODEC.error_text(body) == "why"
