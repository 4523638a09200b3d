"""What the connections of a front have in common: their settings, their set, and one timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.server.request_reader import HeaderNames

if TYPE_CHECKING:
    from sidecar.server.answer_head import AnswerHeads
    from sidecar.server.connection import Connection
    from sidecar.server.front import FrontSettings

LOOKS = 20
"""In the time that an idle connection is kept: it is closed a twentieth of that late at most."""


class Shared:
    """What the connections of a front have in common. Owns their set, and the one timer that looks
    for idle ones: a timer for each would be half a KiB of each.
    """

    def __init__(self, settings: FrontSettings, heads: AnswerHeads) -> None:
        self.settings = settings
        self.heads = heads
        self.connections: set[Connection] = set()
        self.is_stopping = False
        self.names = HeaderNames()
        self._one_is_gone = asyncio.Event()
        self._look: asyncio.TimerHandle | None = None

    def attend(self, connection: Connection) -> None:
        """A connection is there."""
        self.connections.add(connection)
        if self._look is None:
            self._look_later(connection.loop)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = loop.call_later(self.settings.keepalive_s / LOOKS, self._close_idle, loop)

    def _close_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self.connections):
            connection.close_if_idle(now)
        self._look_later(loop)

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections and self._look is not None:
            self._look.cancel()
            self._look = None
        self._one_is_gone.set()

    async def wait_without(self, plane: str | None) -> None:
        """Wait until no connection to a plane is left, or none at all."""
        while any(plane in (None, connection.plane) for connection in self.connections):
            self._one_is_gone.clear()
            await self._one_is_gone.wait()
