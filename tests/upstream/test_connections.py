"""Connections to a real provider on loopback, under asyncio's loop and the one of production."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from sidecar.domain import ProviderName
from sidecar.engine.ports import PassedRequest
from sidecar.errors import (
    BadRequestError,
    ConnectFailedError,
    ConnectionBrokenError,
    ProtocolBrokenError,
    StaleConnectionError,
)
from sidecar.upstream import pool as pool_module
from sidecar.upstream.exchange import Exchange

if TYPE_CHECKING:
    from sidecar.engine.ports import BodySource, UpstreamResponse
    from sidecar.errors import CallError
    from tests.upstream.conftest import Connected, MakeRequest, MakeUpstream, Peer

CONNECT_S = 5.0
MIB = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\n"


async def whole(response: UpstreamResponse) -> bytes:
    """Read to the end, and close."""
    body = b""
    while piece := await response.read():
        body += piece
    response.close()
    return body


class Source:
    """A caller's body; a piece that is an error is raised, one with an event waits for it."""

    def __init__(self, *pieces: bytes | Exception | tuple[asyncio.Event, bytes]) -> None:
        self._pieces = list(pieces)
        self.failure: CallError | None = None

    async def read(self) -> bytes:
        """Return the next piece."""
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, tuple):
            event, piece = piece
            await event.wait()
        if isinstance(piece, Exception):
            raise piece
        return piece


def passed(
    body: bytes | BodySource | None = None, *, length: int | None = None, method: str = "POST"
) -> PassedRequest:
    """Return a request that is passed on."""
    return PassedRequest(
        provider=ProviderName("here"),
        method=method,
        path="/x",
        headers=(),
        body=body,
        length=length,
    )


async def test_the_one_used_last_is_used_next(
    connected: Connected, make_request: MakeRequest
) -> None:
    """Of several idle connections one carries all there is to carry, the others may end."""
    both, served = asyncio.Barrier(2), []

    async def script(peer: Peer) -> None:
        await peer.request()
        await both.wait()
        await peer.answer()
        while True:
            await peer.request()
            served.append(peer)
            await peer.answer()

    async with connected(script) as (upstream, provider):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(_ask(upstream.open(make_request(), connect_s=CONNECT_S)))
        for _ in range(5):
            await _ask(upstream.open(make_request(), connect_s=CONNECT_S))
        assert provider.connections == 2
    assert len(served) == 5
    assert len(set(served)) == 1


async def _ask(opening: object) -> bytes:
    return await whole(await opening)  # type: ignore[misc]


async def test_idle_connections_end(
    connected: Connected, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was not used for a while is closed, before a load balancer drops it silently."""
    monkeypatch.setattr(pool_module, "KEPT_S", 0.02)
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        assert await peer.gone() == b""
        gone.set()

    async with connected(script) as (upstream, _):
        await whole(await upstream.open(make_request(), connect_s=CONNECT_S))
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_suspended_machine_wakes_with_old_connections(
    connected: Connected, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that should have ended is not used, even if its timer is late."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with connected(script) as (upstream, provider):
        await whole(await upstream.open(make_request(), connect_s=CONNECT_S))
        monkeypatch.setattr(pool_module, "KEPT_S", 0.0)
        await whole(await upstream.open(make_request(), connect_s=CONNECT_S))
        assert provider.connections == 2


async def test_a_call_leaves_nothing_to_collect(
    connected: Connected, make_request: MakeRequest
) -> None:
    """No cycles: memory comes back without the collector, which would stop everybody."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with connected(script) as (upstream, _):
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                await whole(await upstream.open(make_request(), connect_s=CONNECT_S))
            assert not [one for one in gc.get_objects() if isinstance(one, Exchange)]
        finally:
            gc.enable()


async def is_broken(response: UpstreamResponse) -> bool:
    """Read and close; return whether the answer broke off."""
    try:
        await whole(response)
    except ConnectionBrokenError:
        response.close()
        return True
    return False


async def test_a_broken_answer_leaves_nothing_to_collect(
    connected: Connected, make_request: MakeRequest
) -> None:
    """The error knows the frames that it passed, which know the answer: that must not know it."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"content-length: 9\r\n\r\nabc")
        peer.close()

    async with connected(script) as (upstream, _):
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert await is_broken(await upstream.open(make_request(), connect_s=CONNECT_S))
            assert not [one for one in gc.get_objects() if isinstance(one, Exchange)]
        finally:
            gc.enable()


async def test_a_failed_answer_stays_failed(
    connected: Connected, make_request: MakeRequest
) -> None:
    """Who reads on after the end is told again, and does not wait for ever."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"content-length: 9\r\n\r\nabc")
        peer.close()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await is_broken(response)
        assert await is_broken(response)


async def test_a_fresh_connection_says_that_it_is_not_kept(
    connected: Connected, make_request: MakeRequest
) -> None:
    """It ends with its answer."""
    said, gone = [], asyncio.Event()

    async def script(peer: Peer) -> None:
        said.append((await peer.request())[1].get("connection"))
        await peer.answer()
        await peer.gone()
        gone.set()

    async with connected(script) as (upstream, _):
        fresh = make_request(needs_fresh_connection=True)
        await whole(await upstream.open(fresh, connect_s=CONNECT_S))
        async with asyncio.timeout(5):
            await gone.wait()
    assert said == ["close"]


async def test_a_stale_connection_under_a_get(
    connected: Connected, make_request: MakeRequest
) -> None:
    """A list or a look at a prediction changes nothing, so it is simply asked for again."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.request()
        peer.reset()

    async with connected(script) as (upstream, provider):
        get = make_request(method="GET", body=None)
        for _ in range(2):
            assert await whole(await upstream.open(get, connect_s=CONNECT_S)) == b"{}"
        assert provider.connections == 2
        await whole(await upstream.open(get, connect_s=CONNECT_S))
        with pytest.raises(StaleConnectionError):
            await upstream.open(make_request(), connect_s=CONNECT_S)


async def test_nobody_reads(connected: Connected, make_request: MakeRequest) -> None:
    """The provider is held back by a reader that stands still, and nothing is lost."""
    has_sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"content-length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            await peer.send(bytes(MIB))
        has_sent.set()
        await peer.gone()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert isinstance(response, Exchange)
        for _ in range(10_000):
            await asyncio.sleep(0)
        assert response.is_held
        assert response.size < MIB
        assert not has_sent.is_set()
        size = 0
        async with asyncio.timeout(30):
            while piece := await response.read():
                assert len(piece) < MIB
                size += len(piece)
        assert size == 64 * MIB
        assert has_sent.is_set()


@pytest.mark.parametrize("is_passed", [True, False])
async def test_an_answer_before_the_body_is_sent(
    connected: Connected, make_request: MakeRequest, *, is_passed: bool
) -> None:
    """It is taken; the rest of the body is not sent, and the connection is not used again."""
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer._reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Large\r\ncontent-length: 3\r\n\r\n")
        await peer.send(b"too")
        await peer.gone()
        gone.set()

    async with connected(script) as (upstream, provider):
        if is_passed:
            source = Source(b"some", (asyncio.Event(), b""))
            response = await upstream.pass_on(passed(source, length=64 * MIB), connect_s=CONNECT_S)
        else:
            request = make_request(body=bytes(64 * MIB))
            response = await upstream.open(request, connect_s=CONNECT_S)
        assert response.status == 413
        assert await whole(response) == b"too"
        async with asyncio.timeout(5):
            await gone.wait()
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        response.close()
        assert provider.connections == 2


async def test_an_answer_that_begins_before_the_body_has_ended(connected: Connected) -> None:
    """Both go on at once, and the connection is used again."""
    has_head = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer._reader.readuntil(b"\r\n\r\n")
        await peer.send(HEAD + b"content-length: 9\r\n\r\nhalf ")
        assert await peer._reader.readexactly(6) == b"begins"
        assert await peer._reader.readexactly(4) == b"ends"
        await peer.send(b"done")
        await peer.request()
        await peer.answer()

    async with connected(script) as (upstream, provider):
        request = passed(Source(b"begins", (has_head, b"ends")), length=10)
        response = await upstream.pass_on(request, connect_s=CONNECT_S)
        assert await response.read() == b"half "
        has_head.set()
        assert await whole(response) == b"done"
        await whole(await upstream.pass_on(passed(), connect_s=CONNECT_S))
        assert provider.connections == 1


@pytest.mark.parametrize("length", [None, 8 * MIB])
async def test_a_body_on_its_way(connected: Connected, length: int | None) -> None:
    """It arrives whole whatever its framing, no faster than the provider reads."""
    got = []

    async def script(peer: Peer) -> None:
        if length is not None:
            got.append((await peer.request())[2])
        else:
            head = await peer._reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding: chunked\r\n" in head
            body = b""
            while size := int(await peer._reader.readuntil(b"\r\n"), 16):
                body += (await peer._reader.readexactly(size + 2))[:-2]
            assert await peer._reader.readexactly(2) == b"\r\n"
            got.append(body)
        await peer.answer()

    pieces = [bytes([number]) * MIB for number in range(8)]
    async with connected(script) as (upstream, _):
        request = passed(Source(*pieces), length=length)
        await whole(await upstream.pass_on(request, connect_s=CONNECT_S))
    assert got == [b"".join(pieces)]


@pytest.mark.parametrize("is_reused", [True, False])
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"some", ConnectionResetError()], id="the caller left"),
        pytest.param([b"some", BadRequestError("rubbish")], id="the caller sends rubbish"),
        pytest.param([b"some"], id="less than was said"),
        pytest.param([b"some" * 100], id="more than was said"),
    ],
)
async def test_a_caller_whose_body_breaks(
    connected: Connected, pieces: list[bytes | Exception], *, is_reused: bool
) -> None:
    """The provider sees a cut and no end; it is never taken for a stale connection."""
    got: list[bytes] = []
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        if is_reused:
            await peer.request()
            await peer.answer()
        await peer._reader.readuntil(b"\r\n\r\n")
        got.append(await peer.gone())
        gone.set()

    async with connected(script) as (upstream, _):
        if is_reused:
            await whole(await upstream.pass_on(passed(), connect_s=CONNECT_S))
        with pytest.raises(ConnectionBrokenError):
            await upstream.pass_on(passed(Source(*pieces), length=50), connect_s=CONNECT_S)
        async with asyncio.timeout(5):
            await gone.wait()
    assert len(got[0]) < 50


async def test_closing_ends_the_sending(connected: Connected) -> None:
    """Who leaves within its body takes the provider's connection along."""
    gone, asked = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer._reader.readuntil(b"\r\n\r\n")
        asked.set()
        await peer.gone()
        gone.set()

    async with connected(script) as (upstream, _), asyncio.TaskGroup() as tasks:
        request = passed(Source(b"some", (asyncio.Event(), b"")), length=50)
        task = tasks.create_task(upstream.pass_on(request, connect_s=CONNECT_S))
        await asked.wait()
        task.cancel()
        async with asyncio.timeout(1):
            await gone.wait()
    assert task.cancelled()


async def test_passed_answers_keep_their_encoding(connected: Connected) -> None:
    """The bytes of the wire, with the headers that speak of them; HEAD has headers alone."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"content-encoding: br\r\ncontent-length: 3\r\nVary: a\r\n")
        await peer.send(b"set-cookie: a=b\r\nvary: b\r\nconnection: keep-alive\r\n\r\n\x01\x02\x03")
        first, _, _ = await peer.request()
        assert first.startswith("HEAD ")
        await peer.send(HEAD + b"content-length: 3\r\n\r\n")
        await peer.request()
        await peer.answer()

    async with connected(script) as (upstream, provider):
        response = await upstream.pass_on(passed(), connect_s=CONNECT_S)
        assert response.headers == {
            "content-encoding": "br",
            "content-length": "3",
            "vary": "a, b",
        }
        assert await whole(response) == b"\x01\x02\x03"
        response = await upstream.pass_on(passed(method="HEAD"), connect_s=CONNECT_S)
        assert response.headers == {"content-length": "3"}
        assert await whole(response) == b""
        assert await whole(await upstream.pass_on(passed(), connect_s=CONNECT_S)) == b"{}"
        assert provider.connections == 1


async def test_a_server_that_speaks_first(connected: Connected, make_request: MakeRequest) -> None:
    """Something else than HTTP listens there."""

    async def script(peer: Peer) -> None:
        await peer.send(b"SSH-2.0-OpenSSH_9.9\r\n")
        await peer.gone()

    async with connected(script) as (upstream, _):
        with pytest.raises(ProtocolBrokenError):
            await upstream.open(make_request(), connect_s=CONNECT_S)


async def test_before_the_start_and_after_the_end(
    make_upstream: MakeUpstream, make_request: MakeRequest
) -> None:
    """Nothing is sent then; ending twice is ending once."""
    upstream = make_upstream(9)
    with pytest.raises(RuntimeError):
        await upstream.open(make_request(), connect_s=CONNECT_S)
    await upstream.start()
    with pytest.raises(ConnectFailedError):
        await upstream.open(make_request(), connect_s=CONNECT_S)
    await upstream.aclose()
    await upstream.aclose()
    with pytest.raises(RuntimeError):
        await upstream.open(make_request(), connect_s=CONNECT_S)


async def test_the_end_is_no_end_of_an_answer(
    connected: Connected, make_request: MakeRequest
) -> None:
    """A body that only its connection ends is not whole because the sidecar stops."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"\r\nhalf")
        await peer.gone()

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await response.read() == b"half"
        await upstream.aclose()
        with pytest.raises(ConnectionBrokenError):
            await response.read()
