"""Which codec speaks which wire format; a new format is one more line here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from sidecar.domain import WireFormat
from sidecar.wire.anthropic_messages import AnthropicMessagesCodec
from sidecar.wire.gemini_generate import GeminiCodec
from sidecar.wire.openai_chat import OpenAIChatCodec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.wire.codec import Codec, ProviderCodec

CODECS: Mapping[WireFormat, Codec] = MappingProxyType(
    {
        WireFormat.OPENAI_CHAT: OpenAIChatCodec(),
        WireFormat.ANTHROPIC_MESSAGES: AnthropicMessagesCodec(),
        WireFormat.GEMINI: GeminiCodec(),
    }
)
"""Formats that callers and providers speak."""
PROVIDER_CODECS: Mapping[WireFormat, ProviderCodec] = MappingProxyType({**CODECS})
"""Formats that providers speak."""


def codec(wire_format: WireFormat) -> Codec:
    """Return the codec of a format that callers speak."""
    return CODECS[wire_format]


def provider_codec(wire_format: WireFormat) -> ProviderCodec:
    """Return the codec of any format."""
    return PROVIDER_CODECS[wire_format]
