"""How many calls an endpoint may have under way: additive increase, multiplicative decrease.

TCP's rule, in the shape of Netflix's concurrency-limits. At the rates of language models no latency
gradient converges, so only explicit signs move the limit: a success while the limit is nearly used
raises it, an overload, a 429 or a hang cuts it. One cut an epoch: calls that were admitted before
the last cut saw the old limit and say nothing of the new one.

No endpoint starts at a low limit (8 of 64, say): a sidecar of a busy pod has a
thousand streams open at a healthy provider, and a limit without a reason sheds calls. So there is
none but ``limit_max`` before the first sign of overload, and the first cut counts from what was
really in use.
"""

from __future__ import annotations

from sidecar.core.tunable import Tunable
from sidecar.value import value


@value
class LimitSettings:
    """Where the limit starts and how it moves.

    ``limit_max`` bounds the calls under way whatever happens; a server of one's own wants what it
    was sized for. ``cut_least`` is the use that the first cut counts from at the least: one
    overload in an idle minute must not leave room for a single call. ``busy_share``: a limit that
    is hardly used proves nothing by a success. ``cut_factor``: 0.7 halves in two cuts.
    """

    limit_min: float = 1.0
    limit_max: float = 1024.0
    cut_least: float = 8.0
    busy_share: float = 0.8
    cut_factor: float = 0.7


class ConcurrencyLimit(Tunable[LimitSettings]):
    """Owns the calls under way of one endpoint: the limit ``value`` and its use ``inflight``.

    ``cut_at`` is when an overload last cut it, None if never.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self.value = settings.limit_max
        self.inflight = 0
        self.cut_at: float | None = None

    def adapt(self, settings: LimitSettings) -> None:
        """Go by ``settings`` from now on; without an overload so far the limit is the highest."""
        super().adapt(settings)
        most = settings.limit_max
        self.value = most if self.cut_at is None else min(self.value, most)

    def try_acquire(self, _now: float) -> bool:
        """Take a place if there is one; pair with ``release``. A limit of 5.6 passes six."""
        if self.inflight >= self.value:
            return False
        self.inflight += 1
        return True

    def release(self) -> None:
        """Give a place back."""
        assert self.inflight > 0, "release without acquire"
        self.inflight -= 1

    def grow(self) -> None:
        """Note a success, after its ``release``: it matters whether the limit was in use.

        Worked example: 8 grows by 1/8; eight successes of a full limit make 9, once a round trip.
        """
        settings = self._settings
        if self.inflight + 1 >= settings.busy_share * self.value:
            self.value = min(settings.limit_max, self.value + 1.0 / self.value)

    def cut(self, admitted_at: float, now: float) -> None:
        """Note, after its ``release``, that a call admitted at ``admitted_at`` met an overload.

        Worked example: unlimited with 100 under way is cut to 70, with 3 under way to 5.6.
        """
        if self.cut_at is not None and admitted_at <= self.cut_at:
            return
        settings = self._settings
        is_first = self.cut_at is None
        used = max(settings.cut_least, self.inflight + 1.0) if is_first else self.value
        self.cut_at = now
        self.value = max(settings.limit_min, min(self.value, used) * settings.cut_factor)
