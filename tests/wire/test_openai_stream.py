"""OpenAI chat streams: recorded ones cut anywhere, and the corners by hand."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.neutral import (
    CONTENT_DELTAS,
    Delta,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageSeen,
)
from sidecar.wire.openai_chat import OpenAIChatCodec
from sidecar.wire.sse import SseEvent, SseParser

CODEC = OpenAIChatCodec()
RECORDED = Path(__file__).parent / "recorded" / "openai"


def recorded_streams() -> list[Any]:
    """Return every recorded stream with its name."""
    return [
        pytest.param(interaction["response"]["body_text"].encode(), id=f"{path.stem}-{position}")
        for path in sorted(RECORDED.glob("*.json"))
        for position, interaction in enumerate(json.loads(path.read_text())["interactions"])
        if (interaction["response"].get("body_text") or "").startswith(("data:", ":", "event:"))
    ]


def read(stream: bytes, *, cuts: tuple[int, ...] = ()) -> tuple[list[Delta], bool]:
    """Return all deltas of a stream fed in pieces, and whether it is complete."""
    events, parser = SseParser(), CODEC.stream_parser()
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    seen = [event for piece in pieces for event in events.feed(piece)]
    assert b"".join(event.raw for event in seen) + events.rest() == stream
    deltas = [delta for event in seen for delta in parser.feed(event)]
    return deltas, parser.is_complete()


def feed(*chunks: object) -> list[Delta]:
    """Return the deltas of these chunks' JSON."""
    parser = CODEC.stream_parser()
    events = [SseEvent(b"", None, json.dumps(chunk).encode()) for chunk in chunks]
    return [delta for event in events for delta in parser.feed(event)]


def chunk(finish: str | None = None, index: int = 0, **delta: object) -> dict[str, object]:
    """Return a chunk with one choice."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "i", "model": "m", "created": 5, "choices": [choice]}


def joined(deltas: list[Delta], kind: type[TextDelta | ReasoningDelta | RefusalDelta]) -> str:
    """Return the text of all deltas of a kind."""
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def calls_of(deltas: list[Delta]) -> list[tuple[str, str, str]]:
    """Return id, name and arguments of every tool call."""
    return [
        (
            start.id,
            start.name,
            "".join(
                delta.arguments
                for delta in deltas
                if isinstance(delta, ToolCallDelta) and delta.index == start.index
            ),
        )
        for start in deltas
        if isinstance(start, ToolCallStart)
    ]


def naive_chunks(stream: bytes) -> list[dict[str, Any]]:
    """Return the JSON of every data line, read naively."""
    lines = stream.decode().replace("\r\n", "\n").split("\n")
    data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    return [json.loads(item) for item in data if item != "[DONE]"]


def naive_text(delta: dict[str, Any]) -> str:
    """Return a delta's text, in either form."""
    content = delta.get("content") or ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)


@pytest.mark.parametrize("stream", recorded_streams())
def test_recorded_stream_is_read_whole(stream: bytes) -> None:
    """Text, reasoning, tool calls, usage and finish are those of the JSON lines."""
    chunks = naive_chunks(stream)
    choices = [choice for item in chunks for choice in item.get("choices") or []]
    naive = [choice.get("delta") or {} for choice in choices]
    deltas, is_complete = read(stream)
    assert joined(deltas, TextDelta) == "".join(naive_text(delta) for delta in naive)
    assert joined(deltas, RefusalDelta) == "".join(d.get("refusal") or "" for d in naive)
    reasoning = [d.get("reasoning_content") or d.get("reasoning") or "" for d in naive]
    if any(reasoning):
        assert joined(deltas, ReasoningDelta) == "".join(reasoning)
    pieces = [call for delta in naive for call in delta.get("tool_calls") or []]
    ids = [call["id"] for call in pieces if call.get("id") and call["function"].get("name")]
    assert [call[0] for call in calls_of(deltas)] == list(dict.fromkeys(ids))
    arguments = "".join(call["function"].get("arguments") or "" for call in pieces)
    assert sorted("".join(call[2] for call in calls_of(deltas))) == sorted(arguments)
    usages = [item["usage"] for item in chunks if item.get("usage")]
    seen = [delta.usage for delta in deltas if isinstance(delta, UsageSeen)]
    assert [(u.input_tokens, u.output_tokens) for u in seen[-1:]] == [
        (u["prompt_tokens"], u["completion_tokens"]) for u in usages[-1:]
    ]
    has_error = any(item.get("error") for item in chunks)
    assert is_complete is not has_error
    assert has_error == any(isinstance(delta, ErrorSeen) for delta in deltas)
    assert sum(isinstance(delta, Finished) for delta in deltas) == (0 if has_error else 1)
    assert sum(isinstance(delta, Started) for delta in deltas) == 1


@pytest.mark.parametrize("stream", recorded_streams())
def test_recorded_stream_cut_anywhere(stream: bytes) -> None:
    """How the network cuts a stream, inside a character too, changes no delta."""
    whole = read(stream)
    rng = random.Random(len(stream))
    assert read(stream, cuts=tuple(range(1, len(stream)))) == whole
    for _ in range(3):
        cuts = sorted(rng.sample(range(len(stream)), k=min(40, len(stream))))
        assert read(stream, cuts=tuple(cuts)) == whole


@pytest.mark.parametrize("stream", recorded_streams())
def test_recorded_stream_survives_render(stream: bytes) -> None:
    """A rendered stream's chunks are the SDK's, and read back the same."""
    deltas, _ = read(stream)
    renderer = CODEC.stream_renderer(wants_usage=True)
    rendered = b"".join(renderer.render(delta) for delta in deltas) + renderer.finish()
    for item in naive_chunks(rendered):
        ChatCompletionChunk.model_validate_json(json.dumps(item), strict=True)
    again, is_complete = read(rendered)
    assert is_complete
    for kind in (TextDelta, ReasoningDelta, RefusalDelta):
        assert joined(again, kind) == joined(deltas, kind)
    assert calls_of(again) == [(i, name, text or "{}") for i, name, text in calls_of(deltas)]
    kinds = (UsageSeen, Finished)
    assert [d for d in again if isinstance(d, kinds)] == sorted(
        [d for d in deltas if isinstance(d, kinds)], key=lambda d: isinstance(d, UsageSeen)
    )


def test_prelude_is_no_content() -> None:
    """Role, empty text and chunks without choices must not commit a stream."""
    usage = {"id": "i", "choices": [], "prompt_filter_results": []}
    deltas = feed(usage, chunk(role="assistant", content=""), chunk(content=None), chunk(), {})
    assert [delta for delta in deltas if isinstance(delta, CONTENT_DELTAS)] == []
    assert [type(delta) for delta in deltas] == [Started]


def test_parallel_calls_at_one_index() -> None:
    """Calls that share index 0 are told apart by their ids."""
    calls = [
        {"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in "ab"
    ]
    deltas = feed(chunk(tool_calls=calls[:1]), chunk(tool_calls=calls[1:]), chunk(finish="stop"))
    assert calls_of(deltas) == [("a", "a", "{}"), ("b", "b", "{}")]
    assert deltas[-1] == Finished(finish=Finish.TOOL_CALLS)


def test_interleaved_calls_keep_their_arguments() -> None:
    """Argument pieces go to the call of their index."""
    starts = [{"index": i, "id": f"c{i}", "function": {"name": "f"}} for i in (0, 1)]
    more = [{"index": i, "function": {"arguments": str(i)}} for i in (1, 0, 1)]
    assert calls_of(feed(chunk(tool_calls=[*starts, *more]))) == [
        ("c0", "f", "0"),
        ("c1", "f", "11"),
    ]


def test_several_choices_finish_together() -> None:
    """With n > 1 every choice's content counts, and the stream is finished when all are."""
    parser = CODEC.stream_parser()
    items = [chunk(content="a"), chunk(index=1, content="b"), chunk(finish="stop")]
    deltas = [d for c in items for d in parser.feed(SseEvent(b"", None, json.dumps(c).encode()))]
    assert joined(deltas, TextDelta) == "ab"
    assert not parser.is_complete()
    last = json.dumps(chunk(finish="length", index=1)).encode()
    assert parser.feed(SseEvent(b"", None, last)) == (Finished(finish=Finish.STOP),)
    assert parser.is_complete()


@pytest.mark.parametrize(
    ("event", "data", "message", "kind"),
    [
        (None, b'{"error":{"message":"m","type":"t"}}', "m", "t"),
        (None, b'{"error":{"message":"m","code":502},"choices":[]}', "m", "502"),
        (None, b'{"error":"m"}', "m", None),
        ("error", b'{"error":{"message":"m","code":"c"}}', "m", "c"),
        ("error", b'{"message":"m","type":"t"}', "m", "t"),
        ("error", b"broken", "broken", None),
    ],
)
def test_errors_in_the_stream(
    event: str | None, data: bytes, message: str, kind: str | None
) -> None:
    """An error is seen in either form, with its data, and completes nothing."""
    parser = CODEC.stream_parser()
    deltas = parser.feed(SseEvent(b"", event, data))
    assert deltas == (ErrorSeen(message=message, error_type=kind, data=data),)
    assert not parser.is_complete()


def test_finish_reason_error_is_an_error() -> None:
    """A finish reason ``error`` never passes for a complete answer."""
    deltas = feed(chunk(content="x"), chunk(finish="error"))
    assert isinstance(deltas[-1], ErrorSeen)
    assert not any(isinstance(delta, Finished) for delta in deltas)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (None, None),
        (None, b""),
        ("ping", b"keep"),
        ("ping", b"{}"),
        (None, b'{"object":"x","choices":null}'),
    ],
)
def test_what_says_nothing(event: str | None, data: bytes | None) -> None:
    """Comments, pings and unknown events say nothing."""
    assert CODEC.stream_parser().feed(SseEvent(b"", event, data)) == ()


@pytest.mark.parametrize("data", [b"{", b"text", b'{"choices":{}}', b'{"id":"\xff"}', b"[1]"])
def test_malformed_chunks(data: bytes) -> None:
    """A chunk that is not JSON of this format is an error, not skipped."""
    with pytest.raises(WireError):
        CODEC.stream_parser().feed(SseEvent(b"", None, data))


def test_end_of_stream() -> None:
    """The terminal marker ends a stream; a finish reason may, since servers omit the marker."""
    parser = CODEC.stream_parser()
    assert not parser.is_complete()
    assert parser.feed(SseEvent(b"", None, b"[DONE]")) == (Ended(),)
    assert parser.is_complete()


def test_usage_in_its_places() -> None:
    """Usage counts beside choices, without choices, and in Groq's own object."""
    tokens = {"prompt_tokens": 2, "completion_tokens": 1}
    seen = UsageSeen(usage=Usage(input_tokens=2, output_tokens=1))
    assert feed({**chunk(), "usage": tokens})[-1] == seen
    assert feed({"choices": [], "usage": tokens}) == [seen]
    assert feed({"choices": [], "x_groq": {"usage": tokens}}) == [seen]


def test_render_order() -> None:
    """The role comes first; calls without arguments get an object; usage only when wanted."""
    start = Started(id="i", model="m")
    usage = UsageSeen(usage=Usage(input_tokens=1))
    calls = [ToolCallStart(index=i, id=f"c{i}", name="f") for i in (0, 1)]
    deltas: list[Delta] = [start, *calls, usage, Finished(finish=Finish.TOOL_CALLS), Ended()]
    for wants_usage in (True, False):
        renderer = CODEC.stream_renderer(wants_usage=wants_usage)
        rendered = b"".join(renderer.render(delta) for delta in deltas) + renderer.finish()
        chunks = naive_chunks(rendered)
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert chunks[0]["created"] == 0
        assert [bool(item["choices"]) for item in chunks].count(False) == wants_usage
        assert calls_of(read(rendered)[0]) == [("c0", "f", "{}"), ("c1", "f", "{}")]
        assert rendered.endswith(b"data: [DONE]\n\n")


def test_render_stream_error() -> None:
    """A broken stream ends in an error event with our code, and no marker."""
    raw = CODEC.render_stream_error(code="upstream_interrupted", message="m", details={"a": 1})
    deltas, is_complete = read(raw)
    assert [(d.message, d.error_type) for d in deltas if isinstance(d, ErrorSeen)] == [
        ("m", "upstream_interrupted")
    ]
    assert naive_chunks(raw)[0]["error"]["sidecar"] == {"a": 1}
    assert not is_complete
