"""What an answer itself shows of its quality, with nobody asked.

Five signs, all there already when a call ends: its JSON is not what was asked for, it was refused,
cut off by its length, empty; and its caller asks the very same question again. Each is a fault of
some weight on the model that answered (``core/quality.py``); an answer without any proves nothing.

A question is known again by its salted hash alone, kept for ten minutes and for the last few
thousand; programs that work through batches are not listened to, their repeats are a habit. Nor
are questions that were under way together, or within two seconds: those are several samples.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sidecar.domain import OutcomeClass
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import EndpointId, RouteName
    from sidecar.events import AttemptFinished, CallFinished

FAULTS = {"unusable": 1.0, "invalid": 1.0, "refused": 1.0, "empty": 1.0, "truncated": 0.5}
"""What a fault takes of an answer's worth; half of an answer may be of use."""
REPEATED, REPEATED_FAULT = "repeated", 0.3
"""Who asks again may have other reasons than the answer."""
REPEATED_S_MIN, REPEATED_S_MAX = 2.0, 600.0
QUESTIONS_MAX = 4096
ANSWERED = frozenset({"ok", "degraded"})


@value
class Sign:
    """A fault seen on the answer of ``endpoint``; ``fault`` 0: none. ``kind`` names it.

    ``is_new``: the answer is judged for the first time.
    """

    route: RouteName
    endpoint: EndpointId
    kind: str | None
    fault: float
    is_new: bool = True


@value
class _Asked:
    route: RouteName
    endpoint: EndpointId
    ended_at: float


class Signals:
    """Owns the questions asked lately, oldest first."""

    def __init__(self) -> None:
        self._asked: OrderedDict[int, _Asked] = OrderedDict()

    def of_attempt(self, event: AttemptFinished) -> Sign | None:
        """Return the fault of an answer that was of no use, so that another was asked."""
        if event.outcome.cls is not OutcomeClass.DEGENERATE:
            return None
        return _sign(event.route, event.outcome.endpoint, "unusable")

    def of_call(self, event: CallFinished) -> tuple[Sign, ...]:
        """Return what the end of a call shows: of its own answer, and of the one before it."""
        if event.endpoint is None or event.result not in ANSWERED:
            return ()
        own = _sign(event.route, event.endpoint, event.flaw)
        before = self._before(event)
        if before is None:
            return (own,)
        again = Sign(
            route=before.route,
            endpoint=before.endpoint,
            kind=REPEATED,
            fault=REPEATED_FAULT,
            is_new=False,
        )
        return (own, again)

    def _before(self, event: CallFinished) -> _Asked | None:
        """Return the answer after which the same was asked again, and remember this one."""
        if event.question is None or event.endpoint is None:
            return None
        before = self._asked.pop(event.question, None)
        self._asked[event.question] = _Asked(
            route=event.route, endpoint=event.endpoint, ended_at=event.at
        )
        if len(self._asked) > QUESTIONS_MAX:
            self._asked.popitem(last=False)
        if before is None or before.route != event.route:
            return None
        waited_s = event.at - event.duration_s - before.ended_at
        return before if REPEATED_S_MIN <= waited_s <= REPEATED_S_MAX else None


def _sign(route: RouteName, endpoint: EndpointId, kind: str | None) -> Sign:
    fault = 0.0 if kind is None else FAULTS.get(kind, 0.0)
    return Sign(route=route, endpoint=endpoint, kind=kind, fault=fault)
