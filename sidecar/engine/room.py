"""Waiting for room: calls that found every endpoint full wait here, in the order of the queue.

The order is decided in ``core/queueing.py``: interactive before batch, bounded, nobody who would be
too late. Here each waiting call is a future. Every attempt that ends may have made room for one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.queueing import Rejected, WaitQueue
from sidecar.errors import ShedError

if TYPE_CHECKING:
    from sidecar.core.queueing import QueueSettings
    from sidecar.domain import Call, CallId


class Room:
    """Owns the queue and its futures."""

    def __init__(self, settings: QueueSettings) -> None:
        self._queue = WaitQueue(1.0, settings)
        self._waiters: dict[CallId, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def made(self) -> None:
        """Wake the call whose turn it is."""
        if not self._waiters:
            return
        while (chosen := self._queue.take(loop_now())) is not None:
            waiter = self._waiters.get(chosen)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
                return

    async def wait(self, call: Call, *, needs_s: float, limit: float) -> None:
        """Return when it is the call's turn to look again; the caller bounds the wait.

        ``needs_s`` is how long the call will take, ``limit`` how many calls may be under way.

        Raises:
            ShedError: the queue is full, or the wait would leave no time for the answer.
        """
        self._queue.limit = limit
        offered = self._queue.offer(
            call.id, call.constraints.priority, call.deadline_at, needs_s, loop_now()
        )
        if isinstance(offered, Rejected):
            message = f"all endpoints are full and the call cannot wait ({offered.reason.value})"
            raise ShedError(message, retry_after_s=offered.retry_after_s)
        if offered.displaced is not None:
            self._displace(offered.displaced)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[call.id] = waiter
        try:
            await waiter
        except asyncio.CancelledError:
            # Woken and cancelled in one breath: the next in line must not miss its turn.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.made()
            raise
        finally:
            self._queue.leave(call.id)
            self._waiters.pop(call.id, None)

    def _displace(self, call_id: CallId) -> None:
        waiter = self._waiters.get(call_id)
        if waiter is not None and not waiter.done():
            message = "all endpoints are full and an interactive call took this batch call's place"
            waiter.set_exception(ShedError(message, retry_after_s=1.0))
