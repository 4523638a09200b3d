"""Sending less to a provider that says it is overloaded: refusals by chance.

From Google's SRE book, chapter 21. The chance to refuse is (requests - 2 · accepts) / (requests +
1) over two minutes: up to twice of what the provider accepts goes out, so that it is never starved
of the requests by which its recovery is noticed. A refusal costs little here, since the router
takes another endpoint.

One change to the book: its calls last milliseconds, ours minutes. Requests are counted at
admission, so all that is under way would count as not accepted and a single overload among slow
calls would shut the endpoint. What was admitted counts as accepted until ``overloaded`` says
otherwise; only overload throttles, other failures are the breaker's business.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.core.tunable import Tunable
from sidecar.value import value

if TYPE_CHECKING:
    import random


@value
class ThrottleSettings:
    """How eagerly to refuse.

    ``accept_factor`` is the book's K. ``refusal_max`` keeps one in five going, else recovery is
    never seen. ``requests_min``: below it chance decides more than evidence. ``window_s`` is
    counted in ``slot_s`` steps.
    """

    window_s: float = 120.0
    slot_s: float = 10.0
    accept_factor: float = 2.0
    refusal_max: float = 0.8
    requests_min: int = 10


class OverloadThrottle(Tunable[ThrottleSettings]):
    """Owns the counts of one endpoint's window, and their sums: each call asks. Bound:
    ``window_s / slot_s`` slots and one.
    """

    def __init__(self, settings: ThrottleSettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._slots: deque[_Slot] = deque()
        self._sum = _Slot(started_at=0.0)

    def admits(self, now: float) -> bool:
        """Count a request and say whether it may go."""
        chance = self.refusal_chance(now)
        slot = self._slot(now)
        slot.requests += 1
        self._sum.requests += 1
        if chance > 0.0 and self._rng.uniform(0.0, 1.0) < chance:
            return False
        slot.admitted += 1
        self._sum.admitted += 1
        return True

    def overloaded(self, now: float) -> None:
        """Note that the provider refused an admitted request for overload."""
        self._slot(now).overloads += 1
        self._sum.overloads += 1

    def accepted(self, now: float) -> None:
        """Note that the provider took a request; it tells of those admitted before the window."""
        self._slot(now).accepts += 1
        self._sum.accepts += 1

    def refusal_chance(self, now: float) -> float:
        """Return the chance, 0..``refusal_max``, that ``admits`` refuses.

        Worked example: 100 requests, 80 admitted, 50 of them overloaded: 30 accepts, (100 - 60) /
        101 = 0.40.
        """
        self._forget(now)
        settings, total = self._settings, self._sum
        if total.overloads == 0 or total.requests < settings.requests_min:
            return 0.0
        accepts = max(total.accepts, total.admitted - total.overloads)
        excess = total.requests - settings.accept_factor * accepts
        return min(settings.refusal_max, max(0.0, excess / (total.requests + 1)))

    def _slot(self, now: float) -> _Slot:
        self._forget(now)
        slots = self._slots
        if slots and now - slots[-1].started_at < self._settings.slot_s:
            return slots[-1]
        slots.append(_Slot(started_at=now))
        return slots[-1]

    def _forget(self, now: float) -> None:
        slots, total = self._slots, self._sum
        since = now - self._settings.window_s
        while slots and slots[0].started_at <= since:
            old = slots.popleft()
            total.requests -= old.requests
            total.admitted -= old.admitted
            total.overloads -= old.overloads
            total.accepts -= old.accepts


@dataclass(slots=True, kw_only=True)
class _Slot:
    """Counts of one step of the window."""

    started_at: float
    requests: int = 0
    admitted: int = 0
    overloads: int = 0
    accepts: int = 0
