"""OpenAI and Anthropic in each other's words: nothing lost in silence, nothing invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from sidecar.domain import Usage, WireFormat
from sidecar.wire.formats import CODECS, PROVIDER_CODECS, codec
from sidecar.wire.neutral import (
    Completion,
    Conversation,
    Delta,
    Finish,
    Finished,
    ImagePart,
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Role,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    ToolResultPart,
    UsageSeen,
)
from sidecar.wire.sse import SseParser

if TYPE_CHECKING:
    from sidecar.wire.codec import Codec

OPENAI = codec(WireFormat.OPENAI_CHAT)
ANTHROPIC = codec(WireFormat.ANTHROPIC_MESSAGES)
RECORDED = Path(__file__).parent / "recorded"
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def interactions(folder: str) -> list[tuple[str, Any]]:
    """Return the recorded calls that one format sent, with their names."""
    apis = {"openai": {"chat", "openai_chat"}, "anthropic": {"messages"}}[folder]
    return [
        (f"{path.stem[:60]}-{position}", interaction)
        for path in sorted((RECORDED / folder).glob("*.json"))
        for position, interaction in enumerate(json.loads(path.read_text())["interactions"])
        if interaction["api"] in apis and interaction["request"].get("body_text")
    ]


def pairs(kind: str) -> list[Any]:
    """Return (source codec, target codec, bytes) of all translatable recorded ``kind``."""
    params = []
    for folder, source, target in (
        ("openai", OPENAI, ANTHROPIC),
        ("anthropic", ANTHROPIC, OPENAI),
    ):
        for name, item in interactions(folder):
            request = item["request"]["body_text"].encode()
            answer = (item["response"].get("body_text") or "").encode()
            is_stream = bool(json.loads(request).get("stream"))
            is_good = item["response"]["status"] == 200 and b'"error":' not in answer
            if source.inspect_request(request).untranslatable or not is_good:
                continue
            wanted = {"request": True, "response": not is_stream, "stream": is_stream}
            if wanted[kind]:
                body = request if kind == "request" else answer
                params.append(pytest.param(source, target, body, id=f"{folder}-{name}"))
    return params


def flat(conversation: Conversation, role: Role) -> list[Part]:
    """Return what one side says, results and their contents in one row."""
    parts: list[Part] = []
    for turn in conversation.turns:
        if turn.role is role:
            parts += turn.parts
    return parts


def texts(parts: list[Part]) -> list[str]:
    """Return the texts of ``parts`` that are not blank; a refusal is text in Anthropic's words."""
    spoken = [part.text for part in parts if isinstance(part, TextPart | RefusalPart)]
    return [text.strip() for text in spoken if text.strip()]


def calls(parts: list[Part]) -> list[tuple[str, str, object]]:
    """Return the tool calls with their arguments as JSON values."""
    return [
        (part.id, part.name, json.loads(part.arguments))
        for part in parts
        if isinstance(part, ToolCallPart)
    ]


def results(parts: list[Part]) -> list[tuple[str, str]]:
    """Return the tool results' texts."""
    return [
        (part.call_id, "".join(item.text for item in part.content if isinstance(item, TextPart)))
        for part in parts
        if isinstance(part, ToolResultPart)
    ]


def images(parts: list[Part]) -> list[ImagePart]:
    """Return the images, those in tool results included."""
    found: list[ImagePart] = []
    for part in parts:
        inner = part.content if isinstance(part, ToolResultPart) else (part,)
        found += [item for item in inner if isinstance(item, ImagePart)]
    return found


def schema(raw: bytes) -> dict[str, object]:
    """Return a tool's schema, with the type that one of the formats demands."""
    return {"type": "object", **json.loads(raw)}


@pytest.mark.parametrize(("source", "target", "body"), pairs("request"))
def test_request(source: Codec, target: Codec, body: bytes) -> None:
    """All that a recorded request says arrives in the other format, or is reported."""
    asked = source.parse_request(body)
    rendered = target.render_request(
        asked, model="m", is_stream=True, max_tokens_field="max_tokens"
    )
    got, dropped = target.parse_request(rendered.body), set(rendered.dropped)
    facts = target.inspect_request(rendered.body)
    assert (facts.model, facts.is_stream) == ("m", True)
    assert "\n".join(got.system) == "\n".join(asked.system)
    for role in Role:
        said, heard = flat(asked, role), flat(got, role)
        assert [t for t in texts(heard) if t != "."] == [t for t in texts(said) if t != "."]
        assert calls(heard) == calls(said)
        assert results(heard) == results(said)
        assert images(heard) == images(said)
        if any(isinstance(part, ReasoningPart) for part in said):
            assert any("reasoning" in name for name in dropped)
    assert [(t.name, t.description, schema(t.schema), t.is_strict) for t in got.tools] == [
        (t.name, t.description, schema(t.schema), t.is_strict) for t in asked.tools
    ]
    assert got.tool_choice == asked.tool_choice or not asked.tools
    assert got.stop == asked.stop
    assert got.user_id == asked.user_id
    if asked.max_tokens is not None:
        assert got.max_tokens == asked.max_tokens
    assert got.output.mode is asked.output.mode or "response_format" in dropped
    if got.output.schema is not None and asked.output.schema is not None:
        assert json.loads(got.output.schema) == json.loads(asked.output.schema)
    for name in ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"):
        wanted = getattr(asked.sampling, name)
        assert getattr(got.sampling, name) == wanted or name in dropped or not wanted
    if asked.reasoning_effort or asked.reasoning_tokens:
        is_kept = got.reasoning_effort or got.reasoning_tokens
        assert is_kept or any("reasoning" in name or "thinking" in name for name in dropped)
    assert set(asked.dropped) <= dropped


def spoken(completion: Completion) -> str:
    """Return an answer's words, a refusal's too."""
    said = (p.text for p in completion.parts if isinstance(p, TextPart | RefusalPart))
    return "".join(said)


def check_answer(target: Codec, body: bytes) -> None:
    """Check an answer with the official SDK's own types."""
    if target is OPENAI:
        ChatCompletion.model_validate_json(body, strict=True)
    else:
        Message.model_validate_json(body, strict=True)


@pytest.mark.parametrize(("source", "target", "body"), pairs("response"))
def test_response(source: Codec, target: Codec, body: bytes) -> None:
    """Words, thoughts, tool calls, tokens and finish of a recorded answer arrive."""
    given = source.parse_response(body)
    rendered = target.render_response(given)
    check_answer(target, rendered)
    got = target.parse_response(rendered)
    assert spoken(got) == spoken(given)
    assert calls(list(got.parts)) == calls(list(given.parts))
    thoughts = [
        "".join(p.text for p in completion.parts if isinstance(p, ReasoningPart))
        for completion in (got, given)
    ]
    assert thoughts[0] == thoughts[1]
    has_refused = any(isinstance(part, RefusalPart) for part in given.parts)
    assert same_finish(got.finish, Finish.REFUSAL if has_refused else given.finish)
    assert same_usage(got.usage, given.usage)


def same_finish(got: Finish | None, given: Finish | None) -> bool:
    """Return whether the finish is the same, as far as both formats have a word for it."""
    nearest = {
        Finish.STOP_SEQUENCE: {Finish.STOP, Finish.STOP_SEQUENCE},
        Finish.REFUSAL: {Finish.CONTENT_FILTER, Finish.REFUSAL},
        Finish.CONTENT_FILTER: {Finish.CONTENT_FILTER, Finish.REFUSAL},
        Finish.OTHER: {Finish.STOP},
        Finish.PAUSE: {Finish.STOP},
    }
    return got == given or (given is not None and got in nearest.get(given, set()))


def same_usage(got: Usage | None, given: Usage | None) -> bool:
    """Return whether every count is the same; an answer must have counts in either format."""
    return (got or Usage()) == (given or Usage())


def read(source: Codec, stream: bytes) -> tuple[list[Delta], bool]:
    """Return a stream's deltas, and whether it is complete."""
    parser = source.stream_parser()
    deltas = [d for event in SseParser().feed(stream) for d in parser.feed(event)]
    return deltas, parser.is_complete()


def whole(deltas: list[Delta]) -> tuple[str, str, list[tuple[str, str, object]]]:
    """Return words, thoughts and tool calls of a stream."""
    words = "".join(d.text for d in deltas if isinstance(d, TextDelta | RefusalDelta))
    thoughts = "".join(d.text for d in deltas if isinstance(d, ReasoningDelta))
    tool_calls = []
    for start in deltas:
        if isinstance(start, ToolCallStart):
            pieces = [
                d.arguments
                for d in deltas
                if isinstance(d, ToolCallDelta) and d.index == start.index
            ]
            tool_calls.append((start.id, start.name, json.loads("".join(pieces) or "{}")))
    return words, thoughts, tool_calls


def check_events(target: Codec, stream: bytes) -> None:
    """Check each event with the official SDK's own types."""
    for event in SseParser().feed(stream):
        if event.data in {None, b"[DONE]"}:
            continue
        if target is OPENAI:
            ChatCompletionChunk.model_validate_json(event.data or b"", strict=True)
        elif event.event != "ping":
            EVENT.validate_json(event.data or b"")


@pytest.mark.parametrize(("source", "target", "stream"), pairs("stream"))
def test_stream(source: Codec, target: Codec, stream: bytes) -> None:
    """Words, thoughts, tool calls, tokens and finish of a recorded stream arrive."""
    deltas, _ = read(source, stream)
    renderer = target.stream_renderer(wants_usage=True)
    rendered = b"".join(renderer.render(delta) for delta in deltas) + renderer.finish()
    check_events(target, rendered)
    got, is_complete = read(target, rendered)
    assert is_complete
    assert whole(got) == whole(deltas)
    finishes = [[d for d in side if isinstance(d, Finished)][-1] for side in (got, deltas)]
    assert same_finish(finishes[0].finish, finishes[1].finish)
    usages = [[d.usage for d in side if isinstance(d, UsageSeen)] for side in (got, deltas)]
    if usages[1]:
        assert same_usage(usages[0][-1], usages[1][-1])


@pytest.mark.parametrize("kind", ["request", "response", "stream"])
def test_there_is_recorded_traffic_both_ways(kind: str) -> None:
    """The tests above run on something, in both directions."""
    sources = {param.values[0].format for param in pairs(kind)}
    assert sources == {OPENAI.format, ANTHROPIC.format}


@pytest.mark.parametrize("target", [OPENAI, ANTHROPIC])
def test_parallel_calls(target: Codec) -> None:
    """Several calls of one answer keep ids, order and arguments, whole and streamed."""
    parts = tuple(
        ToolCallPart(id=f"call_{i}", name=f"f{i}", arguments=json.dumps({"é": [i, None]}))
        for i in range(3)
    )
    usage = Usage(input_tokens=9, output_tokens=3, cached_tokens=4, reasoning_tokens=1)
    completion = Completion(
        id="i", model="m", parts=parts, finish=Finish.TOOL_CALLS, usage=usage, created=1
    )
    body = target.render_response(completion)
    check_answer(target, body)
    got = target.parse_response(body)
    assert calls(list(got.parts)) == calls(list(parts))
    assert got.finish is Finish.TOOL_CALLS
    assert got.usage is not None
    assert (got.usage.input_tokens, got.usage.cached_tokens) == (9, 4)


def test_stop_sequence() -> None:
    """A matched stop sequence survives to Anthropic callers, and is a plain stop to OpenAI's."""
    completion = Completion(
        id="i",
        model="m",
        parts=(TextPart(text="x"),),
        finish=Finish.STOP_SEQUENCE,
        stop_sequence="END",
        usage=Usage(),
    )
    read_back = ANTHROPIC.parse_response(ANTHROPIC.render_response(completion))
    assert (read_back.finish, read_back.stop_sequence) == (Finish.STOP_SEQUENCE, "END")
    assert OPENAI.parse_response(OPENAI.render_response(completion)).finish is Finish.STOP


def test_formats_are_complete() -> None:
    """Every codec says whose it is, and what callers speak providers speak too."""
    assert {name: one.format for name, one in PROVIDER_CODECS.items()} == {
        name: name for name in PROVIDER_CODECS
    }
    assert CODECS.items() <= PROVIDER_CODECS.items()
