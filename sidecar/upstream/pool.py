"""Connections that wait for their next request, by where they lead.

The one used last is used next, so that a quiet hour ends those that a busy one needed. A connection
that ends, or is spoken to, while it waits leaves without a word: that is nobody's failure.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sidecar import clock
from sidecar.errors import ConnectFailedError
from sidecar.upstream.failures import CONNECTING, connect_failed
from sidecar.upstream.protocols import PlainConnection, TlsConnection

if TYPE_CHECKING:
    from sidecar.upstream.connecting import Connector, Way
    from sidecar.upstream.connection import Connection

KEPT_S: Final = 55.0
"""Below the 60 s after which common load balancers drop idle connections."""
CLOSE_S: Final = 1.0
"""How long the end of the program waits for connections to be gone."""


class Pool:
    """All connections of one way. Owns them, in use or not."""

    def __init__(self, way: Way, connector: Connector) -> None:
        self._way = way
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._all: dict[Connection, None] = {}
        self._idle: list[Connection] = []  # the longest waiting one first
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_retired = False
        self._emptied: asyncio.Future[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no connection."""
        return not self._all

    def take(self) -> Connection | None:
        """Return a connection that has carried an answer and may carry another, None without."""
        while self._idle:
            connection = self._idle.pop()
            if clock.now() - connection.idle_since >= KEPT_S:
                connection.cut()  # the machine was suspended, or the timer would have been first
            elif connection.is_open:
                return connection
        return None

    async def connect(self, connect_s: float, *, is_kept: bool) -> Connection:
        """Return a new connection, which comes back here after use if ``is_kept``.

        Raises:
            ConnectFailedError: there is none within ``connect_s``.
            AttemptError: it ended before a request could be sent.
        """
        connection = self._new(is_kept=is_kept)
        self._all[connection] = None
        try:
            async with asyncio.timeout(connect_s):
                await self._connector.connect(self._way, connection)
        except CONNECTING as error:
            self._forget(connection)
            raise connect_failed(error) from error
        except BaseException:
            self._forget(connection)
            raise
        if self._is_closed:
            connection.cut()
            raise ConnectFailedError("no connection: the sidecar is stopping")
        connection.check()
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep ``connection`` for the next request."""
        if self._is_retired:
            connection.cut()
            return
        now = connection.idle_since = clock.now()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = self._loop.call_at(now + KEPT_S, self._expire)

    def lost(self, connection: Connection) -> None:
        """Forget ``connection``."""
        self._forget(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def retire(self) -> None:
        """Keep nothing for later: what waits is cut now, what is in use after its answer."""
        self._is_retired = True
        while self._idle:
            self._idle.pop().cut()

    async def aclose(self) -> None:
        """Cut every connection, and wait until the loop has let go of them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_closed = True
        self._idle.clear()
        for connection in tuple(self._all):
            connection.end()
        if self._all:
            self._emptied = self._loop.create_future()
            await asyncio.wait((self._emptied,), timeout=CLOSE_S)

    def _new(self, *, is_kept: bool) -> Connection:
        if not self._way.is_tls:
            return PlainConnection(self._loop, self, is_kept=is_kept)
        return TlsConnection(self._loop, self, self._connector.buffer, is_kept=is_kept)

    def _forget(self, connection: Connection) -> None:
        self._all.pop(connection, None)
        if not self._all and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def _expire(self) -> None:
        self._timer = None
        now = clock.now()
        while self._idle and now - self._idle[0].idle_since >= KEPT_S:
            self._idle.pop(0).cut()
        if self._idle:
            self._timer = self._loop.call_at(self._idle[0].idle_since + KEPT_S, self._expire)
