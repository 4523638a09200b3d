"""The spans of a call, made after the fact: ``SERVER`` > GenAI ``CLIENT`` > HTTP ``CLIENT`` each.

The server span is the call as its caller sees it and holds the decision: who could be asked, with
score and prediction, and who could not and why. The GenAI span is the one logical operation, all
attempts included; it has no error if any of them made it. Below it stand the attempts
(``attempts.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.errors import CallError
from sidecar.telemetry.attempts import AttemptSpans, first_content
from sidecar.telemetry.counting import result_is_fine
from sidecar.telemetry.decision import decision, happenings, wishes
from sidecar.telemetry.names import operation_of, path_of, provider_of
from sidecar.telemetry.roots import logical_id_of, root, root_of
from sidecar.telemetry.span import CLIENT, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.catalogue import Catalogue
    from sidecar.domain import EndpointId, Outcome
    from sidecar.events import AttemptFinished, CallFinished
    from sidecar.telemetry.names import Names
    from sidecar.telemetry.redaction import Redactor
    from sidecar.telemetry.span import Attributes

OK_STATUS, CLIENT_CLOSED, PASSED, SERVER_ERRORS = 200, 499, 400, 500
_KINDS: tuple[type[CallError], ...] = (CallError, *CallError.__subclasses__())
STATUSES: dict[str, int] = {
    "cancelled": CLIENT_CLOSED,
    "passed": PASSED,
    **{kind.code: kind.status for kind in _KINDS},
}


class CallSpans:
    """Makes the spans of calls. ``redactor`` None: nothing that was said is recorded."""

    def __init__(self, names: Names, redactor: Redactor | None) -> None:
        self._names = names
        self._redactor = redactor

    def call(
        self,
        event: CallFinished,
        attempts: Sequence[AttemptFinished],
        catalogue: Catalogue,
        offset_s: float,
    ) -> list[Span]:
        """Return the spans of one call, the server's first."""
        trace_id, _ = root_of(event.call_id, event.trace)
        made = AttemptSpans(catalogue, says=self._redactor is not None)
        server = self._server(event, offset_s)
        if not event.attempts and not attempts:
            return [server]
        logical_id = logical_id_of(event.call_id)
        children = made.of(attempts, trace_id=trace_id, parent_id=logical_id, offset_s=offset_s)
        logical = self._logical(event, made, catalogue, offset_s)
        return [server, logical, *children]

    def late(
        self,
        events: Sequence[AttemptFinished],
        catalogue: Catalogue,
        offset_s: float,
        *,
        before: int,
    ) -> list[Span]:
        """Return the spans of attempts that settled after their call had ended."""
        first = events[0]
        trace_id, _ = root_of(first.call_id, first.trace)
        return AttemptSpans(catalogue, says=self._redactor is not None).of(
            events,
            trace_id=trace_id,
            parent_id=logical_id_of(first.call_id),
            offset_s=offset_s,
            before=before,
        )

    # --- the call ------------------------------------------------------------------------------

    def _server(self, event: CallFinished, offset_s: float) -> Span:
        status = _status_of(event)
        path = path_of(event)
        said: Attributes = {
            "http.request.method": "POST",
            "http.route": path,
            "http.response.status_code": status,
            "sidecar.call_id": event.call_id,
            "sidecar.route": event.route,
            "sidecar.result": event.result,
            "sidecar.attempts": len(event.attempts),
            "sidecar.cost_usd": event.cost_usd,
        }
        if event.endpoint is not None:
            said["sidecar.endpoint"] = event.endpoint
        if event.level is not None:
            said["sidecar.degraded"] = event.level
        if event.invalid_output is not None:
            said["sidecar.invalid_output"] = True
        said |= wishes(event)
        if event.choice is not None:
            said |= decision(event.choice)
        if status >= SERVER_ERRORS:
            said["error.type"] = event.result
        return root(
            event.call_id,
            event.trace,
            name=f"POST {path}",
            times=(event.at - event.duration_s + offset_s, event.at + offset_s),
            attributes=said,
            events=happenings(event, offset_s),
            error=event.result if status >= SERVER_ERRORS else None,
        )

    def _logical(
        self, event: CallFinished, made: AttemptSpans, catalogue: Catalogue, offset_s: float
    ) -> Span:
        trace_id, server_id = root_of(event.call_id, event.trace)
        last = event.attempts[-1] if event.attempts else None
        name = event.endpoint or (None if last is None else last.endpoint)
        began_at = event.at - event.duration_s
        said = _request(event)
        if name is not None:
            said |= _who(name, catalogue) | made.server(name)
        if event.answer_id is not None:
            said["gen_ai.response.id"] = event.answer_id
        if event.finish is not None:
            said["gen_ai.response.finish_reasons"] = (event.finish,)
        if last is not None and last.endpoint == name:
            said |= self._answer(last, began_at, said)
        if event.content is not None and self._redactor is not None:
            said |= self._redactor.attributes(event.content)
        is_fine = result_is_fine(event.result)
        if not is_fine:
            said["error.type"] = event.result
        return Span(
            trace_id=trace_id,
            span_id=logical_id_of(event.call_id),
            parent_id=server_id,
            name=f"{said['gen_ai.operation.name']} {said['gen_ai.request.model']}",
            kind=CLIENT,
            began_at=began_at + offset_s,
            ended_at=event.at + offset_s,
            attributes=said,
            events=first_content(last, offset_s),
            error=None if is_fine else event.result,
        )

    def _answer(self, last: Outcome, began_at: float, request: Attributes) -> Attributes:
        """Return what is said of the answer of the attempt that ended the call."""
        said = self._usage(last)
        if last.first_content_at is not None and "gen_ai.request.stream" in request:
            said["gen_ai.response.time_to_first_chunk"] = last.first_content_at - began_at
        return said

    def _usage(self, outcome: Outcome) -> Attributes:
        usage = outcome.usage
        if usage is None:
            return {}
        said: Attributes = {
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
        }
        if usage.cached_tokens:
            said["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
        if usage.cache_write_tokens:
            said[self._names.cache_write] = usage.cache_write_tokens
        if usage.reasoning_tokens:
            said["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
        if usage.is_estimated:
            said["sidecar.usage_is_estimated"] = True
        return said


def _request(event: CallFinished) -> Attributes:
    """Return what is said of what was asked."""
    asked = event.asked
    said: Attributes = {
        "gen_ai.operation.name": operation_of(event.format),
        "gen_ai.request.model": event.route if asked is None else asked.model,
    }
    if asked is not None and asked.is_stream:
        said["gen_ai.request.stream"] = True
    if asked is not None and asked.max_tokens is not None:
        said["gen_ai.request.max_tokens"] = asked.max_tokens
    return said


def _status_of(event: CallFinished) -> int:
    """Return the status that the caller got."""
    if event.result == "passed" and event.attempts:
        return event.attempts[-1].status or PASSED
    return STATUSES.get(event.result, OK_STATUS)


def _who(name: EndpointId, catalogue: Catalogue) -> Attributes:
    """Return provider and model as the conventions call them."""
    endpoint = catalogue.endpoints.get(name)
    if endpoint is None:
        provider, _, model = name.partition("/")
        return {"gen_ai.provider.name": provider, "gen_ai.response.model": model}
    reach = catalogue.providers.get(endpoint.provider)
    kind = reach.kind if reach is not None and reach.kind else str(endpoint.provider)
    return {
        "gen_ai.provider.name": provider_of(kind),
        "gen_ai.response.model": endpoint.upstream_model,
        "sidecar.endpoint": name,
    }
