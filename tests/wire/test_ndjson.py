"""Lines of JSON, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import WireError
from sidecar.wire.ndjson import LineParser
from sidecar.wire.sse import SseEvent

STREAM = '{"a":"é€"}\n\r\n \n{"b":1}\r\n\n{"c":[]}'.encode()
PIECES = st.lists(
    st.sampled_from((b"{}", b"\n", b"\r", b"\r\n", b" ", "é€".encode(), b'{"a":"\\n"}')),
    max_size=16,
).map(b"".join)


def parse(*chunks: bytes) -> list[SseEvent]:
    """Return all lines of ``chunks``, the unfinished one too."""
    parser = LineParser()
    return [*(event for chunk in chunks for event in parser.feed(chunk)), *parser.end()]


def parse_with(parser: LineParser, chunks: list[bytes]) -> None:
    """Feed ``chunks``."""
    for chunk in chunks:
        parser.feed(chunk)


def naive(stream: bytes) -> list[SseEvent]:
    """Return the lines by the plainest means there are."""
    lines = [line + b"\n" for line in stream.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [SseEvent(line, None, line.strip() or None) for line in lines if line]


@given(stream=PIECES, cuts=st.lists(st.integers(0, 60), max_size=8))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_every_split_is_the_same(stream: bytes, cuts: list[int]) -> None:
    """Lines depend on the bytes alone, and hold them all."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert parse(*(stream[a:b] for a, b in pairwise(edges))) == naive(stream)
    assert b"".join(event.raw for event in parse(stream)) == stream


def test_every_two_cuts() -> None:
    """A stream with every kind of line is read alike wherever it is cut twice."""
    whole = naive(STREAM)
    assert [event.data for event in whole if event.data] == STREAM.split()
    for first in range(len(STREAM) + 1):
        for second in range(first, len(STREAM) + 1):
            assert parse(STREAM[:first], STREAM[first:second], STREAM[second:]) == whole


def test_nothing_is_looked_at_twice() -> None:
    """A long line in single bytes is searched for its end once a byte: linear time."""
    parser = LineParser()
    scanned = 0

    class Counting(bytearray):
        def find(self, sub: bytes, start: int, *_: int) -> int:  # type: ignore[override]
            nonlocal scanned
            scanned += len(self) - start
            return super().find(sub, start)

    parser._buffer = Counting()
    for _ in range(2000):
        assert parser.feed(b"x") == []
    assert scanned == 2000
    assert len(parser.feed(b"\n")) == 1


@pytest.mark.parametrize("chunks", [[b"x" * 9], [b"x" * 9 + b"\n"], [b"x" * 5, b"x" * 4]])
def test_bound(chunks: list[bytes]) -> None:
    """No line may be longer than the bound, finished or not."""
    parser = LineParser(line_bytes_max=8)
    with pytest.raises(WireError, match="exceeds 8 bytes"):
        parse_with(parser, chunks)


def test_the_last_line_needs_no_end() -> None:
    """A server that leaves out the last line end is understood, once."""
    parser = LineParser()
    assert parser.feed(b"{}") == []
    assert parser.rest() == b"{}"
    assert parser.end() == [SseEvent(b"{}", None, b"{}")]
    assert parser.end() == []
