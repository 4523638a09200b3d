"""One probe: a free look at the model list, or a paid request for a few tokens or one vector.

Both settle through the health registry like live traffic, at half weight. A free probe takes only
the host's permit: it proves reachability and the credential, so it may close a host's breaker and
never an endpoint's. A 4xx other than 429 to a paid probe means that the probe itself is wrong for
the model: it says nothing, least of all «healthy».
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.cost import cost_usd
from sidecar.core.outcome import PROBE_WEIGHT, class_of
from sidecar.domain import Fault, Gate, Outcome, OutcomeClass
from sidecar.engine.judging import flaw_of_vectors
from sidecar.engine.ports import OutboundRequest
from sidecar.engine.prepare import ACCEPT_JSON, ACCEPT_STREAM, JSON_HEADER
from sidecar.engine.stream import UpstreamStream
from sidecar.errors import AttemptError, WireError
from sidecar.wire.dialect import in_dialect
from sidecar.wire.formats import EMBEDDING_CODECS, provider_codec
from sidecar.wire.neutral import Conversation, Role, TextPart, Turn
from sidecar.wire.vectors import Embedding

if TYPE_CHECKING:
    from sidecar.core.metering import TokenMeter
    from sidecar.domain import Endpoint, Usage
    from sidecar.engine.parts import Parts
    from sidecar.engine.ports import UpstreamResponse
    from sidecar.engine.tally import Tally
    from sidecar.engine.ticket import Ticket

FREE_PROBE_S = 5.0
LIST_BYTES_MAX = 4 * 1024 * 1024
ERROR_BYTES_MAX = 64 * 1024
VECTOR_BYTES_MAX = 1024 * 1024
HTTP_OK = 200
PROMPT_TOKENS = 15
DEGENERATE_RUN = 8
"""The question asks for words: less is enough than in an answer to a caller."""
OUTPUT_TOKENS = 16
OUTPUT_TOKENS_REASONING = 64
"""One token is refused or vacuous on models that think first (LiteLLM #26987)."""
QUESTION = Conversation(
    system=(),
    turns=(Turn(role=Role.USER, parts=(TextPart(text="Reply with the single word OK."),)),),
)


async def free_probe(parts: Parts, endpoint: Endpoint) -> Outcome | Gate:
    """List the provider's models; return the outcome, or the gate that refused."""
    path = parts.upstream.free_probe_path(endpoint.id)
    assert path is not None, "the scheduler asks for free probes only where there is one"
    started_at = loop_now()
    host = parts.health.hosts[endpoint.host]
    permit = host.admit(started_at, lease_s=2 * FREE_PROBE_S)
    if permit is None:
        return Gate.HOST_OPEN
    fault = Fault(cls=OutcomeClass.CANCEL, message="the probe was cancelled")
    try:
        fault = await _list(parts, endpoint, path)
    finally:
        now = loop_now()
        is_reached = fault.cls not in (OutcomeClass.CONNECT, OutcomeClass.HANG)
        fail = 0.0 if is_reached else PROBE_WEIGHT
        host.settle(permit, fail=None if fault.cls is OutcomeClass.CANCEL else fail, now=now)
    if not is_reached:
        parts.health.endpoints[endpoint.id].breaker.observe(fail=PROBE_WEIGHT, now=now)
    return Outcome(
        cls=fault.cls,
        endpoint=endpoint.id,
        message=fault.message,
        started_at=started_at,
        ended_at=now,
        status=fault.status,
    )


async def _list(parts: Parts, endpoint: Endpoint, path: str) -> Fault:
    request = OutboundRequest(
        endpoint=endpoint.id, path=path, body=None, method="GET", headers=(ACCEPT_JSON,)
    )
    try:
        async with asyncio.timeout(FREE_PROBE_S):
            response = await parts.upstream.open(request, connect_s=endpoint.timers.connect_s)
            try:
                body = await _read(response, LIST_BYTES_MAX)
            finally:
                response.close()
    except TimeoutError:
        return Fault(cls=OutcomeClass.HANG, message=f"no answer within {FREE_PROBE_S:.3g} s")
    except AttemptError as error:
        return Fault(cls=class_of(error), message=str(error))
    if response.status == HTTP_OK:
        return Fault(cls=OutcomeClass.OK, message="ok", status=HTTP_OK)
    return parts.upstream.classify(endpoint.id, response.status, response.headers, body)


async def paid_probe(parts: Parts, endpoint: Endpoint) -> Outcome | Gate:
    """Ask for a few tokens or a vector; return the outcome, or the gate that refused."""
    health = parts.health
    ticket = health.admit(endpoint, loop_now(), prompt_tokens=PROMPT_TOKENS, is_probe=True)
    if isinstance(ticket, Gate):
        return ticket
    fault = Fault(cls=OutcomeClass.CANCEL, message="the probe was cancelled")
    heard = _Heard(meter=health.endpoints[endpoint.id].meter)
    try:
        health.sent(ticket, loop_now())
        fault = await _ask(parts, ticket, heard)
        if fault.cls is OutcomeClass.OK and ticket.first_content_at is None:
            health.first_content(ticket, loop_now())
    finally:
        usage = heard.usage(fault)
        outcome = Outcome(
            cls=fault.cls,
            endpoint=endpoint.id,
            message=fault.message,
            started_at=ticket.admitted_at,
            ended_at=loop_now(),
            first_content_at=ticket.first_content_at,
            status=fault.status,
            retry_after_s=fault.retry_after_s,
            usage=usage,
            cost_usd=(cost_usd(endpoint.price, usage) or 0.0) if usage else 0.0,
        )
        health.settle(ticket, outcome)
    return outcome


@dataclass(slots=True, kw_only=True)
class _Heard:
    """What came of a probe, for its bill: nothing before a head with 200, ``told`` by an answer
    that is no stream, else what the stream's ``tally`` has.
    """

    meter: TokenMeter
    is_worked_on: bool = False
    told: Usage | None = None
    tally: Tally | None = None

    def usage(self, fault: Fault) -> Usage | None:
        """Return what the provider will bill, None if nothing; who is silent has read it."""
        if self.told is not None:
            return self.told
        if self.tally is not None:
            self.tally.teach(self.meter, 0)
            return self.tally.usage(PROMPT_TOKENS, self.meter)
        is_read = self.is_worked_on or fault.cls is OutcomeClass.HANG
        return self.meter.usage(prompt_tokens=PROMPT_TOKENS, output_tokens=0) if is_read else None


async def _ask(parts: Parts, ticket: Ticket, heard: _Heard) -> Fault:
    endpoint, hang_s = ticket.endpoint, ticket.hang_s
    request = _question(endpoint)
    try:
        async with asyncio.timeout(hang_s):
            response = await parts.upstream.open(request, connect_s=endpoint.timers.connect_s)
            try:
                return await _listen(parts, ticket, request, response, heard)
            finally:
                response.close()
    except TimeoutError:
        return Fault(cls=OutcomeClass.HANG, message=f"no content within {hang_s:.3g} s")
    except AttemptError as error:
        return Fault(cls=class_of(error), message=str(error))


def _question(endpoint: Endpoint) -> OutboundRequest:
    """Return the request for a few words, or for one vector."""
    model = endpoint.upstream_model
    own = EMBEDDING_CODECS.get(endpoint.format)
    if own is not None:
        body = own.render_request(Embedding(texts=("OK",)), model=model).body
        return OutboundRequest(
            endpoint=endpoint.id,
            path=own.path_for(model, body),
            body=body,
            headers=(JSON_HEADER, ACCEPT_JSON),
        )
    target = provider_codec(endpoint.format)
    tokens = OUTPUT_TOKENS_REASONING if endpoint.is_reasoning else OUTPUT_TOKENS
    conversation = Conversation(system=(), turns=QUESTION.turns, max_tokens=tokens)
    rendered = target.render_request(
        conversation, model=model, is_stream=True, max_tokens_field=endpoint.max_tokens_field
    )
    body, _ = in_dialect(rendered.body, endpoint.dialect)
    return OutboundRequest(
        endpoint=endpoint.id,
        path=target.path_for(model, is_stream=True),
        body=body,
        headers=(JSON_HEADER, ACCEPT_STREAM),
    )


async def _listen(
    parts: Parts,
    ticket: Ticket,
    request: OutboundRequest,
    response: UpstreamResponse,
    heard: _Heard,
) -> Fault:
    """Read the whole short answer: a provider may begin answers and break them off."""
    endpoint = ticket.endpoint
    if response.status != HTTP_OK:
        body = await _read(response, ERROR_BYTES_MAX)
        return parts.upstream.classify(endpoint.id, response.status, response.headers, body)
    heard.is_worked_on = True
    if endpoint.format in EMBEDDING_CODECS:
        return await _look_at_vectors(parts, endpoint, request, response, heard)
    name = ("probe", endpoint.upstream_model)
    stream = UpstreamStream(response, provider_codec(endpoint.format), name=name)
    heard.tally = stream.tally
    while not (stream.is_eof or stream.tally.is_ended):
        item = await stream.read()
        if stream.tally.error is not None:
            data = stream.tally.error.data
            return parts.upstream.classify(endpoint.id, HTTP_OK, response.headers, data)
        if ticket.first_content_at is None and item.has_content:
            parts.health.first_content(ticket, loop_now())
    # A model that thinks first may have spent all its tokens on that.
    is_thinking = endpoint.is_reasoning and stream.tally.finish is not None
    if ticket.first_content_at is None and not is_thinking:
        return Fault(cls=OutcomeClass.DEGENERATE, message="an answer without content")
    if stream.tally.is_degenerate(run=DEGENERATE_RUN):
        return Fault(cls=OutcomeClass.DEGENERATE, message="one character over and over")
    return Fault(cls=OutcomeClass.OK, message="ok", status=HTTP_OK)


async def _look_at_vectors(
    parts: Parts,
    endpoint: Endpoint,
    request: OutboundRequest,
    response: UpstreamResponse,
    heard: _Heard,
) -> Fault:
    body = await _read(response, VECTOR_BYTES_MAX)
    own = EMBEDDING_CODECS[endpoint.format]
    try:
        answer = own.parse_response(body, request=request.body or b"")
    except WireError as error:
        if own.error_text(body) is not None:
            return parts.upstream.classify(endpoint.id, HTTP_OK, {}, body)
        return Fault(cls=OutcomeClass.TRUNC, message=f"not a valid answer: {error.message}")
    heard.told = answer.usage
    flaw = flaw_of_vectors(answer, 1)
    if flaw is not None:
        return Fault(cls=OutcomeClass.DEGENERATE, message=flaw)
    return Fault(cls=OutcomeClass.OK, message="ok", status=HTTP_OK)


async def _read(response: UpstreamResponse, bytes_max: int) -> bytes:
    body = b""
    while (chunk := await response.read()) and len(body) < bytes_max:
        body += chunk
    return body
