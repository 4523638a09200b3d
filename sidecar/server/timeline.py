"""What happened lately, for an operator's eyes: state changes and calls with their decisions.

Two bounded rings of events, numbered in one row, so that who comes back asks for what is newer than
the last number it saw. Hearing an event costs an append; words are found when somebody reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.domain import OutcomeClass
from sidecar.events import (
    AttemptFinished,
    BreakerChanged,
    CallFinished,
    PassageFinished,
    ShadowFinished,
)
from sidecar.events import ProbeFinished as Probed
from sidecar.server.telling import Opened, told_call, told_change
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.domain import EndpointId, Outcome
    from sidecar.events import Event

CHANGES_MAX, CALLS_MAX = 500, 200
LATENCIES_MAX, LATENCY_EVERY_S = 60, 1.0
"""First tokens kept of each endpoint, at most one a second."""
ENDPOINTS_MAX = 2000
READ_MAX = CHANGES_MAX + CALLS_MAX
_QUIET = frozenset({PassageFinished, ShadowFinished})
_OK = OutcomeClass.OK


@value
class _Entry:
    number: int
    event: Event
    cause: str  # which failures came before a breaker opened


class Timeline:
    """Hears the engine's events and keeps the last. ``host_of`` says which host an endpoint has,
    None where there is no such endpoint.
    """

    def __init__(self, host_of: Callable[[EndpointId], str | None]) -> None:
        self._host_of = host_of
        self._changes: deque[_Entry] = deque(maxlen=CHANGES_MAX)
        self._calls: deque[_Entry] = deque(maxlen=CALLS_MAX)
        self._number = 0
        self._runs: dict[EndpointId, tuple[OutcomeClass, int]] = {}
        self._latencies: dict[EndpointId, deque[tuple[float, float]]] = {}
        self._awaited: asyncio.Event | None = None

    def on_event(self, event: Event) -> None:
        """Keep ``event`` if an operator may want to see it."""
        kind = type(event)
        if kind is AttemptFinished or kind is Probed:
            self._count(event)  # type: ignore[arg-type]  # by its type
            return
        if kind in _QUIET:
            return
        self._number = number = self._number + 1
        if kind is CallFinished:
            self._calls.append(_Entry(number=number, event=event, cause=""))
        else:
            self._changes.append(_Entry(number=number, event=event, cause=self._cause(event)))
        if self._awaited is not None:
            self._awaited.set()
            self._awaited = None

    def _count(self, event: AttemptFinished | Probed) -> None:
        outcome = event.outcome
        if outcome.cls is _OK:
            if self._runs:
                self._runs.pop(outcome.endpoint, None)
            if outcome.first_content_at is not None:
                self._sample(outcome, outcome.first_content_at)
            return
        cls, count = self._runs.get(outcome.endpoint, (outcome.cls, 0))
        self._runs[outcome.endpoint] = (outcome.cls, count + 1 if cls is outcome.cls else 1)

    def _sample(self, outcome: Outcome, first_at: float) -> None:
        kept = self._latencies.get(outcome.endpoint)
        if kept is None:
            if len(self._latencies) >= ENDPOINTS_MAX:  # of configurations long gone
                self._latencies.clear()
            kept = self._latencies[outcome.endpoint] = deque(maxlen=LATENCIES_MAX)
        if not kept or outcome.ended_at - kept[-1][0] >= LATENCY_EVERY_S:
            kept.append((outcome.ended_at, first_at - outcome.started_at))

    def latencies(self, endpoint: EndpointId) -> list[float]:
        """Return the last first tokens of ``endpoint``, oldest first, seconds."""
        return [latency_s for _, latency_s in self._latencies.get(endpoint, ())]

    def _cause(self, event: Event) -> str:
        if not isinstance(event, BreakerChanged) or event.new != "open":
            return ""
        run = self._runs.get(event.name)  # type: ignore[call-overload]  # hosts have none
        return "" if run is None else f"{run[1]}x {run[0].value}"

    async def newer(self, number: int) -> None:
        """Return as soon as there is anything after ``number``."""
        while self._number <= number:
            if self._awaited is None:
                self._awaited = asyncio.Event()
            await self._awaited.wait()

    def read(self, after: int = 0, limit: int = READ_MAX) -> list[dict[str, object]]:
        """Return what came after ``after``, oldest first, the newest ``limit`` of it at most.

        A reader who was away too long, or whose number is of an earlier process, gets what there
        is.
        """
        if after > self._number:
            after = 0
        kept = [one for one in (*self._changes, *self._calls) if one.number > after]
        kept.sort(key=lambda one: one.number)
        offset_s = clock.wall() - clock.now()
        return [self._told(one, offset_s) for one in kept[-limit:]]

    def _told(self, entry: _Entry, offset_s: float) -> dict[str, object]:
        event = entry.event
        if isinstance(event, CallFinished):
            return told_call(entry.number, event, self._opened_before(event), offset_s)
        return told_change(entry.number, event, entry.cause, offset_s)

    def _opened_before(self, call: CallFinished) -> dict[EndpointId, Opened]:
        """Return of each endpoint that was out for its breaker when and why that had opened."""
        found: dict[EndpointId, Opened] = {}
        began_at = call.at - call.duration_s
        for endpoint, _ in call.rejected:
            names = (endpoint, self._host_of(endpoint))
            for entry in reversed(self._changes):
                change = entry.event
                if not isinstance(change, BreakerChanged) or change.name not in names:
                    continue
                if change.at <= began_at and change.new == "open":
                    found[endpoint] = Opened(
                        at=change.at,
                        cause=entry.cause or change.reason,
                        left_s=max(0.0, (change.reopens_at or began_at) - began_at),
                    )
                    break
        return found
