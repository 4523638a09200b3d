"""Requests are read the same in whatever pieces they come; where one ends is beyond doubt."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import CallError
from sidecar.server.connection import REQUESTS_AHEAD_MAX
from sidecar.server.front import Front, FrontSettings, Plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sidecar.server.exchange import Exchange, Handler

LIMIT_S = 10.0
TWICE = b"User-Agent: one\r\nX-A: 1\r\nuser-agent: two\r\n"
BODY = b'{"text": "\r\n\r\nPOST /inner HTTP/1.1\r\nUser-Agent: a\r\nUser-Agent: b\r\n\r\n"}'
Asked = tuple[str, bytes, str | None]


def post(path: str, body: bytes = BODY, agents: bytes = TWICE) -> bytes:
    """Return a request with ``agents`` among its headers."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + agents + b"\r\n" + body


@asynccontextmanager
async def listening(
    handler: Handler | None = None,
) -> AsyncIterator[tuple[int, list[Asked]]]:
    """Run a front; yield its port and what its handler was asked: path, body, agent."""
    asked: list[Asked] = []

    async def handle(exchange: Exchange) -> None:
        body = await exchange.read_body(10_000_000)
        asked.append((exchange.path, body, exchange.headers.get("user-agent")))
        await exchange.answer(200, {}, exchange.path.encode())

    front = Front()
    port = await front.open(Plane(name="data", host="127.0.0.1", port=0, handler=handler or handle))
    try:
        async with asyncio.timeout(LIMIT_S):
            yield port, asked
    finally:
        await front.close()


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a packet of its own, as far as a socket lets one."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def status(self) -> int:
        """Read one answer."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        (length,) = [
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        await self._reader.readexactly(length)
        return int(head.split()[1])


@asynccontextmanager
async def called(port: int) -> AsyncIterator[Caller]:
    """Connect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.transport.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def test_twice_and_again_on_a_kept_connection() -> None:
    """Each request of a connection passes, body and first agent as they were."""
    async with listening() as (port, asked), called(port) as caller:
        for number in range(3):
            await caller.send(post(f"/{number}"))
            assert await caller.status() == 200
        await caller.send(post("/once", agents=b"User-Agent: x\r\n"))
        assert await caller.status() == 200
    assert asked == [
        *((f"/{number}", BODY, "one") for number in range(3)),
        ("/once", BODY, "x"),
    ]


async def test_many_times_byte_by_byte() -> None:
    """However the head is cut and however often the header comes, the request is the same."""
    agents = b"User-Agent: one\r\n" + b"USER-AGENT: more\r\n" * 5
    whole = post("/drip", b"{}", agents)
    async with listening() as (port, asked), called(port) as caller:
        await caller.send(*(whole[at : at + 1] for at in range(len(whole))))
        assert await caller.status() == 200
    assert asked == [("/drip", b"{}", "one")]


async def test_a_large_body_and_then_another_request() -> None:
    """A body that fills every buffer ends where it should; the next request passes too."""
    large = b"x" * 3_000_000
    async with listening() as (port, asked), called(port) as caller:
        for _ in range(2):
            await caller.send(post("/large", large))
            assert await caller.status() == 200
    assert [(path, len(body)) for path, body, _ in asked] == [("/large", len(large))] * 2


@pytest.mark.parametrize(
    "again",
    [
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Host: localhost\r\n",
        b"Content-Type: a\r\nContent-Type: b\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"User-Agent : x\r\n",
        b"\tfolded\r\n",
    ],
)
@pytest.mark.parametrize("agents", [b"", TWICE])
async def test_all_else_is_refused_as_ever(again: bytes, agents: bytes) -> None:
    """Headers that say where a body ends, and malformed ones, stay strict."""
    head = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
    async with listening() as (port, asked), called(port) as caller:
        await caller.send(head + agents + again + b"\r\n{}")
        assert await caller.status() == 400
    assert asked == []


async def test_a_head_hidden_in_a_header() -> None:
    """What is in a header is never taken for a request, whatever it looks like."""
    first = post("/first", b"{}", b"")
    hidden = b"POST /outer HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a\r\nX: "
    async with listening() as (port, asked), called(port) as caller:
        await caller.send(first[:-1])
        await caller.send(first[-1:] + hidden)
        assert await caller.status() == 200
        await caller.send(b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n" + TWICE + b"\r\n")
        assert await caller.status() == 400
    assert [path for path, *_ in asked] == ["/first"]


async def test_after_a_chunked_body() -> None:
    """Behind a body whose length nobody said, the next request is found; trailers join none."""
    head = b"POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    chunked = head + TWICE + b"\r\n2\r\n{}\r\n0\r\nUser-Agent: trailer\r\n\r\n"
    async with listening() as (port, asked), called(port) as caller:
        await caller.send(chunked + post("/one", b"{}", b""))
        assert [await caller.status(), await caller.status()] == [200, 200]
        await caller.send(post("/two", b"{}"))
        assert await caller.status() == 200
    assert asked == [("/c", b"{}", "one"), ("/one", b"{}", None), ("/two", b"{}", "one")]


async def test_two_requests_in_one_piece() -> None:
    """Requests in one piece are answered in order."""
    async with listening() as (port, asked), called(port) as caller:
        await caller.send(post("/1", b"{}") + post("/2", b"{}", b""))
        assert [await caller.status(), await caller.status()] == [200, 200]
    assert [path for path, *_ in asked] == ["/1", "/2"]


@pytest.mark.parametrize("wish", ["h2c", "websocket"])
async def test_a_wish_for_another_protocol(wish: str) -> None:
    """It is passed over: the body belongs to the request, and the next request is the next."""
    upgrade = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {wish}\r\nHTTP2-Settings: AAM\r\n"
    async with listening() as (port, asked), called(port) as caller:
        await caller.send(post("/1", b"{}", upgrade.encode()) * 2 + post("/2", b"[]", b""))
        assert [await caller.status() for _ in range(3)] == [200, 200, 200]
    assert [(path, body) for path, body, _ in asked] == [
        ("/1", b"{}"),
        ("/1", b"{}"),
        ("/2", b"[]"),
    ]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a%2Fb/../c?x=%20&y", "/a%2Fb/../c", "x=%20&y"),
        ("http://localhost:1/v1?q=/a", "/v1", "q=/a"),
        ("http://localhost", "/", ""),
        ("http://localhost?q", "/", "q"),
        ("//two", "//two", ""),
    ],
)
async def test_targets(target: str, path: str, query: str) -> None:
    """Path and query are what the caller wrote, of a whole URL as well."""
    seen = []

    async def handle(exchange: Exchange) -> None:
        seen.append((exchange.path, exchange.query))
        await exchange.answer(200, {}, b"")

    async with listening(handle) as (port, _), called(port) as caller:
        await caller.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert await caller.status() == 200
    assert seen == [(path, query)]


async def test_headers_as_they_came() -> None:
    """The first of repeated headers counts; all are there for who passes them on, byte for byte."""
    seen = []

    async def handle(exchange: Exchange) -> None:
        seen.append((dict(exchange.headers), list(exchange.header_lines)))
        await exchange.answer(200, {}, b"")

    lines = b"Host: localhost\r\nX-A: one \t\r\nx-a: two\r\nX-B:\xff\xc3\xa9\r\n\r\n"
    async with listening(handle) as (port, _), called(port) as caller:
        await caller.send(b"GET / HTTP/1.1\r\n" + lines)
        assert await caller.status() == 200
    ((headers, given),) = seen
    assert headers == {"host": "localhost", "x-a": "one", "x-b": "\udcff\xe9"}
    assert given == [
        ("Host", "localhost"),
        ("X-A", "one"),
        ("x-a", "two"),
        ("X-B", "\udcff\xe9"),
    ]


@pytest.mark.parametrize(
    "flood",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 300_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 60_000,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        + b"X: a\r\n" * 60_000,
    ],
)
async def test_a_head_without_end(flood: bytes) -> None:
    """Headers and trailers are not collected for ever."""
    async with listening(echo) as (port, _), called(port) as caller:
        await caller.send(flood)
        assert await caller.status() == 400


async def test_too_many_requests_at_once() -> None:
    """Requests in one packet are held up to a bound, answered in order, the rest refused."""
    front = Front()
    port = await front.open(Plane(name="data", host="127.0.0.1", port=0, handler=echo))
    async with asyncio.timeout(LIMIT_S), called(port) as caller:
        await caller.send(post("/", b"{}"))
        assert await caller.status() == 200
        (connection,) = front.connections
        connection.data_received(b"GET / HTTP/1.1\r\nHost: l\r\n\r\n" * 2 * REQUESTS_AHEAD_MAX)
        for _ in range(REQUESTS_AHEAD_MAX):
            assert await caller.status() == 200
        assert await caller.status() == 400
    await front.close()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_pieces(data: Any) -> None:
    """Requests that wait for their answers are the same in any pieces, whatever their bodies
    look like.
    """
    agents = st.sampled_from((b"", b"User-Agent: one\r\n", TWICE))
    bodies = st.sampled_from((b"", b"{}", BODY, BODY * 3, TWICE * 2 + b"\r\n"))
    wanted = data.draw(st.lists(st.tuples(bodies, agents), min_size=1, max_size=4))
    requests = [post(f"/{i}", body, agent) for i, (body, agent) in enumerate(wanted)]
    pieces = []
    for request in requests:
        cuts = data.draw(st.lists(st.integers(0, len(request)), max_size=6, unique=True))
        edges = [0, *sorted(cuts), len(request)]
        pieces.append([request[start:end] for start, end in itertools.pairwise(edges)])

    async def talk() -> list[Asked]:
        async with listening() as (port, asked), called(port) as caller:
            for parts in pieces:
                await caller.send(*parts)
                assert await caller.status() == 200
        return asked

    seen = asyncio.run(talk())
    assert [(path, body) for path, body, _ in seen] == [
        (f"/{number}", body) for number, (body, _) in enumerate(wanted)
    ]


GRAMMAR = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/x", b"http://h", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n"),
        *(b"Host: l\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"3\r\nabc"),
        *(
            b"0\r\n\r\n",
            b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
            b"Expect: 100-continue\r\n",
            b"{}",
        ),
        *(b"Content-Encoding: gzip\r\n", b"GET / HTTP/1.1\r\nHost: l\r\n\r\n", b"\x00", b"\xff"),
    ]
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(pieces=st.lists(st.one_of(GRAMMAR, st.binary(max_size=20)), max_size=12))
def test_random_bytes(pieces: list[bytes]) -> None:
    """Whatever comes, nothing breaks: each handler ends, no task and no connection is left."""
    faults: list[dict[str, Any]] = []

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context))
        front = Front(FrontSettings(body_s=0.001, linger_s=0.001))
        plane = Plane(name="data", host="127.0.0.1", port=0, handler=echo)
        port = await front.open(plane)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        with contextlib.suppress(OSError):
            writer.write_eof()
            await reader.read()
        writer.transport.abort()
        await front.close()
        assert front.connections == ()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(talk())
    assert faults == []


async def echo(exchange: Exchange) -> None:
    """Answer with the body, or with the refusal to read it."""
    try:
        body = await exchange.read_body(1000)
    except CallError as error:
        await exchange.answer(error.status, {}, b"")
    else:
        await exchange.answer(200, {}, body)
