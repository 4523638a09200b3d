"""Waiting for room: calls that found every endpoint full queue here, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Room:
    """Owns the queue. Every attempt that ends may have made room for one waiting call."""

    def __init__(self) -> None:
        self._waiters: deque[asyncio.Future[None]] = deque()

    def made(self) -> None:
        """Wake the call that waits longest."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def wait(self) -> None:
        """Return when some attempt ended; the caller bounds the wait and looks again itself."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            # Woken and cancelled in one breath: the next in line must not miss its turn.
            if waiter.done() and not waiter.cancelled():
                self.made()
            raise
