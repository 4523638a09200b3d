"""The content blocks of Anthropic requests → neutral parts.

Blocks are told apart by ``type`` before anything else is decoded, so that block types of tomorrow
fail nobody: a block that other formats cannot hold is named as dropped, whatever its fields are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import decode
from sidecar.wire.neutral import (
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_NOTHING = frozenset({b"", b"null", b"[]", b"{}", b"false"})


class Tagged(msgspec.Struct):
    """Anything that says its type; the rest is not decoded."""

    type: str


class ToolType(msgspec.Struct):
    """A tool's type: None or ``custom`` for those with a schema, else one of the provider's own."""

    type: str | None = None


class _Block(Tagged):
    cache_control: msgspec.Raw = msgspec.Raw()
    citations: msgspec.Raw = msgspec.Raw()


class _Text(msgspec.Struct):
    text: str


class _Source(msgspec.Struct):
    type: Literal["base64", "url", "file"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class _Image(msgspec.Struct):
    source: _Source


class _ToolUse(msgspec.Struct):
    id: str
    name: str
    input: msgspec.Raw


class _ToolResult(msgspec.Struct):
    tool_use_id: str
    content: str | list[msgspec.Raw] | None = None
    is_error: bool | None = None


class _Thinking(msgspec.Struct):
    thinking: str
    signature: str | None = None


class _Redacted(msgspec.Struct):
    data: str


_BLOCK = msgspec.json.Decoder(_Block)
_TEXT = msgspec.json.Decoder(_Text)
_IMAGE = msgspec.json.Decoder(_Image)
_TOOL_USE = msgspec.json.Decoder(_ToolUse)
_TOOL_RESULT = msgspec.json.Decoder(_ToolResult)
_THINKING = msgspec.json.Decoder(_Thinking)
_REDACTED = msgspec.json.Decoder(_Redacted)


def is_set(raw: msgspec.Raw) -> bool:
    """Return whether a member is there and says something."""
    return bytes(raw) not in _NOTHING


def read_blocks(raws: list[msgspec.Raw], path: str, dropped: list[str]) -> tuple[Part, ...]:
    """Return the parts of a message's blocks; what cannot be held is named in ``dropped``.

    Raises:
        WireError: a block of a known type has a wrong field.
    """
    parts = (_block(raw, f"{path}[{index}]", dropped) for index, raw in enumerate(raws))
    return tuple(part for part in parts if part is not None)


def read_text_blocks(
    content: str | list[msgspec.Raw] | None, path: str, dropped: list[str]
) -> list[str]:
    """Return the texts of a system prompt, empty ones left out; errors as ``read_blocks``."""
    if content is None or isinstance(content, str):
        return [content] if content else []
    parts = read_blocks(content, path, dropped)
    return [part.text for part in parts if isinstance(part, TextPart)]


def _block(raw: msgspec.Raw, path: str, dropped: list[str]) -> Part | None:
    block = decode(_BLOCK, raw, path)
    read = _READERS.get(block.type)
    if read is None:
        dropped.append(block.type)
        return None
    if is_set(block.cache_control):
        dropped.append("cache_control")
    if is_set(block.citations):
        dropped.append("citations")
    return read(raw, path, dropped)


def _text(raw: msgspec.Raw, path: str, _dropped: list[str]) -> TextPart | None:
    text = decode(_TEXT, raw, path).text
    return TextPart(text=text) if text else None


def _image(raw: msgspec.Raw, path: str, dropped: list[str]) -> ImagePart | None:
    source = decode(_IMAGE, raw, path).source
    if source.type == "file":
        dropped.append("image_file")
        return None
    if source.type == "url":
        if source.url is None:
            raise WireError("Object missing required field `url`", f"{path}.source")
        return ImagePart(url=source.url)
    if source.data is None or source.media_type is None:
        raise WireError("`data` and `media_type` are required", f"{path}.source")
    return ImagePart(media_type=source.media_type, data=source.data)


def _tool_use(raw: msgspec.Raw, path: str, _dropped: list[str]) -> ToolCallPart:
    call = decode(_TOOL_USE, raw, path)
    return ToolCallPart(
        id=call.id, name=call.name, arguments=object_text(call.input, f"{path}.input")
    )


def object_text(raw: msgspec.Raw, path: str) -> str:
    """Return the JSON text of an object as it stands.

    Raises:
        WireError: another JSON value, or not UTF-8.
    """
    data = bytes(raw)
    if not data.startswith(b"{"):
        raise WireError("Expected `object`", path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise WireError("not valid UTF-8", path) from error


def _tool_result(raw: msgspec.Raw, path: str, dropped: list[str]) -> ToolResultPart:
    result = decode(_TOOL_RESULT, raw, path)
    parts: tuple[Part, ...] = ()
    if isinstance(result.content, str):
        parts = (TextPart(text=result.content),) if result.content else ()
    elif result.content is not None:
        parts = read_blocks(result.content, f"{path}.content", dropped)
    return ToolResultPart(
        call_id=result.tool_use_id,
        content=tuple(part for part in parts if isinstance(part, TextPart | ImagePart)),
        is_error=bool(result.is_error),
    )


def _thinking(raw: msgspec.Raw, path: str, _dropped: list[str]) -> ReasoningPart:
    block = decode(_THINKING, raw, path)
    return ReasoningPart(text=block.thinking, signature=block.signature or None)


def _redacted(raw: msgspec.Raw, path: str, _dropped: list[str]) -> ReasoningPart:
    return ReasoningPart(redacted=decode(_REDACTED, raw, path).data)


_READERS: dict[str, Callable[[msgspec.Raw, str, list[str]], Part | None]] = {
    "text": _text,
    "image": _image,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}

TRANSLATABLE_BLOCKS = frozenset(_READERS)
"""The block types that the neutral form holds."""
