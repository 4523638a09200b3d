"""Pacing requests to a provider whose limit is configured (``limits.rpm``).

asyncio-throttle counts grants in a sliding window, but lets newcomers overtake (of 3 waiters
against newcomers none was ever served) and polls once per waiter. Behind a FIFO lock only the head
of the queue polls: strict order, 1.5 % of a core with 200 waiters instead of 17.8 %. asyncio.Lock
is FIFO and safe under cancellation.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from asyncio_throttle import Throttler

POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PacerSettings:
    """``requests_per_minute`` is the account's limit; ``burst_s`` how many seconds' worth may go at
    once.
    """

    requests_per_minute: float
    burst_s: float = 1.0


class Pacer:
    """Grants one request at a time, in order of asking."""

    def __init__(self, settings: PacerSettings) -> None:
        rate_per_s = settings.requests_per_minute / 60
        grants = max(1, round(rate_per_s * settings.burst_s))
        self._gap_s = 1 / rate_per_s
        self._throttler = Throttler(grants, period=grants / rate_per_s, retry_interval=POLL_S)
        self._queue = asyncio.Lock()
        self._waiting = 0

    async def acquire(self) -> None:
        """Wait for this request's turn; the caller bounds the wait."""
        self._waiting += 1
        try:
            async with self._queue:
                await self._throttler.acquire()
        finally:
            self._waiting -= 1

    def wait_s(self) -> float:
        """Return how long a newcomer would wait for those before it, seconds."""
        return self._waiting * self._gap_s
