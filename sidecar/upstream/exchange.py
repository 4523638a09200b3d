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
    from collections.abc import Callable, Mapping

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
    ``pieces`` and ``size`` (bytes that nobody has read yet), calls ``finish`` and ``fail``, and
    after each of these ``wake``, which is None where nobody waits. ``headers`` are those of the
    head that the engine gets.
    """

    __slots__ = (
        "_connection",
        "_failure",
        "_is_over",
        "_loop",
        "_waiter",
        "head",
        "headers",
        "is_held",
        "pieces",
        "size",
        "status",
        "wake",
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
        self.wake: Callable[[], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def arrive(self) -> None:
        """Return once the head is in.

        Raises:
            AttemptError: it never came, as ``engine.ports.Upstream.open`` says.
        """
        while self.status == 0:
            if self._failure is not None:
                raise self._failure
            await self.more()

    async def read(self) -> bytes:
        """Return what has arrived, ``b""`` at a proper end; raises as the port says."""
        while (data := self.take()) is None:
            await self.more()
        return data

    def take(self) -> bytes | None:
        """As ``read`` without waiting: None if nothing is here."""
        pieces = self.pieces
        if not pieces:
            if self._is_over:
                return b""
            if self._failure is not None:
                raise self._failure
            return None
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.size = 0
        if self._connection is None and self.wake is not None:
            self._loop.call_soon(self._tell_end)  # it came with these bytes
        if self.is_held:
            self.is_held = False
            if self._connection is not None:
                self._connection.resume()
        return data

    def watch(self, wake: Callable[[], None] | None) -> None:
        """See the port."""
        self.wake = wake

    async def more(self) -> None:
        """Wait until there may be something to take."""
        assert self.wake is None, "one reader at a time"
        self._waiter = self._loop.create_future()
        self.wake = self._come
        try:
            await self._waiter
        finally:
            self._waiter = self.wake = None

    def close(self) -> None:
        """Cut the connection unless the answer is over; may repeat."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.cut()
        if self._failure is not None:
            # The one that was raised holds the frames of its readers, who hold this answer.
            self._failure = ConnectionBrokenError("the answer was closed")

    def _tell_end(self) -> None:
        if self.wake is not None:
            self.wake()

    def _come(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def finish(self) -> None:
        """Note that the answer is whole."""
        self._is_over = True
        self._connection = None

    def fail(self, error: AttemptError) -> None:
        """Note that no more will come."""
        self._failure = error
        self._connection = None
