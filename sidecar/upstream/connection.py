"""One connection to a provider, one exchange at a time: bytes out, HTTP in.

httptools finds where heads, chunks and messages end; what is decided here is what their ends mean.
An end that the framing did not announce is an error, never an end. Where the connection's own end
is the framing, a close is an end and a reset is not. Bytes that nobody asked for mean that the next
answer could be anybody's: such a connection is dropped. A caller of ``ask`` that leaves cuts the
connection, since what is left on it belongs to nobody.

Unread bytes of an answer are bounded: the transport pauses, and the provider's window closes. So
are bytes that are not of a body: heads, chunk extensions, trailers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade

from sidecar.errors import AttemptError, ConnectionBrokenError
from sidecar.upstream.exchange import Exchange
from sidecar.upstream.failures import broken, garbage
from sidecar.upstream.framing import (
    HEADERS_MAX,
    OVERHEAD_BYTES_MAX,
    RefusedError,
    check_size,
    is_framed_by_end,
    joined,
    response_parser,
)
from sidecar.upstream.sending import Sending, Sliced

if TYPE_CHECKING:
    from httptools import HttpResponseParser

    from sidecar.upstream.sending import Readable

UNREAD_BYTES_MAX: Final = 131_072
_BODY_BYTES_WITH_HEAD_MAX: Final = 65_536  # joining costs less than a second write up to there
_BODY_BYTES_IN_ONE_WRITE_MAX: Final = 1_048_576  # more would hold the loop
_SWITCHING: Final = 101
_INTERIM: Final = range(100, 200)


class Keeper(Protocol):
    """Who is told what becomes of a connection."""

    def give_back(self, connection: Connection) -> None:
        """It is free for the next request."""

    def lost(self, connection: Connection) -> None:
        """It is gone."""


class Connection(asyncio.BaseProtocol):
    """A protocol whose answers are ``Exchange``s, but for how it is given bytes (``protocols.py``).

    ``idle_since`` is its keeper's.
    """

    __slots__ = (
        "_exchange",
        "_fed",
        "_has_spoken_first",
        "_headers",
        "_is_headless",
        "_is_interim",
        "_is_kept",
        "_is_reusable",
        "_keeper",
        "_loop",
        "_parser",
        "_sending",
        "_transport",
        "_was_used",
        "idle_since",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, keeper: Keeper, *, is_kept: bool = True
    ) -> None:
        self._loop = loop
        self._keeper = keeper
        self._is_kept = is_kept
        self._parser: HttpResponseParser | None = None
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._sending: Sending | None = None
        self._headers: dict[str, str] = {}
        self._fed = 0  # bytes since the last that were of use; since `ask`, up to the head
        self._has_spoken_first = False
        self._is_headless = False
        self._is_interim = False
        self._is_reusable = False
        self._was_used = False
        self.idle_since = 0.0

    # --- what its users do ---------------------------------------------------------------------

    def check(self) -> None:
        """Make sure that a new connection may be used.

        Raises:
            ProtocolBrokenError: the other side spoke unasked.
            ConnectionBrokenError: it is gone again.
        """
        if self._has_spoken_first:
            raise garbage(has_head=False)
        if not self.is_open:
            raise broken(None, has_head=False, is_stale=False)

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent here."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(
        self,
        head: bytes,
        body: bytes | Readable | None = None,
        *,
        length: int | None = None,
        has_no_body: bool = False,
    ) -> Exchange:
        """Send a request and return its answer to come.

        Args:
            head: the request up to its empty line, framing included.
            body: whole, or a source of ``length`` bytes (None: sent in chunks).
            length: of ``body`` if it is a source.
            has_no_body: the answer ends with its head whatever that says (HEAD).
        """
        transport = self._transport
        assert transport is not None, "not connected"
        assert self._exchange is None, "one at a time"
        exchange = self._exchange = Exchange(self, self._loop)
        self._headers = exchange.head
        self._fed = 0
        self._is_headless = has_no_body
        if body is None:
            transport.write(head)
        elif not isinstance(body, bytes):
            transport.write(head)
            self._sending = Sending(transport, body, length, self._sending_failed)
        elif len(body) <= _BODY_BYTES_WITH_HEAD_MAX:
            transport.write(head + body)
        elif len(body) <= _BODY_BYTES_IN_ONE_WRITE_MAX:
            transport.writelines((head, body))
        else:
            transport.write(head)
            self._sending = Sending(transport, Sliced(body), len(body), self._sending_failed)
        return exchange

    def cut(self) -> None:
        """End it at once, and whatever goes on here."""
        self._exchange = None
        self._stop_sending()
        if self._transport is not None:
            self._transport.abort()

    def end(self) -> None:
        """End it, and tell who still reads."""
        self._fail(ConnectionBrokenError("the connection broke: the sidecar is stopping"), None)

    def resume(self) -> None:
        """Read on."""
        if self.is_open:
            self._connected().resume_reading()

    # --- asyncio ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = response_parser(self)

    def received(self, data: bytes | memoryview) -> None:
        """Read an answer on."""
        parser = self._parser
        exchange = self._exchange
        if exchange is None or parser is None:
            self._has_spoken_first = not self._was_used
            self.cut()  # nobody asked for anything
            return
        self._fed += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._refuse(error)
        else:
            if self._exchange is None:
                self._release()
            elif self._fed > OVERHEAD_BYTES_MAX:
                self._refuse(None)
        if exchange.wake is not None:
            exchange.wake()

    def eof_received(self) -> None:
        """Take the other side's end: nothing can come any more, whatever we might still send."""
        self._end(None)
        self._connected().abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the connection's end."""
        self._end(exc)
        self._parser = None  # it knows us, and we it
        self._keeper.lost(self)

    def pause_writing(self) -> None:
        """Tell who writes a long body to wait."""
        if self._sending is not None:
            self._sending.pause()

    def resume_writing(self) -> None:
        """Tell who writes a long body to go on."""
        if self._sending is not None:
            self._sending.resume()

    # --- what the parser says ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self._exchange is None:
            raise RefusedError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, joined with those of its name; a trailer is of no use."""
        exchange = self._exchange
        if exchange is None or exchange.status:
            return
        headers = self._headers
        key = name.decode("latin-1").lower()
        text = value.decode("utf-8", "surrogateescape").rstrip(" \t")
        if "\0" in text:
            raise RefusedError
        headers[key] = joined(headers[key], text) if key in headers else text

    def on_headers_complete(self) -> None:
        """Take a head: one of those that announce another, or the answer's."""
        exchange, parser = self._exchange, self._parser
        assert parser is not None, "parsing goes on after the connection's end"
        assert exchange is not None, "a head without a beginning"
        status = parser.get_status_code()
        headers = self._headers
        if status < 200:  # noqa: PLR2004 - interim
            if status not in _INTERIM or status == _SWITCHING:
                raise RefusedError
            headers.clear()
            self._is_interim = True
            return
        if self._fed > OVERHEAD_BYTES_MAX or len(headers) > HEADERS_MAX:
            check_size(headers)
        self._fed = 0
        exchange.status = status
        if self._is_headless:
            self._complete(exchange)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body, and hold the provider back where nobody reads."""
        exchange = self._exchange
        if exchange is None:
            raise RefusedError
        self._fed = 0
        exchange.pieces.append(data)
        exchange.size += len(data)
        if exchange.size > UNREAD_BYTES_MAX and not exchange.is_held:
            exchange.is_held = True
            self._connected().pause_reading()

    def on_message_complete(self) -> None:
        """Take the end that the framing announced."""
        if self._is_interim:
            self._is_interim = False
        elif self._exchange is not None:
            self._complete(self._exchange)

    # --- ends ----------------------------------------------------------------------------------

    def _complete(self, exchange: Exchange) -> None:
        parser = self._parser
        sending = self._sending
        self._is_reusable = (
            self._is_kept
            and (sending is None or sending.is_whole)
            and parser is not None
            and parser.should_keep_alive()
        )
        self._exchange = None
        exchange.finish()
        if exchange.is_held:
            self.resume()

    def _release(self) -> None:
        """Go to the next request, or to the end; the parser has returned."""
        self._stop_sending()
        if not self._is_reusable:
            self._connected().abort()
            return
        self._was_used = True
        if self._is_headless:  # its parser waits for a body that will not come
            self._parser = response_parser(self)
        self._keeper.give_back(self)

    def _end(self, error: BaseException | None) -> None:
        exchange = self._exchange
        if exchange is None:
            self._stop_sending()
            return
        if exchange.status and error is None and is_framed_by_end(self._headers):
            self._exchange = None
            self._stop_sending()
            exchange.finish()
            if exchange.wake is not None:
                exchange.wake()
            return
        is_stale = self._was_used and not exchange.status and not self._fed
        self._fail(broken(error, has_head=exchange.status > 0, is_stale=is_stale), error)

    def _refuse(self, error: BaseException | None) -> None:
        exchange = self._exchange
        if exchange is None:
            self.cut()  # the answer was whole before
        else:
            self._fail(garbage(has_head=exchange.status > 0), error)

    def _sending_failed(self, error: BaseException) -> None:
        if isinstance(error, AttemptError):
            self._fail(error, None)
        else:
            self._fail(broken(error, has_head=False, is_stale=False), error)

    def _fail(self, failure: AttemptError, cause: BaseException | None) -> None:
        exchange = self._exchange
        self.cut()
        if exchange is not None:
            failure.__cause__ = cause
            exchange.fail(failure)
            if exchange.wake is not None:
                exchange.wake()

    def _connected(self) -> asyncio.Transport:
        assert self._transport is not None, "not connected"
        return self._transport

    def _stop_sending(self) -> None:
        if self._sending is not None:
            self._sending.stop()
            self._sending = None
