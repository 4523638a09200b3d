"""Every recorded stream, cut at every byte.

Parsing a whole stream for each of its bytes would take a minute, so a cut in a long stream is
tested within the two events that it falls in and before: between events the parser holds nothing.
Whole streams are cut everywhere if they are short, else every few bytes.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.domain import WireFormat
from sidecar.wire.formats import codec
from sidecar.wire.sse import SseEvent, SseParser

if TYPE_CHECKING:
    from sidecar.wire.neutral import Delta

RECORDED = Path(__file__).parent / "recorded"
FORMATS = {"anthropic": WireFormat.ANTHROPIC_MESSAGES, "openai": WireFormat.OPENAI_CHAT}
SHORT_BYTES = 1300
STEP = 83
"""A prime, so that a regular stream is not cut at the same place of each event."""


def recorded_streams() -> list[Any]:
    """Return format and bytes of every recorded stream, named by file and index."""
    return [
        pytest.param(FORMATS[path.parent.name], text.encode(), id=f"{path.stem[:60]}-{number}")
        for path in sorted(RECORDED.glob("*/*.json"))
        for number, entry in enumerate(json.loads(path.read_bytes())["interactions"])
        if (text := entry["response"].get("body_text") or "").startswith(("data:", ":", "event:"))
    ]


STREAMS = pytest.mark.parametrize(("wire_format", "stream"), recorded_streams())


def parse(*chunks: bytes) -> tuple[list[SseEvent], bytes]:
    """Return all events of ``chunks`` and the unfinished rest."""
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)], parser.rest()


@cache
def whole(stream: bytes) -> tuple[list[SseEvent], bytes]:
    """Return what the stream says when it comes in one piece."""
    return parse(stream)


def deltas_of(wire_format: WireFormat, *chunks: bytes) -> tuple[list[Delta], bool]:
    """Return all deltas of ``chunks``, and whether the stream is complete."""
    events, parser = SseParser(), codec(wire_format).stream_parser()
    deltas = [
        delta for chunk in chunks for event in events.feed(chunk) for delta in parser.feed(event)
    ]
    return deltas, parser.is_complete()


def test_there_are_streams() -> None:
    """The recordings are found, in both formats: the other tests here have something to test."""
    formats = [case.values[0] for case in recorded_streams()]
    assert formats.count(WireFormat.OPENAI_CHAT) >= 9
    assert formats.count(WireFormat.ANTHROPIC_MESSAGES) >= 25


@STREAMS
def test_byte_by_byte(wire_format: WireFormat, stream: bytes) -> None:
    """A stream that drips in single bytes gives the same events and deltas, and as complete."""
    drops = [stream[at : at + 1] for at in range(len(stream))]
    assert parse(*drops) == whole(stream)
    assert deltas_of(wire_format, *drops) == deltas_of(wire_format, stream)


@STREAMS
def test_two_chunks(wire_format: WireFormat, stream: bytes) -> None:
    """A whole stream in two chunks gives the same events and rest, wherever it is cut."""
    step = 1 if len(stream) <= SHORT_BYTES else STEP
    for at in range(0, len(stream) + 1, step):
        assert parse(stream[:at], stream[at:]) == whole(stream), f"cut at {at}"


@STREAMS
def test_every_cut_within_its_events(wire_format: WireFormat, stream: bytes) -> None:
    """No byte of any event is a place where a cut changes anything."""
    events, rest = whole(stream)
    assert b"".join(event.raw for event in events) + rest == stream
    for before, event in pairwise([SseEvent(b"", None, None), *events]):
        raw = before.raw + event.raw
        expected = ([each for each in (before, event) if each.raw], b"")
        for at in range(len(before.raw), len(raw)):
            assert parse(raw[:at], raw[at:]) == expected, f"cut at {at} of {raw!r}"


@STREAMS
def test_other_line_ends_cut_at_each(wire_format: WireFormat, stream: bytes) -> None:
    """With CR LF the same stream says the same, cut before, within and after each line end."""
    lines = stream.replace(b"\n", b"\r\n")
    events, _ = parse(lines)
    assert [event.data for event in events] == [event.data for event in whole(stream)[0]]
    for before, event in pairwise([SseEvent(b"", None, None), *events]):
        raw = before.raw + event.raw
        expected = parse(raw)
        ends = (at for at in range(1, len(raw)) if raw[at - 1] in b"\r\n" or raw[at] in b"\r\n")
        for at in ends:
            assert parse(raw[:at], raw[at:]) == expected, f"cut at {at} of {raw!r}"


@STREAMS
def test_prefixes_never_say_more(wire_format: WireFormat, stream: bytes) -> None:
    """A stream cut short says the beginning of what the whole says, and is not complete early."""
    all_deltas, _ = deltas_of(wire_format, stream)
    for at in range(0, len(stream), max(1, len(stream) // 20)):
        deltas, is_complete = deltas_of(wire_format, stream[:at])
        assert deltas == all_deltas[: len(deltas)]
        assert not is_complete or at > len(stream) // 2
