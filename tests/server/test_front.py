"""The front on a loopback socket: HTTP that is odd, slow, too much, or gone."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.server.front import Front, FrontSettings, Plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sidecar.server.exchange import Exchange

LIMIT_S = 5.0
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BOTH = pytest.mark.parametrize("path", [CHAT, MESSAGES])
Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int, receive_bytes: int | None = None) -> AsyncIterator[Link]:
    """Connect by a plain socket, closed at the end; nothing in the block may take long."""
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    async with asyncio.timeout(LIMIT_S):
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=2**20)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def request(path: str, body: bytes, *headers: str) -> bytes:
    """Return a request; its body has a content-length unless it is chunked."""
    head = [f"POST {path} HTTP/1.1", "Host: localhost", *headers]
    if not any(header.lower().startswith("transfer-encoding") for header in headers):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


async def response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one whole answer: status, headers by lower-case name, body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await chunks_of(reader)
    return int(first.split()[1]), headers, body


async def chunks_of(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body to its proper end."""
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


@BOTH
async def test_a_call_on_a_kept_connection(port: int, bodies: Any, path: str) -> None:
    """Two calls share a connection, and nothing tells what we are built with."""
    async with connected(port) as (reader, writer):
        for _ in range(2):
            writer.write(request(path, bodies[path]))
            status, headers, body = await response(reader)
            assert (status, body) == (200, b'{"ok":true}')
            assert headers["server"] == "sidecar"


async def test_a_stream_in_chunks(port: int, world: Any, bodies: Any, make_stream: Any) -> None:
    """A stream arrives chunked, properly ended, its closing comment last."""
    world.engine.stream = make_stream(b"data: 1\n\n", b"data: [DONE]\n\n")
    async with connected(port) as (reader, writer):
        writer.write(request(CHAT, bodies[CHAT]))
        status, headers, body = await response(reader)
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert body.startswith(b"data: 1\n\ndata: [DONE]\n\n: sidecar {")


@BOTH
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{nonsense", 400),
        (b"[1]", 400),
        (b'{"model":3,"max_tokens":1,"messages":[]}', 400),
        (b'{"model":"reason","max_tokens":1,"messages":[{"role":"user","content":"\xff"}]}', 400),
        (b'{"model":"nobody","max_tokens":1,"messages":[{"role":"user","content":"x"}]}', 404),
        (b"x" * 100_001, 413),
    ],
)
async def test_bad_bodies_leave_the_front_serving(
    port: int, bodies: Any, path: str, body: bytes, status: int
) -> None:
    """Each bad body has its status in the caller's shape, and the next call is fine."""
    async with connected(port) as (reader, writer):
        writer.write(request(path, body))
        got, headers, answer = await response(reader)
        assert got == status
        assert headers["x-sidecar-error"] in {"bad_request", "unknown_model", "body_too_large"}
        assert ("type" in json.loads(answer)) == (path == MESSAGES)
        assert json.loads(answer)["error"]["message"]
        writer.write(request(path, bodies[path]))
        assert (await response(reader))[0] == 200


@BOTH
async def test_an_oversized_chunked_body(port: int, path: str) -> None:
    """Without a content-length the bound holds for what arrives."""
    async with connected(port) as (reader, writer):
        writer.write(request(path, b"", "Transfer-Encoding: chunked"))
        for _ in range(20):
            writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        status, headers, _ = await response(reader)
    assert (status, headers["x-sidecar-error"]) == (413, "body_too_large")


async def test_an_announced_body_is_refused_unread(port: int) -> None:
    """A content-length beyond the bound is refused before a byte of it, 100-continue included."""
    async with connected(port) as (reader, writer):
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n"
        writer.write(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert (await response(reader))[0] == 413


async def test_a_caller_who_asks_first_is_told_to_go_on(port: int, bodies: Any) -> None:
    """100-continue is answered, since curl waits for it with large bodies."""
    body = bodies[CHAT]
    async with connected(port) as (reader, writer):
        writer.write(request(CHAT, body, "Expect: 100-continue")[: -len(body)])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await response(reader))[0] == 200


async def test_broken_chunk_framing(port: int, world: Any) -> None:
    """A body whose framing breaks is refused, not taken for its first half."""
    async with connected(port) as (reader, writer):
        writer.write(request(CHAT, b"zz\r\n{}\r\n", "Transfer-Encoding: chunked"))
        assert (await response(reader))[0] == 400
    assert world.engine.calls == []


async def test_a_body_that_never_comes(world: Any, bodies: Any) -> None:
    """A caller that announces a body and sends none is not waited for."""
    front = Front(FrontSettings(body_s=0.01, linger_s=0.01))
    plane = Plane(name="data", host="127.0.0.1", port=0, handler=world.plane.handle)
    async with connected(await front.open(plane)) as (reader, writer):
        writer.write(request(CHAT, bodies[CHAT])[:-5])
        status, _, body = await response(reader)
    await front.close()
    assert status == 400
    assert b"did not arrive" in body


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/messages HTTP/1.1\r\n\r\n",
        b"POST / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 500 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: nine\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n",
    ],
)
async def test_what_is_not_http(port: int, raw: bytes, caplog: Any) -> None:
    """Malformed HTTP is a small 400 and a closed connection, without noise in the log."""
    async with connected(port) as (reader, writer):
        writer.write(raw)
        status, headers, body = await response(reader)
        assert await reader.read() == b""
    assert status == 400
    assert headers["x-sidecar-error"] == "bad_request"
    assert len(body) < 500
    assert json.loads(body)["error"]["code"] == "bad_request"
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


async def test_an_absolute_target(port: int, bodies: Any) -> None:
    """A caller behind a proxy setting names the whole URL and is served."""
    async with connected(port) as (reader, writer):
        writer.write(request(f"http://localhost:{port}{CHAT}", bodies[CHAT]))
        assert (await response(reader))[0] == 200


async def test_a_caller_who_hangs_up_ends_its_plain_call(
    port: int, world: Any, bodies: Any
) -> None:
    """A lost caller cancels the engine at once: within 50 ms, the best of three hang-ups."""
    world.engine.hangs = True
    loop = asyncio.get_running_loop()
    took_s = []
    for _ in range(3):
        world.engine.hung.clear()
        world.engine.cancelled.clear()
        async with connected(port) as (_, writer):
            writer.write(request(CHAT, bodies[CHAT]))
            await world.engine.hung.wait()
            writer.transport.abort()
            began_at = loop.time()
            await world.engine.cancelled.wait()
            took_s.append(loop.time() - began_at)
    assert min(took_s) < 0.05
    await world.admission.idle()


async def test_a_caller_who_hangs_up_ends_its_stream(
    port: int, world: Any, bodies: Any, make_stream: Any
) -> None:
    """A lost caller closes a stream that waits for its provider."""
    world.engine.stream = stream = make_stream(b"data: 1\n\n", stalls=True)
    async with connected(port) as (reader, writer):
        writer.write(request(CHAT, bodies[CHAT]))
        await reader.readuntil(b"data: 1\n\n")
        writer.close()
        await stream.closed.wait()
        await world.admission.idle()
    assert stream.closes == 1


async def quiet(count: Callable[[], int]) -> int:
    """Return what ``count`` says once it has stood still for many turns of the loop."""
    still, last = 0, count()
    while still < 500:
        await asyncio.sleep(0)
        still, last = (still + 1, last) if count() == last else (0, count())
    return last


async def test_a_slow_reader_stops_the_engine(
    port: int, world: Any, bodies: Any, make_stream: Any
) -> None:
    """A caller who does not read is not buffered for: pulling stops, goes on, ends with it."""
    chunk = b"data: " + b"x" * 65_000 + b"\n\n"
    world.engine.stream = stream = make_stream(chunk, is_endless=True)
    async with connected(port, receive_bytes=4096) as (reader, writer):
        link: Any = writer.transport  # event loops disagree on its type
        link.pause_reading()
        writer.write(request(CHAT, bodies[CHAT]))
        await stream.pulled.wait()
        reads = await quiet(lambda: stream.reads)
        assert reads * len(chunk) < 8_000_000
        link.resume_reading()
        for _ in range(2 * reads):
            await reader.readexactly(len(chunk))
        assert stream.reads > reads
        writer.transport.abort()
        await stream.closed.wait()
    await world.admission.idle()


async def test_small_chunks_do_not_pile_up(
    front: Front, port: int, world: Any, bodies: Any, make_stream: Any
) -> None:
    """Writing stops at the first chunk that the socket's buffer has no room for."""
    world.engine.stream = stream = make_stream(b"x" * 1024, is_endless=True)
    async with connected(port, receive_bytes=4096) as (_, writer):
        link: Any = writer.transport  # event loops disagree on its type
        link.pause_reading()
        writer.write(request(CHAT, bodies[CHAT]))
        await stream.pulled.wait()
        await quiet(lambda: stream.reads)
        (connection,) = front.connections
        assert 0 < connection.transport.get_write_buffer_size() < 67 * 1024
        link.abort()
        await stream.closed.wait()


async def test_stopping_lets_calls_end(
    front: Front, port: int, world: Any, bodies: Any, make_stream: Any
) -> None:
    """After stop_accepting idle connections close and a call under way gets its whole answer."""
    gate = asyncio.Event()
    begun = asyncio.Event()

    async def script(call: Any) -> Any:
        begun.set()
        await gate.wait()
        return await type(world.engine)().answer(call)

    async with connected(port) as (idle, idle_writer), connected(port) as (reader, writer):
        idle_writer.write(request(CHAT, bodies[CHAT]))
        await response(idle)
        world.engine.script = script
        writer.write(request(CHAT, bodies[CHAT]))
        await begun.wait()
        front.stop_accepting()
        assert await idle.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        gate.set()
        assert (await response(reader))[0] == 200
        assert await reader.read() == b""


async def test_closing_cuts_what_is_left(front: Front, port: int, world: Any, bodies: Any) -> None:
    """Closing cancels a call that still runs."""
    world.engine.hangs = True
    async with connected(port) as (reader, writer):
        writer.write(request(CHAT, bodies[CHAT]))
        await world.engine.hung.wait()
        await front.close()
        await world.engine.cancelled.wait()
        assert await reader.read() == b""
    await world.admission.idle()


async def test_a_handler_that_breaks_its_promise(caplog: Any) -> None:
    """A handler that raises is our defect: a bare 500 and one log entry."""

    async def broken(exchange: Exchange) -> None:
        raise ZeroDivisionError("a secret")

    front = Front()
    port = await front.open(Plane(name="broken", host="127.0.0.1", port=0, handler=broken))
    async with connected(port) as (reader, writer):
        writer.write(request(CHAT, b"{}"))
        status, _, body = await response(reader)
    await front.close()
    assert status == 500
    assert b"secret" not in body
    assert len(caplog.records) == 1


async def test_a_caller_who_never_reads_is_cut(
    port: int, world: Any, bodies: Any, make_stream: Any, monkeypatch: Any
) -> None:
    """After the deadline a stuck caller's stream is closed, its connection cut."""
    monkeypatch.setattr("sidecar.server.data.STUCK_S", 0.0)
    world.engine.stream = stream = make_stream(b"x" * 65_536, is_endless=True)
    async with connected(port, receive_bytes=4096) as (_, writer):
        link: Any = writer.transport  # event loops disagree on its type
        link.pause_reading()
        writer.write(request(CHAT, bodies[CHAT], "X-Sidecar-Within: 20ms"))
        await stream.closed.wait()
        await world.admission.idle()
    assert stream.closes == 1
