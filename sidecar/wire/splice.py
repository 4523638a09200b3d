"""Byte surgery on a JSON object: change one top-level member, leave every other byte as it was.

Same-format requests must reach the provider as the caller wrote them (unknown fields, number
formats, key order), so nothing is re-encoded. msgspec skips over the values in C, however many
megabytes of images they hold, and gives their exact bytes in order. A body that is no longer than
these need has room for nothing else, so their places follow from their lengths; in any other,
walking over the keys and separators between them gives the places.

A key that occurs twice at the top level has no agreed meaning in JSON; such a body alone is
written anew with the last value, which is what most readers take.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

_Member = tuple[str, int, int, int]
"""Where a member stands: its key, the key's opening quote, begin and end of its value."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TO_VALUE = re.compile(
    rb'[ \t\n\r]*[{,][ \t\n\r]*"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\n\r]*:[ \t\n\r]*', re.DOTALL
)
_CLOSE = re.compile(rb"[ \t\n\r]*\}")
_MARKS_BYTES = 4
"""Two quotes, a colon, and a comma or brace behind the value."""


def read_members(body: bytes) -> dict[str, bytes]:
    """Return the top-level members' raw values, in order.

    Raises:
        WireError: ``body`` is not a JSON object.
    """
    return {key: bytes(value) for key, value in decode(_OBJECT, body).items()}


def write_members(members: Mapping[str, bytes]) -> bytes:
    """Return the object with these raw values."""
    parts = (msgspec.json.encode(key) + b":" + value for key, value in members.items())
    return b"{" + b",".join(parts) + b"}"


def replace_members(body: bytes, new: Mapping[str, bytes]) -> bytes:
    """Return ``body`` with these raw JSON values, the very same object if it has them already;
    members it does not have are appended.

    Raises:
        WireError: ``body`` is not a JSON object.
    """
    body, members = _locate(body)
    view = memoryview(body)  # so that long bodies are copied once
    pieces: list[bytes | memoryview] = []
    done = 0
    appended = dict(new)
    for key, _, value_at, end_at in members:
        value = appended.pop(key, None)
        if value is not None and body[value_at:end_at] != value:
            pieces += (view[done:value_at], value)
            done = end_at
    if appended:
        last = members[-1][-1] if members else body.index(b"{") + 1
        pieces += (view[done:last], b"," if members else b"", write_members(appended)[1:-1])
        done = last
    return b"".join((*pieces, view[done:])) if pieces else body


def replace_string_member(body: bytes, key: str, new: str) -> bytes:
    """Return ``body`` with the text ``new`` under ``key``; errors as ``replace_members``."""
    return replace_members(body, {key: msgspec.json.encode(new)})


def remove_member(body: bytes, key: str) -> tuple[bytes, bytes | None]:
    """Return ``body`` without the member ``key``, and its raw value (None: it had none).

    Raises:
        WireError: ``body`` is not a JSON object.
    """
    clean, members = _locate(body)
    for index, (name, key_at, value_at, end_at) in enumerate(members):
        if name != key:
            continue
        raw = clean[value_at:end_at]
        if index + 1 < len(members):
            start, end = key_at, members[index + 1][1]
        elif index:
            start, end = members[index - 1][-1], end_at
        else:
            start, end = key_at, end_at
        return clean[:start] + clean[end:], raw
    return body, None


def may_have(body: bytes, key: str) -> bool:
    """Return whether ``body`` may have a member ``key``: False is certain. Cheaper than a look."""
    return b'"%b"' % key.encode() in body or b"\\" in body


def _locate(body: bytes) -> tuple[bytes, list[_Member]]:
    """Return the members' spans, and the body that they are spans of."""
    values = decode(_OBJECT, body)
    needed = 1 + _MARKS_BYTES * len(values) + sum(map(len, values)) + sum(map(len, values.values()))
    if len(body) == needed:
        return body, _measure(values)
    members = _walk(body, values)
    if members is None:
        body = write_members({key: bytes(value) for key, value in values.items()})
        members = _walk(body, values)
    if members is None:
        raise WireError("not a JSON object")
    return body, members


def _measure(values: Mapping[str, msgspec.Raw]) -> list[_Member]:
    """Return the spans of ``values`` in a body without a byte to spare: no space, no escape in a
    key, no key twice.
    """
    at = 1
    members: list[_Member] = []
    for key, value in values.items():
        start = at + len(key) + _MARKS_BYTES - 1
        end = start + len(value)
        members.append((key, at, start, end))
        at = end + 1
    return members


def _walk(body: bytes, values: Mapping[str, msgspec.Raw]) -> list[_Member] | None:
    """Return the spans of ``values``, None if the keys in ``body`` are not these, each once."""
    at = 0
    members: list[_Member] = []
    for key, value in values.items():
        match = _TO_VALUE.match(body, at)
        if match is None or not _is_spelled(key, match[1]):
            return None
        start = match.end()
        at = start + len(value)
        if not body.startswith(value, start):
            return None
        members.append((key, match.start(1) - 1, start, at))
    return members if not members or _CLOSE.match(body, at) else None


def _is_spelled(key: str, raw: bytes) -> bool:
    """Return whether ``raw``, a string without its quotes, says ``key``."""
    if raw == key.encode():
        return True
    return b"\\" in raw and msgspec.json.decode(b'"%b"' % raw, type=str) == key
