"""Recorded Gemini traffic as it is, and in the other formats' words; theirs in Gemini's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.genai.types import GenerateContentResponse

from sidecar.domain import Usage, WireFormat
from sidecar.wire.formats import codec
from sidecar.wire.neutral import (
    Completion,
    Conversation,
    Finish,
    Finished,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    UsageSeen,
)
from sidecar.wire.sse import SseParser
from tests.wire import test_translate as common

if TYPE_CHECKING:
    from sidecar.wire.codec import Codec

GEMINI = codec(WireFormat.GEMINI)
OTHERS = (codec(WireFormat.OPENAI_CHAT), codec(WireFormat.ANTHROPIC_MESSAGES))
RECORDED = Path(__file__).parent / "recorded" / "gemini"


def recorded() -> list[Any]:
    """Return (name, interaction) of every recorded answer asked of Gemini."""
    return [
        (f"{path.stem[:70]}-{position}", interaction)
        for path in sorted(RECORDED.glob("*.json"))
        for position, interaction in enumerate(json.loads(path.read_text())["interactions"])
        if "enerateContent" in interaction["api"] and interaction["request"].get("body_text")
    ]


def bodies(kind: str, *, is_shared: bool) -> list[Any]:
    """Return the recorded requests, whole answers or streams; ``is_shared``: those only that
    another format can carry.
    """
    params = []
    for name, item in recorded():
        request = item["request"]["body_text"].encode()
        answer = (item["response"].get("body_text") or "").encode()
        if is_shared and GEMINI.inspect_request(request).untranslatable:
            continue
        found = {"request": request, "response": answer, "stream": answer}[kind]
        is_stream = answer.startswith(b"data:")
        is_good = item["response"]["status"] == 200 and is_stream is (kind == "stream")
        if kind == "request" or is_good:
            params.append(pytest.param(found, id=name))
    return params


def to_gemini(kind: str) -> list[Any]:
    """Return (source codec, bytes) of the other formats' recorded ``kind``."""
    params = {
        param.id: pytest.param(param.values[0], param.values[2], id=param.id)
        for param in common.pairs(kind)
    }
    return list(params.values())


def test_there_is_recorded_traffic() -> None:
    """The tests below run on something."""
    assert len(bodies("request", is_shared=False)) >= 90
    assert len(bodies("request", is_shared=True)) >= 60
    assert len(bodies("stream", is_shared=True)) >= 10


@pytest.mark.parametrize("body", bodies("request", is_shared=False))
def test_a_request_in_its_own_format(body: bytes) -> None:
    """Not a byte changes: the path names the model."""
    assert GEMINI.rewrite_request(body, model="gemini-9") == body


@pytest.mark.parametrize("body", bodies("response", is_shared=False))
def test_an_answer_in_its_own_format(body: bytes) -> None:
    """A recorded answer is understood, complete, and survives being written again."""
    given = GEMINI.parse_response(body)
    assert given.finish is not None
    assert given.usage is not None or b"usageMetadata" not in body
    rendered = GEMINI.render_response(given)
    check(rendered)
    assert GEMINI.parse_response(rendered) == given


@pytest.mark.parametrize("stream", bodies("stream", is_shared=False))
def test_a_stream_in_its_own_format(stream: bytes) -> None:
    """A recorded stream is complete at its end, its bytes are its events', it survives writing."""
    events = SseParser().feed(stream)
    assert b"".join(event.raw for event in events) == stream
    deltas, is_complete = common.read(GEMINI, stream)
    assert is_complete
    renderer = GEMINI.stream_renderer(wants_usage=True)
    rendered = b"".join(renderer.render(delta) for delta in deltas) + renderer.finish()
    got, is_complete = common.read(GEMINI, rendered)
    assert is_complete
    assert common.whole(got) == common.whole(deltas)
    assert usage_of(got) == usage_of(deltas)


def check(body: bytes) -> None:
    """Check an answer with the official SDK's own types."""
    GenerateContentResponse.model_validate_json(body)


def check_conversation(got: Conversation, asked: Conversation, dropped: set[str]) -> None:
    """Check that all that was asked arrived, or is reported."""
    assert "\n".join(got.system) == "\n".join(asked.system)
    for role in Role:
        said, heard = common.flat(asked, role), common.flat(got, role)
        assert [t for t in common.texts(heard) if t != "."] == [
            t for t in common.texts(said) if t != "."
        ]
        assert common.calls(heard) == common.calls(said)
        assert results(heard) == results(said)
        assert common.images(heard) == common.images(said)
        if any(isinstance(part, ReasoningPart) for part in said):
            assert any("reasoning" in name for name in dropped)
    assert [(t.name, t.description, common.schema(t.schema)) for t in got.tools] == [
        (t.name, t.description, common.schema(t.schema)) for t in asked.tools
    ]
    assert "tools.strict" in dropped or [bool(t.is_strict) for t in got.tools] == [
        bool(t.is_strict) for t in asked.tools
    ]
    if asked.tools and asked.tool_choice is not None:
        assert got.tool_choice is not None
        assert got.tool_choice.mode is asked.tool_choice.mode
        assert got.tool_choice.name == asked.tool_choice.name
        assert asked.tool_choice.is_parallel is not False or "parallel_tool_calls" in dropped
    assert got.stop == asked.stop
    assert got.user_id == asked.user_id or "user" in dropped
    if asked.max_tokens is not None:
        assert got.max_tokens == asked.max_tokens
    assert got.output.mode is asked.output.mode or "response_format" in dropped
    if got.output.schema is not None and asked.output.schema is not None:
        assert json.loads(got.output.schema) == json.loads(asked.output.schema)
    for name in ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"):
        wanted = getattr(asked.sampling, name)
        assert getattr(got.sampling, name) == wanted or name in dropped or not wanted
    if asked.reasoning_effort or asked.reasoning_tokens:
        is_kept = bool(got.reasoning_effort or got.reasoning_tokens)
        assert is_kept or any("reasoning" in name for name in dropped)
    assert set(asked.dropped) <= dropped


def results(parts: list[Part]) -> list[tuple[str, str]]:
    """Return the tool results; white space around them is no part of a JSON object."""
    return [(call_id, text.strip()) for call_id, text in common.results(parts)]


@pytest.mark.parametrize("target", OTHERS, ids=lambda one: one.format.value)
@pytest.mark.parametrize("body", bodies("request", is_shared=True))
def test_request_to_others(body: bytes, target: Codec) -> None:
    """All that a recorded Gemini request says arrives in another format, or is reported."""
    asked = GEMINI.parse_request(body)
    rendered = target.render_request(
        asked, model="m", is_stream=False, max_tokens_field="max_tokens"
    )
    check_conversation(target.parse_request(rendered.body), asked, set(rendered.dropped))


@pytest.mark.parametrize(("source", "body"), to_gemini("request"))
def test_request_from_others(source: Codec, body: bytes) -> None:
    """All that a recorded request of another format says arrives at Gemini, or is reported."""
    asked = source.parse_request(body)
    rendered = GEMINI.render_request(
        asked, model="gemini-3.8-flash", is_stream=False, max_tokens_field="maxOutputTokens"
    )
    dropped = set(rendered.dropped)
    got = GEMINI.parse_request(rendered.body)
    assert GEMINI.inspect_request(rendered.body).untranslatable == ()
    assert set(got.dropped) <= {"thoughtSignature"}
    check_conversation(got, asked, dropped)


@pytest.mark.parametrize("target", OTHERS, ids=lambda one: one.format.value)
@pytest.mark.parametrize("body", bodies("response", is_shared=True))
def test_response_to_others(body: bytes, target: Codec) -> None:
    """Words, thoughts, calls, tokens and finish of a recorded answer arrive."""
    given = GEMINI.parse_response(body)
    rendered = target.render_response(given)
    common.check_answer(target, rendered)
    same_answer(target.parse_response(rendered), given)


@pytest.mark.parametrize(("source", "body"), to_gemini("response"))
def test_response_from_others(source: Codec, body: bytes) -> None:
    """Words, thoughts, calls, tokens and finish of others' recorded answers reach its callers."""
    given = source.parse_response(body)
    rendered = GEMINI.render_response(given)
    check(rendered)
    same_answer(GEMINI.parse_response(rendered), given)


def same_answer(got: Completion, given: Completion) -> None:
    """Check that two answers say the same."""
    assert common.spoken(got) == common.spoken(given)
    assert common.calls(list(got.parts)) == common.calls(list(given.parts))
    thoughts = [
        "".join(p.text for p in completion.parts if isinstance(p, ReasoningPart))
        for completion in (got, given)
    ]
    assert thoughts[0] == thoughts[1]
    has_refused = any(isinstance(part, RefusalPart) for part in given.parts)
    assert same_finish(got.finish, Finish.REFUSAL if has_refused else given.finish)
    assert counts(got.usage) == counts(given.usage)


def same_finish(got: Finish | None, given: Finish | None) -> bool:
    """Return whether the finish is the same; this format has a word for what others have none."""
    return common.same_finish(got, given) or (got is given is Finish.OTHER)


def counts(usage: Usage | None) -> tuple[int, ...]:
    """Return what every format counts: writes to a cache are Anthropic's alone."""
    usage = usage or Usage()
    return (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)


def usage_of(deltas: list[Any]) -> tuple[int, ...] | None:
    """Return the last usage of a stream."""
    seen = [delta.usage for delta in deltas if isinstance(delta, UsageSeen)]
    return counts(seen[-1]) if seen else None


@pytest.mark.parametrize("target", OTHERS, ids=lambda one: one.format.value)
@pytest.mark.parametrize("stream", bodies("stream", is_shared=True))
def test_stream_to_others(stream: bytes, target: Codec) -> None:
    """Words, thoughts, calls, tokens and finish of a recorded stream arrive."""
    rendered = translated(GEMINI, target, stream)
    common.check_events(target, rendered)


@pytest.mark.parametrize(("source", "stream"), to_gemini("stream"))
def test_stream_from_others(source: Codec, stream: bytes) -> None:
    """Words, thoughts, calls, tokens and finish of others' streams reach Gemini's callers, in
    chunks that its SDK reads.
    """
    rendered = translated(source, GEMINI, stream)
    for event in SseParser().feed(rendered):
        assert event.data is not None
        check(event.data)


def translated(source: Codec, target: Codec, stream: bytes) -> bytes:
    """Return ``stream`` in the target's words, checked to say the same."""
    deltas, _ = common.read(source, stream)
    renderer = target.stream_renderer(wants_usage=True)
    rendered = b"".join(renderer.render(delta) for delta in deltas) + renderer.finish()
    got, is_complete = common.read(target, rendered)
    assert is_complete
    assert common.whole(got) == common.whole(deltas)
    finishes = [[d for d in side if isinstance(d, Finished)][-1] for side in (got, deltas)]
    assert same_finish(finishes[0].finish, finishes[1].finish)
    assert usage_of(deltas) in {None, usage_of(got)}
    return rendered
