"""From a connection's bytes to requests: what llhttp (through httptools) makes of them, and more
that must be refused.

llhttp refuses what could be read in two ways: two lengths, folded lines, bare line ends, spaces
before colons. Refused here are too many or too large headers, a missing or repeated ``Host``, any
other header that HTTP wants once where two readers could differ. ``User-Agent`` is none of these:
Google's SDK and those built on it send it twice, and nobody here reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from sidecar.errors import BadRequestError
from sidecar.server.http_exchange import HELD_BYTES, HttpExchange, text_of
from sidecar.server.inflate import BROKEN

if TYPE_CHECKING:
    from sidecar.server.connection import Connection
    from sidecar.server.front import FrontSettings
    from sidecar.server.http_exchange import LINES

HEAD_BYTES_MAX = 128 * 1024
"""Of a head, of trailers, of whatever has not become part of a request yet."""
NAMES_MAX, NAME_BYTES_MAX = 512, 64
_ONCE = frozenset(
    {
        *("content-length", "content-location", "content-range", "content-type", "etag", "host"),
        *("max-forwards", "server", "transfer-encoding"),
    }
)


class HeaderNames(dict[bytes, str]):
    """Headers' names in lower case, by how callers spell them: they use few."""

    def __missing__(self, raw: bytes) -> str:
        """Remember another one."""
        name = raw.decode("latin-1").lower()
        if len(self) < NAMES_MAX and len(raw) <= NAME_BYTES_MAX:
            self[raw] = name
        return name


class RequestReader:
    """Makes exchanges for ``connection``. Owns the parser and the request being received."""

    __slots__ = (
        "_connection",
        "_lines",
        "_names",
        "_parser",
        "_settings",
        "_unread_bytes",
        "_url",
        "receiving",
    )

    def __init__(self, connection: Connection, settings: FrontSettings, names: HeaderNames) -> None:
        self.receiving: HttpExchange | None = None
        self._connection = connection
        self._settings = settings
        self._names = names
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._lines: LINES = []
        self._unread_bytes = 0  # since the parser last made something of what came

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._unread_bytes += len(data)
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    data = self._without_upgrade() + data[upgrade.args[0] :]
            if self._unread_bytes > HEAD_BYTES_MAX:
                raise BadRequestError("the head is too large")  # noqa: TRY301  # all end alike
        except BadRequestError as error:
            self._refuse(error.message)
        except httptools.HttpParserError as error:
            self._refuse(_reason(error))

    def close(self) -> None:
        """No more comes: the caller is gone."""
        exchange, self.receiving = self.receiving, None
        if exchange is not None:
            exchange.fail(ConnectionResetError("the caller is gone"))
        del self._parser  # the two refer to each other

    # --- the parser's word -----------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """Take the target, or a piece of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, which is forgotten."""
        self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        """Make an exchange of what was said and let it be served.

        Raises:
            BadRequestError: it is no request; the parser passes that on.
        """
        parser = self._parser
        if parser.should_upgrade():
            return
        lines, self._lines = self._lines, []
        url, self._url = self._url, b""
        if self._unread_bytes > self._settings.line_bytes_max:
            self._check_sizes(url, lines)
        self._unread_bytes = 0
        version = parser.get_http_version()
        headers = self._headers(lines, version)
        target = url.decode("latin-1")
        if not target.startswith("/"):
            target = _origin_form(target)
        exchange = HttpExchange(
            self._connection, parser.get_method().decode(), target, headers, lines
        )
        exchange.keeps_alive = parser.should_keep_alive()
        exchange.is_modern = version == "1.1"
        self._connection.enqueue(exchange)
        self.receiving = exchange

    def on_body(self, part: bytes) -> None:
        """Put the next bytes of a body where its handler takes them."""
        self._unread_bytes = 0
        exchange = self.receiving
        assert exchange is not None
        exchange.put(part)
        if exchange.held_bytes > HELD_BYTES:
            self._connection.regulate()

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        exchange, self.receiving = self.receiving, None
        if exchange is not None:  # else it wishes for an upgrade, and is read again
            self._unread_bytes = 0
            self._lines = []
            exchange.put_end()

    def _headers(self, lines: LINES, version: str) -> dict[str, str]:
        """Return the headers by lower-case name, the first of repeated ones."""
        if len(lines) > self._settings.headers_max:
            raise BadRequestError("too many headers")
        headers: dict[str, str] = {}
        names = self._names
        for raw, value in lines:
            headers[names[raw]] = value.decode("utf-8", "surrogateescape").rstrip(" \t")  # text_of
        if len(headers) != len(lines):
            self._keep_first(lines, headers)
        _check_version(version, headers)
        return headers

    def _keep_first(self, lines: LINES, headers: dict[str, str]) -> None:
        """Put the first of repeated ``lines`` into ``headers``."""
        seen = set()
        for raw, value in lines:
            name = self._names[raw]
            if name not in seen:
                headers[name] = text_of(value)
                seen.add(name)
            elif name in _ONCE:
                raise BadRequestError(f"duplicate {name!r} header")

    def _check_sizes(self, url: bytes, lines: LINES) -> None:
        if len(url) > self._settings.line_bytes_max:
            raise BadRequestError("the target is too long")
        longest = max((len(name) + len(value) for name, value in lines), default=0)
        if longest > self._settings.header_bytes_max:
            raise BadRequestError("a header is too long")

    def _without_upgrade(self) -> bytes:
        """Return the head that was just read, without its wish for another protocol.

        A server need not upgrade (RFC 9110, 7.8), and Java's client asks with its first request
        whatever follows; but the parser takes all behind such a head for the other protocol's.

        Raises:
            BadRequestError: it asks for a tunnel.
        """
        method = self._parser.get_method()
        if method == b"CONNECT":
            raise BadRequestError("no tunnels here")
        version = self._parser.get_http_version().encode()
        lines, self._lines = self._lines, []
        url, self._url = self._url, b""
        kept = [b"%b: %b" % line for line in lines if line[0].lower() != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        return b"\r\n".join([b"%b %b HTTP/%b" % (method, url, version), *kept, b"", b""])

    def _refuse(self, reason: str) -> None:
        """Read no further; where a request is half in, its handler learns why."""
        exchange, self.receiving = self.receiving, None
        if exchange is not None:
            exchange.keeps_alive = False
            exchange.fail(BadRequestError(BROKEN))
        self._connection.stop_reading(None if exchange is not None else reason)


def _check_version(version: str, headers: dict[str, str]) -> None:
    """Refuse other versions than two, and what each must or must not have."""
    if version == "1.1":
        if "host" not in headers:
            raise BadRequestError("missing 'host' header")
    elif version != "1.0":
        raise BadRequestError("invalid HTTP version")
    elif "transfer-encoding" in headers:
        raise BadRequestError("'transfer-encoding' in HTTP/1.0")


def _reason(error: httptools.HttpParserError) -> str:
    """Return why the parser, or we in its callbacks, refused."""
    cause = error.__context__
    if cause is None:
        return str(error)
    if isinstance(cause, BadRequestError):
        return cause.message
    raise cause  # a defect of ours: the event loop logs it and ends the connection


def _origin_form(target: str) -> str:
    """Return ``/path?query`` of ``http://host/path?query``, as callers behind a proxy setting say.

    ``*`` stays what it is.
    """
    _, scheme_end, rest = target.partition("://")
    if not scheme_end:
        return target
    authority_end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    below = rest[authority_end:]
    return below if below.startswith("/") else "/" + below
