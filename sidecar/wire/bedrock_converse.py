"""The codec of Bedrock's Converse and ConverseStream; only providers speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from sidecar.domain import WireFormat
from sidecar.wire import bedrock_render, bedrock_response
from sidecar.wire.aws_event_stream import EventStreamParser
from sidecar.wire.bedrock_response import ConverseStreamParser

if TYPE_CHECKING:
    from sidecar.wire.codec import Framer, StreamParser
    from sidecar.wire.neutral import Completion, Conversation, Rendered


class BedrockConverseCodec:
    """Stateless; see ``ProviderCodec`` for every method."""

    format = WireFormat.BEDROCK_CONVERSE

    def path_for(self, model: str, *, is_stream: bool) -> str:
        """Return the operation's path; colons and slashes of names and ARNs are escaped."""
        return f"/model/{quote(model, safe='')}/converse{'-stream' if is_stream else ''}"

    def render_request(
        self,
        conversation: Conversation,
        *,
        model: str,
        is_stream: bool,  # noqa: ARG002 - it is in the path
        max_tokens_field: str,
    ) -> Rendered:
        """See ``bedrock_render``."""
        return bedrock_render.render_request(
            conversation, model=model, max_tokens_field=max_tokens_field
        )

    def parse_response(self, body: bytes) -> Completion:
        """See ``bedrock_response``."""
        return bedrock_response.parse_response(body)

    def framer(self) -> Framer:
        """Return a fresh framer: AWS's binary messages."""
        return EventStreamParser()

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""
        return ConverseStreamParser()

    def error_text(self, body: bytes) -> str | None:
        """See ``bedrock_response``."""
        return bedrock_response.error_text(body)
