"""Listening ports: planes get connections, connections get served, and all of it ends in order.

Stopping has two halves, so that calls under way can end between them: ``stop_accepting`` closes the
listeners and idle connections, ``close`` cuts what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sidecar.server.answer_head import AnswerHeads
from sidecar.server.connection import Connection, Shared
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.server.exchange import Handler

BACKLOG = 1024
CUT_S = 0.5
"""How long handlers that were cut may take to clean up, and their last words to be sent."""


@value
class FrontSettings:
    """Bounds of HTTP itself.

    ``keepalive_s`` is longer than any common client pool keeps a connection, so that we are never
    the one who closes while a request is on its way. ``body_s`` bounds how slowly a body may
    arrive, ``linger_s`` how long the rest of a refused body is read and thrown away so that the
    caller sees the refusal instead of a reset.
    """

    line_bytes_max: int = 8190
    header_bytes_max: int = 16 * 1024
    headers_max: int = 128
    keepalive_s: float = 600.0
    body_s: float = 30.0
    linger_s: float = 3.0


@value
class Plane:
    """One listening port; ``port`` 0 lets the system choose."""

    name: str
    host: str
    port: int
    handler: Handler


class Front:
    """Owns the listeners and every accepted connection."""

    def __init__(self, settings: FrontSettings | None = None) -> None:
        self._shared = Shared(settings or FrontSettings(), AnswerHeads())
        self._listeners: list[asyncio.Server] = []

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Return the open connections."""
        return tuple(self._shared.connections)

    async def open(self, plane: Plane) -> int:
        """Listen for ``plane`` and return the bound port.

        Raises:
            OSError: the address is taken or not ours.
        """
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: Connection(self._shared, plane),
            plane.host,
            plane.port,
            backlog=BACKLOG,
        )
        self._listeners.append(listener)
        port: int = listener.sockets[0].getsockname()[1]
        return port

    async def deserted(self, plane: str) -> None:
        """Return when nobody is connected to a plane."""
        await self._shared.wait_without(plane)

    def stop_accepting(self) -> None:
        """Close the listeners and the idle connections; calls under way go on."""
        self._shared.is_stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in self.connections:
            connection.close_when_idle()

    async def close(self) -> None:
        """Stop accepting and cut what is left; who wants calls to end first waits before this."""
        self.stop_accepting()
        tasks = [connection.cut() for connection in self.connections]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=CUT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CUT_S):
                await self._shared.wait_without(None)
        for connection in self.connections:  # whoever does not read what is still to be sent
            connection.transport.abort()
