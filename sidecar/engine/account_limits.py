"""What an account has left by its provider's own count: requests and tokens, from answer headers.

A bucket a dimension, made when the provider first speaks of it. Between two answers our own
reservations are taken off, so that a burst does not run into a limit that is already known. The
provider's word only ever lowers a level (``core/bucket.py``): its headers are older than our last
requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.engine.ports import RateLimit

DIMENSIONS = ("requests", "tokens", "input_tokens", "output_tokens")


class AccountLimits:
    """Owns the buckets of one account; empty until its provider tells of limits."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}
        self._limits: dict[str, float] = {}

    def seen(self, limits: Iterable[RateLimit], now: float) -> None:
        """Believe what an answer's headers say."""
        for limit in limits:
            dimension = limit.dimension.replace("-", "_")
            if dimension not in DIMENSIONS or not limit.limit:
                continue
            bucket = self._buckets.get(dimension)
            if bucket is None:
                bucket = self._buckets[dimension] = TokenBucket(float(limit.limit))
            self._limits[dimension] = float(limit.limit)
            bucket.sync(limit.remaining, limit.limit, limit.reset_s, now)

    def reserve(self, input_tokens: float, output_tokens: float, now: float) -> None:
        """Take off what a request is expected to use."""
        for dimension, bucket in self._buckets.items():
            bucket.reserve(_amount(dimension, input_tokens, output_tokens), now)

    def wait_s(self, now: float) -> float:
        """Return how long until every bucket holds something again, 0.0 if all do."""
        if not self._buckets:
            return 0.0
        return max([bucket.refill_s(1.0 - bucket.level(now)) for bucket in self._buckets.values()])

    def headroom(self, now: float) -> float:
        """Return the least free share of any limit, 0..1; 1 where none is known."""
        if not self._buckets:
            return 1.0
        shares = (
            bucket.level(now) / self._limits[dimension]
            for dimension, bucket in self._buckets.items()
        )
        return max(0.0, min(shares))


def _amount(dimension: str, input_tokens: float, output_tokens: float) -> float:
    match dimension:
        case "requests":
            return 1.0
        case "input_tokens":
            return input_tokens
        case "output_tokens":
            return output_tokens
        case _:
            return input_tokens + output_tokens
