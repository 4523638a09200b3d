"""Items of OpenAI Responses, as requests, answers and streams all write them.

A conversation is a list of items: messages, calls of functions, their outputs, reasoning, and the
traces of tools that the provider runs itself. Only the fields that are used are decoded; what has
another shape in another kind of item stays raw until the kind is known.

    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "…"}]}

Thinking that another provider has signed travels in ``encrypted_content`` behind a seal of ours:
it comes back with the next request and is of use to that provider alone. OpenAI's own encrypted
reasoning is of use to OpenAI alone and is never put behind another name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.decode import decode
from sidecar.wire.neutral import (
    ImagePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)

if TYPE_CHECKING:
    from sidecar.wire.openai_content import Dropped

NULL = msgspec.Raw(b"null")
TEXT_TYPES = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
SIGNATURE_SEAL = "sidecar.signature:"
REDACTED_SEAL = "sidecar.redacted:"
PARAGRAPH = "\n\n"
"""Stands between the pieces of a summary, which are paragraphs with headings of their own."""

_ID_CHARS_MAX = 48
"""OpenAI refuses ids of more than 64 characters; an item's begins with its answer's."""
_ID_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_BASE64_MARK = ";base64,"


class Part(msgspec.Struct):
    """One content part, the fields of every type side by side."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    annotations: msgspec.Raw = NULL


class Item(msgspec.Struct):
    """One item; a message may leave out its type."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    call_id: str | None = None
    encrypted_content: str | None = None
    name: msgspec.Raw = NULL
    content: msgspec.Raw = NULL
    summary: msgspec.Raw = NULL
    arguments: msgspec.Raw = NULL
    output: msgspec.Raw = NULL

    def kind(self) -> str:
        """Return the type; what has neither type nor role refers to a kept item."""
        return self.type or ("item_reference" if self.role is None else "message")


_CONTENT = msgspec.json.Decoder(str | list[Part] | None)
_TEXT = msgspec.json.Decoder(str | None)

ContentPart = TextPart | ImagePart | RefusalPart


def read_content(raw: msgspec.Raw, path: str, dropped: Dropped) -> list[ContentPart]:
    """Return the parts of a content, text or list; empty ones say nothing and are left out.

    Raises:
        WireError: not a content.
    """
    content = decode(_CONTENT, raw, path)
    if content is None or isinstance(content, str):
        return [TextPart(text=content)] if content else []
    parts = (_read_part(part, dropped) for part in content)
    return [part for part in parts if part is not None]


def read_call(item: Item, position: int, path: str) -> ToolCallPart:
    """Return the call of a function; one without an id gets its item's, or one by position.

    Raises:
        WireError: name or arguments are no text.
    """
    return ToolCallPart(
        id=item.call_id or item.id or f"call_{position}",
        name=decode(_TEXT, item.name, f"{path}.name") or "",
        arguments=decode(_TEXT, item.arguments, f"{path}.arguments") or "{}",
    )


def read_reasoning(item: Item, path: str, dropped: Dropped) -> ReasoningPart | None:
    """Return what was thought: the summary, else the content, and what is behind our seal.

    Raises:
        WireError: the summary is not one.
    """
    sealed = item.encrypted_content or ""
    if sealed.startswith(REDACTED_SEAL):
        return ReasoningPart(redacted=sealed.removeprefix(REDACTED_SEAL))
    is_ours = sealed.startswith(SIGNATURE_SEAL)
    if sealed and not is_ours:
        dropped.add("input.reasoning.encrypted_content")
    parts = read_content(item.summary, f"{path}.summary", dropped)
    parts = parts or read_content(item.content, f"{path}.content", dropped)
    text = PARAGRAPH.join(part.text for part in parts if isinstance(part, TextPart))
    signature = sealed.removeprefix(SIGNATURE_SEAL) if is_ours else None
    return ReasoningPart(text=text, signature=signature) if text or signature else None


def sealed_reasoning(part: ReasoningPart) -> str | None:
    """Return the ``encrypted_content`` that carries a foreign signature, None without one."""
    if part.redacted is not None:
        return REDACTED_SEAL + part.redacted
    return None if part.signature is None else SIGNATURE_SEAL + part.signature


def response_id(provider_id: str) -> str:
    """Return the id of an answer as this format writes it: ``chatcmpl-1`` is ``resp_chatcmpl-1``.

    The same for the same id, so that what was shown can be recognised.
    """
    if provider_id.startswith("resp_"):
        return provider_id
    return "resp_" + _ID_FOREIGN.sub("_", provider_id)[:_ID_CHARS_MAX]


def item_id(prefix: str, answer_id: str, position: int) -> str:
    """Return the id of the item at ``position`` of an answer."""
    stem = answer_id.removeprefix("resp_")[: _ID_CHARS_MAX - 4]
    return f"{prefix}_{stem}_{position}"


def _read_part(part: Part, dropped: Dropped) -> ContentPart | None:
    if part.type in TEXT_TYPES:
        if bytes(part.annotations) not in {b"null", b"[]"}:
            dropped.add("input.annotations")
        return TextPart(text=part.text) if part.text else None
    if part.type == "refusal":
        return RefusalPart(text=part.refusal) if part.refusal else None
    if part.type == "input_image" and part.image_url:
        return _read_image(part.image_url, part.detail, dropped)
    dropped.add(f"input.{part.type}")
    return None


def _read_image(url: str, detail: str | None, dropped: Dropped) -> ImagePart:
    if detail not in {None, "auto"}:
        dropped.add("input.input_image.detail")
    head, mark, data = url.partition(_BASE64_MARK)
    if mark and head.startswith("data:"):
        return ImagePart(media_type=head.removeprefix("data:").split(";")[0] or None, data=data)
    return ImagePart(url=url)
