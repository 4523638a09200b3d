"""What a wire format must be able to do; ``wire/formats.py`` maps each ``WireFormat`` to its codec.

What only providers speak is a ``ProviderCodec``, what callers speak too a ``Codec``; a format for
vectors, which callers speak too, is an ``EmbeddingCodec``.

Same format in and out never passes through the neutral form: its bytes are forwarded
(``rewrite_request``) and merely watched (``StreamParser``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sidecar.domain import RequestFacts, WireFormat
    from sidecar.wire.neutral import Completion, Conversation, Delta, Rendered
    from sidecar.wire.sse import SseEvent
    from sidecar.wire.vectors import Embedding


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


class Framer(Protocol):
    """Cuts a stream's bytes into events, however they are split: ``SseParser`` for most."""

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that ``chunk`` completes.

        Raises:
            WireError: the bytes are not framed as they should be, or an event exceeds the bound.
        """

    def end(self) -> list[SseEvent]:
        """Return the event that nothing but the end of the bytes completes, if there is one.

        Raises:
            WireError: what is left is no event.
        """


class ProviderCodec(Protocol):
    """What it takes to ask a provider in a format and to understand its answer."""

    format: WireFormat

    def path_for(self, model: str, *, is_stream: bool) -> str:
        """Return the path below the provider's base URL, query included."""

    def render_request(
        self, conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
    ) -> Rendered:
        """Write a request; streams always ask for usage."""

    def parse_response(self, body: bytes) -> Completion:
        """Read a whole answer.

        Raises:
            WireError: not the format's answer.
        """

    def framer(self) -> Framer:
        """Return a fresh framer for a stream's bytes."""

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""

    def error_text(self, body: bytes) -> str | None:
        """Return the message of a provider's error body in this format, None if it has none."""


class Codec(ProviderCodec, Protocol):
    """Everything a format can do that callers speak too."""

    def inspect_request(self, body: bytes) -> RequestFacts:
        """Decode the few fields the engine needs; model and stream flag are empty where the format
        has them in the path.

        Raises:
            WireError: not JSON, not UTF-8, or a field of the wrong type; with its path.
        """

    def parse_request(self, body: bytes) -> Conversation:
        """Read a whole request.

        Raises:
            WireError: as ``inspect_request``, for every field.
        """

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
        only with one of these is the JSON re-encoded around the untouched raw values. A format with
        one name only for the field does not look at the one given.
        """

    def render_response(self, completion: Completion) -> bytes:
        """Write a whole answer."""

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


class EmbeddingCodec(Protocol):
    """Everything a format for vectors can do; what is said of ``Codec`` holds here too."""

    format: WireFormat

    def path_for(self, model: str, body: bytes) -> str:
        """Return the path below the provider's base URL for a request with this body."""

    def inspect_request(self, body: bytes) -> RequestFacts:
        """As ``Codec``; ``max_tokens`` is 0, and ``inputs_count`` says how many vectors are due."""

    def parse_request(self, body: bytes) -> Embedding:
        """As ``Codec``."""

    def render_request(self, embedding: Embedding, *, model: str) -> Rendered:
        """Write a request."""

    def rewrite_request(self, body: bytes, *, model: str) -> bytes:
        """Return ``body`` with the model renamed by splicing, every other byte as it was."""

    def parse_response(self, body: bytes, *, request: bytes) -> Completion:
        """Read the answer to ``request``, the body that was sent.

        Raises:
            WireError: not the format's answer.
        """

    def render_response(self, completion: Completion, embedding: Embedding) -> bytes:
        """Write the answer to ``embedding``.

        Raises:
            WireError: its vectors are in an encoding of their provider's own.
        """

    def error_text(self, body: bytes) -> str | None:
        """As ``ProviderCodec``."""

    def render_error(
        self, *, status: int, code: str, message: str, details: dict[str, object]
    ) -> bytes:
        """As ``Codec``."""
