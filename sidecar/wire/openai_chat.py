"""The codec of OpenAI Chat Completions: one name for what the files of each direction do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import WireFormat
from sidecar.wire import (
    openai_inspect,
    openai_render,
    openai_request,
    openai_response,
    openai_stream_render,
)
from sidecar.wire.openai_stream import OpenAIStreamParser
from sidecar.wire.openai_stream_render import OpenAIStreamRenderer
from sidecar.wire.sse import SseParser

if TYPE_CHECKING:
    from sidecar.domain import RequestFacts
    from sidecar.wire.codec import Framer, StreamParser, StreamRenderer
    from sidecar.wire.neutral import (
        Completion,
        Conversation,
        Rendered,
    )


class OpenAIChatCodec:
    """Stateless; see ``Codec`` for every method."""

    format = WireFormat.OPENAI_CHAT

    def path_for(self, model: str, *, is_stream: bool) -> str:  # noqa: ARG002 - both are in the body
        """Return the one path there is."""
        return "/chat/completions"

    def framer(self) -> Framer:
        """Return a fresh framer: server-sent events."""
        return SseParser()

    def inspect_request(self, body: bytes) -> RequestFacts:
        """See ``openai_inspect``."""
        return openai_inspect.inspect_request(body)

    def parse_request(self, body: bytes) -> Conversation:
        """See ``openai_request``."""
        return openai_request.parse_request(body)

    def render_request(
        self, conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
    ) -> Rendered:
        """See ``openai_render``."""
        return openai_render.render_request(
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
        """See ``openai_inspect``."""
        return openai_inspect.rewrite_request(
            body, model=model, system=system, max_tokens=max_tokens
        )

    def parse_response(self, body: bytes) -> Completion:
        """See ``openai_response``."""
        return openai_response.parse_response(body)

    def render_response(self, completion: Completion) -> bytes:
        """See ``openai_response``."""
        return openai_response.render_response(completion)

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""
        return OpenAIStreamParser()

    def stream_renderer(self, *, wants_usage: bool) -> StreamRenderer:
        """Return a fresh renderer."""
        return OpenAIStreamRenderer(wants_usage=wants_usage)

    def render_error(
        self, *, status: int, code: str, message: str, details: dict[str, object]
    ) -> bytes:
        """See ``openai_response``."""
        return openai_response.render_error(
            status=status, code=code, message=message, details=details
        )

    def render_stream_error(self, *, code: str, message: str, details: dict[str, object]) -> bytes:
        """See ``openai_stream_render``."""
        return openai_stream_render.render_stream_error(code=code, message=message, details=details)

    def error_text(self, body: bytes) -> str | None:
        """See ``openai_response``."""
        return openai_response.error_text(body)
