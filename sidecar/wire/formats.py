"""Which codec speaks which wire format; a new format is one more line here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from sidecar.domain import WireFormat
from sidecar.wire.anthropic_messages import AnthropicMessagesCodec
from sidecar.wire.openai_chat import OpenAIChatCodec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.wire.codec import Codec

CODECS: Mapping[WireFormat, Codec] = MappingProxyType(
    {
        WireFormat.OPENAI_CHAT: OpenAIChatCodec(),
        WireFormat.ANTHROPIC_MESSAGES: AnthropicMessagesCodec(),
    }
)


def codec(wire_format: WireFormat) -> Codec:
    """Return the codec of ``wire_format``."""
    return CODECS[wire_format]
