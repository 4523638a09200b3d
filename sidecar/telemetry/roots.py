"""Where a trace begins: the server span, under the caller's own span or at the root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.telemetry.span import SERVER, Span
from sidecar.tracing import span_id_of, trace_id_of

if TYPE_CHECKING:
    from sidecar.events import ProbeFinished
    from sidecar.telemetry.span import Attributes, SpanEvent
    from sidecar.tracing import TraceContext


def root_of(call_id: str, trace: TraceContext | None) -> tuple[str, str]:
    """Return the trace of a call and the id of its server span."""
    trace_id = trace_id_of(call_id) if trace is None else trace.trace_id
    return trace_id, span_id_of(call_id, "server")


def logical_id_of(call_id: str) -> str:
    """Return the id of a call's GenAI span."""
    return span_id_of(call_id, "gen_ai")


def probe_trace_id(event: ProbeFinished) -> str:
    """Return the trace of a probe."""
    return trace_id_of(f"probe {event.endpoint} {event.kind} {event.outcome.started_at}")


def root(  # noqa: PLR0913 - what a span is made of
    call_id: str,
    trace: TraceContext | None,
    *,
    name: str,
    times: tuple[float, float],
    attributes: Attributes,
    events: tuple[SpanEvent, ...] = (),
    error: str | None = None,
) -> Span:
    """Return a server span; ``times`` are its beginning and end, seconds since the epoch."""
    trace_id, span_id = root_of(call_id, trace)
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=None if trace is None else trace.span_id,
        name=name,
        kind=SERVER,
        began_at=times[0],
        ended_at=times[1],
        attributes=attributes,
        events=events,
        error=error,
        state="" if trace is None else trace.state,
        is_remote=trace is not None,
    )
