"""Anthropic Messages requests → the facts that the engine needs, without reading the whole.

This runs on every call, also those that are forwarded as they are, so it decodes little and is
lenient: what it does not need, the provider judges.

Features that change what is answered (documents, server tools, containers, prefilled answers) make
a request untranslatable; those that only change price or polish (``cache_control``,
``service_tier``) are named as dropped when the request is translated. Source: Anthropic's API
reference and SDK types, version 2026-10-21.
"""

from __future__ import annotations

import math

import msgspec

from sidecar.abilities import Ability
from sidecar.domain import RequestFacts
from sidecar.wire.anthropic_blocks import TRANSLATABLE_BLOCKS, Tagged, ToolType, is_set
from sidecar.wire.decode import decode

_CHARS_PER_TOKEN = 3.6
"""Between English prose (4) and code or JSON (3): an estimate to route and budget with."""

_IMAGE_TOKENS = 1600
"""What Anthropic charges for a picture at its largest useful size; a document counts the same."""

_ABSENT = msgspec.Raw()
_NO_NEEDS: frozenset[Ability] = frozenset()
_FORCED = (b'"any"', b'"tool"')
_SCHEMA = b'"json_schema"'


class _SeenBlock(msgspec.Struct, gc=False):
    type: str
    text: object = None
    thinking: object = None
    input: msgspec.Raw = _ABSENT
    content: msgspec.Raw = _ABSENT
    source: msgspec.Raw = _ABSENT


class _SeenMessage(msgspec.Struct, gc=False):
    role: str
    content: str | list[_SeenBlock]


class _SeenCount(msgspec.Struct, gc=False):
    """``POST /v1/messages/count_tokens`` has the body of a message without ``max_tokens``."""

    model: str
    messages: list[_SeenMessage]
    max_tokens: int | None = None
    stream: bool | None = None
    system: str | list[_SeenBlock] | None = None
    tools: list[msgspec.Raw] | None = None
    container: msgspec.Raw = _ABSENT
    mcp_servers: msgspec.Raw = _ABSENT
    inference_geo: msgspec.Raw = _ABSENT
    tool_choice: msgspec.Raw = _ABSENT
    output_config: msgspec.Raw = _ABSENT
    output_format: msgspec.Raw = _ABSENT


class _SeenRequest(_SeenCount, gc=False):
    max_tokens: int = msgspec.field()  # required here


_COUNT = msgspec.json.Decoder(_SeenCount)
_REQUEST_SEEN = msgspec.json.Decoder(_SeenRequest)
_RESULT_CONTENT = msgspec.json.Decoder(str | list[_SeenBlock] | None)
_SOURCE_TYPE = msgspec.json.Decoder(Tagged)
_TOOL_TYPE = msgspec.json.Decoder(ToolType)


class _Tally:
    """Adds up what a request holds."""

    def __init__(self) -> None:
        self.chars = 0
        self.images = 0
        self.documents = 0
        self.features: list[str] = []
        self.has_tool_results = False

    def add(self, content: str | list[_SeenBlock] | None, path: str) -> None:
        """Count a message's, system prompt's or tool result's content."""
        if isinstance(content, str):
            self.chars += len(content)
            return
        for index, block in enumerate(content or ()):
            if isinstance(block.text, str):
                self.chars += len(block.text)
            if block.type != "text" or block.input is not _ABSENT or block.thinking is not None:
                self._add_block(block, f"{path}[{index}]")

    def add_tool(self, raw: msgspec.Raw, path: str) -> None:
        """Count a tool's definition; only tools with a schema exist in other formats."""
        self.chars += len(raw)
        kind = decode(_TOOL_TYPE, raw, path).type
        if kind not in {None, "custom"}:
            self.features.append(str(kind))

    def tokens(self) -> int:
        """Return the estimate."""
        pictures = self.images + self.documents
        return math.ceil(self.chars / _CHARS_PER_TOKEN) + _IMAGE_TOKENS * pictures

    def _add_block(self, block: _SeenBlock, path: str) -> None:
        """Count what is no text."""
        if isinstance(block.thinking, str):
            self.chars += len(block.thinking)
        self.chars += len(block.input)
        if block.type == "image":
            self.images += 1
            if decode(_SOURCE_TYPE, block.source, f"{path}.source").type == "file":
                self.features.append("image_file")
        elif block.type == "document":
            self.documents += 1
        elif block.type == "tool_result":
            self.has_tool_results = True
            if is_set(block.content):
                path = f"{path}.content"
                self.add(decode(_RESULT_CONTENT, block.content, path), path)
        if block.type not in TRANSLATABLE_BLOCKS:
            self.features.append(block.type)


def inspect_request(body: bytes) -> RequestFacts:
    """Decode what the engine needs of a message request; errors as in ``Codec.inspect_request``."""
    return _facts(decode(_REQUEST_SEEN, body))


def inspect_count(body: bytes) -> RequestFacts:
    """Decode what the engine needs of a request to count tokens: ``max_tokens`` is not required."""
    return _facts(decode(_COUNT, body))


def _facts(seen: _SeenCount) -> RequestFacts:
    tally = _Tally()
    tally.add(seen.system, "$.system")
    for index, message in enumerate(seen.messages):
        if isinstance(message.content, str):
            tally.chars += len(message.content)
        else:
            tally.add(message.content, f"$.messages[{index}].content")
    for index, tool in enumerate(seen.tools or ()):
        tally.add_tool(tool, f"$.tools[{index}]")
    for name, raw in (
        ("container", seen.container),
        ("mcp_servers", seen.mcp_servers),
        ("inference_geo", seen.inference_geo),
    ):
        if raw is not _ABSENT and is_set(raw):
            tally.features.append(name)
    is_prefilled = bool(seen.messages) and seen.messages[-1].role == "assistant"
    if is_prefilled:
        tally.features.append("prefill")
    formats = bytes(seen.output_format) + bytes(seen.output_config)
    has_schema = bool(formats) and _SCHEMA in formats
    return RequestFacts(
        model=seen.model,
        is_stream=bool(seen.stream),
        prompt_tokens=tally.tokens(),
        max_tokens=seen.max_tokens,
        has_tools=bool(seen.tools),
        has_images=tally.images > 0,
        wants_usage_in_stream=True,
        untranslatable=tuple(dict.fromkeys(tally.features)),
        needs=_needs(seen.tool_choice, is_prefilled=is_prefilled, has_schema=has_schema),
        may_bind_output=has_schema,
        has_tool_results=tally.has_tool_results,
    )


def _needs(choice: msgspec.Raw, *, is_prefilled: bool, has_schema: bool) -> frozenset[Ability]:
    if choice is _ABSENT and not is_prefilled and not has_schema:
        return _NO_NEEDS
    text = bytes(choice)
    needs = {
        Ability.PREFILL: is_prefilled,
        Ability.FORCED_TOOL: any(mode in text for mode in _FORCED),
        Ability.SCHEMA: has_schema,
    }
    return frozenset(ability for ability, is_needed in needs.items() if is_needed)
