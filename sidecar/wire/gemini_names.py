"""Google's JSON takes ``inline_data`` for ``inlineData``: requests in one spelling, for reading.

Proto JSON accepts a field's own name (snake case) beside its JSON name (camel case), and SDKs use
both, even within one request. Only members that the API itself names are renamed, never those of
arguments, schemas and function results, which belong to the caller. What is forwarded to Google
keeps the caller's spelling.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.decode import decode
from sidecar.wire.splice import write_members

if TYPE_CHECKING:
    from collections.abc import Mapping

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_SNAKE_MEMBER = re.compile(rb'"[a-z]+(?:_[a-z]+)+"[ \t\r\n]*:')
_AFTER_UNDERSCORE = re.compile(r"_([a-z])")


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which members of an object are objects of the API's own, or lists of them."""

    members: Mapping[str, _Shape] = field(default_factory=dict)


_LEAF = _Shape()
_DATA = {"inlineData": _LEAF, "fileData": _LEAF}
_PART = _Shape(
    {
        **_DATA,
        "functionCall": _LEAF,
        "functionResponse": _Shape({"parts": _Shape(_DATA)}),
        "videoMetadata": _LEAF,
    }
)
_CONTENT = _Shape({"parts": _PART})
_REQUEST = {
    "contents": _CONTENT,
    "systemInstruction": _CONTENT,
    "tools": _Shape({"functionDeclarations": _LEAF}),
    "toolConfig": _Shape({"functionCallingConfig": _LEAF}),
    "generationConfig": _Shape({"thinkingConfig": _LEAF}),
}
_BODY = _Shape({**_REQUEST, "generateContentRequest": _Shape(_REQUEST)})


def camel_cased(body: bytes) -> bytes:
    """Return a request with every member that the API names in camel case.

    ``{"system_instruction": …}`` → ``{"systemInstruction": …}``; the very same bytes where nothing
    looks like snake case.

    Raises:
        WireError: not JSON.
    """
    if b"_" not in body or _SNAKE_MEMBER.search(body) is None:
        return body
    return _renamed(body, _BODY)


def camel(name: str) -> str:
    """Return the JSON name of a field: ``inlineData`` for ``inline_data``."""
    return _AFTER_UNDERSCORE.sub(lambda found: found[1].upper(), name)


def _renamed(raw: bytes | msgspec.Raw, shape: _Shape) -> bytes:
    data = bytes(raw).lstrip()
    if data.startswith(b"["):
        return b"[" + b",".join(_renamed(item, shape) for item in decode(_ARRAY, data)) + b"]"
    if not data.startswith(b"{"):
        return data
    members = {}
    for given, value in decode(_OBJECT, data).items():
        name = camel(given)
        inner = shape.members.get(name)
        members[name] = bytes(value) if inner is None else _renamed(value, inner)
    return write_members(members)
