"""What every wire format's fixtures have to say, and where they are: one entry a format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import EMBEDDINGS, WireFormat
from sidecar.wire.formats import PROVIDER_CODECS
from tests.wire.pairs import (
    anthropic_messages,
    bedrock_converse,
    gemini,
    ollama_chat,
    openai_chat,
    openai_responses,
    replicate,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.wire.pairs.fixture import Fixture

FIXTURES: Mapping[WireFormat, Fixture] = {
    WireFormat.OPENAI_CHAT: openai_chat.FIXTURE,
    WireFormat.OPENAI_RESPONSES: openai_responses.FIXTURE,
    WireFormat.ANTHROPIC_MESSAGES: anthropic_messages.FIXTURE,
    WireFormat.GEMINI: gemini.FIXTURE,
    WireFormat.BEDROCK_CONVERSE: bedrock_converse.FIXTURE,
    WireFormat.OLLAMA_CHAT: ollama_chat.FIXTURE,
    WireFormat.REPLICATE: replicate.FIXTURE,
}
"""A format that is not registered is passed over."""
CONVERSATIONS = tuple(one for one in PROVIDER_CODECS if one not in EMBEDDINGS)
"""The formats that must be here: all that are registered, vectors apart."""
