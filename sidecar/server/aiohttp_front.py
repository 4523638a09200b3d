"""Sockets: aiohttp's requests become exchanges, planes become listening ports.

The only file of the caller side that knows aiohttp. It uses the low-level server with one handler a
plane, since routing, middlewares and signals of ``web.Application`` cost time and decide nothing
for us. ``handler_cancellation`` ends a handler the moment its caller hangs up, which is what stops
a provider from working for nobody.

What is not HTTP never reaches a handler: aiohttp's parser refuses it and ``_Connection`` answers
with a small 400 and a debug line, without the traceback that aiohttp would log for every port scan.

Stopping has two halves, so that calls under way can end between them: ``stop_accepting`` closes the
listeners and idle connections, ``close`` cuts what is left.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http import HttpParser, HttpRequestParser

from sidecar.errors import BadRequestError, BodyTooLargeError
from sidecar.server import rescue
from sidecar.server.repeated_agent import LenientParser
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import StreamReader

    from sidecar.server.exchange import Handler

log = logging.getLogger(__name__)

SERVER_NAME = "sidecar"
"""Sent as ``Server``: aiohttp's and Python's versions are nobody's business."""
BACKLOG = 1024
MALFORMED_MESSAGE_CHARS_MAX = 200
CUT_S = 0.05
"""aiohttp waits this long, twice, before it cancels a handler; it takes zero for "for ever"."""


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
        self._settings = FrontSettings() if settings is None else settings
        self._servers: list[_Server] = []
        self._listeners: list[asyncio.Server] = []
        self._is_stopping = False

    async def open(self, plane: Plane) -> int:
        """Listen for ``plane`` and return the bound port.

        Raises:
            OSError: the address is taken or not ours.
        """

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            exchange = _AiohttpExchange(request, self._settings, keeps_alive=not self._is_stopping)
            await plane.handler(exchange)
            return exchange.response()

        settings = self._settings
        server = _Server(
            handle,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=settings.keepalive_s,
            lingering_time=settings.linger_s,
            max_line_size=settings.line_bytes_max,
            max_field_size=settings.header_bytes_max,
            max_headers=settings.headers_max,
        )
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server, plane.host, plane.port, backlog=BACKLOG)
        self._servers.append(server)
        self._listeners.append(listener)
        port: int = listener.sockets[0].getsockname()[1]
        return port

    def stop_accepting(self) -> None:
        """Close the listeners and the idle connections; calls under way go on."""
        self._is_stopping = True
        for listener in self._listeners:
            listener.close()
        for server in self._servers:
            for connection in server.connections:
                assert isinstance(connection, _Connection)
                connection.close_when_idle()

    async def close(self) -> None:
        """Stop accepting and cut what is left; who wants calls to end first waits before this."""
        self.stop_accepting()
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.shutdown(CUT_S))


class _Server(web.Server):
    """aiohttp's low-level server with our connections."""

    def __call__(self) -> web.RequestHandler:
        connection = _Connection(self, loop=self._loop, **self._kwargs)
        connection.be_lenient()
        return connection


class _Connection(web.RequestHandler):
    """aiohttp's connection, quiet about bytes that are not HTTP, able to close when idle."""

    __slots__ = ()

    def be_lenient(self) -> None:
        """Let pass what Google's SDK sends; see ``repeated_agent``."""
        assert self._parser is not None
        lenient = LenientParser(self._parser, self._fresh_parser)
        self._parser = lenient  # type: ignore[assignment]  # has all methods that are called

    def _fresh_parser(self) -> HttpParser[Any]:
        """Return a parser like the one that aiohttp gave this connection."""
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    def close_when_idle(self) -> None:
        """Close now if no request is being served, else after the one that is."""
        if self._waiter is not None and not self._waiter.done():
            self.force_close()
        else:
            self.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse; what a handler raised is a defect, and logged."""
        if request.writer.output_size > 0:
            self.force_close()
            raise ConnectionResetError("the answer had begun")
        if status != BadRequestError.status:
            log.error("a handler failed", exc_info=exc)
            return _whole(*rescue.render_internal())
        text = " ".join((message or "malformed request").split())[:MALFORMED_MESSAGE_CHARS_MAX]
        log.debug("malformed HTTP from %s: %s", request.remote, text)
        response = _whole(*rescue.render_neutral(BadRequestError(f"this is not HTTP: {text}")))
        response.force_close()
        return response


class _AiohttpExchange:
    """An ``Exchange`` over one aiohttp request."""

    __slots__ = (
        "_is_body_begun",
        "_keeps_alive",
        "_request",
        "_response",
        "_settings",
        "headers",
        "method",
        "path",
        "query",
    )

    def __init__(
        self, request: web.BaseRequest, settings: FrontSettings, *, keeps_alive: bool
    ) -> None:
        self._request = request
        self._settings = settings
        self._keeps_alive = keeps_alive
        self._is_body_begun = False
        self._response: web.StreamResponse | None = None
        self.method = request.method
        self.headers: Mapping[str, str] = request.headers
        target = request.raw_path
        if not target.startswith("/"):  # absolute form, as a caller behind a proxy setting sends it
            target = request.rel_url.raw_path_qs
        self.path, _, self.query = target.partition("?")

    @property
    def is_started(self) -> bool:
        return self._response is not None

    async def read_body(self, bytes_max: int) -> bytes:
        request = self._request
        too_large = f"the body exceeds {bytes_max} bytes"
        if (request.content_length or 0) > bytes_max:
            raise BodyTooLargeError(too_large)
        await self._say_continue()
        try:
            async with asyncio.timeout(self._settings.body_s):
                body = await _collect(request.content, bytes_max)
        except TimeoutError as error:
            message = f"the body did not arrive within {self._settings.body_s:g} s"
            raise BadRequestError(message) from error
        except web.RequestPayloadError as error:
            raise BadRequestError("the body's framing or encoding is broken") from error
        if body is None:
            raise BodyTooLargeError(too_large)
        return body

    @property
    def body_bytes(self) -> int | None:
        request = self._request
        if not request.body_exists:
            return 0
        return None if "content-encoding" in request.headers else request.content_length

    async def read_chunk(self) -> bytes:
        request = self._request
        if not self._is_body_begun:
            self._is_body_begun = True
            await self._say_continue()
        try:
            async with asyncio.timeout(self._settings.body_s):
                return await request.content.readany()
        except TimeoutError as error:
            message = f"nothing of the body came for {self._settings.body_s:g} s"
            raise BadRequestError(message) from error
        except web.RequestPayloadError as error:
            raise BadRequestError("the body's framing or encoding is broken") from error

    async def _say_continue(self) -> None:
        """Let a caller go on that asked first, as curl does for large bodies (RFC 9110, 10.1.1)."""
        if self.headers.get("expect", "").lower() == "100-continue":
            writer = self._request.writer
            await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.output_size = 0

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        assert self._response is None
        response = self._response = _whole(status, headers, body)
        if not self._keeps_alive:
            response.force_close()
        await response.prepare(self._request)
        await response.write_eof()

    async def start_stream(self, status: int, headers: Mapping[str, str]) -> None:
        assert self._response is None
        response = self._response = web.StreamResponse(status=status, headers=headers)
        response.headers["Server"] = SERVER_NAME
        if not self._keeps_alive:
            response.force_close()
        await response.prepare(self._request)

    async def write(self, chunk: bytes) -> None:
        assert self._response is not None
        await self._response.write(chunk)
        # aiohttp looks at the socket's buffer once in 64 KiB; a reader that stands still is
        # noticed at the first chunk that does not fit.
        if self._request.protocol.writing_paused:
            await self._request.writer.drain()

    async def end_stream(self) -> None:
        assert self._response is not None
        await self._response.write_eof()

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    def response(self) -> web.StreamResponse:
        """Return what aiohttp wants back from its handler."""
        assert self._response is not None, "the handler did not answer"
        return self._response


async def _collect(content: StreamReader, bytes_max: int) -> bytes | None:
    """Return all of ``content``, None as soon as it is more than ``bytes_max``."""
    parts: list[bytes] = []
    size = 0
    while part := await content.readany():
        size += len(part)
        if size > bytes_max:
            return None
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _whole(status: int, headers: Mapping[str, str], body: bytes) -> web.Response:
    response = web.Response(status=status, headers=headers, body=body)
    response.headers["Server"] = SERVER_NAME
    return response
