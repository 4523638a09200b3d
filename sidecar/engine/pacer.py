"""Pacing requests to a provider whose limits are configured (``limits.rpm``, ``limits.tpm``).

asyncio-throttle counts grants in a sliding window, but lets newcomers overtake (of 3 waiters
against newcomers none was ever served) and polls once per waiter. Behind a FIFO lock only the head
of the queue polls: strict order, 1.5 % of a core with 200 waiters instead of 17.8 %. asyncio.Lock
is FIFO and safe under cancellation.
"""

from __future__ import annotations

import asyncio

from asyncio_throttle import Throttler

from sidecar.clock import now as loop_now
from sidecar.core.bucket import TokenBucket
from sidecar.value import value

POLL_S = 0.02


@value
class PacerSettings:
    """The account's limits a minute, None where there is none.

    ``burst_s``: how many seconds' worth of requests may go at once.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_s: float = 1.0


class Pacer:
    """Grants one request at a time, in order of asking."""

    def __init__(self, settings: PacerSettings) -> None:
        self.settings = settings
        self._throttler: Throttler | None = None
        self._gap_s = 0.0
        if settings.requests_per_minute is not None:
            rate_per_s = settings.requests_per_minute / 60
            grants = max(1, round(rate_per_s * settings.burst_s))
            self._gap_s = 1 / rate_per_s
            self._throttler = Throttler(grants, period=grants / rate_per_s, retry_interval=POLL_S)
        limit = settings.tokens_per_minute
        self._tokens = None if limit is None else TokenBucket(limit)
        self._queue = asyncio.Lock()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._waiting

    def take_share(self, share: float, now: float) -> None:
        """Grant no more than ``share`` (above 0, at most 1) of the account's limits from now on:
        other pods use the rest.
        """
        settings = self.settings
        if self._throttler is not None and settings.requests_per_minute is not None:
            rate_per_s = settings.requests_per_minute / 60 * share
            grants = max(1, round(rate_per_s * settings.burst_s))
            self._gap_s = 1 / rate_per_s
            self._throttler.rate_limit, self._throttler.period = grants, grants / rate_per_s
        if self._tokens is not None and settings.tokens_per_minute is not None:
            self._tokens.resize(settings.tokens_per_minute * share, now)

    async def acquire(self, tokens: float) -> None:
        """Wait for this request's turn; the caller bounds the wait and settles with ``used``."""
        reserved_s = 0.0 if self._tokens is None else self._tokens.reserve(tokens, loop_now())
        due_at = loop_now() + reserved_s
        self._waiting += 1
        try:
            if self._throttler is not None:
                async with self._queue:
                    await self._throttler.acquire()
            if (rest_s := due_at - loop_now()) > 0:
                await asyncio.sleep(rest_s)
        except BaseException:
            self.used(tokens, 0.0)
            raise
        finally:
            self._waiting -= 1

    def used(self, reserved: float, tokens: float) -> None:
        """Correct a reservation of ``reserved`` tokens to the ``tokens`` really used."""
        if self._tokens is not None:
            self._tokens.reconcile(reserved, tokens, loop_now())

    def wait_s(self, now: float) -> float:
        """Return how long a newcomer would wait for those before it, seconds."""
        debt_s = 0.0
        if self._tokens is not None and (level := self._tokens.level(now)) < 0:
            debt_s = self._tokens.refill_s(-level)
        return max(self._waiting * self._gap_s, debt_s)
