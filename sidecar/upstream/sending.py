"""A body that does not leave in one write with its head: large, or still on its way from a caller.

It is written piece by piece, no faster than the other side takes it, beside the wait for the
answer: some providers answer, and mean it, before they have read everything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from sidecar.errors import ConnectionBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE_BYTES: Final = 262_144


class Readable(Protocol):
    """The half of ``engine.ports.BodySource`` that is needed here."""

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end."""


class Sliced:
    """A body in memory, piece by piece."""

    __slots__ = ("_body", "_sent")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._sent = 0

    async def read(self) -> bytes:
        """Return the next piece."""
        piece = self._body[self._sent : self._sent + PIECE_BYTES]
        self._sent += len(piece)
        return piece


class Sending:
    """Writes ``body`` in a task of its own, which ``stop`` ends; in chunks if ``length`` is None.

    ``on_failure`` hears of what the body's source raised, and of a body that is not as long as it
    was said to be.
    """

    __slots__ = ("_body", "_gate", "_is_paused", "_length", "_task", "_transport", "is_whole")

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        body: Readable,
        length: int | None,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._transport = transport
        self._body = body
        self._length = length
        self._is_paused = False
        self._gate: asyncio.Future[None] | None = None
        self.is_whole = False
        # Owned here and ended by `stop`; a task group would have to belong to who only waits.
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda task: _report(task, on_failure))

    def pause(self) -> None:
        """Write no more until ``resume``."""
        self._is_paused = True

    def resume(self) -> None:
        """Write on."""
        self._is_paused = False
        gate, self._gate = self._gate, None
        if gate is not None and not gate.done():
            gate.set_result(None)

    def stop(self) -> None:
        """Write nothing more; may repeat."""
        self._task.cancel()

    async def _run(self) -> None:
        sent = 0
        while piece := await self._body.read():
            sent += len(piece)
            if self._length is None:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            elif sent > self._length:
                break
            self._transport.write(piece)
            if self._is_paused:
                self._gate = asyncio.get_running_loop().create_future()
                await self._gate
        if self._length is None:
            self._transport.write(b"0\r\n\r\n")
        elif sent != self._length:
            raise ConnectionBrokenError("the body is not as long as it was said to be")
        self.is_whole = True


def _report(task: asyncio.Task[None], on_failure: Callable[[BaseException], None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        on_failure(error)
