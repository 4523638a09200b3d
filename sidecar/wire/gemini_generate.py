"""The codec of Gemini's ``generateContent``: one name for what the files of each direction do."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from sidecar.domain import WireFormat
from sidecar.wire import (
    gemini_conversation,
    gemini_errors,
    gemini_inspect,
    gemini_render,
    gemini_response,
)
from sidecar.wire.gemini_stream import GeminiStreamParser
from sidecar.wire.gemini_stream_render import GeminiStreamRenderer
from sidecar.wire.sse import SseParser

if TYPE_CHECKING:
    from sidecar.domain import RequestFacts
    from sidecar.wire.codec import Framer, StreamParser, StreamRenderer
    from sidecar.wire.neutral import Completion, Conversation, Rendered


class GeminiCodec:
    """Stateless; see ``Codec`` for every method."""

    format = WireFormat.GEMINI

    def path_for(self, model: str, *, is_stream: bool) -> str:
        """Return the path, which names model and method; ``alt=sse`` makes events of a stream."""
        method = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
        return f"{model_path(model)}:{method}"

    def framer(self) -> Framer:
        """Return a fresh framer: server-sent events."""
        return SseParser()

    def inspect_request(self, body: bytes) -> RequestFacts:
        """See ``gemini_inspect``."""
        return gemini_inspect.inspect_request(body)

    def parse_request(self, body: bytes) -> Conversation:
        """See ``gemini_conversation``."""
        return gemini_conversation.parse_request(body)

    def render_request(
        self,
        conversation: Conversation,
        *,
        model: str,
        is_stream: bool,  # noqa: ARG002 - in the path
        max_tokens_field: str,  # noqa: ARG002 - there is one name for it
    ) -> Rendered:
        """See ``gemini_render``."""
        return gemini_render.render_request(conversation, model=model)

    def rewrite_request(
        self,
        body: bytes,
        *,
        model: str,
        system: str | None = None,
        max_tokens: tuple[str, int] | None = None,
    ) -> bytes:
        """See ``gemini_inspect``."""
        return gemini_inspect.rewrite_request(
            body, model=model, system=system, max_tokens=max_tokens
        )

    def parse_response(self, body: bytes) -> Completion:
        """See ``gemini_response``."""
        return gemini_response.parse_response(body)

    def render_response(self, completion: Completion) -> bytes:
        """See ``gemini_response``."""
        return gemini_response.render_response(completion)

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""
        return GeminiStreamParser()

    def stream_renderer(self, *, wants_usage: bool) -> StreamRenderer:  # noqa: ARG002 - always
        """Return a fresh renderer."""
        return GeminiStreamRenderer()

    def render_error(
        self, *, status: int, code: str, message: str, details: dict[str, object]
    ) -> bytes:
        """See ``gemini_errors``."""
        return gemini_errors.render_error(
            status=status, code=code, message=message, details=details
        )

    def render_stream_error(self, *, code: str, message: str, details: dict[str, object]) -> bytes:
        """See ``gemini_errors``."""
        return gemini_errors.render_stream_error(code=code, message=message, details=details)

    def error_text(self, body: bytes) -> str | None:
        """See ``gemini_errors``."""
        return gemini_errors.error_text(body)


def model_path(model: str) -> str:
    """Return ``/models/{model}``; names of tuned models bring a folder of their own."""
    name = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
    return "/" + quote(name, safe="/-._~")
