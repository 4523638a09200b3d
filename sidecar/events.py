"""What happened, as frozen records handed to an ``Observer``.

Telemetry, logs, the ledger and the demo's screen all read these; the engine knows none of them.
Every decision carries its reason.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.decisions import Candidate, Content, Decision
    from sidecar.domain import (
        CallId,
        Constraints,
        EndpointId,
        Gate,
        Outcome,
        ProviderName,
        RequestFacts,
        RouteName,
        WireFormat,
    )
    from sidecar.tracing import TraceContext


DrillFault = Literal["hang", "500", "429", "slow", "cut"]
DRILL_FAULTS: tuple[DrillFault, ...] = get_args(DrillFault)
DRILL_S_MAX = 3600.0
"""A drill that somebody forgot must not outlast the hour."""


FIRST_KINDS = frozenset({"first", "canary", "explore"})
"""Kinds of attempts that begin a call."""


@value
class AttemptFinished:
    """One attempt of a call settled; ``kind`` is first, canary, explore, retry, failover, hedge,
    panic or transparent.

    ``sent_at``: when the request left, None if it never did; ``path`` is below the provider's base
    URL; ``expected`` is what the router predicted.
    """

    at: float
    call_id: CallId
    route: RouteName
    kind: str
    outcome: Outcome
    sent_at: float | None = None
    path: str = ""
    trace: TraceContext | None = None
    expected: Candidate | None = None


@value
class CallFinished:
    """A call ended; ``result`` is ok, degraded, passed (a provider's 4xx) or an error code.

    ``rejected`` holds the endpoints not chosen at arrival, with the reason of each.
    ``invalid_output``: where and how a stream was not the JSON that was asked for. ``flaw``: what
    can be seen to be wrong with an answer: invalid, refused, truncated or empty. ``question``: a
    salted hash of what was asked, so that the same question is known again; None: not looked at.

    ``asked``, ``wishes``, ``format`` and ``door`` (a path that the format does not tell) are the
    call's own; ``trace`` is the caller's span. ``choice`` is the first decision, ``refusals`` are
    gates that shut between a choice and its attempt, with their instants. ``committed_at``: when
    the answer was chosen. ``finish`` and ``answer_id`` are what the provider called the answer's
    end and the answer, ``level`` the rung of a degraded one. ``content`` only where switched on.
    """

    at: float
    call_id: CallId
    route: RouteName
    result: str
    endpoint: EndpointId | None
    duration_s: float
    cost_usd: float
    attempts: tuple[Outcome, ...]
    rejected: tuple[tuple[EndpointId, Gate], ...] = ()
    invalid_output: str | None = None
    asked: RequestFacts | None = None
    wishes: Constraints | None = None
    format: WireFormat | None = None
    door: str = ""
    trace: TraceContext | None = None
    choice: Decision | None = None
    refusals: tuple[tuple[float, EndpointId, Gate], ...] = ()
    committed_at: float | None = None
    finish: str | None = None
    answer_id: str | None = None
    level: str | None = None
    content: Content | None = None

    flaw: str | None = None
    question: int | None = field(default=None, repr=False, compare=False)


@value
class CallRefused:
    """A request that became no call: unreadable, unknown, shed at the door, or while draining.

    ``code`` and ``status`` are those of its error.
    """

    at: float
    call_id: CallId
    code: str
    status: int
    arrived_at: float
    format: WireFormat
    trace: TraceContext | None = None


@value
class BreakerChanged:
    """A breaker changed state; ``name`` is an endpoint id or a host."""

    at: float
    name: str
    old: str
    new: str
    reason: str
    reopens_at: float | None = None


@value
class AccountChanged:
    """An account was blocked (``until`` set) or came free (``until`` None)."""

    at: float
    provider: ProviderName
    reason: str
    until: float | None


@value
class ProbeFinished:
    """A probe ended; ``kind`` is free or paid, ``why`` is open, suspect or idle."""

    at: float
    endpoint: EndpointId
    kind: str
    why: str
    outcome: Outcome
    cost_usd: float


@value
class EndpointEjected:
    """An endpoint was taken out softly: callers go elsewhere as long as there is anybody else.

    ``reason``: contract_drift, it refuses what others accept, which needs a human's look; silent,
    it has answered none of its last calls, and none of these is due to have failed yet.
    """

    at: float
    endpoint: EndpointId
    reason: str


@value
class EndpointReturned:
    """A soft ejection for ``reason`` ended."""

    at: float
    endpoint: EndpointId
    reason: str


@value
class CanaryRolledBack:
    """A model on trial gets nothing more of ``route`` for it is worse than ``incumbent``.

    ``reason``: health or quality; ``own`` and ``other`` are the intervals (0..1) of the share of
    good attempts, or of the quality, that do not overlap.
    """

    at: float
    route: RouteName
    endpoint: EndpointId
    incumbent: EndpointId
    reason: str
    own: tuple[float, float]
    other: tuple[float, float]


@value
class CanaryRestored:
    """A model that was rolled back gets its share again; ``reason``: operator or config."""

    at: float
    route: RouteName
    endpoint: EndpointId
    reason: str


@value
class ShadowFinished:
    """A copy of the call ``call_id`` ended that nobody waited for; ``flaw``: what can be seen to be
    wrong with its answer: invalid, refused or truncated.
    """

    at: float
    call_id: CallId
    route: RouteName
    outcome: Outcome
    flaw: str | None = None


@value
class SpendCapChanged:
    """A daily spend cap was reached: calls that cost more than is left are refused; or it is free
    again. ``scope`` is provider or route.
    """

    at: float
    scope: str
    name: str
    is_reached: bool
    spent_usd: float
    usd_per_day: float


@value
class PassageFinished:
    """A request that was passed on to a provider ended; ``status`` None: no answer came.

    ``attempts`` name the provider where those of calls name an endpoint.
    """

    at: float
    call_id: CallId
    provider: ProviderName
    method: str
    status: int | None
    duration_s: float
    attempts: tuple[Outcome, ...]
    trace: TraceContext | None = None


@value
class DrillChanged:
    """An operator's drill at an endpoint began (``until`` set) or ended (``until`` None)."""

    at: float
    endpoint: EndpointId
    fault: DrillFault
    share: float
    until: float | None


Event = (
    AttemptFinished
    | CallFinished
    | CallRefused
    | BreakerChanged
    | AccountChanged
    | DrillChanged
    | EndpointEjected
    | EndpointReturned
    | ProbeFinished
    | SpendCapChanged
    | PassageFinished
    | CanaryRolledBack
    | CanaryRestored
    | ShadowFinished
)


class Observer(Protocol):
    """Receives every event, synchronously; must not raise and must not block."""

    def on_event(self, event: Event) -> None:
        """Take note of ``event``."""


class FanOut:
    """Hands every event to several observers, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._hear = tuple([observer.on_event for observer in observers])

    def on_event(self, event: Event) -> None:
        """Hand ``event`` on."""
        for hear in self._hear:
            hear(event)
