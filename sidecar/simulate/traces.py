"""Everything that was seen of a world of the swarm, in order, for the checks to read.

Three witnesses: the engine's events, the providers' own logs (an entry is laid to the call in whose
context the request arrived), and what the callers saw.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.events import (
    AccountChanged,
    AttemptFinished,
    BreakerChanged,
    CallFinished,
    ProbeFinished,
)
from sidecar.upstream.simulated import SimulatedProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.domain import Call, CallId
    from sidecar.events import Event
    from sidecar.simulate.seen import Seen
    from sidecar.upstream.simulated import FaultKind, LogEntry, Plan, SimulatedRequest

CURRENT_CALL: ContextVar[CallId | None] = ContextVar("current_call", default=None)
"""The call of the running task and of those that it starts; None for probes."""


@dataclass(slots=True, kw_only=True)
class Trace:
    """One call: what was asked, sent, judged and seen. ``hung_up``: the caller left early."""

    call: Call
    seen: Seen
    sends: list[LogEntry] = field(default_factory=list)
    attempts: list[AttemptFinished] = field(default_factory=list)
    ends: list[CallFinished] = field(default_factory=list)
    answers: int = 0
    hung_up: bool = False


class Traces:
    """Observer and log in one. ``look`` is called after every event and every request sent."""

    def __init__(self) -> None:
        self.calls: dict[CallId, Trace] = {}
        self.events: list[Event] = []
        self.attempts: list[AttemptFinished] = []
        self.probes: list[ProbeFinished] = []
        self.breakers: dict[str, list[BreakerChanged]] = {}
        self.accounts: dict[str, list[AccountChanged]] = {}
        self.broken: dict[str, str] = {}
        self.look: Callable[[float], None] = lambda _: None

    def breaks(self, invariant: str, what: str) -> None:
        """Note a broken invariant; of each only the first case is kept."""
        self.broken.setdefault(invariant, what)

    def on_event(self, event: Event) -> None:
        """Keep ``event`` where it is looked for."""
        self.events.append(event)
        match event:
            case AttemptFinished():
                self.attempts.append(event)
                self.calls[event.call_id].attempts.append(event)
            case CallFinished():
                self.calls[event.call_id].ends.append(event)
            case BreakerChanged():
                self.breakers.setdefault(event.name, []).append(event)
            case AccountChanged():
                self.accounts.setdefault(event.provider, []).append(event)
            case ProbeFinished():
                self.probes.append(event)
            case _:
                pass
        self.look(event.at)

    def sent(self, entry: LogEntry) -> None:
        """Note a request that left for a provider."""
        call_id = CURRENT_CALL.get()
        if call_id is not None:
            self.calls[call_id].sends.append(entry)
        self.look(entry.at_s)


class TracedProvider(SimulatedProvider):
    """Tells ``traces`` of each request, at the moment it arrives or fails to."""

    traces: Traces

    def plan(self, request: SimulatedRequest) -> Plan:
        """Decide as ever, and tell."""
        plan = super().plan(request)
        self.traces.sent(plan.entry)
        return plan

    def log_unreached(self, request: SimulatedRequest, kind: FaultKind) -> LogEntry:
        """Note as ever, and tell."""
        entry = super().log_unreached(request, kind)
        self.traces.sent(entry)
        return entry
