"""OpenAI Responses answers: recorded ones, errors, and what becomes of foreign answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.neutral import (
    AnswerPart,
    Completion,
    Finish,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from sidecar.wire.openai_responses import OpenAIResponsesCodec
from sidecar.wire.responses_items import response_id

CODEC = OpenAIResponsesCodec()
RECORDED = Path(__file__).parent / "recorded" / "responses"
Json = dict[str, Any]


def recorded_bodies(*, is_error: bool) -> list[Any]:
    """Return every recorded plain answer, or error, with its name."""
    return [
        pytest.param(body.encode(), id=f"{path.stem[:60]}-{position}")
        for path in sorted(RECORDED.glob("*.json"))
        for position, entry in enumerate(json.loads(path.read_text())["interactions"])
        if entry["api"].startswith("responses")
        and (body := entry["response"].get("body_text") or "").lstrip().startswith("{")
        and (entry["response"]["status"] != 200) is is_error
    ]


def answer(**members: Any) -> bytes:
    """Return an answer that is whole but for ``members``."""
    said = {"type": "output_text", "text": "x", "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [said]}
    good: Json = {"id": "resp_1", "model": "m", "status": "completed", "output": [message]}
    return json.dumps(good | members).encode()


def item(**members: Any) -> list[Json]:
    """Return an output of one item."""
    return [members]


@pytest.mark.parametrize("body", recorded_bodies(is_error=False))
def test_recorded_answers(body: bytes) -> None:
    """Words, calls, ids, tokens and finish are those that plain JSON reading finds."""
    read, got = json.loads(body), CODEC.parse_response(body)
    texts = [
        part["text"]
        for one in read["output"]
        if one["type"] == "message"
        for part in one["content"]
        if part["type"] == "output_text"
    ]
    calls = [
        (one["call_id"], one["name"], one["arguments"])
        for one in read["output"]
        if one["type"] == "function_call"
    ]
    assert [part.text for part in got.parts if isinstance(part, TextPart)] == [
        t for t in texts if t
    ]
    found = [part for part in got.parts if isinstance(part, ToolCallPart)]
    assert [(part.id, part.name, part.arguments) for part in found] == calls
    assert (got.id, got.model) == (read["id"], read["model"])
    assert got.item_ids == tuple(one["id"] for one in read["output"] if one.get("id"))
    assert got.usage is not None
    assert got.usage.input_tokens == read["usage"]["input_tokens"]
    assert got.usage.output_tokens == read["usage"]["output_tokens"]
    assert got.usage.cached_tokens == read["usage"]["input_tokens_details"]["cached_tokens"]
    assert got.usage.reasoning_tokens == read["usage"]["output_tokens_details"]["reasoning_tokens"]
    if read["status"] == "incomplete":
        assert got.finish is Finish.LENGTH
    else:
        is_words = any(one["type"] == "message" for one in read["output"])
        assert got.finish is (Finish.STOP if is_words and not calls else Finish.TOOL_CALLS)


@pytest.mark.parametrize("body", recorded_bodies(is_error=False))
def test_thinking_comes_without_what_is_openais(body: bytes) -> None:
    """Encrypted reasoning leaves only its summary behind; nothing of it leaks as a signature."""
    thoughts = [p for p in CODEC.parse_response(body).parts if isinstance(p, ReasoningPart)]
    assert all(part.signature is None and part.redacted is None for part in thoughts)
    summaries = [one.get("summary") or [] for one in json.loads(body)["output"]]
    for one in (piece for summary in summaries for piece in summary):
        assert any(one["text"] in part.text for part in thoughts)


@pytest.mark.parametrize("body", recorded_bodies(is_error=True))
def test_recorded_errors(body: bytes) -> None:
    """An error is no answer, and its message is found."""
    with pytest.raises(WireError):
        CODEC.parse_response(body)
    assert CODEC.error_text(body) == json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    ("members", "finish"),
    [
        ({}, Finish.STOP),
        ({"status": None}, Finish.STOP),
        ({"status": "in_progress"}, None),
        ({"status": "queued", "output": []}, None),
        ({"status": "incomplete"}, Finish.OTHER),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Finish.LENGTH,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            Finish.CONTENT_FILTER,
        ),
        ({"output": []}, Finish.STOP),
        ({"output": item(type="function_call", call_id="c", name="f")}, Finish.TOOL_CALLS),
        ({"output": item(type="computer_call", id="cu_1", action={})}, Finish.TOOL_CALLS),
        ({"output": item(type="custom_tool_call", name="f", input="x")}, Finish.TOOL_CALLS),
    ],
    ids=str,
)
def test_finish(members: Json, finish: Finish | None) -> None:
    """The status says whether an answer is whole; what the caller has to run ends with a call."""
    assert CODEC.parse_response(answer(**members)).finish is finish


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"<html>",
        b'{"id":"resp_1","status":"completed"}',
        answer(status="failed", error={"code": "server_error", "message": "oh"}),
        answer(status="cancelled"),
        answer(output=[{"type": "message", "content": 5}]),
    ],
)
def test_no_answer(body: bytes) -> None:
    """What failed, was cancelled or has no output is no answer."""
    with pytest.raises(WireError):
        CODEC.parse_response(body)


def test_a_failed_answer_says_why() -> None:
    """The error within a failed answer is found, as in any error body."""
    failed = answer(status="failed", error={"code": "server_error", "message": "oh"})
    assert CODEC.error_text(failed) == "oh"
    assert CODEC.error_text(answer(error=None)) is None


def test_usage_is_bounded() -> None:
    """A part is never more than the whole; no counts are no usage."""
    counts = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}}
    assert CODEC.parse_response(answer(usage=counts)).usage == Usage(
        input_tokens=5, cached_tokens=5
    )
    assert CODEC.parse_response(answer(usage={})).usage is None


def test_thoughts_keep_their_paragraphs() -> None:
    """Pieces of a summary are paragraphs; raw thoughts stand in where there is no summary."""
    pieces = [{"type": "summary_text", "text": text} for text in ("a", "b")]
    raw = [{"type": "reasoning_text", "text": "c"}]
    output = [
        {"type": "reasoning", "summary": pieces, "content": raw},
        {"type": "reasoning", "summary": [], "content": raw},
        {"type": "reasoning", "summary": []},
    ]
    got = CODEC.parse_response(answer(output=output)).parts
    assert got == (ReasoningPart(text="a\n\nb"), ReasoningPart(text="c"))


WORDS = st.text(min_size=1, max_size=9)
PARTS: st.SearchStrategy[AnswerPart] = st.one_of(
    st.builds(TextPart, text=WORDS),
    st.builds(RefusalPart, text=WORDS),
    st.builds(ToolCallPart, id=WORDS, name=WORDS, arguments=st.just('{"a": 1}')),
    st.builds(ReasoningPart, text=WORDS, signature=st.none() | WORDS),
    st.builds(ReasoningPart, redacted=WORDS),
)
USAGES = st.builds(
    Usage,
    input_tokens=st.just(50),
    output_tokens=st.integers(0, 99),
    cached_tokens=st.integers(0, 20),
    cache_write_tokens=st.integers(0, 20),
    reasoning_tokens=st.integers(0, 9),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    parts=st.lists(PARTS, max_size=6).map(tuple),
    finish=st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.CONTENT_FILTER]),
    usage=USAGES,
)
def test_there_and_back(parts: tuple[AnswerPart, ...], finish: Finish, usage: Usage) -> None:
    """A foreign answer is read back as it was, signatures included, and the SDK takes it."""
    given_ = Completion(
        id="msg_x", model="m", parts=parts, finish=finish, usage=usage, created=1700000000
    )
    body = CODEC.render_response(given_)
    Response.model_validate_json(body, strict=True)
    got = CODEC.parse_response(body)
    assert got.parts == parts
    assert (got.usage, got.model, got.created) == (usage, "m", 1700000000)
    has_calls = any(isinstance(part, ToolCallPart) for part in parts)
    assert got.finish is (Finish.TOOL_CALLS if finish is Finish.STOP and has_calls else finish)
    assert len(set(got.item_ids)) == len(got.item_ids)
    assert all(len(name) <= 64 for name in (got.id, *got.item_ids))


def test_refusals() -> None:
    """A refusal in words is a whole answer; one without is what a filter did."""
    for part, status in ((RefusalPart(text="no"), "completed"), (TextPart(text="x"), "incomplete")):
        completion = Completion(id="i", model="m", parts=(part,), finish=Finish.REFUSAL)
        assert json.loads(CODEC.render_response(completion))["status"] == status


@pytest.mark.parametrize("name", ["resp_1", "chatcmpl-1", "msg_01", "x" * 99, "a/b c", ""])
def test_ids_are_openais(name: str) -> None:
    """An id begins and ends as OpenAI's do, and is the same for the same answer."""
    shown = response_id(name)
    assert shown.startswith("resp_")
    assert shown == response_id(name) == response_id(shown)
    assert len(shown) <= 64
    assert shown.replace("_", "").replace("-", "").isalnum()


def test_error_bodies_name_the_field() -> None:
    """OpenAI's shape, with the field in ``param`` where we know it."""
    ask: Json = {"status": 400, "code": "bad_request", "message": "no"}
    error = json.loads(CODEC.render_error(**ask, details={"path": "$.input[0].role"}))["error"]
    assert (error["param"], error["type"]) == ("input[0].role", "invalid_request_error")
    assert json.loads(CODEC.render_error(**ask, details={}))["error"]["param"] is None
