"""Anthropic streams: recorded ones cut anywhere, and the SDK as the judge of what is written."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from anthropic import Anthropic, APIStatusError
from anthropic.types import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.anthropic_messages import AnthropicMessagesCodec
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
from sidecar.wire.sse import SseEvent, SseParser, encode_event

if TYPE_CHECKING:
    from random import Random

CODEC = AnthropicMessagesCodec()
RECORDED = Path(__file__).parent / "recorded" / "anthropic"
KNOWN = {"text", "tool_use", "thinking", "redacted_thinking"}
START = Started(id="i", model="m")
CALL_0, CALL_1 = ToolCallStart(index=0, id="a", name="f"), ToolCallStart(index=1, id="b", name="g")


def recorded_streams() -> list[Any]:
    """Return every recorded stream, named by file and index."""
    return [
        pytest.param(entry["response"]["body_text"].encode(), id=f"{path.stem[:60]}-{number}")
        for path in sorted(RECORDED.glob("*.json"))
        for number, entry in enumerate(json.loads(path.read_bytes())["interactions"])
        if (entry["response"].get("body_text") or "").startswith("event:")
    ]


STREAMS = recorded_streams()


def read(stream: bytes, *cuts: int) -> tuple[list[Delta], bool]:
    """Return all deltas of a stream that arrives in pieces, and whether it is complete."""
    events, parser = SseParser(), CODEC.stream_parser()
    pieces = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]
    deltas = [d for piece in pieces for event in events.feed(piece) for d in parser.feed(event)]
    return deltas, parser.is_complete()


def feed(*events: dict[str, Any]) -> list[Delta]:
    """Return the deltas of events given by their data."""
    parser = CODEC.stream_parser()
    encoded = [SseEvent(b"", event["type"], json.dumps(event).encode()) for event in events]
    return [delta for event in encoded for delta in parser.feed(event)]


def write(*deltas: Delta) -> bytes:
    """Return the stream that says ``deltas``."""
    renderer = CODEC.stream_renderer(wants_usage=False)
    return b"".join([*(renderer.render(delta) for delta in deltas), renderer.finish()])


def accumulate(stream: bytes) -> Message:
    """Return the message that the SDK makes of a stream, after checking the order of its events."""
    _check_order(stream)
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers=headers, content=stream)
    )
    with (
        httpx2.Client(transport=transport) as http,
        Anthropic(api_key="k", max_retries=0, http_client=http) as client,
        client.messages.stream(
            model="m", max_tokens=1, messages=[{"role": "user", "content": "a"}]
        ) as events,
    ):
        return Message.model_validate(events.get_final_message().model_dump(exclude_none=True))


def _check_order(stream: bytes) -> None:
    """Assert one open block at a time, indexes from 0 on, and the frame around them."""
    events = [event for event in SseParser().feed(stream) if event.data is not None]
    data = [json.loads(event.data or b"") for event in events]
    assert [event.event for event in events] == [item["type"] for item in data]
    types = [item["type"] for item in data]
    assert types[0] == "message_start"
    assert types[-2:] == ["message_delta", "message_stop"]
    index, is_open = -1, False
    for item in data[1:-2]:
        if item["type"] == "content_block_start":
            assert not is_open
            index, is_open = index + 1, True
        assert is_open
        assert item["index"] == index
        is_open = item["type"] != "content_block_stop"
    assert not is_open


def contents(deltas: list[Delta]) -> list[dict[str, Any]]:
    """Return the blocks that content deltas add up to, neighbours of one kind joined."""
    blocks: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for delta in deltas:
        match delta:
            case TextDelta(text=text):
                _last(blocks, "text")["text"] += text
            case ReasoningDelta(redacted=None):
                block = _last(blocks, "thinking")
                block["thinking"] += delta.text
                block["signature"] += delta.signature or ""
            case ToolCallStart():
                calls.append({"type": "tool_use", "id": delta.id, "name": delta.name, "input": ""})
                blocks.append(calls[-1])
            case ToolCallDelta():
                calls[delta.index]["input"] += delta.arguments
            case _:
                pass
    for call in calls:
        call["input"] = json.loads(call["input"] or "{}")
    return blocks


def _last(blocks: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the last block if it is of ``kind``, else a new one."""
    if not blocks or blocks[-1]["type"] != kind:
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}
        blocks.append({"type": kind} | empty[kind])
    return blocks[-1]


PIECES = {"text": "text", "thinking": "thinking", "signature": "signature", "partial_json": "json"}


def naive(stream: bytes) -> list[dict[str, Any]]:
    """Return the blocks of a stream by its JSON alone, neighbouring texts joined."""
    lines = [line[5:] for line in stream.splitlines() if line.startswith(b"data:")]
    blocks: dict[int, dict[str, Any]] = {}
    for event in map(json.loads, lines):
        if event["type"] == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"]) | {"json": ""}
        for key in PIECES.keys() & event.get("delta", {}).keys():
            blocks[event["index"]][PIECES[key]] += event["delta"][key]
    joined: list[dict[str, Any]] = []
    for block in (block for block in blocks.values() if block["type"] in KNOWN):
        if block["json"]:
            block["input"] = json.loads(block["json"])
        if block["type"] == "text" and joined and joined[-1]["type"] == "text":
            joined[-1]["text"] += block["text"]
        elif block["type"] != "text" or block["text"]:
            joined.append({k: v for k, v in block.items() if k not in {"json", "caller"}})
    return joined


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS)
def test_recorded_streams_say_what_a_plain_reading_says(stream: bytes) -> None:
    """Content, final usage and end of real streams are read in full."""
    deltas, is_complete = read(stream)
    assert contents(deltas) == naive(stream)
    assert is_complete
    assert isinstance(deltas[0], Started)
    assert isinstance(deltas[-1], Ended)
    assert all(d.text for d in deltas if isinstance(d, TextDelta))
    data = [json.loads(line[5:]) for line in stream.splitlines() if line.startswith(b"data:")]
    start = next(item["message"]["usage"] for item in data if item["type"] == "message_start")
    end = next(item["usage"] for item in data if item["type"] == "message_delta")
    total = start | end
    usage = [delta.usage for delta in deltas if isinstance(delta, UsageSeen)][-1]
    assert usage.output_tokens == total["output_tokens"]
    assert usage.input_tokens == sum(
        total.get(key) or 0
        for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )


@pytest.mark.parametrize("stream", STREAMS)
def test_bytes_may_come_one_by_one(stream: bytes) -> None:
    """How a stream is cut says nothing."""
    assert read(stream, *range(1, len(stream))) == read(stream)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_is_complete_with_its_last_event_alone(stream: bytes) -> None:
    """A stream that ends before ``message_stop`` is not a complete answer."""
    assert not read(stream[: stream.rindex(b"event: message_stop")])[1]


def test_a_tool_call_may_come_whole() -> None:
    """Input in the block's start counts if no delta says otherwise."""
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    piece = {"type": "input_json_delta", "partial_json": "{}"}
    change = {"type": "content_block_delta", "index": 0, "delta": piece}
    stop = {"type": "content_block_stop", "index": 0}
    assert contents(feed(start, stop))[0]["input"] == {"x": 1}
    assert contents(feed(start, change, stop))[0]["input"] == {}


def test_blocks_may_begin_with_content() -> None:
    """Text, thinking and redacted thinking in a block's start are content."""
    blocks = (
        {"type": "text", "text": "a"},
        {"type": "thinking", "thinking": "b", "signature": ""},
        {"type": "redacted_thinking", "data": "c"},
        {"type": "future", "text": {"x": 1}},
        {"type": "text", "text": ""},
    )
    starts = [{"type": "content_block_start", "index": 0, "content_block": b} for b in blocks]
    expected = [TextDelta(text="a"), ReasoningDelta(text="b"), ReasoningDelta(redacted="c")]
    assert feed(*starts) == expected
    assert all(isinstance(delta, CONTENT_DELTAS) for delta in expected)


def test_server_tools_are_no_calls_of_the_caller() -> None:
    """Arguments of a server tool are not content."""
    block = {"type": "server_tool_use", "id": "a", "name": "f", "input": {}}
    piece = {"type": "input_json_delta", "partial_json": '{"q":1}'}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    assert feed(start, {"type": "content_block_delta", "index": 0, "delta": piece}) == []


def test_pings_comments_and_unknown_events_say_nothing() -> None:
    """What is not known today is no failure."""
    parser = CODEC.stream_parser()
    assert feed({"type": "ping"}, {"type": "tomorrow", "message": 1}) == []
    assert parser.feed(SseEvent(b": hi\n\n", None, None)) == ()


def test_errors_in_a_stream_are_seen() -> None:
    """An error event is read whatever its shape, and completes nothing."""
    data = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    stream = encode_event(data, "error")
    error = ErrorSeen(message="Overloaded", error_type="overloaded_error", data=data)
    assert read(stream) == ([error], False)
    odd, _ = read(encode_event(b"upstream gone", "error"))
    assert isinstance(odd[0], ErrorSeen)
    assert odd[0].data == b"upstream gone"


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"type":"message_start"}', b'{"type":"content_block_stop"}', b'{"a"}']
)
def test_malformed_events_are_errors(data: bytes) -> None:
    """Bytes that are not this format's events fail, at once."""
    with pytest.raises(WireError):
        CODEC.stream_parser().feed(SseEvent(data, None, data))


# --- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS)
def test_recorded_streams_survive_the_neutral_form(stream: bytes) -> None:
    """The SDK makes the same message of a stream read and written anew."""
    deltas, _ = read(stream)
    message = accumulate(write(*deltas)).model_dump(exclude_none=True)
    assert message["content"] == naive(stream)
    again, is_complete = read(write(*deltas))
    assert is_complete
    assert contents(again) == contents(deltas)
    assert [d for d in again if isinstance(d, Finished | UsageSeen)] == [
        d for d in deltas if isinstance(d, Finished | UsageSeen)
    ]


def test_usage_may_come_last() -> None:
    """Usage after the finish reason, as OpenAI sends it, is in the final message."""
    usage = Usage(input_tokens=10, output_tokens=5, cached_tokens=4)
    text, end = TextDelta(text="hi"), Finished(finish=Finish.LENGTH)
    message = accumulate(write(START, text, end, UsageSeen(usage=usage), Ended()))
    assert (message.stop_reason, message.id, message.model) == ("max_tokens", "i", "m")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (6, 5)
    assert message.usage.cache_read_input_tokens == 4


def test_thinking_and_refusals() -> None:
    """Signed blocks close, redacted ones stand alone, a refusal is text with its reason."""
    message = accumulate(
        write(
            START,
            ReasoningDelta(text="a"),
            ReasoningDelta(text="b"),
            ReasoningDelta(signature="s"),
            ReasoningDelta(text="c"),
            ReasoningDelta(redacted="r"),
            RefusalDelta(text="no"),
            Finished(finish=Finish.STOP),
        )
    )
    assert message.model_dump(exclude_none=True)["content"] == [
        {"type": "thinking", "thinking": "ab", "signature": "s"},
        {"type": "thinking", "thinking": "c", "signature": ""},
        {"type": "redacted_thinking", "data": "r"},
        {"type": "text", "text": "no"},
    ]
    assert message.stop_reason == "refusal"


def test_sequential_calls_stream_without_delay() -> None:
    """A call whose arguments are whole makes way for the next one at once."""
    renderer = CODEC.stream_renderer(wants_usage=False)
    for delta in (START, CALL_0, ToolCallDelta(index=0, arguments='{"a":{}}')):
        renderer.render(delta)
    assert b'"name":"g"' in renderer.render(CALL_1)
    assert renderer.render(ToolCallDelta(index=0, arguments="\n")) == b""


ARGUMENTS = ('{"city":"Bern","n":{"m":[1]}}', "{}", '{"city":"Köln"}')


@settings(max_examples=60, derandomize=True, deadline=None)
@given(chance=st.randoms(use_true_random=False), has_text=st.booleans())
def test_parallel_calls_may_interleave(chance: Random, *, has_text: bool) -> None:
    """However the pieces of parallel calls interleave, the SDK gets every call whole."""
    queues = [
        [ToolCallStart(index=i, id=f"c{i}", name=f"f{i}")]
        + [ToolCallDelta(index=i, arguments=piece) for piece in arguments]
        for i, arguments in enumerate(ARGUMENTS)
    ]
    deltas: list[Delta] = [START, *(queue.pop(0) for queue in queues)]
    while any(queues):
        deltas.append(chance.choice([queue for queue in queues if queue]).pop(0))
        if has_text and chance.random() < 0.1:
            deltas.append(TextDelta(text="x"))
    message = accumulate(write(*deltas, Finished(finish=Finish.TOOL_CALLS)))
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.id for call in calls] == ["c0", "c1", "c2"]
    assert [call.input for call in calls] == [json.loads(arguments) for arguments in ARGUMENTS]
    texts = "".join(block.text for block in message.content if block.type == "text")
    assert len(texts) == sum(isinstance(delta, TextDelta) for delta in deltas)


def test_a_broken_stream_raises_in_the_sdk() -> None:
    """The error event is this format's, and no terminal marker follows it."""
    renderer = CODEC.stream_renderer(wants_usage=False)
    begun = renderer.render(START) + renderer.render(TextDelta(text="a"))
    details: dict[str, object] = {"delivered_chars": 1}
    end = CODEC.render_stream_error(code="upstream_interrupted", message="lost", details=details)
    assert end.startswith(b"event: error\ndata: {")
    stream = begun + end
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=stream))
    with (
        httpx2.Client(transport=transport) as http,
        Anthropic(api_key="k", max_retries=0, http_client=http) as client,
        client.messages.stream(
            model="m", max_tokens=1, messages=[{"role": "user", "content": "a"}]
        ) as events,
        pytest.raises(APIStatusError, match="upstream_interrupted"),
    ):
        events.get_final_message()
    error = read(stream)[0][-1]
    assert isinstance(error, ErrorSeen)
    assert (error.message, error.error_type) == ("lost", "api_error")
