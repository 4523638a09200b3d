"""Every way in which a connection fails, with real sockets: which error the engine gets."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

import pytest

from sidecar.errors import (
    ConnectFailedError,
    ConnectionBrokenError,
    ProtocolBrokenError,
    StaleConnectionError,
)
from sidecar.upstream.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.engine.ports import UpstreamResponse
    from sidecar.upstream.connection import Connection
    from sidecar.upstream.http import HttpUpstream
    from tests.upstream.conftest import Connected, MakeRequest, MakeUpstream, Peer

CONNECT_S = 5.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def _read_all(response: UpstreamResponse) -> bytes:
    body = b""
    while data := await response.read():
        body += data
    return body


@pytest.fixture
def black_hole() -> Iterator[int]:
    """Return the port of a listener with a full backlog: the kernel drops further SYNs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


async def test_refused(make_upstream: MakeUpstream, make_request: MakeRequest) -> None:
    """A refused connection is CONNECT, and says so without naming the key."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        upstream = make_upstream(unused.getsockname()[1])
        await upstream.start()
        with pytest.raises(ConnectFailedError, match="refused") as caught:
            await upstream.open(make_request(), connect_s=CONNECT_S)
        assert caught.value.__cause__ is not None
        await upstream.aclose()


async def test_black_hole(
    make_upstream: MakeUpstream, make_request: MakeRequest, black_hole: int
) -> None:
    """A connect that nobody answers ends at the connect limit."""
    upstream = make_upstream(black_hole)
    await upstream.start()
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    with pytest.raises(ConnectFailedError):
        await upstream.open(make_request(), connect_s=0.1)
    assert 0.09 <= loop.time() - started_at < 1.0
    await upstream.aclose()


@pytest.mark.parametrize("has_answer", [True, False])
async def test_tls_against_a_plain_port(
    make_upstream: MakeUpstream, make_request: MakeRequest, *, has_answer: bool
) -> None:
    """A TLS handshake that fails, or is never answered, is a failed connect."""
    done = asyncio.Event()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if has_answer:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        else:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    upstream = make_upstream(server.sockets[0].getsockname()[1], scheme="https")
    await upstream.start()
    with pytest.raises(ConnectFailedError):
        await upstream.open(make_request(), connect_s=0.3)
    done.set()
    await upstream.aclose()
    server.close()


@pytest.mark.parametrize("is_reset", [True, False])
async def test_fresh_connection_dies_before_the_head(
    connected: Connected, make_request: MakeRequest, *, is_reset: bool
) -> None:
    """A first request that is cut without an answer is the provider's failure."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reset() if is_reset else peer.close()

    async with connected(script) as (upstream, _):
        with pytest.raises(ConnectionBrokenError):
            await upstream.open(make_request(), connect_s=CONNECT_S)


@pytest.mark.parametrize("is_reset", [True, False])
async def test_reused_connection_dies_before_the_head(
    connected: Connected, make_request: MakeRequest, *, is_reset: bool
) -> None:
    """A kept-alive connection that dies unanswered is stale; a fresh one then works."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.request()
        peer.reset() if is_reset else peer.close()

    async with connected(script) as (upstream, provider):
        await _read_all(await upstream.open(make_request(), connect_s=CONNECT_S))
        with pytest.raises(StaleConnectionError):
            await upstream.open(make_request(), connect_s=CONNECT_S)
        retry = make_request(needs_fresh_connection=True)
        assert await _read_all(await upstream.open(retry, connect_s=CONNECT_S)) == b"{}"
        assert provider.connections == 2


async def test_half_a_head_on_a_reused_connection(
    connected: Connected, make_request: MakeRequest
) -> None:
    """An answer that had begun is not stale: the provider had seen the request."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-")

    async with connected(script) as (upstream, _):
        await _read_all(await upstream.open(make_request(), connect_s=CONNECT_S))
        with pytest.raises(ConnectionBrokenError):
            await upstream.open(make_request(), connect_s=CONNECT_S)


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", id="ssh"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x50", id="a TLS alert"),
        pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="no status"),
    ],
)
async def test_garbage_instead_of_http(
    connected: Connected, make_request: MakeRequest, garbage: bytes
) -> None:
    """Bytes that are not HTTP are a broken protocol, and are not quoted."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(garbage)

    async with connected(script) as (upstream, _):
        with pytest.raises(ProtocolBrokenError) as caught:
            await upstream.open(make_request(), connect_s=CONNECT_S)
    assert "OpenSSH" not in str(caught.value)


@pytest.mark.parametrize("is_reset", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(HEAD + b"Content-Length: 100\r\n\r\nhalf", id="short length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", id="no last chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf", id="short chunk"),
    ],
)
async def test_cut_body(
    connected: Connected, make_request: MakeRequest, answer: bytes, *, is_reset: bool
) -> None:
    """A body shorter than its framing says is never a silent end."""
    has_read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await has_read.wait()
        peer.reset() if is_reset else peer.close()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await response.read() == b"half"
        has_read.set()
        with pytest.raises(ConnectionBrokenError):
            await response.read()
        response.close()


@pytest.mark.parametrize("is_reset", [True, False])
async def test_body_framed_by_the_connection(
    connected: Connected, make_request: MakeRequest, *, is_reset: bool
) -> None:
    """Where only the connection's end frames the body, a close is an end and a reset is not."""
    has_read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"Connection: close\r\n\r\nhalf")
        await has_read.wait()
        peer.reset() if is_reset else peer.close()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await response.read() == b"half"
        has_read.set()
        if is_reset:
            with pytest.raises(ConnectionBrokenError):
                await response.read()
        else:
            assert await response.read() == b""
        response.close()


async def test_garbage_within_the_body(connected: Connected, make_request: MakeRequest) -> None:
    """A chunk size that is no number is a broken protocol."""
    has_read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await has_read.wait()
        await peer.send(b"zz\r\n")
        await peer.gone()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await response.read() == b"half"
        has_read.set()
        async with asyncio.timeout(1):
            with pytest.raises(ProtocolBrokenError):
                await response.read()
        response.close()


async def test_slow_head_is_not_limited_by_the_connect_limit(
    connected: Connected, make_request: MakeRequest
) -> None:
    """Once connected, a model may think for longer than the connect limit."""
    thought = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asyncio.get_running_loop().call_later(0.15, thought.set)
        await thought.wait()
        await peer.answer()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=0.05)
        assert await _read_all(response) == b"{}"


@pytest.mark.parametrize("has_body", [True, False])
async def test_cancellation_cuts_the_connection(
    connected: Connected, make_request: MakeRequest, *, has_body: bool
) -> None:
    """Cancelling an attempt, before or within the answer, closes its connection within 50 ms."""
    asked, closed = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if has_body:
            await peer.send(HEAD + b"Content-Length: 9\r\n\r\n")
        asked.set()
        await peer.gone()
        closed.set()

    async def attempt(upstream: HttpUpstream) -> None:
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        try:
            await response.read()
        finally:
            response.close()

    async with connected(script) as (upstream, _), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(attempt(upstream))
        await asked.wait()
        task.cancel()
        async with asyncio.timeout(0.05):
            await closed.wait()
    assert task.cancelled()


async def test_cancelled_connect(
    make_upstream: MakeUpstream, make_request: MakeRequest, black_hole: int
) -> None:
    """Cancelling while connecting leaves at once and leaves nothing behind."""
    upstream = make_upstream(black_hole)
    await upstream.start()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(upstream.open(make_request(), connect_s=CONNECT_S))
        asyncio.get_running_loop().call_later(0.02, task.cancel)
    assert task.cancelled()
    await upstream.aclose()


async def test_closed_upstream(connected: Connected, make_request: MakeRequest) -> None:
    """Closing the upstream ends a read under way instead of leaving it waiting."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"Content-Length: 9\r\n\r\nhalf")
        await peer.gone()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await response.read() == b"half"
        await upstream.aclose()
        async with asyncio.timeout(1):
            with pytest.raises(ConnectionBrokenError):
                await response.read()
        response.close()


async def test_lost_idle_connection_is_not_reported(
    connected: Connected, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept-alive connection that is reset while idle is nobody's error."""
    lost, forget = asyncio.Event(), Pool.lost

    def seen(pool: Pool, connection: Connection) -> None:
        forget(pool, connection)
        lost.set()

    monkeypatch.setattr(Pool, "lost", seen)
    has_head, may_reset = asyncio.Event(), asyncio.Event()
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"Content-Length: 2\r\n\r\n")
        await has_head.wait()
        await peer.send(b"{}")
        await may_reset.wait()
        peer.reset()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        has_head.set()
        await _read_all(response)
        response.close()
        may_reset.set()
        async with asyncio.timeout(1):
            await lost.wait()
        del response
        retry = await upstream.open(make_request(), connect_s=CONNECT_S)
        retry.close()
        gc.collect()
    assert reported == []
