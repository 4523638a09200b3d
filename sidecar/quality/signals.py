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
    """A fault seen on an answer of ``endpoint`` to the call ``call_id``; ``kind`` names it.

    ``count`` 0: the answer was judged before, when nothing was wrong with it yet.
    """

    route: RouteName
    endpoint: EndpointId
    kind: str
    fault: float
    call_id: str
    count: int = 1


class Signals:
    """Owns the questions asked lately, oldest first: of each how it ended, and who answered."""

    def __init__(self) -> None:
        self._asked: OrderedDict[int, tuple[CallFinished, EndpointId]] = OrderedDict()

    def of_attempt(self, event: AttemptFinished) -> Sign | None:
        """Return the fault of an answer that was of no use, so that another was asked."""
        if event.outcome.cls is not OutcomeClass.DEGENERATE:
            return None
        return _sign(event, event.outcome.endpoint, "unusable")

    def of_call(self, event: CallFinished) -> Sign | None:
        """Return the fault of an answer, None if nothing can be seen to be wrong with it."""
        if event.flaw is None or event.endpoint is None:
            return None
        return _sign(event, event.endpoint, event.flaw)

    def again(self, event: CallFinished) -> Sign | None:
        """Return what it says of the answer before if this call asked the same again."""
        if event.question is None or event.endpoint is None:
            return None
        before = self._asked.pop(event.question, None)
        self._asked[event.question] = (event, event.endpoint)
        if before is None:
            if len(self._asked) > QUESTIONS_MAX:
                self._asked.popitem(last=False)
            return None
        earlier, endpoint = before
        waited_s = event.at - event.duration_s - earlier.at
        if earlier.route != event.route or not REPEATED_S_MIN <= waited_s <= REPEATED_S_MAX:
            return None
        return Sign(
            route=event.route,
            endpoint=endpoint,
            kind=REPEATED,
            fault=REPEATED_FAULT,
            call_id=earlier.call_id,
            count=0,
        )


def _sign(event: CallFinished | AttemptFinished, endpoint: EndpointId, kind: str) -> Sign:
    return Sign(
        route=event.route,
        endpoint=endpoint,
        kind=kind,
        fault=FAULTS.get(kind, 0.0),
        call_id=event.call_id,
    )
