"""Gemini answers and streams beyond the recorded ones: blocked, broken, interleaved, cut short."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.genai.types import GenerateContentResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain import Usage, WireFormat
from sidecar.errors import WireError
from sidecar.wire.formats import codec
from sidecar.wire.neutral import (
    Completion,
    Delta,
    ErrorSeen,
    Finish,
    Finished,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageSeen,
)
from sidecar.wire.sse import SseEvent, SseParser

if TYPE_CHECKING:
    from random import Random

GEMINI = codec(WireFormat.GEMINI)
START = Started(id="r1", model="m")
ARGUMENTS: tuple[list[str], ...] = (["{", '"a":', "1}"], ['{"b":"', "é\\n", '"}'], ["{}"], [])


def answer(**candidate: Any) -> bytes:
    """Return an answer with one candidate."""
    return json.dumps({"candidates": [candidate], "responseId": "r/1"}).encode()


def feed(*chunks: Any) -> tuple[list[Delta], bool]:
    """Return the deltas of a stream of these chunks, and whether it is complete."""
    parser = GEMINI.stream_parser()
    deltas = [
        delta
        for chunk in chunks
        for delta in parser.feed(SseEvent(b"", None, json.dumps(chunk).encode()))
    ]
    return deltas, parser.is_complete()


def write(*deltas: Delta) -> list[Any]:
    """Return the chunks that say ``deltas``, checked with the SDK's own type."""
    renderer = GEMINI.stream_renderer(wants_usage=False)
    stream = b"".join(renderer.render(delta) for delta in deltas) + renderer.finish()
    events = SseParser().feed(stream)
    for event in events:
        GenerateContentResponse.model_validate_json(event.data or b"")
    return [json.loads(event.data or b"") for event in events]


def parts_of(chunks: list[Any]) -> list[Any]:
    """Return all parts that say something."""
    found = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    return [part for part in found if part != {"text": ""}]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", Finish.STOP),
        ("MAX_TOKENS", Finish.LENGTH),
        ("SAFETY", Finish.CONTENT_FILTER),
        ("RECITATION", Finish.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", Finish.CONTENT_FILTER),
        ("SPII", Finish.CONTENT_FILTER),
        ("BLOCKLIST", Finish.CONTENT_FILTER),
        ("LANGUAGE", Finish.OTHER),
        ("A_NEW_ONE", Finish.OTHER),
        (1, Finish.STOP),
        (3, Finish.CONTENT_FILTER),
        (99, Finish.OTHER),
        ("FINISH_REASON_UNSPECIFIED", None),
        (None, None),
        ("MALFORMED_FUNCTION_CALL", None),
    ],
)
def test_finish_reasons(reason: Any, finish: Finish | None) -> None:
    """Each reason has its meaning, whole and streamed; a malformed answer is none."""
    body = answer(content={"parts": [{"text": "x"}]}, finishReason=reason)
    assert GEMINI.parse_response(body).finish is finish
    deltas, is_complete = feed(json.loads(body))
    assert is_complete is (finish is not None)
    assert [d.finish for d in deltas if isinstance(d, Finished)] == ([finish] if finish else [])


def test_a_blocked_prompt() -> None:
    """Nothing was said and nothing will be: complete, by the filter."""
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": "m"}
    completion = GEMINI.parse_response(json.dumps(body).encode())
    assert (completion.parts, completion.finish) == ((), Finish.CONTENT_FILTER)
    deltas, is_complete = feed(body)
    assert is_complete
    assert Finished(finish=Finish.CONTENT_FILTER) in deltas


@pytest.mark.parametrize(
    "body", [b"{}", b'{"candidates":[]}', b"[]", b"null", b"x", b'{"a":"\xff"}']
)
def test_what_is_no_answer(body: bytes) -> None:
    """An object without a candidate is no answer."""
    with pytest.raises(WireError):
        GEMINI.parse_response(body)


def test_calls_without_ids_get_some() -> None:
    """The same ones whole and streamed, different in each answer, short enough for OpenAI."""
    parts = [{"functionCall": {"name": name}} for name in "fg"]
    body = answer(content={"parts": parts}, finishReason="STOP")
    completion = GEMINI.parse_response(body)
    ids = [part.id for part in completion.parts if isinstance(part, ToolCallPart)]
    assert ids == ["call_r_1_0", "call_r_1_1"]
    assert completion.finish is Finish.TOOL_CALLS
    deltas, _ = feed(json.loads(body))
    assert [d.id for d in deltas if isinstance(d, ToolCallStart)] == ids
    assert [d.arguments for d in deltas if isinstance(d, ToolCallDelta)] == ["{}", "{}"]


def test_what_no_other_format_holds_is_content() -> None:
    """An answer of an image alone, or of code, is no empty answer."""
    for part, name in (
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, "[inlineData]"),
        ({"executableCode": {"code": "1"}}, "[executableCode]"),
    ):
        body = answer(content={"parts": [part]}, finishReason="STOP")
        assert GEMINI.parse_response(body).parts == (ReasoningPart(text=name),)
        assert ReasoningDelta(text=name) in feed(json.loads(body))[0]


def test_several_candidates() -> None:
    """A stream of two answers is complete when both are."""
    first = {"candidates": [{"index": 0, "finishReason": "STOP"}, {"index": 1}]}
    assert not feed(first)[1]
    last = {"candidates": [{"index": 1, "finishReason": "MAX_TOKENS"}]}
    deltas, is_complete = feed(first, last)
    assert is_complete
    assert deltas.count(Finished(finish=Finish.STOP)) == 1


@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        ({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}, "UNAVAILABLE"),
        ([{"error": {"code": 429, "message": "m"}}], "429"),
        ({"error": "m"}, None),
        (
            {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "m"}]},
            "MALFORMED_FUNCTION_CALL",
        ),
    ],
)
def test_errors_in_a_stream(chunk: Any, kind: str | None) -> None:
    """An error is seen in whatever wrapping, and a malformed call is one."""
    deltas, is_complete = feed(chunk)
    (error,) = [delta for delta in deltas if isinstance(delta, ErrorSeen)]
    assert (error.message, error.error_type) == ("m", kind)
    assert not is_complete
    assert json.loads(error.data)


def test_usage() -> None:
    """Thoughts and what Google's tools read are counted in; cached tokens are prompt tokens."""
    counts = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 4,
        "cachedContentTokenCount": 99,
    }
    deltas, _ = feed({"usageMetadata": counts})
    assert deltas[-1] == UsageSeen(
        usage=Usage(input_tokens=15, output_tokens=7, cached_tokens=15, reasoning_tokens=4)
    )


@settings(max_examples=150, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_parallel_calls_may_interleave(chance: Random) -> None:
    """However pieces of calls, words and thoughts interleave, each arrives whole and once."""
    queues: list[list[Delta]] = [
        [
            ToolCallStart(index=i, id=f"c{i}", name=f"f{i}"),
            *(ToolCallDelta(index=i, arguments=piece) for piece in pieces),
        ]
        for i, pieces in enumerate(ARGUMENTS)
    ]
    queues.append([TextDelta(text="x"), ReasoningDelta(text="h"), RefusalDelta(text="n")])
    deltas: list[Delta] = [START]
    while any(queues):
        deltas.append(chance.choice([queue for queue in queues if queue]).pop(0))
    parts = parts_of(write(*deltas, Finished(finish=Finish.TOOL_CALLS)))
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert sorted((c["id"], c["name"], str(c["args"])) for c in calls) == [
        (f"c{i}", f"f{i}", str(json.loads("".join(pieces) or "{}")))
        for i, pieces in enumerate(ARGUMENTS)
    ]
    words = [part for part in parts if "text" in part]
    assert words == [{"text": "x"}, {"text": "h", "thought": True}, {"text": "n"}]


def test_calls_in_a_row_do_not_wait_for_the_end() -> None:
    """A whole call goes out when the next one begins."""
    renderer = GEMINI.stream_renderer(wants_usage=False)
    assert renderer.render(START) == b""
    assert renderer.render(ToolCallStart(index=0, id="a", name="f")) == b""
    assert renderer.render(ToolCallDelta(index=0, arguments='{"x":1}')) == b""
    assert b'"functionCall"' in renderer.render(ToolCallStart(index=1, id="b", name="g"))


@pytest.mark.parametrize(
    ("finish", "reason"),
    [(Finish.LENGTH, "MAX_TOKENS"), (Finish.TOOL_CALLS, "MALFORMED_FUNCTION_CALL")],
)
def test_half_a_call_is_never_made(finish: Finish, reason: str) -> None:
    """A call cut short is left out; if no limit cut it, the answer says that it is broken."""
    start = ToolCallStart(index=0, id="a", name="f")
    chunks = write(START, start, ToolCallDelta(index=0, arguments='{"x":'), Finished(finish=finish))
    assert parts_of(chunks) == []
    assert chunks[-1]["candidates"][0]["finishReason"] == reason
    part = ToolCallPart(id="a", name="f", arguments='{"x":')
    whole = Completion(id="", model="", parts=(TextPart(text="t"), part), finish=finish)
    if finish is Finish.LENGTH:
        body = json.loads(GEMINI.render_response(whole))
        assert body["candidates"][0]["content"]["parts"] == [{"text": "t"}]
    else:
        with pytest.raises(WireError):
            GEMINI.render_response(whole)


def test_the_last_chunk_has_finish_and_usage() -> None:
    """Usage that comes after the finish reason is still in the chunk that has both."""
    usage = Usage(input_tokens=9, output_tokens=7, cached_tokens=2, reasoning_tokens=4)
    chunks = write(START, TextDelta(text="x"), Finished(finish=Finish.STOP), UsageSeen(usage=usage))
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert chunks[-1]["usageMetadata"] == {
        "promptTokenCount": 9,
        "candidatesTokenCount": 3,
        "totalTokenCount": 16,
        "cachedContentTokenCount": 2,
        "thoughtsTokenCount": 4,
    }
    assert all(chunk["responseId"] == "r1" for chunk in chunks)


def test_errors_are_googles() -> None:
    """Code, message and status as Google's SDK reads them; in a stream they stand first."""
    body = GEMINI.render_error(status=429, code="shed", message="m", details={"call_id": "c"})
    error = json.loads(body)["error"]
    assert (error["code"], error["message"], error["status"]) == (429, "m", "RESOURCE_EXHAUSTED")
    assert error["sidecar"] == {"call_id": "c"}
    assert error["details"][0]["reason"] == "SHED"
    event = GEMINI.render_stream_error(code="deadline_exceeded", message="m", details={})
    assert event.startswith(b'data: {"error":')
    assert json.loads(event[6:])["error"]["code"] == 504
    assert GEMINI.error_text(body) == GEMINI.error_text(b"[" + body + b"]") == "m"
    for other in (b"", b"[]", b"{}", b'{"error":"x"}', b"<html>"):
        assert GEMINI.error_text(other) is None
