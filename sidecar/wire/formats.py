"""Which codec speaks which wire format; a new format is one more line here.

A codec is imported with the first call that needs it: most pods speak one format or two, and all
nine cost a fifth of the time to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from sidecar.domain import WireFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.wire.codec import Codec, EmbeddingCodec, ProviderCodec

C = TypeVar("C")


class Codecs(Mapping[WireFormat, C], Generic[C]):
    """Codecs by format, made when they are asked for; ``names``: module and class of each, but for
    those that are ``shared`` with others.
    """

    def __init__(
        self, names: Mapping[WireFormat, str], shared: Mapping[WireFormat, C] | None = None
    ) -> None:
        self._shared = shared or {}
        self._names = {**dict.fromkeys(self._shared, ""), **names}
        self._made: dict[WireFormat, C] = {}

    def __getitem__(self, wire_format: WireFormat) -> C:
        made = self._made.get(wire_format)
        if made is None:
            made = self._made[wire_format] = self._make(wire_format)
        return made

    def _make(self, wire_format: WireFormat) -> C:
        if wire_format in self._shared:
            return self._shared[wire_format]
        module, _, name = self._names[wire_format].partition(":")
        return cast("C", getattr(import_module(f"sidecar.wire.{module}"), name)())

    def __contains__(self, wire_format: object) -> bool:
        return wire_format in self._names

    def __iter__(self) -> Iterator[WireFormat]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


CODECS: Codecs[Codec] = Codecs(
    {
        WireFormat.OPENAI_CHAT: "openai_chat:OpenAIChatCodec",
        WireFormat.OPENAI_RESPONSES: "openai_responses:OpenAIResponsesCodec",
        WireFormat.ANTHROPIC_MESSAGES: "anthropic_messages:AnthropicMessagesCodec",
        WireFormat.GEMINI: "gemini_generate:GeminiCodec",
    }
)
"""Formats that callers and providers speak."""
PROVIDER_CODECS: Codecs[ProviderCodec] = Codecs(
    {
        WireFormat.BEDROCK_CONVERSE: "bedrock_converse:BedrockConverseCodec",
        WireFormat.OLLAMA_CHAT: "ollama_chat:OllamaChatCodec",
        WireFormat.REPLICATE: "replicate:ReplicateCodec",
    },
    shared=CODECS,
)
"""Formats that providers speak."""
EMBEDDING_CODECS: Codecs[EmbeddingCodec] = Codecs(
    {
        WireFormat.OPENAI_EMBEDDINGS: "openai_embeddings:OpenAIEmbeddingsCodec",
        WireFormat.GEMINI_EMBEDDINGS: "gemini_embeddings:GeminiEmbeddingsCodec",
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
    is_vectors = wire_format in EMBEDDING_CODECS
    return EMBEDDING_CODECS[wire_format] if is_vectors else CODECS[wire_format]


def any_codec(wire_format: WireFormat) -> ProviderCodec | EmbeddingCodec:
    """Return the codec of any format."""
    is_vectors = wire_format in EMBEDDING_CODECS
    return EMBEDDING_CODECS[wire_format] if is_vectors else PROVIDER_CODECS[wire_format]


def is_spoken(wire_format: WireFormat | None) -> bool:
    """Return whether callers can be answered in ``wire_format``."""
    return wire_format in CODECS or wire_format in EMBEDDING_CODECS
