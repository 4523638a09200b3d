"""One answer under way, as its connection fills it and the engine reads it.

What has arrived is read first, then the error that ended it: how the bytes were cut into packets
decides nothing. Once the framing says that the answer is over, the connection is its own again,
however much of it is still unread here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sidecar.errors import ConnectionBrokenError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from sidecar.errors import AttemptError


class Source(Protocol):
    """The connection, seen from the answer."""

    def cut(self) -> None:
        """End it at once."""

    def resume(self) -> None:
        """Read on: there is room again."""


class Exchange:
    """An answer, see ``engine.ports.UpstreamResponse``; ``status`` is 0 until its head is in.

    The connection writes ``head`` (headers by lower-case name, repeated ones joined), ``status``,
    ``pieces`` and ``size`` (bytes that nobody has read yet), and calls ``wake``, ``finish`` and
    ``fail``. ``headers`` are those of the head that the engine gets.
    """

    __slots__ = (
        "_connection",
        "_failure",
        "_is_over",
        "_loop",
        "head",
        "headers",
        "is_held",
        "pieces",
        "size",
        "status",
        "waiter",
    )

    def __init__(self, connection: Source, loop: asyncio.AbstractEventLoop) -> None:
        self._connection: Source | None = connection
        self._failure: AttemptError | None = None
        self._is_over = False
        self._loop = loop
        self.status = 0
        self.head: dict[str, str] = {}
        self.headers: Mapping[str, str] = self.head
        self.pieces: list[bytes] = []
        self.size = 0
        self.is_held = False
        self.waiter: asyncio.Future[None] | None = None

    async def arrive(self) -> None:
        """Return once the head is in.

        Raises:
            AttemptError: it never came, as ``engine.ports.Upstream.open`` says.
        """
        while self.status == 0:
            if self._failure is not None:
                raise self._failure
            self.waiter = self._loop.create_future()
            await self.waiter

    async def read(self) -> bytes:
        """Return what has arrived, ``b""`` at a proper end; raises as the port says."""
        while not self.pieces:
            if self._is_over:
                return b""
            if self._failure is not None:
                raise self._failure
            self.waiter = self._loop.create_future()
            await self.waiter
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.size = 0
        if self.is_held:
            self.is_held = False
            if self._connection is not None:
                self._connection.resume()
        return data

    def close(self) -> None:
        """Cut the connection unless the answer is over; may repeat."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.cut()
        if self._failure is not None:
            # The one that was raised holds the frames of its readers, who hold this answer.
            self._failure = ConnectionBrokenError("the answer was closed")

    def wake(self) -> None:
        """Let whoever waits look again."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def finish(self) -> None:
        """Note that the answer is whole."""
        self._is_over = True
        self._connection = None
        self.wake()

    def fail(self, error: AttemptError) -> None:
        """Note that no more will come."""
        self._failure = error
        self._connection = None
        self.wake()
