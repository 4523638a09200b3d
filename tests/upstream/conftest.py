"""A provider of raw bytes on loopback: each connection runs a script, so every fault is real."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import pytest
import uvloop

from sidecar.domain import Endpoint, EndpointId, HostName, ModelName, ProviderName
from sidecar.engine.ports import OutboundRequest
from sidecar.upstream.http import HttpUpstream, ProviderTarget
from sidecar.upstream.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from sidecar.upstream.credentials import Credential
    from sidecar.upstream.signing import Signer

    Script = Callable[["Peer"], Awaitable[None]]

ENDPOINT = EndpointId("here/model")


ON_BOTH_LOOPS = {
    "test_connections.py",
    "test_http.py",
    "test_http_faults.py",
    "test_tls.py",
}
"""What is about sockets runs under asyncio's loop and under the one of production."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Say under which loops a test runs."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    if item.path.name in ON_BOTH_LOOPS:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


class Peer:
    """The provider's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> tuple[str, dict[str, str], bytes]:
        """Read one whole request: its first line, headers in lower case, body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return first, headers, body

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, body: bytes = b"{}") -> None:
        """Send a plain answer that leaves the connection alive."""
        await self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async def gone(self) -> bytes:
        """Wait until the other side has closed; return what came before."""
        try:
            return await self._reader.read()
        except ConnectionResetError:
            return b""

    def reset(self) -> None:
        """Send RST instead of FIN."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Send FIN."""
        self._writer.close()


class RawProvider:
    """Runs ``script`` on every connection and counts them."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.connections = 0
        self._handlers: list[asyncio.Task[None]] = []
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RawProvider]:
        """Listen while the block runs."""
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            if self._handlers:
                _, late = await asyncio.wait(self._handlers, timeout=1)
                for task in late:
                    task.cancel()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._handlers.append(task)
        try:
            await self._script(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, which is what most scripts are about
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def _upstream_at(
    port: int,
    *,
    scheme: str = "http",
    kind: str = "openai",
    credential: Credential | None = None,
    signer: Signer | None = None,
) -> HttpUpstream:
    """Return an upstream of one provider on loopback, not started."""
    provider = ProviderName("here")
    target = ProviderTarget(
        name=provider,
        kind=KINDS[kind],
        base_url=f"{scheme}://127.0.0.1:{port}",
        credential=credential,
        signer=signer,
    )
    endpoint = Endpoint(
        id=ENDPOINT,
        provider=provider,
        model=ModelName("model"),
        upstream_model="model-1",
        format=KINDS[kind].format,
        host=HostName(f"{scheme}://127.0.0.1:{port}"),
    )
    return HttpUpstream(providers={provider: target}, endpoints={ENDPOINT: endpoint})


class MakeUpstream(Protocol):
    """Builds an upstream of one provider at a port of loopback, not started."""

    def __call__(
        self,
        port: int,
        *,
        scheme: str = "http",
        kind: str = "openai",
        credential: Credential | None = None,
        signer: Signer | None = None,
    ) -> HttpUpstream:
        """Do so."""


class MakeRequest(Protocol):
    """Builds a request to the one endpoint."""

    def __call__(
        self,
        *,
        path: str | None = "/chat",
        body: bytes | None = b"{}",
        headers: tuple[tuple[str, str], ...] = (),
        method: str = "POST",
        needs_fresh_connection: bool = False,
    ) -> OutboundRequest:
        """Do so."""


class Connected(Protocol):
    """A script in, a started upstream and its provider out, while the block runs."""

    def __call__(
        self, script: Script, *, kind: str = "openai", credential: Credential | None = None
    ) -> AbstractAsyncContextManager[tuple[HttpUpstream, RawProvider]]:
        """Do so."""


@asynccontextmanager
async def _connected(
    script: Script, *, kind: str = "openai", credential: Credential | None = None
) -> AsyncIterator[tuple[HttpUpstream, RawProvider]]:
    async with RawProvider(script).serving() as provider:
        upstream = _upstream_at(provider.port, kind=kind, credential=credential)
        await upstream.start()
        try:
            yield upstream, provider
        finally:
            await upstream.aclose()


def _request(
    *,
    path: str | None = "/chat",
    body: bytes | None = b"{}",
    headers: tuple[tuple[str, str], ...] = (),
    method: str = "POST",
    needs_fresh_connection: bool = False,
) -> OutboundRequest:
    assert path is not None
    return OutboundRequest(
        endpoint=ENDPOINT,
        path=path,
        body=body,
        headers=headers,
        method=method,
        needs_fresh_connection=needs_fresh_connection,
    )


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback needs no proxy, whatever the machine's environment says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def connected() -> Connected:
    """Return what starts a provider and an upstream of it."""
    return _connected


@pytest.fixture
def make_request() -> MakeRequest:
    """Return the builder of requests."""
    return _request


@pytest.fixture
def make_upstream() -> MakeUpstream:
    """Return the builder of upstreams."""
    return _upstream_at
