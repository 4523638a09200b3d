"""Byte surgery on a JSON object: change one top-level member, leave every other byte as it was.

Same-format requests must reach the provider as the caller wrote them (unknown fields, number
formats, key order), so nothing is re-encoded. msgspec skips over the values in C, however many
megabytes of images they hold, and gives their exact bytes in order; walking over keys and
separators between them then gives the spans.

A key that occurs twice at the top level has no agreed meaning in JSON; such a body alone is
written anew with the last value, which is what most readers take.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OPEN = re.compile(rb"[ \t\n\r]*\{")
_KEY = re.compile(rb'[ \t\n\r]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_AFTER_VALUE = re.compile(rb"[ \t\n\r]*[,}]")


@dataclass(frozen=True, slots=True)
class _Member:
    """Where a member stands: ``key_at`` is its opening quote, the value is ``value_at:end_at``."""

    key: str
    key_at: int
    value_at: int
    end_at: int


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
    """Return ``body`` with these raw JSON values; members it does not have are appended.

    Raises:
        WireError: ``body`` is not a JSON object.
    """
    body, members = _locate(body)
    pieces: list[bytes] = []
    done = 0
    for member in members:
        if member.key in new:
            pieces += (body[done : member.value_at], new[member.key])
            done = member.end_at
    present = {member.key for member in members}
    appended = {key: value for key, value in new.items() if key not in present}
    if appended:
        last = members[-1].end_at if members else body.index(b"{") + 1
        pieces += (body[done:last], b"," if members else b"", write_members(appended)[1:-1])
        done = last
    return b"".join((*pieces, body[done:]))


def replace_string_member(body: bytes, key: str, new: str) -> bytes:
    """Return ``body`` with the text ``new`` under ``key``; errors as ``replace_members``."""
    return replace_members(body, {key: msgspec.json.encode(new)})


def remove_member(body: bytes, key: str) -> tuple[bytes, bytes | None]:
    """Return ``body`` without the member ``key``, and its raw value (None: it had none).

    Raises:
        WireError: ``body`` is not a JSON object.
    """
    clean, members = _locate(body)
    for index, member in enumerate(members):
        if member.key != key:
            continue
        raw = clean[member.value_at : member.end_at]
        if index + 1 < len(members):
            start, end = member.key_at, members[index + 1].key_at
        elif index:
            start, end = members[index - 1].end_at, member.end_at
        else:
            start, end = member.key_at, member.end_at
        return clean[:start] + clean[end:], raw
    return body, None


def _locate(body: bytes) -> tuple[bytes, list[_Member]]:
    """Return the members' spans, and the body that they are spans of."""
    values = decode(_OBJECT, body)
    members = _walk(body, values)
    if members is None:
        body = write_members({key: bytes(value) for key, value in values.items()})
        members = _walk(body, values)
    if members is None:
        raise WireError("not a JSON object")
    return body, members


def _walk(body: bytes, values: Mapping[str, msgspec.Raw]) -> list[_Member] | None:
    """Return the spans of ``values``, None if the keys in ``body`` are not these, each once."""
    opening = _OPEN.match(body)
    at = opening.end() if opening else 0
    members: list[_Member] = []
    for key, value in values.items():
        match = _KEY.match(body, at)
        if match is None or _read_key(match[1]) != key:
            return None
        raw = memoryview(value)
        end = match.end() + len(raw)
        after = _AFTER_VALUE.match(body, end)
        if after is None or body[match.end() : end] != raw:
            return None
        members.append(_Member(key, match.start(1), match.end(), end))
        at = after.end()
    is_closed = not members or body[at - 1 : at] == b"}"
    return members if is_closed else None


def _read_key(quoted: bytes) -> str:
    if b"\\" not in quoted:
        return quoted[1:-1].decode()
    return msgspec.json.decode(quoted, type=str)
