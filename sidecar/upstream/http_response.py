"""What the engine gets of an answer whose head is in: its headers, and a body it can read.

A content encoding that was not asked for is undone, unless the answer is passed on as it is.
Cookies would tie callers of one pod together, and stay here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sidecar.errors import AttemptError
from sidecar.upstream.inflate import Inflater
from sidecar.upstream.passed import incoming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.upstream.exchange import Exchange

NO_ENCODING: Final = frozenset({"identity", ""})


class Inflated:
    """An answer without its content encoding, see ``engine.ports.UpstreamResponse``."""

    __slots__ = ("_exchange", "_inflater", "_wake", "headers", "status")

    def __init__(self, exchange: Exchange, inflater: Inflater) -> None:
        self._exchange = exchange
        self._inflater = inflater
        self._wake: Callable[[], None] | None = None
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at a proper end; raises as the port says."""
        while (piece := self.take()) is None:
            await self._exchange.more()
        return piece

    def take(self) -> bytes | None:
        """As ``read`` without waiting: None if nothing is here."""
        while True:
            data = b"" if self._inflater.has_pending else self._exchange.take()
            if data is None:
                return None
            if not data and not self._inflater.has_pending:
                self._inflater.finish()
                return b""
            piece = self._inflater.feed(data)
            if piece:
                if self._wake is not None and self._inflater.has_pending:
                    asyncio.get_running_loop().call_soon(self._go_on)
                return piece

    def watch(self, wake: Callable[[], None] | None) -> None:
        """See the port."""
        self._wake = wake
        self._exchange.watch(wake)

    def _go_on(self) -> None:
        if self._wake is not None:
            self._wake()

    def close(self) -> None:
        """Cut the connection unless the answer is over; may repeat."""
        self._exchange.close()


def answered(exchange: Exchange) -> Exchange | Inflated:
    """Return the answer for who reads it.

    Raises:
        ProtocolBrokenError: the content encoding is an unknown one; the answer is closed.
    """
    headers = exchange.head
    headers.pop("set-cookie", None)
    encoding = headers.pop("content-encoding", "").lower()
    if encoding in NO_ENCODING:
        return exchange
    try:
        return Inflated(exchange, Inflater(encoding))
    except AttemptError:
        exchange.close()
        raise


def passed_on(exchange: Exchange) -> Exchange:
    """Return the answer for who passes it on: the bytes of the wire, and headers that fit them."""
    exchange.headers = incoming(exchange.head.items())
    return exchange
