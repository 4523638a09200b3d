"""From a failed call to what its caller is told: the provider's own 4xx, or a truthful error of
ours.

All down is 503 with the soonest reopening, never 429; the deadline is 504; constraints that nothing
can meet are 422 and name the nearest values that something could; where the day's money alone is in
the way it is 402, since waiting a moment helps nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.attempts import LASTING, FailReason
from sidecar.core.caps import CAP_GATES
from sidecar.domain import Gate, Priority
from sidecar.engine.answer import PlainAnswer
from sidecar.engine.feasible import nearest
from sidecar.engine.fitness import UNABLE, lack
from sidecar.errors import (
    DeadlineExceededError,
    InfeasibleError,
    ShedError,
    SpendCapError,
    UnavailableError,
)
from sidecar.wire.formats import any_codec, caller_codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.core.attempts import Fail
    from sidecar.core.ladder import Ladder
    from sidecar.core.routing import EndpointView
    from sidecar.domain import Call, Endpoint, EndpointId, Outcome
    from sidecar.engine.attempt import Failed
    from sidecar.engine.choosing import Chooser
    from sidecar.engine.report import Report
    from sidecar.errors import CallError

BAD_REQUEST, SERVER_ERROR = 400, 500
SHED_RETRY_AFTER_S = 30.0
RETRY_AFTER_S_MAX = 60.0
"""SDKs sleep as long as they are told; longer than a minute is a hang of our making."""


def shed_batch(call: Call, ladder: Ladder) -> None:
    """Refuse a batch call while the best tiers are short: what is left serves people.

    Raises:
        ShedError: it is one, and they are.
    """
    if call.constraints.priority is Priority.BATCH and ladder.is_shedding(loop_now()):
        message = "batch calls are shed while capacity is short"
        raise ShedError(message, retry_after_s=SHED_RETRY_AFTER_S)


def passed_through(call: Call, failed: Failed, endpoint: Endpoint, report: Report) -> PlainAnswer:
    """Return the provider's refusal of a faulty request, in the caller's format."""
    outcome = failed.outcome
    status = outcome.status or BAD_REQUEST
    if not BAD_REQUEST <= status < SERVER_ERROR:
        # An error event inside a 200, or an aggregator's 502 around a 400.
        status = BAD_REQUEST
    disclosure = report.passed(endpoint)
    if endpoint.format_for(call.format) is call.format and failed.error_body:
        return PlainAnswer(
            status=status,
            body=failed.error_body,
            disclosure=disclosure,
            content_type=failed.content_type,
        )
    source = any_codec(endpoint.format_for(call.format) or endpoint.format)
    message = source.error_text(failed.error_body or b"") or outcome.message
    body = caller_codec(call.format).render_error(
        status=status,
        code="provider_refused",
        message=message,
        details={"endpoint": endpoint.id, "call_id": call.id},
    )
    return PlainAnswer(status=status, body=body, disclosure=disclosure)


def refusal(
    fail: Fail,
    call: Call,
    outcomes: tuple[Outcome, ...],
    chooser: Chooser,
) -> CallError:
    """Return the error that says why ``call`` has no answer."""
    views, rejected = chooser.views, chooser.rejected()
    tried = _tried(outcomes) + _pinned(call)
    if fail.reason is FailReason.INFEASIBLE:
        return _infeasible(call, chooser, views, rejected)
    if fail.reason is FailReason.DEADLINE:
        waited_s = call.deadline_at - call.arrived_at
        message = f"no answer within {waited_s:.3g} s{tried}"
        return DeadlineExceededError(message, attempts=outcomes)
    if not outcomes and _is_capped(rejected):
        return SpendCapError(_capped(call, rejected))
    now = loop_now()
    soonest_s = min((at - now for view in views if (at := view.opens_at) is not None), default=None)
    retry_after_s = None if soonest_s is None else min(max(soonest_s, 0.0), RETRY_AFTER_S_MAX)
    shut = "; ".join(
        f"{view.endpoint.id}: {view.gate.value}" for view in views if view.gate is not None
    )
    message = f"no endpoint of {call.route.name!r} can answer{tried}"
    if shut:
        message += f"; not available: {shut}"
    unable = _unable(call, views, rejected)
    if unable:
        message += f"; not able: {unable}"
    if len({view.endpoint.space for view in views if _is_of_kind(view, call)}) > 1:
        message += "; vectors of another model cannot stand in"
    return UnavailableError(message, retry_after_s=retry_after_s, attempts=outcomes)


def _is_capped(rejected: Mapping[EndpointId, Gate]) -> bool:
    """Return whether money alone keeps out whoever is able to answer."""
    able = {gate for gate in rejected.values() if gate not in LASTING}
    return bool(able) and able <= CAP_GATES


def _capped(call: Call, rejected: Mapping[EndpointId, Gate]) -> str:
    """Say whose money is spent, and until when."""
    gates = set(rejected.values())
    providers = sorted(
        {
            name.partition("/")[0]
            for name, gate in rejected.items()
            if gate is Gate.PROVIDER_SPEND_CAP
        }
    )
    whose = [f"of provider {name!r}" for name in providers]
    if Gate.ROUTE_SPEND_CAP in gates:
        whose.insert(0, f"of route {call.route.name!r}")
    return (
        f"the daily spend cap {' and '.join(whose)} has no room for this call until 00:00 UTC;"
        " raise limits.usd_per_day, or add a cheaper model"
    )


def _tried(outcomes: Iterable[Outcome]) -> str:
    said = "; ".join(f"{outcome.label()} ({outcome.message})" for outcome in outcomes)
    return f"; tried {said}" if said else ""


def _pinned(call: Call) -> str:
    """Say why nobody else was asked, if that is so."""
    if not call.facts.references:
        return ""
    (path, _), keeper = call.facts.references[0], call.route.endpoints()[0]
    return f"; nobody else is asked, since {keeper} keeps what {path} refers to"


def _infeasible(
    call: Call,
    chooser: Chooser,
    views: tuple[EndpointView, ...],
    rejected: Mapping[EndpointId, Gate],
) -> InfeasibleError:
    """Say why nobody can serve the call, or what would be feasible."""
    if not any(_is_of_kind(view, call) for view in views):
        what = "makes embeddings" if call.facts.inputs_count else "answers in words"
        return InfeasibleError(f"no endpoint of {call.route.name!r} {what}")
    fit = [view for view in views if rejected.get(view.endpoint.id) not in UNABLE]
    if not fit:
        unable = _unable(call, views, rejected)
        message = f"no endpoint of {call.route.name!r} can serve this call: {unable}"
        return InfeasibleError(message)
    return nearest(call, chooser, views, fit).error()


def _unable(
    call: Call, views: tuple[EndpointView, ...], rejected: Mapping[EndpointId, Gate]
) -> str:
    """Say what each endpoint lacks that could never serve the call."""
    return "; ".join(
        f"{view.endpoint.id} {lack(view.endpoint, call, gate)}"
        for view in views
        if (gate := rejected.get(view.endpoint.id)) in UNABLE
    )


def _is_of_kind(view: EndpointView, call: Call) -> bool:
    return view.endpoint.format_for(call.format) is not None
