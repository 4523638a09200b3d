"""When a provider's tokens-per-minute limit lets a request through: reserve, then correct.

Libraries for this either lack amounts or starve large requests behind small ones. Here a
reservation is taken at once and answered with a wait, so the order of asking is the order of going
(GCRA's trick): the level may fall below zero, and who comes later finds the debt. What a request
really used is known only at its end; the difference is given back, or stays as debt.

The provider's own count, read from its headers, is the truth and may only lower the level: a header
that was sent before our latest reservations knows nothing of them. Nothing here raises on odd
header values; they are ignored.
"""

from __future__ import annotations

from math import isfinite

_WINDOW_S = 60.0
"""Limits are stated per minute; the bucket holds one minute's worth, as the providers' do."""

_TELLING_SHARE = 0.5
"""``reset_s`` is often rounded to a second: it tells a rate only once half of the limit is used."""


class TokenBucket:
    """A bucket of ``per_minute`` tokens that refills evenly; it starts full."""

    def __init__(self, per_minute: float) -> None:
        assert isfinite(per_minute), "a limit is a number"
        assert per_minute > 0.0, "a limit is above zero"
        self._capacity = per_minute
        self._refill_per_s = per_minute / _WINDOW_S
        self._level = per_minute
        self._refilled_at = 0.0  # a full bucket needs no start; later than now while blocked

    def resize(self, per_minute: float, now: float) -> None:
        """Go by another limit from now on; a debt stays, a surplus is lost."""
        self._refill(now)
        self._capacity, self._refill_per_s = per_minute, per_minute / _WINDOW_S
        self._level = min(self._level, per_minute)

    def reserve(self, tokens: float, now: float) -> float:
        """Take ``tokens`` and return the seconds to wait before using them, 0.0 to go at once.

        More than the bucket holds is admitted when it is full, and leaves a debt. Worked example:
        600 per minute with 100 left, asked for 250: wait (250 - 100) / 10 per s = 15 s; the next
        one waits those 15 s and its own.
        """
        wanted = _amount(tokens)
        self._refill(now)
        lacking = max(0.0, min(wanted, self._capacity) - self._level)
        self._level -= wanted
        return max(0.0, self._refilled_at - now) + lacking / self._refill_per_s

    def reconcile(self, estimated: float, actual: float, now: float) -> None:
        """Correct a reservation of ``estimated`` tokens to what was ``actual``ly used."""
        self._refill(now)
        self._give_back(_amount(estimated) - _amount(actual))

    def cancel(self, reservation: float) -> None:
        """Give back all tokens of a reservation that was never used."""
        self._give_back(_amount(reservation))

    def sync(
        self, remaining: float | None, limit: float | None, reset_s: float | None, now: float
    ) -> None:
        """Believe the provider's headers: ``remaining`` of ``limit``, full again in ``reset_s``.

        Any of them may be missing. The level is only ever lowered. The refill rate follows
        ``limit`` per minute, or is slower where ``reset_s`` shows that the limit is for a longer
        window, as a day's.
        """
        self._refill(now)
        if limit is not None and isfinite(limit) and limit > 0.0:
            self._capacity = limit
            self._refill_per_s = limit / _WINDOW_S
            self._level = min(self._level, limit)
        if remaining is None or not isfinite(remaining) or remaining < 0.0:
            return
        self._level = min(self._level, remaining)
        used = self._capacity - remaining
        is_reset_known = reset_s is not None and isfinite(reset_s) and reset_s > 0.0
        if reset_s is not None and is_reset_known and used >= self._capacity * _TELLING_SHARE:
            self._refill_per_s = min(self._refill_per_s, used / reset_s)

    def block_until(self, at: float) -> None:
        """Empty the bucket and refill from ``at`` on, as a 429 asks."""
        if isfinite(at):
            self._level = min(self._level, 0.0)
            self._refilled_at = max(self._refilled_at, at)

    def level(self, now: float) -> float:
        """Return the tokens left, below zero in debt."""
        self._refill(now)
        return self._level

    def refill_s(self, tokens: float) -> float:
        """Return how long ``tokens`` take to flow back, seconds."""
        return _amount(tokens) / self._refill_per_s

    def _refill(self, now: float) -> None:
        elapsed_s = now - self._refilled_at
        if elapsed_s > 0.0:
            self._level = min(self._capacity, self._level + elapsed_s * self._refill_per_s)
            self._refilled_at = now

    def _give_back(self, tokens: float) -> None:
        self._level = min(self._capacity, self._level + tokens)


def _amount(tokens: float) -> float:
    return max(0.0, tokens) if isfinite(tokens) else 0.0
