"""A listening port that can be shut like a dead host's and opened again, without ever losing its
number.

Shut means refused: a bound socket that does not listen answers SYN with RST. Blackholed means
silence: a socket that listens with the smallest backlog, filled by connections of our own, so
that Linux drops every further SYN. The port stays ours in both, since a bound socket always holds
it.
"""

from __future__ import annotations

import asyncio
import socket
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BACKLOG = 256
# A backlog of 0 holds one connection on Linux; one more is in the queue of half-open ones.
FILLERS = 3


class DoorState(Enum):
    """What a caller at the port meets."""

    OPEN = "open"
    REFUSING = "refusing"
    BLACKHOLE = "blackhole"


class Door:
    """Owns the socket at one address; ``turn`` changes what it does, ``close`` gives it up."""

    def __init__(self, host: str, port: int, serve: Serve) -> None:
        self.state = DoorState.REFUSING
        self.port = port
        self._host = host
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._turning = asyncio.Lock()  # opening waits, and two turns must not mix
        self._bind()

    async def turn(self, state: DoorState) -> None:
        """Bring the port into ``state``."""
        async with self._turning:
            if state is self.state:
                return
            self.close()
            bound = self._bind()
            if state is DoorState.OPEN:
                self._server = await asyncio.start_server(self._serve, sock=bound, backlog=BACKLOG)
            elif state is DoorState.BLACKHOLE:
                bound.listen(0)
                self._fill()
            self.state = state

    def close(self) -> None:
        """Let go of the port; accepted connections live on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.state = DoorState.REFUSING

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((self._host, self.port))
        self.port = bound.getsockname()[1]
        self._socket = bound
        return bound

    def _fill(self) -> None:
        for _ in range(FILLERS):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.setblocking(False)
            filler.connect_ex((self._host, self.port))
            self._fillers.append(filler)
