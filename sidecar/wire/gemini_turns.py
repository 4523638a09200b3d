"""Neutral turns → the contents of a Gemini request.

Neighbours of one role are merged, the first turn is the user's, results lead theirs. Results name
their function, which the neutral form leaves to the call they belong to. Models from Gemini 3 on
refuse a call of the past without its signature; where there is none, because another provider
made the call, they take a word that Google documents for this case. Thoughts of others are left
out. Images in results stand beside them, as older models take them only there.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from sidecar.errors import WireError
from sidecar.wire.anthropic_turns import tool_input
from sidecar.wire.neutral import (
    ImagePart,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from sidecar.wire.splice import read_members

if TYPE_CHECKING:
    from sidecar.wire.neutral import Part, Turn

Json = dict[str, object]

NO_SIGNATURE = "skip_thought_signature_validator"
_ROLES = {Role.USER: "user", Role.ASSISTANT: "model"}
_OPENING = "."
"""Stands where the user's first turn is missing: it asks for nothing."""
_IMAGE_TYPE = "image/jpeg"
_IMAGE_TYPES = {
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".png": "image/png",
    ".webp": "image/webp",
}
"""By the end of an address; anything else is taken for a photograph."""


def render_turns(turns: tuple[Turn, ...], dropped: list[str], *, signs: bool) -> list[Json]:
    """Return the contents; ``signs``: calls need a signature, or the word that stands for one.

    Raises:
        WireError: a tool call's arguments are not JSON of an object.
    """
    names = {
        part.id: part.name
        for turn in turns
        for part in turn.parts
        if isinstance(part, ToolCallPart)
    }
    merged: list[tuple[Role, list[Json]]] = []
    for turn in turns:
        parts = [one for part in turn.parts for one in _part(part, names, dropped, signs=signs)]
        if not parts:
            continue
        if merged and merged[-1][0] is turn.role:
            merged[-1][1].extend(parts)
        else:
            merged.append((turn.role, parts))
    if not merged or merged[0][0] is Role.ASSISTANT:
        merged.insert(0, (Role.USER, [{"text": _OPENING}]))
    return [
        {"role": _ROLES[role], "parts": sorted(parts, key=_is_no_result)} for role, parts in merged
    ]


def _is_no_result(part: Json) -> bool:
    return "functionResponse" not in part


def _part(part: Part, names: dict[str, str], dropped: list[str], *, signs: bool) -> list[Json]:
    match part:
        case TextPart() | RefusalPart():
            return [{"text": part.text}] if part.text else []
        case ImagePart():
            return [_image(part)]
        case ToolCallPart():
            return [_call(part, signs=signs)]
        case ToolResultPart():
            return _result(part, names)
        case ReasoningPart():
            dropped.append("reasoning")
            return []


def _image(part: ImagePart) -> Json:
    if part.url is None:
        kind = part.media_type or _IMAGE_TYPE
        return {"inlineData": {"mimeType": kind, "data": part.data or ""}}
    kind = _IMAGE_TYPES.get(PurePosixPath(urlsplit(part.url).path).suffix.lower(), _IMAGE_TYPE)
    return {"fileData": {"mimeType": part.media_type or kind, "fileUri": part.url}}


def _call(part: ToolCallPart, *, signs: bool) -> Json:
    call: Json = {
        "functionCall": {"id": part.id, "name": part.name, "args": tool_input(part.arguments)}
    }
    if signs:
        call["thoughtSignature"] = NO_SIGNATURE
    return call


def _result(part: ToolResultPart, names: dict[str, str]) -> list[Json]:
    text = "".join(item.text for item in part.content if isinstance(item, TextPart))
    response: Json = {
        "id": part.call_id,
        "name": names.get(part.call_id, part.call_id),
        "response": _response(text, is_error=part.is_error),
    }
    images = [_image(item) for item in part.content if isinstance(item, ImagePart)]
    return [{"functionResponse": response}, *images]


def _response(text: str, *, is_error: bool) -> msgspec.Raw | Json:
    """Return a result as an object: the one that it is, or one around its text."""
    if is_error:
        return {"error": text}
    data = text.strip().encode("utf-8", "replace")
    try:
        members = read_members(data) if data.startswith(b"{") else None
    except WireError:
        members = None
    if members is None or members.keys() in ({"output"}, {"error"}):
        return {"output": text}
    return msgspec.Raw(data)
