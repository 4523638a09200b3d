"""The codec of OpenAI Responses: one name for what the files of each direction do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import WireFormat
from sidecar.wire import (
    openai_response,
    responses_inspect,
    responses_render,
    responses_request,
    responses_response,
    responses_stream_render,
)
from sidecar.wire.responses_stream import ResponsesStreamParser
from sidecar.wire.responses_stream_render import ResponsesStreamRenderer
from sidecar.wire.sse import SseParser

if TYPE_CHECKING:
    from sidecar.domain import RequestFacts
    from sidecar.wire.codec import Framer, StreamParser, StreamRenderer
    from sidecar.wire.neutral import (
        Completion,
        Conversation,
        Rendered,
    )


class OpenAIResponsesCodec:
    """Stateless; see ``Codec`` for every method."""

    format = WireFormat.OPENAI_RESPONSES

    def path_for(self, model: str, *, is_stream: bool) -> str:  # noqa: ARG002 - both are in the body
        """Return the one path there is."""
        return "/responses"

    def framer(self) -> Framer:
        """Return a fresh framer: server-sent events."""
        return SseParser()

    def inspect_request(self, body: bytes) -> RequestFacts:
        """See ``responses_inspect``."""
        return responses_inspect.inspect_request(body)

    def parse_request(self, body: bytes) -> Conversation:
        """See ``responses_request``."""
        return responses_request.parse_request(body)

    def render_request(
        self,
        conversation: Conversation,
        *,
        model: str,
        is_stream: bool,
        max_tokens_field: str,  # noqa: ARG002 - one name only here
    ) -> Rendered:
        """See ``responses_render``."""
        return responses_render.render_request(conversation, model=model, is_stream=is_stream)

    def rewrite_request(
        self,
        body: bytes,
        *,
        model: str,
        system: str | None = None,
        max_tokens: tuple[str, int] | None = None,
    ) -> bytes:
        """See ``responses_inspect``."""
        return responses_inspect.rewrite_request(
            body, model=model, system=system, max_tokens=max_tokens
        )

    def parse_response(self, body: bytes) -> Completion:
        """See ``responses_response``."""
        return responses_response.parse_response(body)

    def render_response(self, completion: Completion) -> bytes:
        """See ``responses_response``."""
        return responses_response.render_response(completion)

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""
        return ResponsesStreamParser()

    def stream_renderer(self, *, wants_usage: bool) -> StreamRenderer:  # noqa: ARG002 - always
        """Return a fresh renderer."""
        return ResponsesStreamRenderer()

    def render_error(
        self, *, status: int, code: str, message: str, details: dict[str, object]
    ) -> bytes:
        """See ``responses_response``."""
        return responses_response.render_error(
            status=status, code=code, message=message, details=details
        )

    def render_stream_error(self, *, code: str, message: str, details: dict[str, object]) -> bytes:
        """See ``responses_stream_render``."""
        return responses_stream_render.render_stream_error(
            code=code, message=message, details=details
        )

    def error_text(self, body: bytes) -> str | None:
        """See ``openai_response``: the same body."""
        return openai_response.error_text(body)
