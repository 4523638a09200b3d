"""Every recorded stream says the same however it is cut: all splits, into any number of pieces.

Parsing a whole stream for each way to cut it would take for ever, so the statement is proved by
induction, and each step is checked on every recorded stream, with LF and with CR LF. (CR alone is
checked where cuts near line ends are; no provider sends it.)
What a parser holds after some pieces is called plain if it is what one piece would have left: the
bytes since the last event's end, where to search on in them, and whether an event has come yet.

1. Between events nothing is held: whoever was fed up to an event's end, and whoever comes by one
   within a long piece, goes on like a new parser (``test_between_events_nothing_is_held``). So what
   lies before the event in which a cut falls is of no account, nor what follows that event's end,
   and a cut needs to be looked at within two events only: its own, and the one after.
2. A cut at any byte of an event leaves its bytes and nothing else, plain; from there the next piece
   gives this event and the following one, and nothing is held again
   (``test_every_cut_within_its_events``). With 1 that is every split of the stream into two pieces.
3. A piece that ends before its event does gives nothing and leaves what is plain again. The search
   for an event's end passes over what it has seen but for two bytes, so two cuts can only matter
   together near a line end: each pair of such cuts is tried (``test_two_cuts_near_a_line_end``),
   and each byte as a piece of its own (``test_byte_by_byte``). From plain to plain at each piece is
   the induction: every split into any number of pieces.
4. A format's parser is given events and never bytes, one after the other: as the events are the
   same, so are the deltas, and what it holds after each event (``test_byte_by_byte``).

Random splits of whole streams, and all cuts in two of the short ones, ask for the same without
the argument.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain import WireFormat
from sidecar.wire.formats import codec
from sidecar.wire.sse import SseEvent, SseParser

if TYPE_CHECKING:
    from sidecar.wire.codec import StreamParser
    from sidecar.wire.neutral import Delta

RECORDED = Path(__file__).parent / "recorded"
FORMATS = {
    "anthropic": WireFormat.ANTHROPIC_MESSAGES,
    "gemini": WireFormat.GEMINI,
    "openai": WireFormat.OPENAI_CHAT,
    "responses": WireFormat.OPENAI_RESPONSES,
}
SHORT_BYTES = 1300
NEAR_BYTES = 3
"""How far from a line end two cuts may still matter together: CR LF CR and one byte to look at."""


def recorded_streams() -> list[Any]:
    """Return format and bytes of every recorded stream, named by file and index.

    Gemini's lines end in CR LF, the others' in LF; each test puts its own ends in the place of LF.
    """
    return [
        pytest.param(FORMATS[path.parent.name], lines_of(text), id=f"{path.stem[:60]}-{number}")
        for path in sorted(RECORDED.glob("*/*.json"))
        for number, entry in enumerate(json.loads(path.read_bytes())["interactions"])
        if (text := entry["response"].get("body_text") or "").startswith(("data:", ":", "event:"))
    ]


def lines_of(text: str) -> bytes:
    """Return a stream's bytes with LF as the end of each line."""
    return text.encode().replace(b"\r\n", b"\n")


STREAMS = pytest.mark.parametrize(("wire_format", "stream"), recorded_streams())
LINE_ENDS = pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])


def parse(*chunks: bytes) -> tuple[list[SseEvent], bytes]:
    """Return all events of ``chunks`` and the unfinished rest."""
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)], parser.rest()


@cache
def whole(stream: bytes) -> tuple[list[SseEvent], bytes]:
    """Return what the stream says when it comes in one piece."""
    return parse(stream)


def plain(rest: bytes, *, is_at_start: bool) -> dict[str, object]:
    """Return all that a parser remembers that was fed ``rest`` in one piece after an event's end.

    A field that is not named here makes every comparison fail, and so must be thought of.
    """
    return {
        "_event_bytes_max": 8 * 1024 * 1024,
        "_buffer": rest,
        "_scanned": max(0, len(rest) - 2),
        "_is_at_start": is_at_start,
    }


def after_an_event() -> SseParser:
    """Return a parser that stands between two events."""
    parser = SseParser()
    parser.feed(b"\n")
    return parser


def windows(stream: bytes) -> list[tuple[SseEvent, SseEvent, bool]]:
    """Return each event with the one that follows (empty after the last), and whether it is first.

    Equal windows are returned once: many events of a stream are.
    """
    events = [*whole(stream)[0], SseEvent(b"", None, None)]
    found = ((event, after, at == 0) for at, (event, after) in enumerate(pairwise(events)))
    return list(dict.fromkeys(found))


class Watched(SseParser):
    """A parser that notes what it holds from ``start`` on whenever it looks for an event's end."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[tuple[dict[str, object], int]] = []

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Search for each event, where a glance would do too; whose result is compared with it."""
        return self._feed(chunk)

    def _end_of_event(self, start: int) -> int | None:
        seen = {name: value for name, value in vars(self).items() if name != "turns"}
        self.turns.append((seen | {"_buffer": self.rest()[start:]}, start))
        return super()._end_of_event(start)


def test_there_are_streams() -> None:
    """The recordings are found, in each format: the other tests here have something to test."""
    formats = [case.values[0] for case in recorded_streams()]
    assert formats.count(WireFormat.OPENAI_CHAT) >= 9
    assert formats.count(WireFormat.ANTHROPIC_MESSAGES) >= 25
    assert formats.count(WireFormat.GEMINI) >= 12
    assert formats.count(WireFormat.OPENAI_RESPONSES) >= 15


@LINE_ENDS
@STREAMS
def test_between_events_nothing_is_held(
    wire_format: WireFormat, stream: bytes, line_end: bytes
) -> None:
    """An event's end within a piece, and one at its end, leave a parser like a new one."""
    stream = stream.replace(b"\n", line_end)
    events, rest = whole(stream)
    assert b"".join(event.raw for event in events) + rest == stream
    watched = Watched()
    assert watched.feed(stream) == events
    assert len(watched.turns) == len(events) + 1
    end = 0
    for number, (seen, start) in enumerate(watched.turns):
        is_at_start = number == 0
        assert start == end
        as_new = plain(b"", is_at_start=is_at_start)
        assert seen == as_new | {"_buffer": stream[end:], "_scanned": start}
        parser = SseParser()
        assert parser.feed(stream[:end]) == events[:number]
        assert vars(parser) == as_new
        assert parser.feed(stream[end:]) == events[number:]
        assert vars(parser) == plain(rest, is_at_start=False)
        end += len(events[number].raw) if number < len(events) else 0


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@STREAMS
def test_every_cut_within_its_events(
    wire_format: WireFormat, stream: bytes, line_end: bytes
) -> None:
    """No byte of any event is a place where a cut changes anything, or leaves anything behind."""
    for event, after, is_first in windows(stream.replace(b"\n", line_end)):
        raw = event.raw + after.raw
        expected = [each for each in (event, after) if each.raw]
        for at in range(len(event.raw)):
            parser = SseParser() if is_first else after_an_event()
            assert parser.feed(raw[:at]) == []
            assert vars(parser) == plain(raw[:at], is_at_start=is_first), f"cut at {at} of {raw!r}"
            assert parser.feed(raw[at:]) == expected, f"cut at {at} of {raw!r}"
            assert vars(parser) == plain(b"", is_at_start=False), f"cut at {at} of {raw!r}"


@LINE_ENDS
@STREAMS
def test_two_cuts_near_a_line_end(wire_format: WireFormat, stream: bytes, line_end: bytes) -> None:
    """Two cuts around the line ends of an event leave what is plain, each time."""
    for event, after, is_first in windows(stream.replace(b"\n", line_end)):
        raw, end = event.raw + after.raw, len(event.raw)
        ends = [at for at, byte in enumerate(event.raw) if byte in b"\r\n"]
        span = range(-NEAR_BYTES, NEAR_BYTES + 1)
        near = sorted({at + by for at in ends for by in span if 0 < at + by < len(raw)})
        for first, second in combinations(near, 2):
            parser = SseParser() if is_first else after_an_event()
            came: list[SseEvent] = []
            for since, until in ((0, first), (first, second)):
                came += parser.feed(raw[since:until])
                assert came == ([event] if until >= end else []), f"{first}, {second} of {raw!r}"
                rest = raw[end if came else 0 : until]
                assert vars(parser) == plain(rest, is_at_start=is_first and not came)
            came += parser.feed(raw[second:])
            assert came == [each for each in (event, after) if each.raw]
            assert vars(parser) == plain(b"", is_at_start=False)


def remembered(value: object) -> object:
    """Return what a format's parser holds as comparable values."""
    if isinstance(value, dict):
        return {key: remembered(each) for key, each in value.items()}
    if callable(value):
        return value.__qualname__ if hasattr(value, "__qualname__") else repr(value)
    names = getattr(value, "__slots__", None)
    if names is None or type(value).__module__.startswith(("builtins", "msgspec")):
        return value
    return [getattr(value, name) for name in names]


def read(parser: StreamParser, events: list[SseEvent]) -> list[tuple[tuple[Delta, ...], object]]:
    """Return what a format's parser says to each of ``events`` and holds after it."""
    return [(parser.feed(event), remembered(vars(parser))) for event in events]


@LINE_ENDS
@STREAMS
def test_byte_by_byte(wire_format: WireFormat, stream: bytes, line_end: bytes) -> None:
    """A stream that drips in single bytes gives the same events, plain at each byte, and deltas."""
    stream = stream.replace(b"\n", line_end)
    events, rest = whole(stream)
    parser = SseParser()
    dripped: list[SseEvent] = []
    begins_at = 0
    for at in range(len(stream)):
        came = parser.feed(stream[at : at + 1])
        dripped += came
        begins_at = at + 1 if came else begins_at
        assert vars(parser) == plain(stream[begins_at : at + 1], is_at_start=not dripped)
    assert (dripped, parser.rest()) == (events, rest)
    one, other = codec(wire_format).stream_parser(), codec(wire_format).stream_parser()
    assert read(one, dripped) == read(other, events)
    assert one.is_complete() == other.is_complete()


@STREAMS
def test_two_chunks(wire_format: WireFormat, stream: bytes) -> None:
    """A whole short stream in two chunks gives the same events and rest, wherever it is cut."""
    if len(stream) > SHORT_BYTES:
        stream = b"".join(event.raw for event in whole(stream)[0][:4])
    for at in range(len(stream) + 1):
        assert parse(stream[:at], stream[at:]) == whole(stream), f"cut at {at}"


@settings(max_examples=250, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_pieces(data: st.DataObject) -> None:
    """A stream in random pieces, of any line end and with a byte order mark, says the same."""
    case = data.draw(st.sampled_from(recorded_cases()))
    line_end = data.draw(st.sampled_from((b"\n", b"\r\n", b"\r")))
    mark = data.draw(st.sampled_from((b"", b"\xef\xbb\xbf")))
    stream = mark + case[1].replace(b"\n", line_end)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=40, unique=True))
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    assert parse(*pieces) == whole(stream)
    assert deltas_of(case[0], *pieces) == deltas_of(case[0], stream)


@cache
def recorded_cases() -> tuple[tuple[WireFormat, bytes], ...]:
    """Return the recorded streams as values."""
    return tuple((case.values[0], case.values[1]) for case in recorded_streams())


def deltas_of(wire_format: WireFormat, *chunks: bytes) -> tuple[list[Delta], bool]:
    """Return all deltas of ``chunks``, and whether the stream is complete."""
    events, parser = SseParser(), codec(wire_format).stream_parser()
    deltas = [
        delta for chunk in chunks for event in events.feed(chunk) for delta in parser.feed(event)
    ]
    return deltas, parser.is_complete()


@STREAMS
def test_prefixes_never_say_more(wire_format: WireFormat, stream: bytes) -> None:
    """A stream cut short says the beginning of what the whole says, and is not complete early."""
    all_deltas, _ = deltas_of(wire_format, stream)
    for at in range(0, len(stream), max(1, len(stream) // 20)):
        deltas, is_complete = deltas_of(wire_format, stream[:at])
        assert deltas == all_deltas[: len(deltas)]
        assert not is_complete or at > len(stream) // 2
