"""What a handler may know of and do to one HTTP request: our own small interface.

Handlers of all planes are written against ``Exchange`` alone, so that the transport can be replaced
or made faster without touching one of them, and so that a test drives them in memory.
``http_exchange.py`` is the implementation behind sockets.

Every method that touches the caller's connection raises the builtin ``ConnectionError`` once the
caller is gone; normally the handler is cancelled first. Nobody translates it: there is no one left
to tell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Exchange(Protocol):
    """One request and its answer: one call of ``answer`` or of ``start_stream``, never both."""

    @property
    def method(self) -> str:
        """Return the method, upper case."""

    @property
    def path(self) -> str:
        """Return the path as the caller wrote it: still percent-encoded, without the query."""

    @property
    def query(self) -> str:
        """Return the raw query, without the question mark."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers by lower-case name; the first of repeated ones counts."""

    @property
    def header_lines(self) -> Sequence[tuple[str, str]]:
        """Return the headers as they came: repeated ones too, names in the caller's spelling."""

    @property
    def is_started(self) -> bool:
        """Return whether an answer has begun: an error can no longer become a status."""

    async def read_body(self, bytes_max: int) -> bytes:
        """Return the whole body, holding at most ``bytes_max`` of it.

        Raises:
            BodyTooLargeError: it is longer, by its content-length or by what arrived.
            BadRequestError: its framing is broken.
        """

    @property
    def body_bytes(self) -> int | None:
        """Return how long the body will be, 0 where there is none, None where that is not said.

        A content encoding is undone, so that the length of such a body is not known.
        """

    async def read_chunk(self) -> bytes:
        """Return the next bytes of the body, ``b""`` at its end; instead of ``read_body``.

        Bytes are taken from the caller only as fast as they are asked for here.

        Raises:
            BadRequestError: its framing is broken, or nothing came for too long.
        """

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer and return when it is in the system's hands.

        Names of ``headers`` are in lower case, here and for a stream. What HTTP itself has to say
        (length, framing, date) is not among them, but for the length of a stream that is known.
        """

    async def start_stream(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of an answer whose end is not known yet."""

    async def write(self, chunk: bytes) -> None:
        """Send ``chunk``; returns once the caller reads fast enough for more (backpressure)."""

    def push(self, chunk: bytes) -> bool:
        """Send ``chunk``, which is not empty; return whether the caller reads fast enough for
        more, else there is ``room`` to wait for.
        """

    async def room(self) -> None:
        """Return once the caller has read enough for more."""

    async def end_stream(self) -> None:
        """Send the proper end of a started stream."""

    def abort(self) -> None:
        """Cut the connection, so that nobody takes what was sent for a whole answer.

        A handler that waits for its caller is cancelled, or gets ``ConnectionError``.
        """


Handler = Callable[[Exchange], Awaitable[None]]
"""Answers one exchange, always; it may raise only ``ConnectionError`` and ``CancelledError``."""
