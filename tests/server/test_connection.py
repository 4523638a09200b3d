"""One connection: framing of answers, who may go on, who is cut. On both event loops."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from sidecar.errors import CallError
from sidecar.server.front import Front, FrontSettings, Plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from sidecar.server.exchange import Exchange, Handler

    Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]
    Test = Callable[[], Coroutine[Any, Any, None]]

LIMIT_S = 10.0
GET = "GET / HTTP/1.1\r\nHost: localhost\r\n"
BOTH_LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
pytestmark = BOTH_LOOPS


@asynccontextmanager
async def served(handler: Handler, **settings: Any) -> AsyncIterator[tuple[Front, Link]]:
    """Run a front with ``handler`` and connect to it."""
    front = Front(FrontSettings(**settings))
    port = await front.open(Plane(name="data", host="127.0.0.1", port=0, handler=handler))
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield front, (reader, writer)
        finally:
            writer.transport.abort()
            await front.close()


async def echo(exchange: Exchange) -> None:
    """Answer with the body, or with the refusal to read it."""
    try:
        body = await exchange.read_body(10_000)
    except CallError as error:
        await exchange.answer(error.status, {}, error.message.encode())
    else:
        await exchange.answer(200, {"x-path": exchange.path}, body)


async def two_chunks(exchange: Exchange) -> None:
    """Answer with a stream."""
    await exchange.start_stream(200, {})
    for chunk in (b"one", b"", b"two"):
        await exchange.write(chunk)
    await exchange.end_stream()


def sends(status: int, headers: dict[str, str], body: bytes) -> Handler:
    """Return a handler that gives a whole answer."""

    async def handle(exchange: Exchange) -> None:
        await exchange.answer(status, headers, body)

    return handle


def streams(headers: dict[str, str], body: bytes) -> Handler:
    """Return a handler that gives a stream of one chunk."""

    async def handle(exchange: Exchange) -> None:
        await exchange.start_stream(200, headers)
        await exchange.write(body)
        await exchange.end_stream()

    return handle


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read an answer's head."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}


async def nothing_for(reader: asyncio.StreamReader) -> bool:
    """Return whether the stream stays open and silent for many turns of the loop."""
    reading = asyncio.ensure_future(reader.read(1))
    for _ in range(200):
        await asyncio.sleep(0)
    is_silent = not reading.done()
    reading.cancel()
    return is_silent


@pytest.mark.parametrize(
    ("method", "handler", "length"),
    [
        ("HEAD", sends(200, {}, b"12345"), "5"),
        ("HEAD", streams({"content-length": "5"}, b"12345"), "5"),
        ("HEAD", streams({}, b"12345"), None),
        ("GET", sends(204, {}, b""), None),
        ("GET", sends(304, {}, b"12345"), None),
    ],
)
def test_answers_without_a_body(
    run: Any, method: str, handler: Handler, length: str | None
) -> None:
    """What must have no body has none, and the connection goes on behind it."""

    async def talk() -> None:
        async with served(handler) as (_, (reader, writer)):
            for _ in range(2):
                writer.write(f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                _, headers = await head_of(reader)
                assert headers.get("content-length") == length
                assert "transfer-encoding" not in headers
            assert await nothing_for(reader)

    run(talk())


def test_an_answer_says_what_http_wants(run: Any) -> None:
    """Length, date and a name that tells nothing; what a handler says of these is not sent."""
    given = {"content-length": "99", "server": "x", "connection": "close", "x-a": "b"}

    async def talk() -> None:
        async with served(sends(200, given, b"12345")) as (_, (reader, writer)):
            writer.write(f"{GET}\r\n".encode())
            status, headers = await head_of(reader)
            assert await reader.readexactly(5) == b"12345"
        date = headers.pop("date")
        assert (status, headers) == (
            200,
            {"server": "sidecar", "content-length": "5", "x-a": "b"},
        )
        assert date.endswith(" GMT")

    run(talk())


@pytest.mark.parametrize("keeps", [False, True])
def test_an_old_caller(run: Any, keeps: bool) -> None:
    """HTTP/1.0 gets no chunks: the end of a stream is the end of the connection; a whole answer
    leaves it open where that was asked for.
    """
    wish = "Connection: keep-alive\r\n" if keeps else ""

    async def talk() -> None:
        async with served(echo) as (_, (reader, writer)):
            writer.write(f"GET /1 HTTP/1.0\r\n{wish}\r\n".encode())
            _, headers = await head_of(reader)
            assert headers["connection"] == ("keep-alive" if keeps else "close")
            assert await nothing_for(reader) is keeps
        async with served(two_chunks) as (_, (reader, writer)):
            writer.write(f"GET / HTTP/1.0\r\n{wish}\r\n".encode())
            _, headers = await head_of(reader)
            assert "transfer-encoding" not in headers
            assert await reader.read() == b"onetwo"

    run(talk())


def test_a_stream_of_known_length(run: Any) -> None:
    """It needs no chunks and may not be longer; one that falls short ends with a cut."""

    async def talk() -> None:
        async with served(streams({"content-length": "5"}, b"12345678")) as (_, (reader, writer)):
            writer.write(f"{GET}\r\n".encode())
            _, headers = await head_of(reader)
            assert "transfer-encoding" not in headers
            assert await reader.readexactly(5) == b"12345"
            assert await nothing_for(reader)
        async with served(streams({"content-length": "50"}, b"123")) as (_, (reader, writer)):
            writer.write(f"{GET}\r\n".encode())
            await head_of(reader)
            assert len(await reader.read()) < 50

    run(talk())


def test_requests_ahead_are_answered_in_order(run: Any) -> None:
    """However many come in one piece, and whatever is no request behind them."""
    requests = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: l\r\nContent-Length: 3\r\n\r\n%03d" % (number, number)
        for number in range(100)
    )

    async def talk() -> None:
        async with served(echo) as (_, (reader, writer)):
            writer.write(requests + b"\x00\x01")
            for number in range(100):
                _, headers = await head_of(reader)
                assert headers["x-path"] == f"/{number}"
                assert await reader.readexactly(3) == b"%03d" % number
            assert (await head_of(reader))[0] == 400

    run(talk())


@pytest.mark.parametrize("wish", ["Connection: close\r\n", ""])
def test_who_wants_to_close(run: Any, wish: str) -> None:
    """``Connection: close`` is obeyed, whatever comes behind it."""

    async def talk() -> None:
        async with served(echo) as (_, (reader, writer)):
            writer.write(f"{GET}{wish}\r\n{GET}\r\n".encode())
            _, headers = await head_of(reader)
            assert headers.get("connection") == ("close" if wish else None)
            if wish:
                assert await reader.read() == b""
            else:
                await head_of(reader)

    run(talk())


def test_an_idle_connection_is_closed(run: Any) -> None:
    """It is kept for its time from the last answer on, and no longer; a request keeps it."""
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        if exchange.path == "/slow":
            await gate.wait()
        await exchange.answer(200, {}, b"")

    async def talk() -> None:
        async with served(slow, keepalive_s=0.05) as (_, (reader, writer)):
            writer.write(f"{GET}\r\n".encode())
            await head_of(reader)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            asyncio.get_running_loop().call_later(0.12, gate.set)
            assert (await head_of(reader))[0] == 200
            assert await reader.read() == b""

    run(talk())


def test_who_is_served_while_we_stop_is_told(run: Any) -> None:
    """An answer begun after the stop says that no other request is welcome."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        begun.set()
        await gate.wait()
        await exchange.answer(200, {}, b"")

    async def talk() -> None:
        async with served(slow) as (front, (reader, writer)):
            writer.write(f"{GET}\r\n{GET}\r\n".encode())
            await begun.wait()
            front.stop_accepting()
            gate.set()
            _, headers = await head_of(reader)
            assert headers["connection"] == "close"
            assert await reader.read() == b""

    run(talk())


def test_a_hang_up_behind_a_request_in_waiting(run: Any) -> None:
    """A caller who is gone ends the handler also when another request of its is here."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def talk() -> None:
        async with served(hang) as (_, (_, writer)):
            writer.write(f"{GET}\r\n{GET}\r\n".encode())
            await begun.wait()
            writer.write_eof()
            await ended.wait()

    run(talk())


@pytest.mark.parametrize(
    ("encoding", "body", "status", "answer"),
    [
        ("gzip", gzip.compress(b"words"), 200, b"words"),
        ("GZIP", gzip.compress(b"a") + gzip.compress(b"b"), 200, b"ab"),
        ("deflate", zlib.compress(b"words"), 200, b"words"),
        ("deflate", zlib.compress(b"words", wbits=-15), 200, b"words"),
        ("identity", b"words", 200, b"words"),
        ("gzip", b"", 200, b""),
        ("gzip", gzip.compress(b"words")[:-4], 400, b"broken"),
        ("gzip", b"garbage", 400, b"broken"),
        ("gzip", gzip.compress(b"words") + b"garbage", 400, b"broken"),
        ("gzip", gzip.compress(b"x" * 50_000_000), 413, b"exceeds"),
        ("gzip", gzip.compress(b"") * 400, 200, b""),
        ("br", b"anything", 400, b"br"),
    ],
)
def test_a_compressed_body(
    run: Any, encoding: str, body: bytes, status: int, answer: bytes
) -> None:
    """It is undone within the bound of any body; what cannot be undone is refused."""
    head = f"POST / HTTP/1.1\r\nHost: l\r\nContent-Encoding: {encoding}\r\n"

    async def talk() -> None:
        async with served(echo) as (_, (reader, writer)):
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            got, headers = await head_of(reader)
            said = await reader.readexactly(int(headers["content-length"]))
        assert got == status
        assert said == answer if status == 200 else answer in said

    run(talk())


def test_nobody_is_told_twice_to_go_on(run: Any) -> None:
    """100-continue is said once, before the body; not behind a refusal, nor when it is here."""
    head = b"POST / HTTP/1.1\r\nHost: l\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n"

    async def talk() -> None:
        async with served(echo, linger_s=0.01) as (_, (reader, writer)):
            writer.write(head % 2 + b"{}")
            assert (await head_of(reader))[0] == 200
            assert await reader.readexactly(2) == b"{}"
            writer.write(head % 2)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            for byte in (b"{", b"}"):
                writer.write(byte)
                await writer.drain()
            assert (await head_of(reader))[0] == 200
            assert await reader.readexactly(2) == b"{}"
            writer.write(head % 99_999)
            assert (await head_of(reader))[0] == 413
            assert b"100 Continue" not in await reader.read()

    run(talk())


def test_a_handler_that_does_not_answer(run: Any, caplog: Any) -> None:
    """It is a defect, logged, and its caller gets a 500."""

    async def silent(exchange: Exchange) -> None:
        await exchange.read_body(10)

    async def talk() -> None:
        async with served(silent) as (_, (reader, writer)):
            writer.write(f"{GET}\r\n".encode())
            assert (await head_of(reader))[0] == 500

    run(talk())
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_refused_body_is_read_away(run: Any) -> None:
    """The caller of a body that was refused can send it to its end and ask again."""
    body = b"x" * 400_000

    async def talk() -> None:
        async with served(echo) as (_, (reader, writer)):
            for _ in range(2):
                head = f"POST / HTTP/1.1\r\nHost: l\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode())
                status, headers = await head_of(reader)
                assert status == 413
                await reader.readexactly(int(headers["content-length"]))
                writer.write(body)
                await writer.drain()

    run(talk())
