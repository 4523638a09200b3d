"""One HTTP request and its answer over a connection: the ``Exchange`` that handlers get.

Made when the head of a request is in; its body may still be on its way, is put in by the
connection and taken out by the handler. What a handler sends goes to the transport at once, and a
handler waits only while the socket has no room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.errors import BadRequestError, BodyTooLargeError
from sidecar.server.inflate import BROKEN, ENCODINGS, Inflater

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from sidecar.server.connection import Connection

BODYLESS = frozenset({204, 304})
LINES = list[tuple[bytes, bytes]]
HELD_BYTES = 64 * 1024
"""A body that nobody asks for is read up to about here, then its caller has to wait."""
JOINED_BYTES_MAX = 64 * 1024
"""A body up to here is sent in one piece with its head; copying a larger one costs more."""
_OPEN, _STREAMING, _ENDED = range(3)


class HttpExchange:
    """An ``Exchange``. Owns the body between the connection and the handler.

    ``keeps_alive``: another request may follow. ``is_modern``: it is HTTP/1.1. ``is_received``: it
    is in to its last byte. ``held_bytes``: so much of its body waits for the handler.
    """

    __slots__ = (
        "_answer_left",
        "_arrived",
        "_connection",
        "_expects",
        "_failure",
        "_inflater",
        "_is_chunked",
        "_is_mute",
        "_lines",
        "_parts",
        "_state",
        "headers",
        "held_bytes",
        "is_discarded",
        "is_modern",
        "is_received",
        "keeps_alive",
        "method",
        "path",
        "query",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        target: str,
        headers: dict[str, str],
        lines: LINES,
    ) -> None:
        self._connection = connection
        self._lines = lines
        self._expects = "expect" in headers
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers: Mapping[str, str] = headers
        self.keeps_alive = False
        self.is_modern = True
        self.is_received = False
        self.is_discarded = False
        self.held_bytes = 0
        self._parts: list[bytes] = []
        self._arrived: asyncio.Future[bool] | None = None
        self._failure: BadRequestError | ConnectionError | None = None
        self._inflater: Inflater | None = None
        if "content-encoding" in headers and headers["content-encoding"].lower() in ENCODINGS:
            self._inflater = Inflater(headers["content-encoding"].lower())
        self._state = _OPEN

    # --- what the connection does --------------------------------------------------------------

    def put(self, part: bytes) -> None:
        """Take the next bytes of the body."""
        if self.is_discarded:
            return
        self._parts.append(part)
        self.held_bytes += len(part)
        if self._arrived is not None:
            self._wake()

    def put_end(self) -> None:
        """The request is in."""
        self.is_received = True
        if self._arrived is not None:
            self._wake()

    def fail(self, failure: BadRequestError | ConnectionError) -> None:
        """No more of the body comes."""
        if self._failure is None:
            self._failure = failure
        if self._arrived is not None:
            self._wake()

    def discard(self) -> None:
        """Throw away what is left of the body."""
        self.is_discarded = True
        self._parts.clear()
        self.held_bytes = 0

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the body with nothing to take. Who was woken does not: the
        loop may read dozens of packets before he takes one.
        """
        return self._arrived is not None and not self._arrived.done()

    @property
    def is_over(self) -> bool:
        """Whether the answer is out, its end included."""
        return self._state == _ENDED

    # --- the request -----------------------------------------------------------------------------

    @property
    def header_lines(self) -> list[tuple[str, str]]:
        """See ``Exchange``."""
        return [(name.decode("latin-1"), text_of(value)) for name, value in self._lines]

    @property
    def body_bytes(self) -> int | None:
        """See ``Exchange``."""
        if "transfer-encoding" in self.headers:
            return None
        length = self._length()
        return None if length and "content-encoding" in self.headers else length

    def _length(self) -> int:
        """Return the announced length; the parser has made sure that it is a number."""
        text = self.headers.get("content-length")
        return 0 if text is None else int(text)

    async def read_body(self, bytes_max: int) -> bytes:
        """See ``Exchange``."""
        if self._length() > bytes_max:
            raise BodyTooLargeError(_too_large(bytes_max))
        deadline_at: float | None = None
        pieces: list[bytes] = []
        size = 0
        while True:
            piece = self._take()
            if piece:
                size += len(piece)
                if size > bytes_max:
                    raise BodyTooLargeError(_too_large(bytes_max))
                pieces.append(piece)
            if self.is_received and (self._inflater is None or not piece):
                break
            if not piece:
                deadline_at = deadline_at or self._connection.body_deadline_at()
                if not await self._more(deadline_at):
                    raise self._late("the body did not arrive within")
        self._check_whole()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_chunk(self) -> bytes:
        """See ``Exchange``."""
        while not (piece := self._take()) and not self.is_received:
            if not await self._more(self._connection.body_deadline_at()):
                raise self._late("nothing of the body came for")
        if not piece:
            self._check_whole()
        return piece

    def _late(self, what: str) -> BadRequestError:
        return BadRequestError(f"{what} {self._connection.settings.body_s:g} s")

    def _take(self) -> bytes:
        """Return what of the body is here, its encoding undone, ``b""`` for nothing."""
        if self._failure is not None:
            raise self._failure
        parts = self._parts
        if not parts:
            return b"" if self._inflater is None else self._inflater.next(b"")
        piece = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.held_bytes = 0
        if self._connection.is_reading_paused:
            self._connection.regulate()
        return piece if self._inflater is None else self._inflater.next(piece)

    def _check_whole(self) -> None:
        if self._inflater is not None and not self._inflater.is_whole:
            raise BadRequestError(BROKEN)

    async def _more(self, deadline_at: float) -> bool:
        """Wait until more of the body is here; False when ``deadline_at`` came first."""
        assert self._arrived is None, "a body has one reader"
        connection = self._connection
        if self._expects:
            self._say_continue()
        arrived: asyncio.Future[bool] = connection.loop.create_future()
        self._arrived = arrived
        timer = connection.loop.call_at(deadline_at, _expire, arrived)
        if connection.is_reading_paused:
            connection.regulate()
        try:
            return await arrived
        finally:
            timer.cancel()
            self._arrived = None

    def _say_continue(self) -> None:
        """Let a caller go on that asked first, as curl does for large bodies (RFC 9110, 10.1.1)."""
        self._expects = False
        is_asked = self.headers["expect"].lower() == "100-continue"
        if is_asked and self.is_modern and self._state == _OPEN:
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def wait_received(self, deadline_at: float) -> bool:
        """Wait for the request's last byte; False when ``deadline_at`` or a failure came first."""
        while not self.is_received and self._failure is None:
            if not await self._more(deadline_at):
                return False
        return self.is_received

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(True)

    # --- the answer ------------------------------------------------------------------------------

    @property
    def is_started(self) -> bool:
        """See ``Exchange``."""
        return self._state != _OPEN

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """See ``Exchange``."""
        assert self._state == _OPEN, "answered twice"
        self._state = _ENDED
        connection = self._connection
        framing = f"Content-Length: {len(body)}\r\n" if status not in BODYLESS else ""
        head = connection.render_head(self, status, headers, framing)
        if self.method == "HEAD" or status in BODYLESS:
            body = b""
        if len(body) <= JOINED_BYTES_MAX:
            connection.transport.write(head + body)
        else:
            connection.transport.writelines((head, body))
        if not connection.is_writable:
            await connection.writable()

    async def start_stream(self, status: int, headers: Mapping[str, str]) -> None:
        """See ``Exchange``."""
        assert self._state == _OPEN, "answered twice"
        self._state = _STREAMING
        connection = self._connection
        self._is_mute = self.method == "HEAD" or status in BODYLESS
        self._is_chunked = False
        self._answer_left: int | None = None
        length = headers.get("content-length", "")
        framing = ""
        if length.isascii() and length.isdigit():
            self._answer_left = int(length)
            framing = "" if status in BODYLESS else f"Content-Length: {length}\r\n"
        elif self._is_mute:
            pass
        elif self.is_modern:
            self._is_chunked = True
            framing = "Transfer-Encoding: chunked\r\n"
        else:
            self.keeps_alive = False  # the end of the connection is the end of the answer
        connection.transport.write(connection.render_head(self, status, headers, framing))
        if not connection.is_writable:
            await connection.writable()

    async def write(self, chunk: bytes) -> None:
        """See ``Exchange``."""
        if not (self.push(chunk) if chunk else self._connection.is_writable):
            await self._connection.writable()

    def push(self, chunk: bytes) -> bool:
        """See ``Exchange``."""
        assert self._state == _STREAMING
        connection = self._connection
        if self._is_chunked:
            connection.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        elif not self._is_mute:
            connection.transport.write(self._within_length(chunk))
        return connection.is_writable

    async def room(self) -> None:
        """See ``Exchange``."""
        if not self._connection.is_writable:
            await self._connection.writable()

    def _within_length(self, chunk: bytes) -> bytes:
        """Return of ``chunk`` what the announced length has room for."""
        if self._answer_left is None:
            return chunk
        chunk = chunk[: self._answer_left]
        self._answer_left -= len(chunk)
        return chunk

    async def end_stream(self) -> None:
        """See ``Exchange``."""
        assert self._state == _STREAMING
        self._state = _ENDED
        connection = self._connection
        if self._is_chunked:
            connection.transport.write(b"0\r\n\r\n")
        elif self._answer_left and not self._is_mute:
            self.abort()  # less than was announced: nobody may take it for the whole
            return
        if not connection.is_writable:
            await connection.writable()

    def abort(self) -> None:
        """See ``Exchange``."""
        self.keeps_alive = False
        self._connection.transport.abort()


def text_of(value: bytes) -> str:
    """Return a header's value as text, without the blanks at its end, which the parser keeps.

    A byte that is no UTF-8 becomes a lone surrogate, and that byte again where it is passed on.
    """
    return value.decode("utf-8", "surrogateescape").rstrip(" \t")


def _expire(arrived: asyncio.Future[bool]) -> None:
    if not arrived.done():
        arrived.set_result(False)


def _too_large(bytes_max: int) -> str:
    return f"the body exceeds {bytes_max} bytes"
