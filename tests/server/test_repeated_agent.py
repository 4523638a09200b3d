"""A repeated ``User-Agent`` passes; where a request ends stays beyond doubt."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.server.aiohttp_front import Front, Plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sidecar.server.exchange import Exchange

LIMIT_S = 10.0
TWICE = b"User-Agent: one\r\nX-A: 1\r\nuser-agent: two\r\n"
BODY = b'{"text": "\r\n\r\nPOST /inner HTTP/1.1\r\nUser-Agent: a\r\nUser-Agent: b\r\n\r\n"}'
Asked = tuple[str, bytes, str | None]


def post(path: str, body: bytes = BODY, agents: bytes = TWICE) -> bytes:
    """Return a request with ``agents`` among its headers."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + agents + b"\r\n" + body


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, list[Asked]]]:
    """Run a front; yield its port and what its handler was asked: path, body, agent."""
    asked: list[Asked] = []

    async def handle(exchange: Exchange) -> None:
        body = await exchange.read_body(10_000_000)
        asked.append((exchange.path, body, exchange.headers.get("user-agent")))
        await exchange.answer(200, {}, exchange.path.encode())

    front = Front()
    port = await front.open(Plane(name="data", host="127.0.0.1", port=0, handler=handle))
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
    """What follows a body in the same piece is no beginning: a request begun there is refused,
    and what is in its header is never taken for one.
    """
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
    """Behind a body whose length nobody said, one header passes and a repeated one does not."""
    head = b"POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    chunked = head + TWICE + b"\r\n2\r\n{}\r\n0\r\n\r\n"
    async with listening() as (port, asked), called(port) as caller:
        await caller.send(chunked)
        assert await caller.status() == 200
        await caller.send(post("/one", b"{}", b"User-Agent: x\r\n"))
        assert await caller.status() == 200
        await caller.send(post("/two", b"{}"))
        assert await caller.status() == 400
    assert [path for path, *_ in asked] == ["/c", "/one"]


async def test_two_requests_in_one_piece() -> None:
    """Requests in one piece are answered in order, the first one's header repeated or not."""
    async with listening() as (port, asked), called(port) as caller:
        await caller.send(post("/1", b"{}") + post("/2", b"{}", b""))
        assert [await caller.status(), await caller.status()] == [200, 200]
    assert [path for path, *_ in asked] == ["/1", "/2"]


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
