"""Server-sent events, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import WireError
from sidecar.wire.sse import SseEvent, SseParser, encode_comment, encode_event

PIECES = st.lists(
    st.sampled_from(
        (
            *(b"data: ", b"data:", b"data", b"event: x", b": c", b"id: 1", b"a", "é€".encode()),
            *(b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\xef\xbb\xbf"),
        )
    ),
    max_size=16,
).map(b"".join)


def parse(*chunks: bytes) -> tuple[list[SseEvent], bytes]:
    """Feed ``chunks`` and return all events and the rest."""
    parser = SseParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events, parser.rest()


@pytest.mark.parametrize(
    ("raw", "event", "data"),
    [
        (b"data: x\n\n", None, b"x"),
        (b"data:x\n\n", None, b"x"),
        (b"data:  x\n\n", None, b" x"),
        (b"data: x\r\n\r\n", None, b"x"),
        (b"data: x\r\r", None, b"x"),
        (b"data: x\r\n\n", None, b"x"),
        (b"data: a\ndata: b\n\n", None, b"a\nb"),
        (b"data: a\rdata: b\r\r", None, b"a\nb"),
        (b"data\n\n", None, b""),
        (b"event: ping\ndata: {}\n\n", "ping", b"{}"),
        (b"id: 1\nretry: 5\ndata: x\n\n", None, b"x"),
        (b": comment\n\n", None, None),
        (b": comment\ndata: x\n\n", None, b"x"),
        (b"event: ping\n\n", "ping", None),
        (b"database: x\n\n", None, None),
        (b"\xef\xbb\xbfdata: x\n\n", None, b"x"),
        (b"\n", None, None),
    ],
)
def test_one_event(raw: bytes, event: str | None, data: bytes | None) -> None:
    """Every line ending and field form of the WHATWG rules is read, and the bytes are kept."""
    assert parse(raw) == ([SseEvent(raw, event, data)], b"")


def test_byte_order_mark_counts_at_the_start_alone() -> None:
    """A byte order mark later in the stream belongs to a field's name."""
    events, _ = parse(b"data: x\n\n\xef\xbb\xbfdata: y\n\n")
    assert [event.data for event in events] == [b"x", None]


def test_unfinished_event_is_the_rest() -> None:
    """An event without its blank line is not delivered but kept."""
    events, rest = parse(b"data: x\n\ndata: y\n")
    assert [event.data for event in events] == [b"x"]
    assert rest == b"data: y\n"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(stream=PIECES, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_any_split_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    """How the network cut the bytes changes neither events nor raw bytes nor the rest."""
    whole = parse(stream)
    assert b"".join(event.raw for event in whole[0]) + whole[1] == stream
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == whole
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert parse(*(stream[a:b] for a, b in pairwise(edges))) == whole


PLAIN = st.lists(
    st.sampled_from(
        (
            *(b"data: x\n\n", b"event: y\ndata: z\n\n", b": c\n\n", b"\xef\xbb\xbfdata: x\n\n"),
            *(b"data: x\nb", b"data: x\r\n\n", b"\n", b"\r"),
        )
    ),
    max_size=3,
).map(b"".join)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(pieces=st.lists(PLAIN, max_size=4))
def test_whole_events_are_read_as_when_they_come_byte_by_byte(pieces: list[bytes]) -> None:
    """Events that come whole, as nearly all do, are no other than those that come in pieces."""
    stream = b"".join(pieces)
    assert parse(*pieces) == parse(*(stream[i : i + 1] for i in range(len(stream))))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(stream=PIECES)
def test_data_is_what_a_line_reader_sees(stream: bytes) -> None:
    """The events are those of a plain reader of the WHATWG text, line by line."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    expected: list[bytes] = []
    data: list[bytes] = []
    for line in text.split(b"\n")[:-1]:
        field, _, value = line.partition(b":")
        if not line:
            expected += [b"\n".join(data)] if data else []
            data = []
        elif field == b"data":
            data.append(value.removeprefix(b" "))
    events, rest = parse(stream)
    seen = [event.data for event in events if event.data is not None]
    is_cr_held_back = rest.endswith(b"\r")
    assert seen == expected or (is_cr_held_back and seen == expected[:-1])


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 95, b"data: " + b"x" * 93 + b"\n\n"])
def test_bound(chunk: bytes) -> None:
    """An event over the bound is refused, whether its end was seen or not."""
    with pytest.raises(WireError):
        SseParser(event_bytes_max=100).feed(chunk)


def test_many_small_events_do_not_add_up_to_the_bound() -> None:
    """The bound is of one event, not of a chunk with many."""
    assert len(SseParser(event_bytes_max=20).feed(b"data: x\n\n" * 50)) == 50


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.text(alphabet="ab \n", max_size=12).map(str.encode))
def test_encode_event_reads_back(data: bytes) -> None:
    """What is encoded is read back as it was."""
    raw = encode_event(data, "name")
    assert parse(raw) == ([SseEvent(raw, "name", data)], b"")


def test_encode_comment_says_nothing() -> None:
    """A comment stays a comment, with line breaks in it too."""
    events, rest = parse(encode_comment("a\ndata: b"))
    assert [event.data for event in events] == [None]
    assert rest == b""
