"""Gemini contents → neutral parts; one reader a conversation, as results look for their calls."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.anthropic_blocks import object_text
from sidecar.wire.decode import decode
from sidecar.wire.gemini_parts import foreign_kind, is_null, read_image
from sidecar.wire.neutral import (
    ImagePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

if TYPE_CHECKING:
    from sidecar.wire.gemini_parts import Content, FunctionCall, FunctionResponse, Part
    from sidecar.wire.neutral import Part as NeutralPart

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_OUTPUT, _ERROR = "output", "error"


class TurnReader:
    """Owns the calls that wait for their result; ``dropped`` gets the names of what is lost."""

    def __init__(self, dropped: list[str]) -> None:
        self._dropped = dropped
        self._waiting: dict[str, deque[str]] = defaultdict(deque)
        self._count = 0

    def read(self, content: Content, path: str) -> tuple[NeutralPart, ...]:
        """Return the parts of a turn.

        Raises:
            WireError: a part has a wrong field.
        """
        read = (
            self._part(part, f"{path}.parts[{index}]")
            for index, part in enumerate(content.parts or ())
        )
        return tuple(part for part in read if part is not None)

    def _part(self, part: Part, path: str) -> NeutralPart | None:
        if part.thought_signature is not None:
            self._dropped.append("thoughtSignature")
        if part.function_call is not None:
            return self._call(part.function_call, f"{path}.functionCall")
        if part.function_response is not None:
            return self._result(part.function_response, f"{path}.functionResponse")
        return self._said(part, path)

    def _said(self, part: Part, path: str) -> TextPart | ImagePart | ReasoningPart | None:
        kind = foreign_kind(part)
        if kind is not None:
            self._dropped.append(kind)
            return None
        blob = part.inline_data or part.file_data
        if blob is not None:
            return read_image(blob, path)
        if part.text is None:
            self._dropped.append("contents.parts")
            return None
        if part.thought:
            return ReasoningPart(text=part.text)
        return TextPart(text=part.text) if part.text else None

    def _call(self, call: FunctionCall, path: str) -> ToolCallPart:
        call_id = call.id or f"call_{self._count}"
        self._count += 1
        self._waiting[call.name].append(call_id)
        arguments = "{}" if is_null(call.args) else object_text(call.args, f"{path}.args")
        return ToolCallPart(id=call_id, name=call.name, arguments=arguments)

    def _result(self, result: FunctionResponse, path: str) -> ToolResultPart:
        waiting = self._waiting[result.name]
        if result.id in waiting:
            call_id = str(result.id)
            waiting.remove(call_id)
        else:
            call_id = waiting.popleft() if waiting else result.id or f"call_{result.name}"
        text, is_error = _read_response(result.response, f"{path}.response")
        content: list[TextPart | ImagePart] = [TextPart(text=text)] if text else []
        for index, part in enumerate(result.parts or ()):
            blob = part.inline_data or part.file_data
            if blob is None or not blob.mime_type.startswith("image/"):
                self._dropped.append("functionResponse.parts")
            else:
                content.append(read_image(blob, f"{path}.parts[{index}]"))
        return ToolResultPart(call_id=call_id, content=tuple(content), is_error=is_error)


def _read_response(raw: msgspec.Raw, path: str) -> tuple[str, bool]:
    """Return what a function returned as text, and whether it is an error.

    By Google's convention ``{"output": …}`` and ``{"error": …}`` mean what is within; any other
    object is the result as it stands.
    """
    if is_null(raw):
        return "", False
    text = object_text(raw, path)
    members = decode(_MEMBERS, raw, path)
    name = next(iter(members), None)
    if len(members) != 1 or name not in {_OUTPUT, _ERROR}:
        return text, False
    value = members[name]
    is_text = bytes(value).startswith(b'"')
    inner = decode(_TEXT, value, path) if is_text else bytes(value).decode("utf-8", "replace")
    return inner, name == _ERROR
