"""What a wire format must be able to do; ``wire/formats.py`` maps each ``WireFormat`` to its codec.

Same format in and out never passes through the neutral form: its bytes are forwarded
(``rewrite_request``) and merely watched (``StreamParser``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sidecar.domain import RequestFacts, WireFormat
    from sidecar.wire.neutral import Completion, Conversation, Delta, Rendered
    from sidecar.wire.sse import SseEvent


class StreamParser(Protocol):
    """Provider stream → deltas; one instance an attempt."""

    def feed(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what ``event`` says; pings, comments and unknown events say nothing.

        Raises:
            WireError: the event's data is not what the format says (malformed JSON included).
        """

    def is_complete(self) -> bool:
        """Return whether the stream may end here: terminal marker seen, or a finish reason where
        servers of this format are known to omit the marker (see ``recorded`` facts:
        OpenAI-compatible servers without ``[DONE]``).
        """


class StreamRenderer(Protocol):
    """Deltas → stream of the caller's format; one instance a call."""

    def render(self, delta: Delta) -> bytes:
        """Return the SSE bytes that say ``delta``, ``b""`` if it has to wait for a later one."""

    def finish(self) -> bytes:
        """Return the bytes that close a complete stream, terminal marker included."""


class Codec(Protocol):
    """Everything one wire format can do; ``wire/formats.py`` maps ``WireFormat`` to its codec."""

    format: WireFormat
    path: str
    """Path below the provider's base URL: ``/chat/completions``, ``/v1/messages``."""

    def inspect_request(self, body: bytes) -> RequestFacts:
        """Decode the few fields the engine needs.

        Raises:
            WireError: not JSON, not UTF-8, or a field of the wrong type; with its path.
        """

    def parse_request(self, body: bytes) -> Conversation:
        """Read a whole request.

        Raises:
            WireError: as ``inspect_request``, for every field.
        """

    def render_request(
        self, conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
    ) -> Rendered:
        """Write a request; streams always ask for usage."""

    def rewrite_request(
        self,
        body: bytes,
        *,
        model: str,
        system: str | None = None,
        max_tokens: tuple[str, int] | None = None,
    ) -> bytes:
        """Return ``body`` with the model renamed by splicing, every other byte as it was.

        ``system`` replaces the system prompt, ``max_tokens`` = (field, value) bounds the answer;
        only with one of these is the JSON re-encoded around the untouched raw values.
        """

    def parse_response(self, body: bytes) -> Completion:
        """Read a whole answer.

        Raises:
            WireError: not the format's answer.
        """

    def render_response(self, completion: Completion) -> bytes:
        """Write a whole answer."""

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""

    def stream_renderer(self, *, wants_usage: bool) -> StreamRenderer:
        """Return a fresh renderer; ``wants_usage`` is the caller's
        ``stream_options.include_usage``.
        """

    def render_error(
        self, *, status: int, code: str, message: str, details: dict[str, object]
    ) -> bytes:
        """Write an error body; ``details`` (attempts, call id, …) ride in the format's error
        object.
        """

    def render_stream_error(self, *, code: str, message: str, details: dict[str, object]) -> bytes:
        """Write the SSE event that ends a broken stream; no terminal marker follows it."""

    def error_text(self, body: bytes) -> str | None:
        """Return the message of a provider's error body in this format, None if it has none."""
