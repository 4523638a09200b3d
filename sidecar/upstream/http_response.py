"""One answer under way: bytes off the wire, and an end that can be trusted.

An end of the body that the framing did not announce is an error, never an end: aiohttp finds short
and cut bodies itself, but a reset of a body framed by the connection's end alone looks to it like
that end. A response that is dropped early takes its connection along, since what is left on it
belongs to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp

from sidecar.errors import AttemptError, ConnectionBrokenError
from sidecar.upstream.failures import TRANSLATED, translate
from sidecar.upstream.inflate import Inflater
from sidecar.upstream.passed import incoming

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

_WITHHELD: Final = frozenset({"set-cookie", "content-encoding"})
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


class HttpResponse:
    """An answer under way, see ``engine.ports.UpstreamResponse``.

    ``is_raw``: the bytes of the wire and the headers that speak of them, for who passes them on.

    Raises:
        ProtocolBrokenError: the content encoding is an unknown one; the answer is closed.
    """

    __slots__ = (
        "_inflater",
        "_is_close_delimited",
        "_is_ended",
        "_protocol",
        "_response",
        "headers",
        "status",
    )

    def __init__(self, response: aiohttp.ClientResponse, *, is_raw: bool = False) -> None:
        self._response = response
        self._is_ended = False
        self.status = response.status
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        try:
            is_plain = is_raw or encoding in {"identity", ""}
            self._inflater = None if is_plain else Inflater(encoding)
        except AttemptError:
            response.close()
            raise
        self.headers: Mapping[str, str] = _plain_headers(response)
        self._is_close_delimited = not _FRAMING & self.headers.keys()
        if is_raw:
            self.headers = incoming(response.headers.items())
        connection = response.connection  # None once the whole body has come
        self._protocol = None if connection is None else connection.protocol
        self._watch()

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at a proper end; raises as the port says."""
        if self._inflater is None:
            return await self._read_wire()
        while True:
            data = b"" if self._inflater.has_pending else await self._read_wire()
            if not data and not self._inflater.has_pending:
                self._inflater.finish()
                return b""
            piece = self._inflater.feed(data)
            if piece:
                return piece

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else cut it; may repeat."""
        connection = self._response.connection
        if connection is not None and connection.transport is not None and not self._is_ended:
            connection.transport.abort()
        self._unwatch()
        self._response.close()

    async def _read_wire(self) -> bytes:
        if self._is_ended:
            return b""
        try:
            data = await self._response.content.readany()
        except TRANSLATED as error:
            raise translate(error, is_connecting=False, was_reused=False, bytes_seen=1) from error
        if not data:
            self._check_end()
            self._is_ended = True
        return data

    def _check_end(self) -> None:
        """Tell a reset from an end, where the connection's end alone frames the body."""
        if self._protocol is None or not self._is_close_delimited:
            return
        error = self._protocol.exception()
        if error is not None and not isinstance(error, aiohttp.ServerDisconnectedError):
            raise ConnectionBrokenError("the connection was reset within the body") from error

    def _watch(self) -> None:
        """Wake the reader when the connection is gone: after garbage aiohttp would not."""
        if self._protocol is None:
            return
        closed = self._protocol.closed
        if closed is None:
            self._wake()
            return
        closed.remove_done_callback(_take_exception)  # one a connection, not one a request
        closed.add_done_callback(_take_exception)
        closed.add_done_callback(self._on_closed)

    def _unwatch(self) -> None:
        closed = None if self._protocol is None else self._protocol.closed
        if closed is not None:
            closed.remove_done_callback(self._on_closed)

    def _on_closed(self, _: asyncio.Future[None]) -> None:
        self._wake()

    def _wake(self) -> None:
        content = self._response.content
        if self._protocol is None or content.is_eof() or content.exception() is not None:
            return
        broken = aiohttp.ClientPayloadError("the connection is gone")
        content.set_exception(broken, self._protocol.exception() or broken)


def _take_exception(closed: asyncio.Future[None]) -> None:
    """Keep asyncio from reporting a lost idle connection as a forgotten error."""
    if not closed.cancelled():
        closed.exception()


def _plain_headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        lowered = name.lower()
        if lowered not in _WITHHELD:
            headers[lowered] = f"{headers[lowered]}, {value}" if lowered in headers else value
    return headers
