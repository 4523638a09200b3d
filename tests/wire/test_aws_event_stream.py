"""AWS's binary messages, cut anywhere, and damaged anywhere."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import WireError
from sidecar.wire.aws_event_stream import EXCEPTION, EventStreamParser
from sidecar.wire.sse import SseEvent

RECORDED = Path(__file__).parent / "recorded" / "bedrock"


def recorded_streams() -> list[bytes]:
    """Return every recorded stream."""
    return [
        base64.b64decode(entry["response"]["body_b64"])
        for path in sorted(RECORDED.glob("*.json"))
        for entry in json.loads(path.read_bytes())["interactions"]
        if entry["response"].get("body_b64")
    ]


STREAMS = recorded_streams()


def header(name: str, kind: int, value: bytes) -> bytes:
    """Return one header; strings and bytes carry their length."""
    size = struct.pack(">H", len(value)) if kind in {6, 7} else b""
    return bytes([len(name)]) + name.encode() + bytes([kind]) + size + value


def text(name: str, value: str) -> bytes:
    """Return one header with a string."""
    return header(name, 7, value.encode())


def message(headers: bytes, payload: bytes = b"{}") -> bytes:
    """Return a message with right lengths and checksums."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


EVENT = message(text(":message-type", "event") + text(":event-type", "a"), '{"é":1}'.encode())


def parse(*chunks: bytes) -> list[SseEvent]:
    """Return all messages of ``chunks``."""
    parser = EventStreamParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    assert b"".join(event.raw for event in events) + parser.rest() == b"".join(chunks)
    return events


def test_there_are_streams() -> None:
    """The recordings are found."""
    assert len(STREAMS) == 7


@pytest.mark.parametrize("stream", STREAMS)
def test_recorded_streams(stream: bytes) -> None:
    """Recorded streams fall into their messages, in single bytes too, and nothing is left."""
    events = parse(stream)
    names = [event.event for event in events]
    assert names[0] == "messageStart"
    assert names[-2:] == ["messageStop", "metadata"]
    assert all(isinstance(json.loads(event.data or b""), dict) for event in events)
    assert parse(*(stream[at : at + 1] for at in range(len(stream)))) == events
    for at in range(0, len(stream), 7):
        assert parse(stream[:at], stream[at:]) == events


def test_every_two_cuts() -> None:
    """Two messages are read alike wherever they are cut twice."""
    stream = EVENT + EVENT
    whole = [SseEvent(EVENT, "a", '{"é":1}'.encode())] * 2
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert parse(stream[:first], stream[first:second], stream[second:]) == whole


@given(cuts=st.lists(st.integers(0, 20_000), max_size=12), which=st.sampled_from(range(7)))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_random_pieces(cuts: list[int], which: int) -> None:
    """A recorded stream in random pieces says the same."""
    stream = STREAMS[which]
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert parse(*(stream[a:b] for a, b in pairwise(edges))) == parse(stream)


def test_every_flipped_bit_is_seen() -> None:
    """No damaged message is ever taken for a whole one."""
    for at in range(len(EVENT) * 8):
        damaged = bytearray(EVENT)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(WireError):
            parse(bytes(damaged) + EVENT)


def test_every_type_of_header_is_passed_over() -> None:
    """Headers of every type may stand between those that are read."""
    sizes = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: 3, 8: 8, 9: 16}
    others = b"".join(header("x", kind, b"\xff" * size) for kind, size in sizes.items())
    raw = message(text(":message-type", "event") + others + text(":event-type", "b"))
    assert parse(raw) == [SseEvent(raw, "b", b"{}")]


@pytest.mark.parametrize(
    "headers",
    [
        header("x", 10, b""),
        b"\x05x",
        b"\x01x",
        b"\x01x\x07\x00",
        b"\x01x\x07\x00\x09abc",
        b"\x01x\x04\x00",
        header("x", 7, b"\xff"),
        b"\x01\xff\x00",
    ],
)
def test_broken_headers(headers: bytes) -> None:
    """Headers that do not fill their bytes are an error, right checksums or not."""
    with pytest.raises(WireError, match="header"):
        parse(message(headers))


@pytest.mark.parametrize(
    ("headers", "payload", "expected"),
    [
        (
            text(":message-type", "exception") + text(":exception-type", "throttlingException"),
            b'{"message":"Too many"}',
            {"type": "throttlingException", "message": "Too many"},
        ),
        (
            text(":message-type", "exception") + text(":exception-type", "x"),
            b'{"Message":"M"}',
            {"type": "x", "message": "M"},
        ),
        (text(":message-type", "exception"), b"plain", {"type": "unknown", "message": "plain"}),
        (text(":message-type", "exception"), b"{}", {"type": "unknown", "message": ""}),
        (
            text(":message-type", "error") + text(":error-code", "c") + text(":error-message", "m"),
            b"",
            {"type": "c", "message": "m"},
        ),
    ],
)
def test_exceptions(headers: bytes, payload: bytes, expected: dict[str, Any]) -> None:
    """Exceptions and errors come under one name, with what they say."""
    (event,) = parse(message(headers, payload))
    assert event.event == EXCEPTION
    assert json.loads(event.data or b"") == expected


def test_bounds() -> None:
    """A message beyond the bound is refused as soon as it says its length."""
    parser = EventStreamParser(message_bytes_max=len(EVENT) - 1)
    with pytest.raises(WireError, match="exceeds"):
        parser.feed(EVENT[:12])


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (16, 1), (0, 0)])
def test_impossible_lengths(total: int, headers: int) -> None:
    """Lengths that contradict each other are an error, not a wait."""
    lengths = struct.pack(">II", total, headers)
    with pytest.raises(WireError, match="longer than"):
        parse(lengths + struct.pack(">I", zlib.crc32(lengths)))


def test_the_end() -> None:
    """Bytes that end within a message are an error."""
    parser = EventStreamParser()
    parser.feed(EVENT)
    assert parser.end() == []
    parser.feed(EVENT[:-1])
    with pytest.raises(WireError, match="within a message"):
        parser.end()


def test_long_messages_are_not_searched() -> None:
    """A long message in small pieces is looked at once, when it is whole: linear time."""
    raw = message(text(":event-type", "a"), b"x" * 200_000)
    parser = EventStreamParser()
    lengths = 0
    looked = parser._lengths

    def counting(start: int) -> tuple[int, int]:
        nonlocal lengths
        lengths += 1
        return looked(start)

    parser._lengths = counting  # type: ignore[method-assign]  # counts, and does as ever
    events = [event for at in range(0, len(raw), 100) for event in parser.feed(raw[at : at + 100])]
    assert [event.raw for event in events] == [raw]
    assert lengths <= len(raw) // 100 + 1
