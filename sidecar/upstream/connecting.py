"""From a name to a connection: DNS, TCP, a proxy's tunnel, TLS.

All addresses of a name are tried, families in turn, the next one as soon as one failed or has not
answered for a quarter of a second (RFC 8305), begun anywhere in the list, so that providers' own
spreading works. Answers of DNS are kept for half a minute, and one question serves all who wait for
it. The certificates' store is read once for each of both settings, when it is needed first: it
takes some 20 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Final

from sidecar import clock
from sidecar.upstream.protocols import TLS_BUFFER_BYTES
from sidecar.upstream.tunnel import Tunnel, tunnel_head
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.upstream.proxies import Proxy

DNS_KEPT_S: Final = 30.0
NEXT_ADDRESS_S: Final = 0.25
ADDRESSES_MAX: Final = 8
_NAMES_MAX: Final = 256

Place = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]
"""What a socket connects to."""


@value
class Way:
    """How a provider is reached: connections of equal ways are interchangeable."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None
    verifies: bool

    @property
    def is_tls(self) -> bool:
        """Whether TLS is what the connection is used through."""
        proxy = "" if self.proxy is None else self.proxy.address.scheme
        return "https" in (self.scheme, proxy)


class Resolver:
    """Names to places, kept for a while. Owns the questions under way."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], tuple[float, list[Place]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[list[Place]]] = {}

    async def places(self, host: str, port: int) -> list[Place]:
        """Return where ``host`` is, another one first each time.

        Raises:
            OSError: nobody knows it.
            ValueError: it is no name.
        """
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        known = self._found.get(key)
        if known is None or clock.now() - known[0] >= DNS_KEPT_S:
            task = self._asking.get(key) or self._ask(key)
            places = await asyncio.shield(task)
        else:
            places = known[1]
        places.append(places.pop(0))
        return in_turn(places)

    def close(self) -> None:
        """Ask no more."""
        for task in tuple(self._asking.values()):
            task.cancel()

    def _ask(self, key: tuple[str, int]) -> asyncio.Task[list[Place]]:
        # Owned here: whoever asked first may leave, the others still wait.
        task = asyncio.get_running_loop().create_task(_looked_up(*key))
        self._asking[key] = task
        task.add_done_callback(lambda done: self._answered(key, done))
        return task

    def _answered(self, key: tuple[str, int], task: asyncio.Task[list[Place]]) -> None:
        del self._asking[key]
        self._found.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        if len(self._found) >= _NAMES_MAX:
            del self._found[next(iter(self._found))]
        self._found[key] = (clock.now(), task.result())


def in_turn(places: Sequence[Place]) -> list[Place]:
    """Return ``places``, at most ``ADDRESSES_MAX``, one family after the other."""
    first = [place for place in places if place[0] == places[0][0]]
    others = [place for place in places if place[0] != places[0][0]]
    pairs = chain.from_iterable(zip_longest(first, others))
    return [place for place in pairs if place is not None][:ADDRESSES_MAX]


class Connector:
    """Makes connections; owns what is known of names and of certificates, and TLS's ``buffer``."""

    def __init__(self) -> None:
        self._resolver = Resolver()
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self.buffer = memoryview(bytearray(TLS_BUFFER_BYTES))

    def close(self) -> None:
        """Look nothing up any more."""
        self._resolver.close()

    def context(self, *, verifies: bool) -> ssl.SSLContext:
        """Return the settings of TLS, with or without a look at certificates."""
        if verifies not in self._contexts:
            self._contexts[verifies] = _context(verifies=verifies)
        return self._contexts[verifies]

    async def connect(self, way: Way, protocol: asyncio.BaseProtocol) -> None:
        """Bring ``protocol`` to where ``way`` leads.

        Raises:
            OSError: it does not come about.
            ValueError: the host's name is none.
            ConnectFailedError: the proxy will not have it.
        """
        if way.proxy is None:
            await self._open(way.scheme, way.host, way.port, way, protocol)
            return
        proxy = way.proxy.address
        if way.scheme == "http":
            await self._open(proxy.scheme, proxy.host, proxy.port, way, protocol)
            return
        tunnel = Tunnel(tunnel_head(way.host, way.port, way.proxy.authorization))
        try:
            await self._open(proxy.scheme, proxy.host, proxy.port, way, tunnel)
            transport = await asyncio.get_running_loop().start_tls(
                await tunnel.stands(),
                protocol,
                self.context(verifies=way.verifies),
                server_hostname=way.host.rstrip("."),
            )
        except BaseException:
            tunnel.cut()
            raise
        assert transport is not None, "TLS within a connection that is none"
        protocol.connection_made(transport)

    async def _open(
        self, scheme: str, host: str, port: int, way: Way, protocol: asyncio.BaseProtocol
    ) -> None:
        is_tls = scheme == "https"
        raw = await first_connected(await self._resolver.places(host, port))
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: protocol,
                sock=raw,
                ssl=self.context(verifies=way.verifies) if is_tls else None,
                server_hostname=host.rstrip(".") if is_tls else None,
            )
        except BaseException:
            raw.close()
            raise


async def first_connected(places: Sequence[Place]) -> socket.socket:
    """Return a socket connected to one of ``places``; the others are closed.

    Raises:
        OSError: none of them could be reached; the first one's error.
    """
    if len(places) == 1:
        return await _connected(places[0])
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[socket.socket]] = []
    won: asyncio.Task[socket.socket] | None = None
    try:
        while won is None:
            if len(tasks) < len(places):
                # Ended below, winner or not; a task group would turn errors into groups of them.
                tasks.append(loop.create_task(_connected(places[len(tasks)])))
            waiting = [task for task in tasks if not task.done()]
            if not waiting:
                raise next(error for task in tasks if (error := task.exception()) is not None)
            await asyncio.wait(
                waiting,
                timeout=NEXT_ADDRESS_S if len(tasks) < len(places) else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            done = (task for task in tasks if task.done() and task.exception() is None)
            won = next(done, None)
        return won.result()
    finally:
        for task in tasks:
            if task is not won:
                task.cancel()
                task.add_done_callback(_close_late)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connected(place: Place) -> socket.socket:
    family, address = place
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


async def _looked_up(host: str, port: int) -> list[Place]:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    places: list[Place] = [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]
    if not places:
        raise OSError("a name without an address")
    return places


def _literal(host: str, port: int) -> Place | None:
    with contextlib.suppress(OSError):
        socket.inet_pton(socket.AF_INET, host)
        return socket.AF_INET, (host, port)
    with contextlib.suppress(OSError):
        socket.inet_pton(socket.AF_INET6, host)
        return socket.AF_INET6, (host, port, 0, 0)
    return None


def _context(*, verifies: bool) -> ssl.SSLContext:
    made = ssl.create_default_context() if verifies else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verifies:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    return made
