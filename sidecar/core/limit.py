"""How many calls an endpoint may have under way: additive increase, multiplicative decrease.

TCP's rule, in the shape of Netflix's concurrency-limits. At the rates of language models no latency
gradient converges, so only explicit signs move the limit: a success while the limit is nearly used
raises it, an overload, a 429 or a hang cuts it. One cut an epoch: calls that were admitted before
the last cut saw the old limit and say nothing of the new one.

Not every sign is ours. A provider of millions refuses a few calls in a hundred whatever one sidecar
does, and a limit cut by each would go as one over the root of that share: six calls at 3 %, however
many are served. So it is remembered how many were under way when each of the last calls started,
and a refusal is held against those that started with as many or more. Where most of them were
served, load is not the cause. Where a fifth was refused, it is, unless that is mere chance at the
share that this endpoint usually refuses for no reason of ours. So a hard bound is found by the
first calls too many, and chance hardly takes the limit below what is being served.

No endpoint starts at a low limit (8 of 64, say): a sidecar of a busy pod has a
thousand streams open at a healthy provider, and a limit without a reason sheds calls. So there is
none but ``limit_max`` before the first sign of overload, and the first cut counts from what was
really in use.
"""

from __future__ import annotations

from math import exp, log

from sidecar.core.tunable import Tunable
from sidecar.value import value

CALLS_MAX = 64
"""Calls that a refusal is held against: one or two round trips of a busy endpoint."""
USUAL_CALLS = 1024
"""Over so many calls, and half as many, the usual share of refusals is counted."""
STRAY_SHARE = 1 / 3
"""Where more are refused it is not said that load is not the cause."""
USUAL_SMALL = 0.03
"""Where hardly more is usual, each refusal of a few calls at once cuts: there it costs little."""
PRIOR = 0.5
"""Refusals that may be usual though none was seen: one is no chance after 500 calls without."""


@value
class Started:
    """A call when it started: ``at`` which instant, at which level, as the how-manieth."""

    at: float
    level: int
    number: int


@value
class LimitSettings:
    """Where the limit starts and how it moves.

    ``limit_max`` bounds the calls under way whatever happens; a server of one's own wants what it
    was sized for. ``cut_least`` is the use that the first cut counts from at the least: one
    overload in an idle minute must not leave room for a single call. ``busy_share``: a limit that
    is hardly used proves nothing by a success. ``cut_factor``: 0.7 halves in two cuts.

    ``refused_share``: of the calls that started with as many under way as the refused one, a
    fifth must be refused for a cut; to avoid less costs more calls by waiting than it saves.
    ``usual_max``: more than a tenth is never taken for usual. ``chance_max``: how likely so many
    refusals may be by mere chance. ``grow_share``: a round trip adds a twentieth to a large limit,
    one call to one below twenty.
    """

    limit_min: float = 1.0
    limit_max: float = 1024.0
    cut_least: float = 8.0
    busy_share: float = 0.8
    cut_factor: float = 0.7
    refused_share: float = 0.2
    usual_max: float = 0.1
    chance_max: float = 0.001
    grow_share: float = 0.05


class ConcurrencyLimit(Tunable[LimitSettings]):
    """Owns the calls under way of one endpoint: the limit ``value`` and its use ``inflight``.

    ``cut_at`` is when an overload last cut it, None if never. A call's *level* is how many were
    under way when it started, itself included; its *number* is ``started`` then.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self.value = settings.limit_max
        self.inflight = 0
        self.cut_at: float | None = None
        self.started = 0
        # Levels of the last calls by number, refused ones below zero, 0 if it tells nothing.
        self._levels: list[int] = []
        self._strays = 0.0  # refusals that were not for our load, since call ``_strays_from``
        self._strays_from = 0

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
        self.started += 1
        # Until an overload says otherwise it counts as served: calls take minutes.
        if self.started <= CALLS_MAX:
            self._levels.append(self.inflight)
        else:
            self._levels[(self.started - 1) % CALLS_MAX] = self.inflight
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
            more = max(1.0 / self.value, settings.grow_share)
            self.value = min(settings.limit_max, self.value + more)

    def refuse(self, started: Started, now: float, *, is_rate: bool = False) -> None:
        """Note, after its ``release``, that a call met an overload.

        ``is_rate``: a 429, which is about the rate and the account's business; it may also be a
        bound of calls at once, where none as high was served.

        Worked example: unlimited with 100 under way is cut to 70, with 3 under way to 5.6.
        """
        self._mark(started)
        if self.cut_at is not None and started.at <= self.cut_at:
            return
        settings = self._settings
        if not self._is_ours(started.level, 1.0 if is_rate else settings.refused_share):
            return
        is_first = self.cut_at is None
        used = max(settings.cut_least, self.inflight + 1.0) if is_first else self.value
        self.cut_at = now
        self.value = max(settings.limit_min, min(self.value, used) * settings.cut_factor)
        # What was served before says nothing of a provider that has come to refuse.
        self._levels = [0] * len(self._levels)

    def _mark(self, started: Started) -> None:
        if started.number > 0 and self.started - started.number < CALLS_MAX:
            self._levels[(started.number - 1) % CALLS_MAX] = -started.level

    def _is_ours(self, level: int, share_min: float) -> bool:
        """Return whether a call of ``level`` was refused for our load; a stray one is counted.

        Worked example: ten are served at once and the eleventh is refused: one of one. Of 64 calls
        with a hundred under way four are refused: too few, whatever is usual.
        """
        refused = max(1, sum(each <= -level for each in self._levels))
        count = max(refused, sum(abs(each) >= level for each in self._levels))
        usual = self._usual()
        if refused < STRAY_SHARE * count:
            self._strays += 1.0
        if level <= self._settings.cut_least and usual <= USUAL_SMALL and share_min < 1.0:
            return True
        is_chance = _chance(refused, count, usual) > self._settings.chance_max
        return refused >= share_min * count and not is_chance

    def _usual(self) -> float:
        """Return the share of calls that is refused for no reason of ours, 0..``usual_max``."""
        calls = self.started - self._strays_from
        if calls > USUAL_CALLS:
            self._strays, self._strays_from = self._strays / 2, self.started - calls // 2
        return min(self._settings.usual_max, (self._strays + PRIOR) / max(1, calls))


def _chance(refused: int, count: int, usual: float) -> float:
    """Return how likely at least so many are refused by chance: Chernoff's bound.

    Worked example: of a hundred calls usually three are refused: one of one has 0.03, two of two
    0.0009, 16 of 64 less than a millionth.
    """
    share = refused / count
    if usual >= share:
        return 1.0
    surprise = share * log(share / usual)
    if share < 1.0:
        surprise += (1.0 - share) * log((1.0 - share) / (1.0 - usual))
    return exp(-count * surprise)
