"""The spans of what is no call: refused requests, passed ones, probes. HTTP alone, no ``gen_ai.*``.

A probe has a trace of its own: nobody asked for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.telemetry.attempts import AttemptSpans, error_of, events_of
from sidecar.telemetry.names import template_of
from sidecar.telemetry.roots import probe_trace_id, root, root_of
from sidecar.telemetry.span import CLIENT, Span
from sidecar.tracing import attempt_span_id, span_id_of

if TYPE_CHECKING:
    from sidecar.catalogue import Catalogue
    from sidecar.events import CallRefused, PassageFinished, ProbeFinished
    from sidecar.telemetry.span import Attributes

SERVER_ERRORS = 500


class OtherSpans:
    """Makes these spans; ``says`` is whether providers' messages are kept."""

    def __init__(self, *, says: bool) -> None:
        self._says = says

    def refused(self, event: CallRefused, offset_s: float) -> list[Span]:
        """Return the span of a request that became no call."""
        path = template_of(event.format)
        said: Attributes = {
            "http.request.method": "POST",
            "http.response.status_code": event.status,
            "sidecar.call_id": event.call_id,
            "sidecar.result": event.code,
        }
        is_error = event.status >= SERVER_ERRORS
        if is_error:
            said["error.type"] = event.code
        return [
            root(
                event.call_id,
                event.trace,
                name=f"POST {path}".rstrip(),
                times=(event.arrived_at + offset_s, event.at + offset_s),
                attributes=said,
                error=event.code if is_error else None,
            )
        ]

    def passage(self, event: PassageFinished, catalogue: Catalogue, offset_s: float) -> list[Span]:
        """Return the spans of a request that was passed on."""
        trace_id, server_id = root_of(event.call_id, event.trace)
        path = "/{provider}/…"
        is_error = event.status is None
        said: Attributes = {
            "http.request.method": event.method,
            "http.route": path,
            "sidecar.call_id": event.call_id,
            "sidecar.provider": event.provider,
        }
        if event.status is not None:
            said["http.response.status_code"] = event.status
        else:
            said["error.type"] = "unavailable"
        server = root(
            event.call_id,
            event.trace,
            name=f"{event.method} {path}",
            times=(event.at - event.duration_s + offset_s, event.at + offset_s),
            attributes=said,
            error="unavailable" if is_error else None,
        )
        made = AttemptSpans(catalogue, says=self._says)
        children = []
        for number, outcome in enumerate(event.attempts):
            own = made.attributes(outcome, "", event.method)
            if number:
                own["http.request.resend_count"] = number
            children.append(
                Span(
                    trace_id=trace_id,
                    span_id=attempt_span_id(event.call_id, outcome.endpoint, outcome.started_at),
                    parent_id=server_id,
                    name=event.method,
                    kind=CLIENT,
                    began_at=outcome.started_at + offset_s,
                    ended_at=outcome.ended_at + offset_s,
                    attributes=own,
                    events=events_of(outcome, offset_s),
                    error=error_of(outcome),
                )
            )
        return [server, *children]

    def probe(self, event: ProbeFinished, catalogue: Catalogue, offset_s: float) -> list[Span]:
        """Return the span of a probe, in a trace of its own."""
        outcome = event.outcome
        trace_id = probe_trace_id(event)
        method = "GET" if event.kind == "free" else "POST"
        made = AttemptSpans(catalogue, says=self._says)
        said = made.attributes(outcome, "", method)
        said |= {"sidecar.probe.kind": event.kind, "sidecar.probe.why": event.why}
        if event.cost_usd:
            said["sidecar.cost_usd"] = event.cost_usd
        return [
            Span(
                trace_id=trace_id,
                span_id=span_id_of(trace_id, "probe"),
                parent_id=None,
                name=f"probe {outcome.endpoint}",
                kind=CLIENT,
                began_at=outcome.started_at + offset_s,
                ended_at=outcome.ended_at + offset_s,
                attributes=said,
                events=events_of(outcome, offset_s),
                error=error_of(outcome),
            )
        ]
