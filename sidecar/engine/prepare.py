"""A call's body in the words of the endpoint that is about to be tried; made lazily, endpoint by
endpoint.

Same format: the caller's bytes with the model renamed. Another format: through the neutral
conversation, parsed once a call. Last, the provider's dialect of the format. What the endpoint
cannot express is remembered, for ``x-sidecar-dropped``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sidecar.errors import BadRequestError, WireError
from sidecar.wire.continuation import continued
from sidecar.wire.dialect import PLAIN, in_dialect
from sidecar.wire.formats import EMBEDDING_CODECS, codec, provider_codec

if TYPE_CHECKING:
    from sidecar.abilities import Dialect
    from sidecar.domain import Call, Endpoint, WireFormat
    from sidecar.wire.neutral import Conversation

JSON_HEADER = ("content-type", "application/json")
ACCEPT_STREAM = ("accept", "text/event-stream")
ACCEPT_JSON = ("accept", "application/json")


@dataclass(slots=True, kw_only=True)
class PreparedBody:
    """What to send, in ``format``: path below the base URL, headers without credentials, body; and
    what got lost. The body is its attempt's own, who may ``let_go`` of it.
    """

    format: WireFormat
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    dropped: tuple[str, ...] = ()
    is_translated: bool = False

    def let_go(self) -> None:
        """Forget the body: a stream has begun, and this request is not sent again."""
        self.body = b""


class Preparation:
    """Owns the parsed conversation of one call; ``delivered`` is text to go on after, if any."""

    __slots__ = (*("_call", "_conversation", "delivered"),)

    def __init__(self, call: Call) -> None:
        self._call = call
        self._conversation: Conversation | None = None
        self.delivered: str | None = None

    def body_for(self, endpoint: Endpoint, *, max_tokens: int | None) -> PreparedBody:
        """Return the request for ``endpoint``; ``max_tokens`` clamps the answer where a budget asks
        for it.

        Raises: BadRequestError: the caller's body cannot be read as its format says (only found
        when translating).
        """
        call = self._call
        if call.format in EMBEDDING_CODECS:
            return _embedding_body(call, endpoint)
        accept = ACCEPT_STREAM if call.facts.is_stream else ACCEPT_JSON
        if endpoint.format_for(call.format) is call.format and self.delivered is None:
            own = codec(call.format)
            body = own.rewrite_request(
                call.body,
                model=endpoint.upstream_model,
                system=call.route.prompts.get(endpoint.id),
                max_tokens=None if max_tokens is None else (endpoint.max_tokens_field, max_tokens),
            )
            body, lost = in_dialect(body, dialect_of(endpoint, call.format))
            return PreparedBody(
                format=call.format,
                path=own.path_for(endpoint.upstream_model, is_stream=call.facts.is_stream),
                headers=(JSON_HEADER, accept, *call.forward_headers),
                body=body,
                dropped=lost,
            )
        return self._translate(endpoint, accept, max_tokens)

    def _translate(
        self, endpoint: Endpoint, accept: tuple[str, str], max_tokens: int | None
    ) -> PreparedBody:
        conversation = self.conversation()
        if self.delivered is not None:
            conversation = continued(
                conversation, self.delivered, supports_prefill=endpoint.supports_prefill
            )
        prompt = self._call.route.prompts.get(endpoint.id)
        if prompt is not None:
            conversation = replace(conversation, system=(prompt,))
        if max_tokens is not None:
            conversation = replace(conversation, max_tokens=max_tokens)
        spoken = endpoint.format_for(self._call.format) or endpoint.format
        target = provider_codec(spoken)
        is_stream = self._call.facts.is_stream
        try:
            rendered = target.render_request(
                conversation,
                model=endpoint.upstream_model,
                is_stream=is_stream,
                max_tokens_field=endpoint.max_tokens_field,
            )
        except WireError as error:
            raise BadRequestError(error.message, path=error.path) from error
        body, lost = in_dialect(rendered.body, dialect_of(endpoint, spoken))
        return PreparedBody(
            format=spoken,
            path=target.path_for(endpoint.upstream_model, is_stream=is_stream),
            headers=(JSON_HEADER, accept),
            body=body,
            dropped=tuple(dict.fromkeys((*rendered.dropped, *lost))),
            is_translated=True,
        )

    def conversation(self) -> Conversation:
        """Return the call's conversation in neutral form.

        Raises:
            BadRequestError: the caller's body is not what its format says.
        """
        if self._conversation is None:
            try:
                self._conversation = codec(self._call.format).parse_request(self._call.body)
            except WireError as error:
                raise BadRequestError(error.message, path=error.path) from error
        return self._conversation


def dialect_of(endpoint: Endpoint, spoken: WireFormat) -> Dialect:
    """Return how the endpoint wants ``spoken``: its dialect is of its own format alone."""
    return endpoint.dialect if spoken is endpoint.format else PLAIN


def _embedding_body(call: Call, endpoint: Endpoint) -> PreparedBody:
    """Return the request for vectors; it has no system prompt to replace and no length to bound."""
    own, spoken = EMBEDDING_CODECS[call.format], endpoint.format_for(call.format)
    assert spoken is not None, "who makes no vectors is not eligible"
    target = EMBEDDING_CODECS[spoken]
    if target is own:
        body = own.rewrite_request(call.body, model=endpoint.upstream_model)
        return PreparedBody(
            format=spoken,
            path=own.path_for(endpoint.upstream_model, body),
            headers=(JSON_HEADER, ACCEPT_JSON, *call.forward_headers),
            body=body,
        )
    try:
        embedding = own.parse_request(call.body)
        rendered = target.render_request(embedding, model=endpoint.upstream_model)
    except WireError as error:
        raise BadRequestError(error.message, path=error.path) from error
    return PreparedBody(
        format=spoken,
        path=target.path_for(endpoint.upstream_model, rendered.body),
        headers=(JSON_HEADER, ACCEPT_JSON),
        body=rendered.body,
        dropped=rendered.dropped,
        is_translated=True,
    )
