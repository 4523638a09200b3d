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


class OverloadThrottle:
    """Owns the counts of one endpoint's window. Bound: ``window_s / slot_s`` slots and one."""

    def __init__(self, settings: ThrottleSettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._slots: deque[_Slot] = deque()

    def admits(self, now: float) -> bool:
        """Count a request and say whether it may go."""
        chance = self.refusal_chance(now)
        slot = self._slot(now)
        slot.requests += 1
        if chance > 0.0 and self._rng.uniform(0.0, 1.0) < chance:
            return False
        slot.admitted += 1
        return True

    def overloaded(self, now: float) -> None:
        """Note that the provider refused an admitted request for overload."""
        self._slot(now).overloads += 1

    def accepted(self, now: float) -> None:
        """Note that the provider took a request; it tells of those admitted before the window."""
        self._slot(now).accepts += 1

    def refusal_chance(self, now: float) -> float:
        """Return the chance, 0..``refusal_max``, that ``admits`` refuses.

        Worked example: 100 requests, 80 admitted, 50 of them overloaded: 30 accepts, (100 - 60) /
        101 = 0.40.
        """
        self._forget(now)
        settings = self._settings
        requests = sum(slot.requests for slot in self._slots)
        overloads = sum(slot.overloads for slot in self._slots)
        if requests < settings.requests_min or overloads == 0:
            return 0.0
        admitted = sum(slot.admitted for slot in self._slots)
        accepts = max(sum(slot.accepts for slot in self._slots), admitted - overloads)
        excess = requests - settings.accept_factor * accepts
        return min(settings.refusal_max, max(0.0, excess / (requests + 1)))

    def _slot(self, now: float) -> _Slot:
        self._forget(now)
        if not self._slots or now - self._slots[-1].started_at >= self._settings.slot_s:
            self._slots.append(_Slot(started_at=now))
        return self._slots[-1]

    def _forget(self, now: float) -> None:
        since = now - self._settings.window_s
        while self._slots and self._slots[0].started_at <= since:
            self._slots.popleft()


@dataclass(slots=True, kw_only=True)
class _Slot:
    """Counts of one step of the window."""

    started_at: float
    requests: int = 0
    admitted: int = 0
    overloads: int = 0
    accepts: int = 0
