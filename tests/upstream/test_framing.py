"""Answers as bytes: however they are cut into packets they mean the same; garbage is an error."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import (
    AttemptError,
    ConnectionBrokenError,
    ProtocolBrokenError,
    StaleConnectionError,
)
from sidecar.upstream.protocols import PlainConnection, TlsConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sidecar.upstream.connection import Connection
    from sidecar.upstream.exchange import Exchange

T = TypeVar("T")
HEAD = b"HTTP/1.1 200 OK\r\n"
BUFFER = memoryview(bytearray(4096))
LOOP = asyncio.new_event_loop()
FAMILY = {ProtocolBrokenError, ConnectionBrokenError, StaleConnectionError}
LOOP.close()  # makes no futures: nothing here may wait


class Wire(asyncio.Transport):
    """The other side's view: what was written, and whether the connection stands."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Note what is sent."""
        self.written += data

    def is_closing(self) -> bool:
        """Say whether it was cut."""
        return self.is_aborted

    def abort(self) -> None:
        """Note the cut."""
        self.is_aborted = True

    def pause_reading(self) -> None:
        """Note it."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.is_paused = False


class Keeper:
    """Notes what came back."""

    def __init__(self) -> None:
        self.given_back = 0

    def give_back(self, connection: Connection) -> None:
        """Note it."""
        assert connection.is_open
        self.given_back += 1

    def lost(self, connection: Connection) -> None:
        """Nothing to forget."""


class Line:
    """A connection over a ``Wire``, asked once; ``is_reused`` after an earlier answer."""

    def __init__(
        self, *, method: str = "POST", is_reused: bool = False, is_tls: bool = False
    ) -> None:
        self.wire = Wire()
        self.keeper = Keeper()
        self.connection = (
            TlsConnection(LOOP, self.keeper, BUFFER)
            if is_tls
            else PlainConnection(LOOP, self.keeper)
        )
        self.connection.connection_made(self.wire)
        if is_reused:
            self.connection.ask(b"")
            self.feed(HEAD + b"content-length: 0\r\n\r\n")
        self.exchange = self.connection.ask(b"ask", has_no_body=method == "HEAD")

    def feed(self, *packets: bytes) -> None:
        """Deliver packets as a loop would, none any more once it was cut."""
        for packet in packets:
            if not packet or self.wire.is_aborted:
                continue
            if isinstance(self.connection, TlsConnection):
                self.connection.get_buffer(len(packet))[: len(packet)] = packet
                self.connection.buffer_updated(len(packet))
                BUFFER[:] = bytes(len(BUFFER))  # it is somebody else's now
            else:
                self.connection.data_received(packet)

    def end(self, error: Exception | None = None) -> None:
        """End the connection, by FIN or by ``error``."""
        if error is None and not self.wire.is_aborted:
            self.connection.eof_received()
        self.connection.connection_lost(error)


def at_once(coroutine: Coroutine[object, object, T]) -> T:
    """Return what a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise AssertionError("it waits")


def whole(exchange: Exchange) -> bytes:
    """Return the body."""
    at_once(exchange.arrive())
    body = b""
    while data := at_once(exchange.read()):
        body += data
    return body


def outcome(exchange: Exchange) -> tuple[bytes, AttemptError | None]:
    """Return what of the body can be read, and the error that ended it."""
    body = b""
    try:
        at_once(exchange.arrive())
        while data := at_once(exchange.read()):
            body += data
    except AttemptError as error:
        return body, error
    return body, None


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Return ``data`` in pieces, cut at those places that it has."""
    places = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


NAMES = st.text("abcXYZ-", min_size=1, max_size=8).map(lambda text: f"x-{text}")
TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
HEADERS = st.lists(st.tuples(NAMES, TEXTS), max_size=4)
BODIES = st.lists(st.binary(min_size=1, max_size=50), max_size=5)
CUTS = st.lists(st.integers(0, 2000), max_size=12)


def lines(headers: list[tuple[str, str]]) -> bytes:
    """Return headers as they are sent."""
    return b"".join(f"{name}: {text}\r\n".encode() for name, text in headers)


def chunked(body: list[bytes], extension: bytes, trailer: bytes) -> bytes:
    """Return a body in chunks."""
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(one), extension, one) for one in body)
    return chunks + b"0\r\n" + trailer + b"\r\n"


FRAMINGS: dict[str, Callable[[list[bytes]], bytes]] = {
    "length": lambda body: b"content-length: %d\r\n\r\n" % sum(map(len, body)) + b"".join(body),
    "chunked": lambda body: b"transfer-encoding: chunked\r\n\r\n" + chunked(body, b"", b""),
    "trailer": lambda body: (
        b"Transfer-Encoding: gzip, Chunked\r\ntrailer: x-t\r\n\r\n"
        + chunked(body, b" ;a=b", b"x-trailing: 1\r\n")
    ),
    "end": lambda body: b"\r\n" + b"".join(body),
}


@given(
    framing=st.sampled_from(sorted(FRAMINGS)),
    interims=st.lists(st.sampled_from([100, 102, 103]), max_size=2),
    headers=HEADERS,
    body=BODIES,
    at=CUTS,
    is_reused=st.booleans(),
    is_tls=st.booleans(),
)
def test_any_cut_means_the_same(
    framing: str,
    interims: list[int],
    headers: list[tuple[str, str]],
    body: list[bytes],
    at: list[int],
    *,
    is_reused: bool,
    is_tls: bool,
) -> None:
    """Status, headers and body do not depend on packets; a framed answer frees its connection."""
    line = Line(is_reused=is_reused, is_tls=is_tls)
    before = line.keeper.given_back
    answer = b"".join(b"HTTP/1.1 %d Wait\r\nx-early: 1\r\n\r\n" % status for status in interims)
    answer += b"HTTP/1.1 207 Odd\r\n" + lines(headers) + FRAMINGS[framing](body)
    line.feed(*cut(answer, at))
    if framing == "end":
        line.end()
    assert whole(line.exchange) == b"".join(body)
    assert line.exchange.status == 207
    expected: dict[str, str] = {}
    for name, text in headers:
        lowered = name.lower()
        expected[lowered] = f"{expected[lowered]}, {text}" if lowered in expected else text
    seen = {name: text for name, text in line.exchange.headers.items() if name.startswith("x-")}
    assert seen == expected
    assert line.keeper.given_back - before == (framing != "end")
    assert line.wire.is_aborted == (framing == "end")


@given(
    framing=st.sampled_from(["length", "chunked", "trailer"]),
    body=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5),
    at=CUTS,
    lost=st.integers(1, 2000),
    is_reset=st.booleans(),
)
def test_a_cut_answer_is_never_whole(
    framing: str, body: list[bytes], at: list[int], lost: int, *, is_reset: bool
) -> None:
    """An answer without its last bytes gives a part of its body, then an error, again and again."""
    answer = HEAD + FRAMINGS[framing](body)
    line = Line()
    line.feed(*cut(answer[: -1 - lost % len(answer)], at))
    line.end(ConnectionResetError() if is_reset else None)
    got, error = outcome(line.exchange)
    assert b"".join(body).startswith(got)
    assert type(error) is ConnectionBrokenError
    with pytest.raises(ConnectionBrokenError):
        at_once(line.exchange.read())
    assert line.wire.is_aborted


@given(
    data=st.one_of(
        st.binary(max_size=400),
        st.tuples(
            st.sampled_from(sorted(FRAMINGS)), BODIES, st.lists(st.integers(0, 300)), st.binary()
        ).map(lambda some: _damaged(HEAD + FRAMINGS[some[0]](some[1]), some[2], some[3])),
    ),
    at=CUTS,
    is_reused=st.booleans(),
)
def test_random_bytes(data: bytes, at: list[int], *, is_reused: bool) -> None:
    """Whatever comes, there is an answer or an error of the family, and nothing waits for ever."""
    line = Line(is_reused=is_reused)
    line.feed(*cut(data, at))
    line.end()
    _, error = outcome(line.exchange)
    assert (type(error) is StaleConnectionError) == (is_reused and not data)
    assert type(error) in {*FAMILY, type(None)}
    assert line.wire.is_aborted


def _damaged(answer: bytes, at: list[int], by: bytes) -> bytes:
    damaged = bytearray(answer)
    for place, byte in zip(at, by, strict=False):
        damaged[place % len(damaged)] = byte
    return bytes(damaged)


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(status: int) -> None:
    """Some statuses have no body, whatever their headers say of the one they would have."""
    line = Line()
    line.feed(b"HTTP/1.1 %d None\r\ncontent-length: 10\r\n\r\n" % status)
    assert whole(line.exchange) == b""
    assert line.keeper.given_back == 1


def test_an_answer_to_head() -> None:
    """It ends with its head, and the connection answers the next request."""
    line = Line(method="HEAD")
    line.feed(HEAD + b"content-length: 10\r\n\r\n")
    assert whole(line.exchange) == b""
    assert line.exchange.headers == {"content-length": "10"}
    assert line.keeper.given_back == 1
    line.exchange = line.connection.ask(b"again")
    line.feed(HEAD + b"content-length: 2\r\n\r\nok")
    assert whole(line.exchange) == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokay",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nH",
    ],
)
def test_connections_that_are_not_kept(answer: bytes) -> None:
    """An answer is whole, but its connection is not to be used again: it says so, or says more."""
    line = Line()
    line.feed(answer)
    assert whole(line.exchange) == b"ok"
    assert line.keeper.given_back == 0
    assert line.wire.is_aborted


def test_http_1_0_may_keep_its_connection() -> None:
    """If it says so."""
    line = Line()
    line.feed(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok")
    assert line.keeper.given_back == 1


def test_bytes_on_an_idle_connection() -> None:
    """Who speaks unasked is not asked again."""
    line = Line()
    line.feed(HEAD + b"content-length: 0\r\n\r\n")
    assert not line.wire.is_aborted
    line.feed(b"H")
    assert line.wire.is_aborted


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\n\r\n", id="another protocol"),
        pytest.param(HEAD + b"x: " + b"a" * 70_000 + b"\r\n\r\n", id="a long line"),
        pytest.param(HEAD + b"x: " + b"a" * 330_000, id="an endless line"),
        pytest.param(b"HTTP/1.1 200 " + b"a" * 330_000, id="an endless reason"),
        pytest.param(HEAD + b"x: a\r\n" * 50_000 + b"\r\n", id="one header all the time"),
        pytest.param(
            HEAD + b"".join(b"x%d: a\r\n" % n for n in range(300)) + b"\r\n", id="many headers"
        ),
        pytest.param(b"HTTP/1.1 100 Wait\r\n\r\n" * 20_000, id="waiting for ever"),
        pytest.param(HEAD + b"x: a\0b\r\n\r\n", id="a null byte"),
        pytest.param(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", id="two lengths"),
        pytest.param(
            HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", id="two framings"
        ),
        pytest.param(b"HTTP/1.1 000 Zero\r\n\r\n", id="no status"),
    ],
)
@pytest.mark.parametrize("size", [1000, 65_536, 262_144])
def test_heads_that_are_none(answer: bytes, size: int) -> None:
    """Too large, contradictory or something else: a broken protocol, in packets of any size."""
    line = Line()
    line.feed(*[answer[start : start + size] for start in range(0, len(answer), size)])
    with pytest.raises(ProtocolBrokenError, match="head"):
        at_once(line.exchange.arrive())


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"2;" + b"a" * 330_000, id="an endless extension"),
        pytest.param(b"0\r\n" + b"x: a\r\n" * 60_000, id="endless trailers"),
        pytest.param(b"zz\r\n", id="no size"),
    ],
)
def test_bodies_that_are_none(rest: bytes) -> None:
    """What is not of a body is bounded too; what came before is read first."""
    line = Line()
    line.feed(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
    line.feed(*[rest[start : start + 65_536] for start in range(0, len(rest), 65_536)])
    assert at_once(line.exchange.read()) == b"ok"
    with pytest.raises(ProtocolBrokenError, match="body"):
        at_once(line.exchange.read())


def test_a_large_head_with_its_body() -> None:
    """A packet is not a head: what counts is the head's own size."""
    line = Line()
    body = b"b" * 200_000
    line.feed(HEAD + b"x: " + b"a" * 60_000 + b"\r\ncontent-length: 200000\r\n\r\n" + body)
    assert whole(line.exchange) == body


def test_nobody_reads() -> None:
    """Beyond a bound the provider is held back; reading lets it go on, the end frees it."""
    line = Line()
    seen: list[bool] = []
    for size in (131_072, 1, None, 268_927):
        if size is None:
            assert len(at_once(line.exchange.read())) == 131_073
        elif not seen:
            line.feed(HEAD + b"content-length: 400000\r\n\r\n", b"b" * size)
        else:
            line.feed(b"b" * size)
        seen.append(line.wire.is_paused)
    assert seen == [False, True, False, False], "after its end the connection is the next one's"
    assert line.keeper.given_back == 1
    assert len(whole(line.exchange)) == 268_927


def test_a_connection_that_speaks_first() -> None:
    """Something that is not HTTP greets its callers."""
    connection = PlainConnection(LOOP, Keeper())
    connection.connection_made(Wire())
    connection.data_received(b"SSH-2.0-OpenSSH_9.9\r\n")
    with pytest.raises(ProtocolBrokenError):
        connection.check()


def test_a_connection_that_is_gone_at_once() -> None:
    """A new connection that ended before it was asked has broken."""
    connection = PlainConnection(LOOP, Keeper())
    connection.connection_made(Wire())
    connection.eof_received()
    with pytest.raises(ConnectionBrokenError):
        connection.check()
