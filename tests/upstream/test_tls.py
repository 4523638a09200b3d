"""TLS and proxies on loopback: certificates, tunnels, and what a proxy gets to see."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.domain import Endpoint, HostName, ModelName, ProviderName
from sidecar.errors import ConnectFailedError, ConnectionBrokenError
from sidecar.upstream.credentials import Credential
from sidecar.upstream.http import HttpUpstream, ProviderTarget
from sidecar.upstream.kinds import KINDS
from sidecar.upstream.pool import Pool
from tests.upstream.conftest import ENDPOINT, Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sidecar.upstream.connection import Connection
    from tests.upstream.conftest import MakeRequest

CERTIFICATES = Path(__file__).parent.parent / "processes" / "certificates"
CONNECT_S = 5.0
BODY = bytes(range(250)) * 12_000


@pytest.fixture(autouse=True)
async def _quiet() -> None:
    """Handshakes that fail are the point of it."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)


def server_tls(certificate: str) -> ssl.SSLContext:
    """Return the settings of a server with this certificate."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
    tls.set_alpn_protocols(["h2", "http/1.1"])
    return tls


def trust(monkeypatch: pytest.MonkeyPatch, certificate: str = "valid") -> None:
    """Take the certificate for an authority's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / f"{certificate}.pem"))


class Listener:
    """A server of raw bytes; counts its connections and waits for them at its end."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self.alpn: list[str | None] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self, peer: Peer) -> None:
        """Answer every request with its own body."""
        while True:
            first, headers, body = await peer.request()
            self.asked.append((first, headers))
            await peer.answer(body)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        tls = writer.get_extra_info("ssl_object")
        self.alpn.append(None if tls is None else tls.selected_alpn_protocol())
        try:
            await self.serve(Peer(reader, writer))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @asynccontextmanager
    async def listening(self, certificate: str | None) -> AsyncIterator[Listener]:
        """Listen while the block runs."""
        tls = None if certificate is None else server_tls(certificate)
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=2)
                for task in late:
                    task.cancel()


class Proxy(Listener):
    """Opens tunnels, or says ``answer`` instead; plain requests it answers itself."""

    def __init__(self, answer: bytes | None = None) -> None:
        super().__init__()
        self._answer = answer

    async def serve(self, peer: Peer) -> None:
        """Serve one connection."""
        first, headers, _ = await peer.request()
        self.asked.append((first, headers))
        if self._answer is not None:
            await peer.send(self._answer)
            return
        found = re.fullmatch(r"CONNECT ([^ ]+):(\d+) HTTP/1.1", first)
        if found is None:
            await peer.answer(b"from the proxy")
            return
        reader, writer = await asyncio.open_connection(found[1], int(found[2]))
        await peer.send(b"HTTP/1.1 200 Connection established\r\nvia: p\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_copy(peer._reader, writer))
                tasks.create_task(_copy(reader, peer._writer))
        finally:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


@asynccontextmanager
async def started(
    url: str, *, verify_tls: bool = True, credential: Credential | None = None
) -> AsyncIterator[HttpUpstream]:
    """Return an upstream of the provider at ``url``, while the block runs."""
    name = ProviderName("here")
    target = ProviderTarget(
        name=name,
        kind=KINDS["openai"],
        base_url=url,
        verify_tls=verify_tls,
        credential=credential,
    )
    endpoint = Endpoint(
        id=ENDPOINT,
        provider=name,
        model=ModelName("model"),
        upstream_model="model-1",
        format=KINDS["openai"].format,
        host=HostName(url),
    )
    upstream = HttpUpstream(providers={name: target}, endpoints={ENDPOINT: endpoint})
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.aclose()


async def ask(upstream: HttpUpstream, make_request: MakeRequest, body: bytes = b"{}") -> bytes:
    """Return the whole answer to one request."""
    response = await upstream.open(make_request(body=body), connect_s=CONNECT_S)
    answer = b""
    while piece := await response.read():
        answer += piece
    response.close()
    return answer


@pytest.mark.parametrize(
    ("certificate", "trusted", "verify_tls"),
    [("valid", "valid", True), ("expired", None, False), ("valid", None, False)],
)
async def test_over_tls(
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    trusted: str | None,
    *,
    verify_tls: bool,
) -> None:
    """Large bodies arrive, connections are used again, HTTP/1.1 is what is agreed upon."""
    if trusted is not None:
        trust(monkeypatch, trusted)
    async with Listener().listening(certificate) as server:
        url = f"https://127.0.0.1:{server.port}"
        async with started(url, verify_tls=verify_tls) as upstream:
            assert await ask(upstream, make_request) == b"{}"
            assert await ask(upstream, make_request, BODY) == BODY
        assert server.connections == 1
        assert server.alpn == ["http/1.1"]


@pytest.mark.parametrize(
    ("certificate", "trusted", "host"),
    [
        ("valid", None, "127.0.0.1"),
        ("expired", "expired", "127.0.0.1"),
        ("valid", "valid", "localhost"),
    ],
    ids=["unknown", "expired", "another name"],
)
async def test_certificates_that_are_not_good(
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    trusted: str | None,
    host: str,
) -> None:
    """No request passes a handshake that fails."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    if trusted is not None:
        trust(monkeypatch, trusted)
    async with Listener().listening(certificate) as server:
        async with started(f"https://{host}:{server.port}") as upstream:
            with pytest.raises(ConnectFailedError, match="CERTIFICATE_VERIFY_FAILED"):
                await ask(upstream, make_request)
        assert server.asked == []


async def test_cut_over_tls(make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that is closed early takes its connection along at once, TLS or not."""
    trust(monkeypatch)
    gone = asyncio.Event()

    class Half(Listener):
        async def serve(self, peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            with contextlib.suppress(OSError):
                await peer.gone()
            gone.set()

    async with (
        Half().listening("valid") as server,
        started(f"https://127.0.0.1:{server.port}") as upstream,
    ):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await response.read() == b"half"
        response.close()
        async with asyncio.timeout(1):
            await gone.wait()


async def test_idle_connections_that_end_over_tls(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the provider closes while it waits leaves the pool without a word."""
    trust(monkeypatch)
    lost, forget = asyncio.Event(), Pool.lost

    def seen(pool: Pool, connection: Connection) -> None:
        forget(pool, connection)
        lost.set()

    monkeypatch.setattr(Pool, "lost", seen)

    class Once(Listener):
        async def serve(self, peer: Peer) -> None:
            await peer.request()
            await peer.answer()

    async with (
        Once().listening("valid") as server,
        started(f"https://127.0.0.1:{server.port}") as upstream,
    ):
        for connections in (1, 2):
            assert await ask(upstream, make_request) == b"{}"
            async with asyncio.timeout(5):
                await lost.wait()
            lost.clear()
            assert server.connections == connections


async def test_a_plain_request_through_a_proxy(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the provider, whom the proxy alone must be able to reach."""
    async with Proxy().listening(None) as proxy:
        monkeypatch.setenv("http_proxy", f"http://us:pa%20ss@127.0.0.1:{proxy.port}")
        async with started("http://provider.invalid:81/v1") as upstream:
            assert await ask(upstream, make_request) == b"from the proxy"
    ((first, headers),) = proxy.asked
    assert first == "POST http://provider.invalid:81/v1/chat HTTP/1.1"
    assert headers["host"] == "provider.invalid:81"
    assert headers["proxy-authorization"] == "Basic dXM6cGEgc3M="


@pytest.mark.parametrize("certificate", [None, "valid"], ids=["http proxy", "https proxy"])
async def test_through_a_tunnel(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, certificate: str | None
) -> None:
    """The proxy sees where it leads and its own password, the provider all the rest."""
    trust(monkeypatch)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("SOME_KEY", "key-1")
    scheme = "http" if certificate is None else "https"
    async with (
        Listener().listening("valid") as server,
        Proxy().listening(certificate) as proxy,
    ):
        monkeypatch.setenv("https_proxy", f"{scheme}://us:pass@127.0.0.1:{proxy.port}")
        url, credential = f"https://127.0.0.1:{server.port}/v1", Credential(env="SOME_KEY")
        async with started(url, credential=credential) as upstream:
            assert await ask(upstream, make_request) == b"{}"
            assert await ask(upstream, make_request, BODY) == BODY
    ((first, seen),) = proxy.asked
    assert first == f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"
    assert seen == {
        "host": f"127.0.0.1:{server.port}",
        "proxy-authorization": "Basic dXM6cGFzcw==",
    }
    assert [first for first, _ in server.asked] == ["POST /v1/chat HTTP/1.1"] * 2
    assert server.asked[0][1]["authorization"] == "Bearer key-1"
    assert "proxy-authorization" not in server.asked[0][1]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Who are you\r\ncontent-length: 3\r\n\r\nwho", "407"),
        (b"HTTP/1.1 502 No way\r\n\r\n", "502"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nunasked", "does not speak HTTP"),
        (b"x" * 20_000, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "closed|reset"),
        (b"", "closed|reset"),
    ],
    ids=["stranger", "unreachable", "ssh", "more than a head", "endless", "half", "nothing"],
)
async def test_a_proxy_that_does_not_help(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, answer: bytes, said: str
) -> None:
    """No tunnel is no connection, whose password nobody is told."""
    monkeypatch.setenv("no_proxy", "")
    async with Proxy(answer).listening(None) as proxy:
        monkeypatch.setenv("https_proxy", f"http://us:secret@127.0.0.1:{proxy.port}")
        async with started("https://127.0.0.1:9/v1") as upstream:
            with pytest.raises(ConnectFailedError, match=rf"(?i){said}") as caught:
                await ask(upstream, make_request)
    assert "secret" not in str(caught.value)


async def test_a_tunnel_to_somebody_else(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate at the tunnel's end is looked at like any other."""
    monkeypatch.setenv("no_proxy", "")
    async with Listener().listening("valid") as server, Proxy().listening(None) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        async with started(f"https://127.0.0.1:{server.port}") as upstream:
            with pytest.raises(ConnectFailedError, match="CERTIFICATE_VERIFY_FAILED"):
                await ask(upstream, make_request)
    assert server.asked == []


async def test_a_proxy_that_is_silent(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connect limit holds for the tunnel too."""
    monkeypatch.setenv("no_proxy", "")

    class Silent(Listener):
        async def serve(self, peer: Peer) -> None:
            await peer.gone()

    async with Silent().listening(None) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        async with started("https://127.0.0.1:9/v1") as upstream:
            with pytest.raises(ConnectFailedError, match="not in time"):
                await upstream.open(make_request(), connect_s=0.05)


async def test_reset_over_tls(make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that only the connection's end frames is not whole after a reset."""
    trust(monkeypatch)
    has_read = asyncio.Event()

    class Resetting(Listener):
        async def serve(self, peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
            await has_read.wait()
            peer.reset()

    async with (
        Resetting().listening("valid") as server,
        started(f"https://127.0.0.1:{server.port}") as upstream,
    ):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await response.read() == b"half"
        has_read.set()
        with pytest.raises(ConnectionBrokenError):
            await response.read()
