"""The load and the simulated provider, over loopback with nothing between."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from bench.asking import (
    PLAIN,
    REQUEST_BYTES,
    TRANSLATED,
    Address,
    Wish,
    body_of,
    path_of,
    request_of,
)
from bench.load import STAMP, BadAnswerError, Streams, at_rate, call, ended, instants, saturate
from bench.measures import parse_wrk
from bench.processes import Cores, free_port
from bench.running import provider

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORT = Wish(is_stream=True, gap_ms=1, chunks=3)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    """Run a provider for all tests."""
    with provider(Cores.split(os.sched_getaffinity(0))) as running:
        yield running.address


@pytest.mark.parametrize("wish", [PLAIN, TRANSLATED, SHORT])
def test_requests_are_of_one_size(wish: Wish) -> None:
    """Every kind of request is JSON of the same length, so that only their kind differs."""
    body = body_of(wish)
    assert len(body) == REQUEST_BYTES
    assert json.loads(body)["stream"] is wish.is_stream
    head, _, sent = request_of(Address(port=1), wish).partition(b"\r\n\r\n")
    assert sent == body
    assert head.startswith(f"POST {path_of(wish)} HTTP/1.1\r\n".encode())
    assert b"content-length: 768" in head


@pytest.mark.parametrize("answer", [HEAD + b"done", CHUNKED + b"2\r\nok\r\n0\r\n\r\n"])
def test_an_answer_ends_with_its_last_byte(answer: bytes) -> None:
    """Of no beginning of an answer is it said that it has ended."""
    assert [size for size in range(len(answer) + 1) if ended(answer[:size])] == [len(answer)]


def test_errors_are_no_answers() -> None:
    """A candidate that fails fast is not a fast candidate."""
    with pytest.raises(BadAnswerError, match="503"):
        ended(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno")


def test_calls_are_due_at_the_rate() -> None:
    """The schedule is the same every time, in order, within the run, and about as long as asked."""
    due = instants(500, 4.0)
    assert due == sorted(due) == instants(500, 4.0)
    assert 0 < due[0] < due[-1] < 4
    assert 1800 < len(due) < 2200


def test_every_call_at_a_rate_is_answered(address: Address) -> None:
    """Latencies are positive, one for each call; a stream's first chunk comes before its end."""
    plain = at_rate(address, PLAIN, rate=200, duration_s=0.2)
    assert plain.is_complete
    assert len(plain.wholes_s) == plain.asked == len(instants(200, 0.2))
    assert min(plain.wholes_s) > 0
    streams = at_rate(address, SHORT, rate=100, duration_s=0.2)
    assert len(streams.firsts_s) == len(streams.wholes_s) == streams.asked
    assert sum(streams.firsts_s) < sum(streams.wholes_s)


def test_a_stream_has_the_chunks_wished_for(address: Address) -> None:
    """The order in the message reaches the provider; each chunk tells when it was written."""
    answer = call(address, SHORT)
    stamps = [int(stamp) for stamp in STAMP.findall(answer)]
    assert len(stamps) == SHORT.chunks
    assert stamps == sorted(stamps)
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    chunk = next(line for line in answer.split(b"\n\n") if b"@" in line)
    assert 200 < len(chunk.split(b"data: ")[1]) < 260


def test_saturation_counts_answers(address: Address) -> None:
    """There are answers on every connection, in a window that has a length."""
    window = saturate(address, PLAIN, connections=4, duration_s=0.5)
    assert window.calls > 0
    assert window.seconds > 0


def test_streams_stay_open(address: Address) -> None:
    """As many as were opened bring chunks, each of some age."""
    with Streams(address, Wish(is_stream=True, gap_ms=1)) as streams:
        assert streams.open(3)
        assert len(streams) == 3
        delays_s: list[float] = []
        while len(delays_s) < 20:
            delays_s += streams.watch(0.01).delays_s
    assert min(delays_s) > 0


def test_nobody_listening_is_told() -> None:
    """A candidate that is not there is an error, not a fast answer."""
    with pytest.raises(OSError, match="refused"):
        call(Address(port=free_port()), PLAIN)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("  12345 requests in 2.00s, 3.4MB read\n", (12345, 2.0)),
        ("  12 requests in 500.00ms, 3.4KB read\n", (12, 0.5)),
        ("  99 requests in 1.50m, 3.4KB read\n", (99, 90.0)),
    ],
)
def test_wrk_is_understood(said: str, expected: tuple[int, float]) -> None:
    """Calls and seconds are found, in each unit."""
    assert parse_wrk(said) == expected


def test_wrk_with_errors_is_no_result() -> None:
    """Refused calls are not counted as answered."""
    with pytest.raises(BadAnswerError):
        parse_wrk("  12345 requests in 2.00s, 3.4MB read\n  Non-2xx or 3xx responses: 12345\n")
