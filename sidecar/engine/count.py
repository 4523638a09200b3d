"""Counting the tokens of a request: asked of a provider that can count, estimated where none can.

Counting is free, so it needs no permits and moves no breaker; a failure of it is not held against
the provider and simply leads to the estimate, which says that it is one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.engine.answer import CountAnswer, Disclosure
from sidecar.engine.ports import OutboundRequest
from sidecar.engine.prepare import JSON_HEADER
from sidecar.errors import AttemptError, WireError
from sidecar.wire.counting import COUNTINGS
from sidecar.wire.formats import codec

if TYPE_CHECKING:
    from sidecar.domain import Call, Endpoint
    from sidecar.engine.parts import Parts

COUNT_S_MAX = 5.0
COUNT_BYTES_MAX = 64 * 1024
HTTP_OK = 200


async def count_tokens(parts: Parts, call: Call) -> CountAnswer:
    """Return the input tokens of ``call``; never raises for a provider's fault."""
    for endpoint_id in call.route.endpoints():
        endpoint = parts.catalogue.endpoints[endpoint_id]
        is_able = endpoint.format_for(call.format) is call.format
        if is_able and parts.health.gate(endpoint, loop_now()) is None:
            tokens = await _ask(parts, call, endpoint)
            if tokens is not None:
                return CountAnswer(
                    input_tokens=tokens, is_estimate=False, disclosure=_disclosure(call, endpoint)
                )
    return CountAnswer(
        input_tokens=call.facts.prompt_tokens, is_estimate=True, disclosure=_disclosure(call, None)
    )


async def _ask(parts: Parts, call: Call, endpoint: Endpoint) -> int | None:
    counting = COUNTINGS[call.format]
    body = codec(call.format).rewrite_request(call.body, model=endpoint.upstream_model)
    request = OutboundRequest(
        endpoint=endpoint.id,
        path=counting.path(endpoint.upstream_model),
        body=body,
        headers=(JSON_HEADER, *call.forward_headers),
    )
    limit_at = min(call.deadline_at, loop_now() + COUNT_S_MAX)
    try:
        async with asyncio.timeout_at(limit_at):
            response = await parts.upstream.open(request, connect_s=endpoint.timers.connect_s)
            try:
                answer = b""
                while (chunk := await response.read()) and len(answer) < COUNT_BYTES_MAX:
                    answer += chunk
            finally:
                response.close()
    except (AttemptError, TimeoutError):
        return None
    if response.status != HTTP_OK:
        return None
    try:
        return counting.read(answer)
    except WireError:
        return None


def _disclosure(call: Call, endpoint: Endpoint | None) -> Disclosure:
    return Disclosure(
        call_id=call.id,
        route=call.route.name,
        endpoint=None if endpoint is None else endpoint.id,
    )
