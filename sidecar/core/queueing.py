"""Which waiting call goes next, and which need not wait at all.

A queue helps with a burst and harms in an overload, when everybody waits until it is too late. So:
bounded; refused at once if the predicted wait leaves no time for the call itself; interactive
before batch, and a full queue gives a batch place to an interactive call; first come, first served
while the queue is short, but last come first when it is longer than twice the limit, since the
oldest are then the ones that will miss their deadline anyway (Facebook's adaptive LIFO, "Fail at
Scale").

The pace is the mean time between takes while somebody waits. It starts from Little's law
(``limit`` places, each free again after one call's time) and does so again whenever the queue was
empty: an old incident's pace would refuse everybody, and nobody waiting could ever correct it. An
interval under way counts as soon as it is longer than the mean: a queue that stopped moving must
not promise the old pace.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sidecar.domain import Priority
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import CallId

_CLASSES = (Priority.INTERACTIVE, Priority.BATCH)
"""Who goes first."""


@value
class QueueSettings:
    """Numbers of the queue.

    * ``queue_max`` 128 waiting calls: each holds its body in memory.
    * ``lifo_above`` 2 times the limit waiting in a class turns its order round.
    * ``pace_share`` 0.2: weight of the newest interval in the mean, a memory of five takes.
    * ``retry_after_min_s`` 1, ``retry_after_max_s`` 60: what a refused caller is told at least and
      at most.
    """

    queue_max: int = 128
    lifo_above: float = 2.0
    pace_share: float = 0.2
    retry_after_min_s: float = 1.0
    retry_after_max_s: float = 60.0


class RejectReason(Enum):
    """Why a call may not wait."""

    FULL = "queue_full"
    TOO_LATE = "too_late"


@value
class Accepted:
    """The call waits. ``displaced``: the batch call that lost its place and must be refused."""

    wait_s: float
    displaced: CallId | None = None


@value
class Rejected:
    """The call is refused at once; ``retry_after_s`` is when the queue will have moved on."""

    reason: RejectReason
    retry_after_s: float


_DEFAULTS = QueueSettings()


class WaitQueue:
    """Owns the waiting calls, ``queue_max`` at most, those that expired unseen, and the pace.

    ``limit`` is how many calls may be under way; the owner keeps it up to date.
    """

    def __init__(self, limit: float, settings: QueueSettings = _DEFAULTS) -> None:
        self.limit = limit
        self._settings = settings
        self._waiting: dict[Priority, dict[CallId, _Waiter]] = {each: {} for each in _CLASSES}
        self._expired: dict[CallId, None] = {}
        self._pace_s: float | None = None
        self._moved_at: float | None = None

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self._waiting.values())

    def offer(
        self, waiter_id: CallId, priority: Priority, deadline_at: float, needs_s: float, now: float
    ) -> Accepted | Rejected:
        """Ask for a place for a call that needs ``needs_s`` once it goes."""
        assert all(waiter_id not in waiting for waiting in self._waiting.values()), "waits already"
        wait_s = self.predicted_wait_s(priority, needs_s, now)
        if wait_s + needs_s > deadline_at - now:
            return self._rejected(RejectReason.TOO_LATE, wait_s)
        displaced = None
        if len(self) >= self._settings.queue_max:
            displaced = self._displaced_by(priority)
            if displaced is None:
                return self._rejected(RejectReason.FULL, wait_s)
            del self._waiting[Priority.BATCH][displaced]
        if self._moved_at is None:
            self._moved_at = now
        waiter = _Waiter(deadline_at=deadline_at, needs_s=needs_s)
        self._waiting[priority][waiter_id] = waiter
        return Accepted(wait_s=wait_s, displaced=displaced)

    def take(self, now: float) -> CallId | None:
        """Return who goes now, None if nobody waits; passes over whose deadline cannot be met."""
        taken = None
        for waiting in self._waiting.values():
            while waiting and taken is None:
                waiter_id = self._next(waiting)
                waiter = waiting.pop(waiter_id)
                if waiter.is_lost(now):
                    self._expired[waiter_id] = None
                else:
                    taken = waiter_id
                    self._moved(waiter.needs_s, now)
        self._rest_if_empty()
        return taken

    def expired(self, now: float) -> tuple[CallId, ...]:
        """Return whose deadline can no longer be met, each told once; they have left the queue."""
        for waiting in self._waiting.values():
            lost = [name for name, waiter in waiting.items() if waiter.is_lost(now)]
            for waiter_id in lost:
                del waiting[waiter_id]
                self._expired[waiter_id] = None
        self._rest_if_empty()
        told = tuple(self._expired)
        self._expired.clear()
        return told

    def leave(self, waiter_id: CallId) -> None:
        """Forget a call, waiting or expired; an unknown one was taken in the meantime."""
        for waiting in self._waiting.values():
            waiting.pop(waiter_id, None)
        self._expired.pop(waiter_id, None)
        self._rest_if_empty()

    def predicted_wait_s(self, priority: Priority, needs_s: float, now: float) -> float:
        """Return how long a newcomer would wait, seconds.

        Worked example: four wait ahead, one goes each half second: the fifth waits 2.5 s.
        """
        ahead = 0
        for each in _CLASSES[: _CLASSES.index(priority)]:
            ahead += len(self._waiting[each])
        own = len(self._waiting[priority])
        if not self._is_lifo(own + 1):
            ahead += own
        pace_s = self._pace(needs_s)
        if self._moved_at is not None:
            pace_s = max(pace_s, now - self._moved_at)
        return (ahead + 1) * pace_s

    def _is_lifo(self, count: int) -> bool:
        return count > self._settings.lifo_above * self.limit

    def _next(self, waiting: dict[CallId, _Waiter]) -> CallId:
        return next(reversed(waiting)) if self._is_lifo(len(waiting)) else next(iter(waiting))

    def _displaced_by(self, priority: Priority) -> CallId | None:
        """The worst placed batch call, if an interactive one wants its place: in a long queue the
        oldest, which will hardly be in time.
        """
        batch = self._waiting[Priority.BATCH]
        if priority is Priority.BATCH or not batch:
            return None
        return next(iter(batch)) if self._is_lifo(len(batch)) else next(reversed(batch))

    def _rejected(self, reason: RejectReason, wait_s: float) -> Rejected:
        settings = self._settings
        bounded_s = min(settings.retry_after_max_s, max(settings.retry_after_min_s, wait_s))
        return Rejected(reason=reason, retry_after_s=bounded_s)

    def _pace(self, needs_s: float) -> float:
        return needs_s / max(1.0, self.limit) if self._pace_s is None else self._pace_s

    def _moved(self, needs_s: float, now: float) -> None:
        assert self._moved_at is not None, "somebody waited"
        interval_s = max(0.0, now - self._moved_at)
        pace_s = self._pace(needs_s)
        self._pace_s = pace_s + self._settings.pace_share * (interval_s - pace_s)
        self._moved_at = now

    def _rest_if_empty(self) -> None:
        if len(self) == 0:
            self._moved_at = self._pace_s = None


@value
class _Waiter:
    """What one waiting call needs, and by when."""

    deadline_at: float
    needs_s: float

    def is_lost(self, now: float) -> bool:
        return now + self.needs_s > self.deadline_at
