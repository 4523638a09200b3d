"""Counting tokens, in the formats that have a path for it: one line a format.

Anthropic: POST /v1/messages/count_tokens → {"input_tokens": 12}
Gemini: POST /models/{m}:countTokens → {"totalTokens": 12}
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import WireFormat
from sidecar.value import value
from sidecar.wire.decode import decode
from sidecar.wire.formats import codec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.domain import RequestFacts


class _AnthropicCount(msgspec.Struct):
    input_tokens: int


class _GeminiCount(msgspec.Struct, rename="camel"):
    total_tokens: int


_ANTHROPIC = msgspec.json.Decoder(_AnthropicCount)
_GEMINI = msgspec.json.Decoder(_GeminiCount)


@value
class Counting:
    """How a format counts: ``inspect`` the request, the ``path`` to ask for a model, ``read`` the
    answer and ``render`` one. ``inspect`` and ``read`` raise ``WireError``.
    """

    inspect: Callable[[bytes], RequestFacts]
    path: Callable[[str], str]
    read: Callable[[bytes], int]
    render: Callable[[int], bytes]


def _anthropic_facts(body: bytes) -> RequestFacts:
    from sidecar.wire import anthropic_request  # noqa: PLC0415 - imported with the first count

    return anthropic_request.inspect_count(body)


def _gemini_facts(body: bytes) -> RequestFacts:
    from sidecar.wire import gemini_inspect  # noqa: PLC0415 - imported with the first count

    return gemini_inspect.inspect_count(body)


def _gemini_path(model: str) -> str:
    generate = codec(WireFormat.GEMINI).path_for(model, is_stream=False)
    return generate.rpartition(":")[0] + ":countTokens"


COUNTINGS: Mapping[WireFormat, Counting] = MappingProxyType(
    {
        WireFormat.ANTHROPIC_MESSAGES: Counting(
            inspect=_anthropic_facts,
            path=lambda _model: "/v1/messages/count_tokens",
            read=lambda body: decode(_ANTHROPIC, body).input_tokens,
            render=lambda count: msgspec.json.encode(_AnthropicCount(count)),
        ),
        WireFormat.GEMINI: Counting(
            inspect=_gemini_facts,
            path=_gemini_path,
            read=lambda body: decode(_GEMINI, body).total_tokens,
            render=lambda count: msgspec.json.encode(_GeminiCount(count)),
        ),
    }
)
"""Formats that count."""
