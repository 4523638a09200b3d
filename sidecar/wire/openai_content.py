"""Message content of OpenAI Chat Completions, as requests, answers and stream deltas all write it.

Content is a string or a list of typed parts; servers that call themselves compatible add their
own: Mistral puts ``thinking`` parts among the text, vLLM, DeepSeek and Groq write
``reasoning_content`` or ``reasoning`` beside it. Parts that the neutral form cannot hold are
named in ``dropped``, never an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.decode import decode
from sidecar.wire.neutral import ImagePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart

if TYPE_CHECKING:
    from collections.abc import Iterable

ContentPart = TextPart | ImagePart | ReasoningPart | RefusalPart

_TEXT = msgspec.json.Decoder(str)
_BASE64_MARK = ";base64,"


class ImageUrl(msgspec.Struct):
    """The object form of ``image_url``."""

    url: str
    detail: str | None = None


class ThinkingChunk(msgspec.Struct):
    """Mistral: a piece of a ``thinking`` part."""

    text: str | None = None


class Part(msgspec.Struct):
    """One typed part, the fields of every type side by side."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | ImageUrl | None = None
    thinking: str | list[ThinkingChunk] | None = None


Content = str | list[Part] | None


class Function(msgspec.Struct):
    """A called function; some servers write ``arguments`` as an object instead of its text."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"null")


class ToolCall(msgspec.Struct):
    """A call, or a stream's piece of one (then ``index`` says which)."""

    id: str | None = None
    index: int | None = None
    function: Function | None = None


class Dropped:
    """The request fields that found no place, each once, in order."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = dict.fromkeys(names)

    def add(self, name: str) -> None:
        """Note that ``name`` is lost."""
        self._names[name] = None

    def names(self) -> tuple[str, ...]:
        """Return what was lost."""
        return tuple(self._names)


def read_content(content: Content, dropped: Dropped) -> list[ContentPart]:
    """Return the parts of ``content``; empty ones say nothing and are left out."""
    if content is None or isinstance(content, str):
        return [TextPart(text=content)] if content else []
    parts = (_read_part(part, dropped) for part in content)
    return [part for part in parts if part is not None]


def read_text(content: Content) -> str:
    """Return the text of ``content`` alone."""
    parts = read_content(content, Dropped())
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def read_arguments(function: Function) -> str:
    """Return the arguments' JSON text, ``""`` if there is none."""
    raw = bytes(function.arguments)
    if raw == b"null":
        return ""
    return decode(_TEXT, raw) if raw.startswith(b'"') else raw.decode()


def read_tool_call(call: ToolCall, position: int) -> ToolCallPart | None:
    """Return a whole call, None if it is not a function's; calls without an id get one."""
    if call.function is None or not call.function.name:
        return None
    return ToolCallPart(
        id=call.id or f"call_{position}",
        name=call.function.name,
        arguments=read_arguments(call.function) or "{}",
    )


def _read_part(part: Part, dropped: Dropped) -> ContentPart | None:
    if part.type == "text":
        return TextPart(text=part.text) if part.text else None
    if part.type == "refusal":
        return RefusalPart(text=part.refusal) if part.refusal else None
    if part.type == "thinking":
        text = _thinking(part.thinking)
        return ReasoningPart(text=text) if text else None
    if part.type == "image_url" and part.image_url is not None:
        return _read_image(part.image_url, dropped)
    dropped.add(f"messages.{part.type}")
    return None


def _thinking(thinking: str | list[ThinkingChunk] | None) -> str:
    if thinking is None or isinstance(thinking, str):
        return thinking or ""
    return "".join(chunk.text or "" for chunk in thinking)


def _read_image(image: str | ImageUrl, dropped: Dropped) -> ImagePart:
    url = image if isinstance(image, str) else image.url
    if not isinstance(image, str) and image.detail not in {None, "auto"}:
        dropped.add("messages.image_url.detail")
    head, mark, data = url.partition(_BASE64_MARK)
    if mark and head.startswith("data:"):
        return ImagePart(media_type=head.removeprefix("data:").split(";")[0] or None, data=data)
    return ImagePart(url=url)
