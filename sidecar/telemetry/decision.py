"""Why a call went where it went: what is said of the decision, of the call's wishes and its course.

The candidates are parallel arrays, best first, so that a back end can filter by any of them; an
unknown price counts 0 and its endpoint is named in ``sidecar.routing.unpriced``. The router looks
at no more endpoints than it needs: of others nothing is said.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from sidecar.core.score import score
from sidecar.domain import Gate, Priority
from sidecar.telemetry.span import SpanEvent

if TYPE_CHECKING:
    from sidecar.decisions import Candidate, Decision
    from sidecar.events import CallFinished
    from sidecar.telemetry.span import Attributes

SAMPLES_ENOUGH = 1.0
BREAKERS = frozenset(
    {Gate.BREAKER_OPEN, Gate.BREAKER_TRIAL_TAKEN, Gate.HOST_OPEN, Gate.EGRESS, Gate.ISOLATED}
)


def decision(choice: Decision) -> Attributes:
    """Return who could be asked, with score and prediction, and who could not and why."""
    ranked = choice.ranked
    said: Attributes = {
        "sidecar.routing.candidates": tuple([one.endpoint.id for one in ranked]),
        "sidecar.routing.scores": tuple([round(_score(one), 1) for one in ranked]),
        "sidecar.routing.first_content_s": tuple([round(one.ttft_s, 4) for one in ranked]),
        "sidecar.routing.total_s": tuple([round(one.total_s, 4) for one in ranked]),
        "sidecar.routing.cost_usd": tuple([one.cost_usd or 0.0 for one in ranked]),
        "sidecar.routing.is_drawn": choice.is_drawn,
    }
    if choice.tier is not None:
        said["sidecar.routing.tier"] = choice.tier
    unpriced = tuple([one.endpoint.id for one in ranked if one.cost_usd is None])
    if unpriced:
        said["sidecar.routing.unpriced"] = unpriced
    if choice.rejected:
        said["sidecar.routing.rejected"] = tuple([name for name, _ in choice.rejected])
        said["sidecar.routing.reasons"] = tuple([gate.value for _, gate in choice.rejected])
    return said


def wishes(event: CallFinished) -> Attributes:
    """Return what the caller asked for beyond its route."""
    wished = event.wishes
    if wished is None:
        return {}
    said: Attributes = {}
    limits = (
        ("sidecar.wish.within_s", wished.within_s),
        ("sidecar.wish.budget_usd", wished.budget_usd),
        ("sidecar.wish.first_token_s", wished.first_token_s),
        ("sidecar.wish.quality", wished.quality),
    )
    for name, amount in limits:
        if amount is not None:
            said[name] = amount
    if wished.priority is not Priority.INTERACTIVE:
        said["sidecar.wish.priority"] = wished.priority.value
    return said


def happenings(event: CallFinished, offset_s: float) -> tuple[SpanEvent, ...]:
    """Return what happened to a call, in order: refusals by breakers, the first content, commit."""
    arrived_at = event.at - event.duration_s + offset_s
    at_arrival = [(arrived_at, name, gate) for name, gate in event.rejected]
    later = [(at + offset_s, name, gate) for at, name, gate in event.refusals]
    found = [
        SpanEvent(
            name="sidecar.breaker_refusal" if gate in BREAKERS else "sidecar.gate_refusal",
            at=at,
            attributes={"sidecar.endpoint": name, "sidecar.reason": gate.value},
        )
        for at, name, gate in (*at_arrival, *later)
        if gate in BREAKERS or at > arrived_at
    ]
    last = event.attempts[-1] if event.attempts else None
    if last is not None and last.endpoint == event.endpoint and last.first_content_at is not None:
        found.append(SpanEvent(name="sidecar.first_content", at=last.first_content_at + offset_s))
    if event.committed_at is not None and event.endpoint is not None:
        said: Attributes = {"sidecar.endpoint": event.endpoint}
        at = event.committed_at + offset_s
        found.append(SpanEvent(name="sidecar.commit", at=at, attributes=said))
    return tuple(sorted(found, key=lambda one: one.at))


def _score(one: Candidate) -> float:
    """Return the health score as operators know it, of what the router knew."""
    level = log(one.ttft_s / one.typical_ttft_s) if one.ttft_s and one.typical_ttft_s else 0.0
    return score(
        reliability=one.reliability,
        level=level,
        headroom=1.0 - one.utilisation,
        is_blocked=False,
        samples=SAMPLES_ENOUGH,
        age_s=None,
    ).value
