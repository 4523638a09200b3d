"""Which codec speaks which wire format; a new format is one more line here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from sidecar.domain import WireFormat
from sidecar.wire.anthropic_messages import AnthropicMessagesCodec
from sidecar.wire.bedrock_converse import BedrockConverseCodec
from sidecar.wire.gemini_embeddings import GeminiEmbeddingsCodec
from sidecar.wire.gemini_generate import GeminiCodec
from sidecar.wire.ollama_chat import OllamaChatCodec
from sidecar.wire.openai_chat import OpenAIChatCodec
from sidecar.wire.openai_embeddings import OpenAIEmbeddingsCodec
from sidecar.wire.openai_responses import OpenAIResponsesCodec
from sidecar.wire.replicate import ReplicateCodec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.wire.codec import Codec, EmbeddingCodec, ProviderCodec

CODECS: Mapping[WireFormat, Codec] = MappingProxyType(
    {
        WireFormat.OPENAI_CHAT: OpenAIChatCodec(),
        WireFormat.OPENAI_RESPONSES: OpenAIResponsesCodec(),
        WireFormat.ANTHROPIC_MESSAGES: AnthropicMessagesCodec(),
        WireFormat.GEMINI: GeminiCodec(),
    }
)
"""Formats that callers and providers speak."""
PROVIDER_CODECS: Mapping[WireFormat, ProviderCodec] = MappingProxyType(
    {
        **CODECS,
        WireFormat.BEDROCK_CONVERSE: BedrockConverseCodec(),
        WireFormat.OLLAMA_CHAT: OllamaChatCodec(),
        WireFormat.REPLICATE: ReplicateCodec(),
    }
)
"""Formats that providers speak."""
EMBEDDING_CODECS: Mapping[WireFormat, EmbeddingCodec] = MappingProxyType(
    {
        WireFormat.OPENAI_EMBEDDINGS: OpenAIEmbeddingsCodec(),
        WireFormat.GEMINI_EMBEDDINGS: GeminiEmbeddingsCodec(),
    }
)
"""Formats for vectors, that callers and providers speak."""


def codec(wire_format: WireFormat) -> Codec:
    """Return the codec of a format in which callers ask for words."""
    return CODECS[wire_format]


def provider_codec(wire_format: WireFormat) -> ProviderCodec:
    """Return the codec of any format for words."""
    return PROVIDER_CODECS[wire_format]


def caller_codec(wire_format: WireFormat) -> Codec | EmbeddingCodec:
    """Return the codec of any format that callers speak."""
    return EMBEDDING_CODECS.get(wire_format) or CODECS[wire_format]


def any_codec(wire_format: WireFormat) -> ProviderCodec | EmbeddingCodec:
    """Return the codec of any format."""
    return EMBEDDING_CODECS.get(wire_format) or PROVIDER_CODECS[wire_format]


def is_spoken(wire_format: WireFormat | None) -> bool:
    """Return whether callers can be answered in ``wire_format``."""
    return wire_format in CODECS or wire_format in EMBEDDING_CODECS
