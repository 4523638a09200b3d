"""Events in words: a call with its decision spelt out, a change of state with its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sidecar.domain import Gate, OutcomeClass
from sidecar.engine.reasons import SAID
from sidecar.events import (
    AccountChanged,
    BreakerChanged,
    CanaryRestored,
    CanaryRolledBack,
    DrillChanged,
    EndpointEjected,
    EndpointReturned,
    SpendCapChanged,
)
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.domain import EndpointId, Outcome
    from sidecar.events import CallFinished, Event

_BREAKER_GATES = frozenset({Gate.BREAKER_OPEN, Gate.BREAKER_TRIAL_TAKEN, Gate.HOST_OPEN})
MESSAGE_CHARS_MAX = 200


@value
class Opened:
    """When a breaker had opened (loop seconds), for what, and how much of it was left."""

    at: float
    cause: str
    left_s: float


def told_call(
    number: int, call: CallFinished, opened: Mapping[EndpointId, Opened], offset_s: float
) -> dict[str, object]:
    """Return a call as data and as a sentence; ``offset_s`` leads from the loop to the epoch."""
    rejected = [
        {"endpoint": name, "gate": gate.value, "why": _why(gate, opened.get(name), offset_s)}
        for name, gate in call.rejected
    ]
    attempts = [_attempt(outcome) for outcome in call.attempts]
    return {
        "number": number,
        "kind": "call",
        "at": round(call.at + offset_s, 3),
        "call_id": call.call_id,
        "route": call.route,
        "result": call.result,
        "endpoint": call.endpoint,
        "duration_s": round(call.duration_s, 4),
        "cost_usd": call.cost_usd,
        "attempts": attempts,
        "rejected": rejected,
        "text": _sentence(call, rejected),
    }


def _attempt(outcome: Outcome) -> dict[str, object]:
    first_at = outcome.first_content_at
    return {
        "endpoint": outcome.endpoint,
        "outcome": outcome.cls.value,
        "message": outcome.reason()[:MESSAGE_CHARS_MAX],
        "duration_s": round(outcome.ended_at - outcome.started_at, 4),
        "first_content_s": None if first_at is None else round(first_at - outcome.started_at, 4),
    }


def _why(gate: Gate, opened: Opened | None, offset_s: float) -> str:
    if opened is None or gate not in _BREAKER_GATES:
        return SAID[gate]
    cause = f" ({opened.cause})" if opened.cause else ""
    return f"{SAID[gate]} since {_time(opened.at + offset_s)}{cause}, {opened.left_s:.1f} s left"


def _sentence(call: CallFinished, rejected: list[dict[str, str]]) -> str:
    who = f" by {call.endpoint}" if call.endpoint else ""
    said = f"{call.route}: {call.result}{who} after {call.duration_s:.2f} s"
    failed = [
        f"{outcome.endpoint} {outcome.cls.value}"
        for outcome in call.attempts
        if outcome.cls is not OutcomeClass.OK
    ]
    if failed:
        said += f"; tried {', '.join(failed)}"
    return "; ".join([said, *(f"{one['endpoint']} rejected: {one['why']}" for one in rejected)])


def told_change(number: int, event: Event, cause: str, offset_s: float) -> dict[str, object]:
    """Return a change of state as data and as a sentence."""
    if isinstance(event, CanaryRolledBack | CanaryRestored):
        name, text = _trial(event)
    else:
        name, text = _change(event, cause, offset_s)
    return {
        "number": number,
        "kind": "change",
        "at": round(event.at + offset_s, 3),
        "what": type(event).__name__,
        "name": name,
        "text": text,
    }


def _change(event: Event, cause: str, offset_s: float) -> tuple[str, str]:
    """Return whom a change is about, and what it says."""
    name = text = ""
    match event:
        case BreakerChanged(name=name):
            why = f"{event.reason}; {cause}" if cause else event.reason
            until = event.reopens_at
            wait = "" if until is None else f", next trial at {_time(until + offset_s)}"
            text = f"breaker of {name}: {event.old} to {event.new} ({why}){wait}"
        case AccountChanged(provider=name, until=None):
            text = f"account {name} is free again ({event.reason})"
        case AccountChanged(provider=name, until=float(until)):
            text = f"account {name} is blocked ({event.reason}) until {_ends(until, offset_s)}"
        case EndpointEjected(endpoint=name):
            text = f"{name} is avoided ({event.reason})"
        case EndpointReturned(endpoint=name):
            text = f"{name} is used again ({event.reason})"
        case SpendCapChanged(name=name):
            what = f"daily spend cap of {event.scope} {name} (${event.usd_per_day:g})"
            text = f"{what}: {'reached' if event.is_reached else 'free again'}"
        case DrillChanged(endpoint=name):
            text = _drill(event, offset_s)
        case _:
            text = type(event).__name__
    return name, text


def _trial(event: CanaryRolledBack | CanaryRestored) -> tuple[str, str]:
    name = event.endpoint
    if isinstance(event, CanaryRestored):
        return name, f"{name} is on trial again for {event.route} ({event.reason})"
    own, other = (f"{low:.3f} to {high:.3f}" for low, high in (event.own, event.other))
    than = f"{event.incumbent} ({other})"
    return name, f"{name} gets nothing more of {event.route}: {event.reason} {own}, below {than}"


def _drill(event: DrillChanged, offset_s: float) -> str:
    what = f"drill {event.fault} at {event.endpoint}"
    if event.until is None:
        return f"{what} ended"
    return f"{what}, {event.share:.0%} of its attempts, until {_ends(event.until, offset_s)}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _ends(at: float, offset_s: float) -> str:
    """Return an instant that may be far or never."""
    try:
        return datetime.fromtimestamp(at + offset_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "somebody acts"
