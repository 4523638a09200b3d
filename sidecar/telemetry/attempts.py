"""One HTTP client span an attempt, made after the fact.

``gen_ai.*`` stands on the logical span alone: back ends take every span that has it for a call of a
model, and a call with three attempts would be four. What went wrong stands here alone, as long as
another attempt made up for it. A provider's message may quote the prompt: it is left out unless
content is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sidecar.domain import OutcomeClass
from sidecar.telemetry.span import CLIENT, Span, SpanEvent, SpanLink
from sidecar.tracing import attempt_span_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.catalogue import Catalogue
    from sidecar.domain import EndpointId, Outcome
    from sidecar.events import AttemptFinished
    from sidecar.telemetry.span import Attributes

HEDGE = "hedge"
ERRORS_FROM = 400
NO_ERROR = frozenset({OutcomeClass.OK, OutcomeClass.CANCEL, OutcomeClass.OUTRUN})
"""A hedge that lost, or a caller who left, is no error of the attempt."""
_PACED_S = 0.001


class AttemptSpans:
    """Makes the spans of attempts; ``says`` is whether providers' messages are kept."""

    def __init__(self, catalogue: Catalogue, *, says: bool) -> None:
        self._catalogue = catalogue
        self._says = says

    def of(
        self,
        attempts: Sequence[AttemptFinished],
        *,
        trace_id: str,
        parent_id: str,
        offset_s: float,
        before: int = 0,
    ) -> list[Span]:
        """Return the spans of ``attempts`` of one call, in the order in which they were sent.

        ``before`` have been made already; ``offset_s`` leads from the loop's clock to the epoch.
        """
        in_order = sorted(attempts, key=lambda one: one.outcome.started_at)
        spans: list[Span] = []
        for number, event in enumerate(in_order, before):
            links: tuple[SpanLink, ...] = ()
            if event.kind == HEDGE and spans:
                beside = SpanLink(
                    trace_id=trace_id,
                    span_id=spans[-1].span_id,
                    attributes={"sidecar.link": "hedge of"},
                )
                links = (beside,)
            spans.append(self._span(event, number, trace_id, parent_id, offset_s, links))
        return spans

    def _span(
        self,
        event: AttemptFinished,
        number: int,
        trace_id: str,
        parent_id: str,
        offset_s: float,
        links: tuple[SpanLink, ...],
    ) -> Span:
        outcome = event.outcome
        attributes = self.attributes(outcome, event.path, "POST")
        attributes["sidecar.attempt.kind"] = event.kind
        if number:
            attributes["http.request.resend_count"] = number
        if event.sent_at is not None and event.sent_at - outcome.started_at > _PACED_S:
            attributes["sidecar.attempt.paced_s"] = event.sent_at - outcome.started_at
        if event.expected is not None:
            attributes["sidecar.predicted.first_content_s"] = event.expected.ttft_s
            attributes["sidecar.predicted.total_s"] = event.expected.total_s
        return Span(
            trace_id=trace_id,
            span_id=attempt_span_id(event.call_id, outcome.endpoint, outcome.started_at),
            parent_id=parent_id,
            name="POST",
            kind=CLIENT,
            began_at=outcome.started_at + offset_s,
            ended_at=outcome.ended_at + offset_s,
            attributes=attributes,
            events=events_of(outcome, offset_s),
            links=links,
            error=error_of(outcome),
        )

    def attributes(self, outcome: Outcome, path: str, method: str) -> Attributes:
        """Return what is said of any request to a provider."""
        said: Attributes = {
            "http.request.method": method,
            "sidecar.endpoint": outcome.endpoint,
            "sidecar.attempt.class": outcome.cls.value,
        }
        said |= self.server(outcome.endpoint)
        base_url = self._base_url(outcome.endpoint)
        if base_url and path:
            said["url.full"] = base_url + path.partition("?")[0]
        if outcome.status is not None:
            said["http.response.status_code"] = outcome.status
        if outcome.cls not in NO_ERROR:
            is_status = outcome.status is not None and outcome.status >= ERRORS_FROM
            said["error.type"] = str(outcome.status) if is_status else outcome.cls.value
        if outcome.cost_usd:
            said["sidecar.cost_usd"] = outcome.cost_usd
        if self._says and outcome.cls is not OutcomeClass.OK:
            said["sidecar.attempt.message"] = outcome.message
        return said

    def server(self, name: EndpointId) -> Attributes:
        """Return the provider's address: who is behind us, never our own."""
        host = self._host(name)
        if host is None:
            return {}
        url = urlsplit(host)
        return {"server.address": url.hostname or "", "server.port": url.port or 0}

    def _host(self, name: EndpointId) -> str | None:
        endpoint = self._catalogue.endpoints.get(name)
        if endpoint is not None:
            return endpoint.host
        provider = {str(key): reach for key, reach in self._catalogue.providers.items()}.get(name)
        return None if provider is None else provider.host

    def _base_url(self, name: EndpointId) -> str:
        endpoint = self._catalogue.endpoints.get(name)
        reach = None if endpoint is None else self._catalogue.providers.get(endpoint.provider)
        return "" if reach is None else reach.base_url


def error_of(outcome: Outcome) -> str | None:
    """Return the description of a failed attempt's status."""
    return None if outcome.cls in NO_ERROR else outcome.cls.value


def first_content(outcome: Outcome | None, offset_s: float) -> tuple[SpanEvent, ...]:
    """Return when an attempt's first content came, if any did."""
    if outcome is None or outcome.first_content_at is None:
        return ()
    return (SpanEvent(name="sidecar.first_content", at=outcome.first_content_at + offset_s),)


def events_of(outcome: Outcome, offset_s: float) -> tuple[SpanEvent, ...]:
    """Return what happened within an attempt."""
    found = [*first_content(outcome, offset_s)]
    if outcome.retry_after_s is not None:
        found.append(
            SpanEvent(
                name="sidecar.pushback",
                at=outcome.ended_at + offset_s,
                attributes={"sidecar.retry_after_s": outcome.retry_after_s},
            )
        )
    return tuple(found)
