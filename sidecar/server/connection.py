"""One caller's connection: requests are answered one after the other, each in its turn.

One task serves a connection for as long as it is open, and sleeps between requests; it is cancelled
the moment the caller hangs up, which is what stops a provider from working for nobody. So a caller
that closes only its sending half is taken for gone as well.

What is not HTTP never reaches a handler: it gets a small 400 and a debug line, since every port
scan would fill the log.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from typing import TYPE_CHECKING

from sidecar.errors import BadRequestError
from sidecar.server import rescue
from sidecar.server.http_exchange import HELD_BYTES
from sidecar.server.request_reader import HeaderNames, RequestReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.server.answer_head import AnswerHeads
    from sidecar.server.front import FrontSettings, Plane
    from sidecar.server.http_exchange import HttpExchange

log = logging.getLogger(__name__)

MALFORMED_MESSAGE_CHARS_MAX = 200
REQUESTS_AHEAD = 32
"""From here on a caller that does not wait for answers has to."""
REQUESTS_AHEAD_MAX = 2048
"""In one packet, that is: reading cannot stop within one. No client comes near."""


class Shared:
    """What the connections of a front have in common. Owns their set."""

    def __init__(self, settings: FrontSettings, heads: AnswerHeads) -> None:
        self.settings = settings
        self.heads = heads
        self.connections: set[Connection] = set()
        self.is_stopping = False
        self.names = HeaderNames()
        self._one_is_gone = asyncio.Event()

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self._one_is_gone.set()

    async def wait_without(self, plane: str | None) -> None:
        """Wait until no connection to a plane is left, or none at all."""
        while any(plane in (None, connection.plane) for connection in self.connections):
            self._one_is_gone.clear()
            await self._one_is_gone.wait()


class Connection(asyncio.Protocol):
    """Owns the transport, the reader and the task of one connection.

    ``is_writable``: neither gone nor with a full buffer.
    """

    __slots__ = (
        "_end_timer",
        "_handler",
        "_idle",
        "_idle_since",
        "_is_deaf",
        "_is_lost",
        "_next",
        "_reader",
        "_room",
        "_serving",
        "is_reading_paused",
        "is_writable",
        "loop",
        "plane",
        "settings",
        "shared",
        "task",
        "transport",
    )
    transport: asyncio.Transport

    def __init__(self, shared: Shared, plane: Plane) -> None:
        self.shared = shared
        self.plane = plane.name
        self.settings = shared.settings
        self.loop = asyncio.get_running_loop()
        self.is_writable = True
        self.is_reading_paused = False
        self.task: asyncio.Task[None] | None = None
        self._handler = plane.handler
        self._reader = RequestReader(self, shared.settings, shared.names)
        self._is_deaf = False
        self._is_lost = False
        self._next: deque[HttpExchange | str] = deque()
        self._serving: HttpExchange | None = None
        self._idle: asyncio.Future[None] | None = None
        self._idle_since = self.loop.time()
        self._end_timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None

    # --- the transport's word --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's has no such base
        link = transport.get_extra_info("socket")
        if link is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.shared.connections.add(self)
        self._end_in(self.settings.keepalive_s, self._close_if_idle)
        # Owned by the connection, ended with it; a task group would need a task of its own.
        self.task = self.loop.create_task(self._serve())

    def connection_lost(self, _: Exception | None) -> None:
        """End whatever was going on for this caller."""
        self._is_lost = True
        self._is_deaf = True
        self.is_writable = False
        self.shared.forget(self)
        self._reader.close()
        del self._reader  # the two refer to each other
        if self._end_timer is not None:
            self._end_timer.cancel()
        if self._room is not None and not self._room.done():
            self._room.set_exception(ConnectionResetError("the caller is gone"))
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        """Let handlers wait."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """Let handlers go on."""
        self.is_writable = not self._is_lost
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Let requests be made of ``data``."""
        if not self._is_deaf:
            self._reader.feed(data)

    def stop_reading(self, reason: str | None) -> None:
        """Make nothing of what still comes; say ``reason`` after the answers before it."""
        self._is_deaf = True
        if reason is not None:
            self._next.append(reason)
            self._wake()

    # --- flow ------------------------------------------------------------------------------------

    def enqueue(self, exchange: HttpExchange) -> None:
        """Have a request answered in its turn.

        Raises:
            BadRequestError: too many wait already.
        """
        if len(self._next) >= REQUESTS_AHEAD_MAX:
            raise BadRequestError("too many requests at once")
        self._next.append(exchange)
        if len(self._next) >= REQUESTS_AHEAD:
            self.regulate()
        self._wake()

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def regulate(self) -> None:
        """Read from the caller or not, by what lies here and whether somebody waits for it."""
        if self.transport.is_closing():
            return
        body = self._reader.receiving
        is_full = len(self._next) >= REQUESTS_AHEAD or (
            body is not None and body.held_bytes > HELD_BYTES and not body.is_awaited
        )
        if is_full != self.is_reading_paused:
            self.is_reading_paused = is_full
            if is_full:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    async def writable(self) -> None:
        """Wait until the socket's buffer has room again.

        Raises:
            ConnectionResetError: the caller is gone.
        """
        if self._is_lost:
            raise ConnectionResetError("the caller is gone")
        self._room = self.loop.create_future()
        try:
            await self._room
        finally:
            self._room = None

    def body_deadline_at(self) -> float:
        """Return until when bytes of a body must come, an instant of the loop."""
        return self.loop.time() + self.settings.body_s

    def render_head(
        self, exchange: HttpExchange, status: int, headers: Mapping[str, str], framing: str
    ) -> bytes:
        """Return an answer's head; decides whether the connection outlives it."""
        if self.shared.is_stopping:
            exchange.keeps_alive = False
        if not exchange.keeps_alive:
            framing += "Connection: close\r\n"
        elif not exchange.is_modern:
            framing += "Connection: keep-alive\r\n"
        return self.shared.heads.render(status, headers, framing)

    # --- serving ---------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Answer requests in their order until the connection ends."""
        try:
            goes_on = True
            while goes_on:
                if not self._next:
                    self._serving = None
                    if self.shared.is_stopping:
                        break
                    self._idle_since = self.loop.time()
                    self._idle = self.loop.create_future()
                    await self._idle
                    if not self._next:  # woken to end
                        break
                if self.is_reading_paused:
                    self.regulate()
                goes_on = await self._answer(self._next.popleft())
        except ConnectionError:
            self.transport.abort()
        finally:
            self._part()
            self._let_go()

    async def _answer(self, item: HttpExchange | str) -> bool:
        """Have one request answered; return whether another may follow.

        Raises:
            ConnectionError: the caller is gone.
        """
        if isinstance(item, str):
            self._answer_malformed(item)
            return False
        self._serving = item
        try:
            await self._handler(item)
            assert item.is_over or self.transport.is_closing(), "the handler did not answer"
        except ConnectionError:
            raise
        except Exception:
            log.exception("a handler failed")
            if item.is_started:
                self.transport.abort()
                return False
            await item.answer(*rescue.render_internal())
        if not item.is_received:
            await self._linger(item)
        return item.keeps_alive and item.is_received

    async def _linger(self, exchange: HttpExchange) -> None:
        """Throw away what still comes of a request, so that its caller reads the answer instead of
        meeting a reset.
        """
        exchange.discard()
        if not self._is_deaf:
            await exchange.wait_received(self.loop.time() + self.settings.linger_s)

    def _answer_malformed(self, text: str) -> None:
        text = " ".join(text.split())[:MALFORMED_MESSAGE_CHARS_MAX]
        peer = self.transport.get_extra_info("peername")
        log.debug("malformed HTTP from %s: %s", peer, text)
        refusal = BadRequestError(f"this is not HTTP: {text}")
        status, headers, body = rescue.render_neutral(refusal)
        framing = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        self.transport.write(self.shared.heads.render(status, headers, framing) + body)

    # --- ending ----------------------------------------------------------------------------------

    def close_when_idle(self) -> None:
        """Close now if no request is being served, else after the one that is."""
        if self._serving is None and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def cut(self) -> asyncio.Task[None]:
        """End what is going on; return the task that does."""
        assert self.task is not None
        if self.task.done():
            self.transport.close()
        elif self._serving is not None:
            self.task.cancel()
        return self.task

    def _part(self) -> None:
        """Close so that the caller can read what was sent, and takes it for what it is."""
        transport = self.transport
        if self._serving is not None and self._serving.is_started and not self._serving.is_over:
            transport.abort()
        elif self._is_deaf and not transport.is_closing():
            # More may be on its way; closing now would reset the connection under our last words.
            self._next.clear()
            self.regulate()
            transport.write_eof()
            self._end_in(self.settings.linger_s, transport.abort)
        else:
            transport.close()

    def _let_go(self) -> None:
        """Leave no cycle behind: what a caller who hung up interrupted goes at once, by its counts.

        A task that was cancelled keeps its error, which keeps the frames and so this connection.
        """
        self._serving = None
        self._next.clear()
        if self._is_lost:
            self.task = None

    def _close_if_idle(self) -> None:
        """Close if nothing was served for as long as connections are kept; look again later."""
        now = self.loop.time()
        since = self._idle_since if self._serving is None else now
        left_s = since + self.settings.keepalive_s - now
        if left_s <= 0:
            self.close_when_idle()
        self._end_in(left_s if left_s > 0 else self.settings.keepalive_s, self._close_if_idle)

    def _end_in(self, delay_s: float, end: Callable[[], None]) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
        self._end_timer = self.loop.call_later(delay_s, end)
