"""From bytes and headers to a ``Call``: read what the engine needs, refuse what is no request.

The caller's ``sidecar`` object is cut out of the body here; of the caller's headers only those few
go on that change what an API of the same format does (versions and betas). The caller's credential
is none of them, ever: it may be a placeholder, and a provider's key is ours to add.
``Content-Type`` is not looked at: whoever posts JSON to these paths means JSON, and curl says
otherwise.

The deadline is an instant from here on: arrival plus the route's limit, or the caller's own
``within``, longer or shorter. An SDK that announces its read timeout is believed for plain calls,
where it bounds the whole answer; in a stream it bounds a gap. It began to wait before the call
arrived and tries again when it gives up, so our answer comes a little earlier.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.domain import Call, CallId, Constraints, RequestFacts, Route, WireFormat
from sidecar.errors import BadRequestError, WireError
from sidecar.server.constraints import read_constraints
from sidecar.tracing import context_in
from sidecar.value import value
from sidecar.wire.counting import COUNTINGS
from sidecar.wire.envelope import take_sidecar
from sidecar.wire.formats import caller_codec, codec

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from sidecar.catalogue import Catalogue

WITHIN_S_MAX = 600.0
"""The official SDKs' own default timeout: nobody listens any longer."""
FORWARDED_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")
_PATIENCE_HEADERS = ("x-stainless-read-timeout", "x-stainless-timeout", "x-server-timeout")
_PATIENCE_SHARE = 0.95
_FORWARDED, _PATIENCE = frozenset(FORWARDED_HEADERS), frozenset(_PATIENCE_HEADERS)
_CALL_ID_BYTES = 12
TASK_DOOR = "/v1/tasks/{route}"


@value
class Arrival:
    """What is known of a call before its body: ``format`` is the one its path speaks, ``model``
    (or the task) and ``is_stream`` what the path says of them, None where the body does.
    """

    id: CallId
    at: float
    format: WireFormat
    headers: Mapping[str, str]
    model: str | None = None
    is_stream: bool | None = None


class Intake:
    """Reads calls against the catalogue of the moment; ``rng`` makes the ids."""

    def __init__(self, catalogue: Callable[[], Catalogue], rng: random.Random) -> None:
        self.catalogue = catalogue
        self._rng = rng

    def new_id(self) -> CallId:
        """Return ``call_`` and 24 hexadecimal digits."""
        number = self._rng.getrandbits(8 * _CALL_ID_BYTES)
        return CallId("call_" + number.to_bytes(_CALL_ID_BYTES, "big").hex())

    def completion(self, arrival: Arrival, body: bytes) -> Call:
        """Return the call for an answer of the model.

        Raises:
            BadRequestError: the body or a constraint is not what it must be; says where.
            UnknownModelError: ``model`` leads nowhere.
        """
        return self._call(arrival, body, caller_codec(arrival.format).inspect_request)

    def count(self, arrival: Arrival, body: bytes) -> Call:
        """Return the call for a count of input tokens; raises as ``completion``."""
        return self._call(arrival, body, COUNTINGS[arrival.format].inspect)

    def task(self, arrival: Arrival, body: bytes) -> Call:
        """Return the call for a task in the plain form; raises as ``completion``."""
        from sidecar.wire.tasks import parse_task  # noqa: PLC0415 - with the first task

        inspect = codec(arrival.format).inspect_request
        call = self._call(
            arrival, body, inspect, lambda task: parse_task(task, arrival.model or "")
        )
        return replace(call, door=TASK_DOOR)

    def _call(
        self,
        arrival: Arrival,
        body: bytes,
        inspect: Callable[[bytes], RequestFacts],
        translate: Callable[[bytes], bytes] | None = None,
    ) -> Call:
        if not body or body.isspace():
            raise BadRequestError("the request has no body; expected a JSON object", path="$")
        try:
            body, wishes = take_sidecar(body)
            if translate is not None:
                body = translate(body)
            facts = inspect(body)
        except WireError as error:
            raise BadRequestError(error.message, path=error.path) from error
        if arrival.model is not None:
            facts = replace(facts, model=arrival.model)
        if arrival.is_stream is not None:
            facts = replace(facts, is_stream=arrival.is_stream)
        route = self.catalogue().resolve(facts.model)
        constraints = read_constraints(arrival.headers, wishes, route.constraints)
        limit_s = _limit_s(route, constraints, facts, arrival.headers)
        return Call(
            id=arrival.id,
            arrived_at=arrival.at,
            deadline_at=arrival.at + limit_s,
            format=arrival.format,
            route=route,
            body=body,
            facts=facts,
            constraints=constraints,
            forward_headers=_forwarded(arrival.headers),
            trace=context_in(arrival.headers),
        )


def _limit_s(
    route: Route, constraints: Constraints, facts: RequestFacts, headers: Mapping[str, str]
) -> float:
    """Return how long the whole answer may take, in seconds."""
    if constraints.within_s is None:
        limit_s = route.within_s
    else:
        limit_s = min(constraints.within_s, WITHIN_S_MAX)
    if facts.is_stream or _PATIENCE.isdisjoint(headers):
        return limit_s
    for name in _PATIENCE_HEADERS:
        if name in headers:
            limit_s = min(limit_s, _patience_s(headers[name]))
    return limit_s


def _patience_s(text: str) -> float:
    """Return for how much of its wait an SDK is kept waiting, seconds; infinite where it names none
    (``NOT_GIVEN``).
    """
    try:
        patience_s = float(text)
    except ValueError:
        return math.inf
    return patience_s * _PATIENCE_SHARE if patience_s > 0 else math.inf


def _forwarded(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the headers that providers of the same format may see."""
    if _FORWARDED.isdisjoint(headers):
        return ()
    return tuple((name, headers[name]) for name in FORWARDED_HEADERS if name in headers)
