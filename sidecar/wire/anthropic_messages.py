"""The codec of Anthropic Messages: one name for what the files of each direction do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import WireFormat
from sidecar.wire import (
    anthropic_conversation,
    anthropic_errors,
    anthropic_render,
    anthropic_request,
    anthropic_response,
)
from sidecar.wire.anthropic_stream import AnthropicStreamParser
from sidecar.wire.anthropic_stream_render import AnthropicStreamRenderer
from sidecar.wire.splice import replace_members
from sidecar.wire.sse import SseParser

if TYPE_CHECKING:
    from sidecar.domain import RequestFacts
    from sidecar.wire.codec import Framer, StreamParser, StreamRenderer
    from sidecar.wire.neutral import (
        Completion,
        Conversation,
        Rendered,
    )


class AnthropicMessagesCodec:
    """Stateless; see ``Codec`` for every method."""

    format = WireFormat.ANTHROPIC_MESSAGES

    def path_for(self, model: str, *, is_stream: bool) -> str:  # noqa: ARG002 - both are in the body
        """Return the one path there is."""
        return "/v1/messages"

    def framer(self) -> Framer:
        """Return a fresh framer: server-sent events."""
        return SseParser()

    def inspect_request(self, body: bytes) -> RequestFacts:
        """See ``anthropic_request``."""
        return anthropic_request.inspect_request(body)

    def parse_request(self, body: bytes) -> Conversation:
        """See ``anthropic_conversation``."""
        return anthropic_conversation.parse_request(body)

    def render_request(
        self, conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
    ) -> Rendered:
        """See ``anthropic_render``."""
        return anthropic_render.render_request(
            conversation, model=model, is_stream=is_stream, max_tokens_field=max_tokens_field
        )

    def rewrite_request(
        self,
        body: bytes,
        *,
        model: str,
        system: str | None = None,
        max_tokens: tuple[str, int] | None = None,
    ) -> bytes:
        """Splice in what is new; a ``system`` prompt replaces all blocks of the caller's."""
        new = {"model": msgspec.json.encode(model)}
        if system is not None:
            new["system"] = msgspec.json.encode(system)
        if max_tokens is not None:
            field, limit = max_tokens
            new[field] = msgspec.json.encode(limit)
        return replace_members(body, new)

    def parse_response(self, body: bytes) -> Completion:
        """See ``anthropic_response``."""
        return anthropic_response.parse_response(body)

    def render_response(self, completion: Completion) -> bytes:
        """See ``anthropic_response``."""
        return anthropic_response.render_response(completion)

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""
        return AnthropicStreamParser()

    def stream_renderer(self, *, wants_usage: bool) -> StreamRenderer:  # noqa: ARG002 - always told
        """Return a fresh renderer; this format's streams carry usage whether wanted or not."""
        return AnthropicStreamRenderer()

    def render_error(
        self, *, status: int, code: str, message: str, details: dict[str, object]
    ) -> bytes:
        """See ``anthropic_errors``."""
        return anthropic_errors.render_error(
            status=status, code=code, message=message, details=details
        )

    def render_stream_error(self, *, code: str, message: str, details: dict[str, object]) -> bytes:
        """See ``anthropic_errors``."""
        return anthropic_errors.render_stream_error(code=code, message=message, details=details)

    def error_text(self, body: bytes) -> str | None:
        """See ``anthropic_errors``."""
        return anthropic_errors.error_text(body)
