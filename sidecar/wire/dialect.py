"""A request in its format → the same in the dialect of one provider (``abilities.Dialect``).

Runs last, on the bytes, so that it holds for what was translated and for what was only forwarded
alike: a body in the right format is as useless as any other where the provider answers 422 to a
field it does not know. Everything that the dialect does not name stays byte for byte.
"""

from __future__ import annotations

import msgspec

from sidecar.abilities import Dialect
from sidecar.wire.decode import decode
from sidecar.wire.splice import read_members, remove_member, replace_members

PLAIN = Dialect()
"""The format as it is."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ASKS_NOTHING = frozenset({b"null", b"false", b"{}", b"[]", b'["text"]', b'"auto"'})
_NOT_MISSED = frozenset({"stream_options"})
"""Who does not know it says the usage unasked."""


def in_dialect(body: bytes, dialect: Dialect) -> tuple[bytes, tuple[str, ...]]:
    """Return ``body`` in ``dialect``, and the members that were lost and asked for something.

    A member under both its names keeps the provider's own.

    Raises:
        WireError: ``body`` is not a JSON object.
    """
    if dialect == PLAIN or not _is_concerned(body, dialect):
        return body, ()
    for theirs, own in dialect.renames:
        body = _renamed(body, theirs, own)
    members = read_members(body)
    words = {
        name: msgspec.json.encode(own)
        for name, theirs, own in dialect.words
        if members.get(name) == msgspec.json.encode(theirs)
    }
    if words:
        body = replace_members(body, words)
    lost: list[str] = []
    for name in dialect.leaves_out:
        if name not in members:
            continue
        body, _ = remove_member(body, name)
        if members[name] not in _ASKS_NOTHING and name not in _NOT_MISSED:
            lost.append(name)
    return body, tuple(lost)


def _is_concerned(body: bytes, dialect: Dialect) -> bool:
    """Return whether any name of the dialect is a member: most bodies are read no further."""
    members = decode(_OBJECT, body).keys()
    if not members.isdisjoint(dialect.leaves_out):
        return True
    named = (*(theirs for theirs, _ in dialect.renames), *(name for name, _, _ in dialect.words))
    return not members.isdisjoint(named)


def _renamed(body: bytes, theirs: str, own: str) -> bytes:
    body, value = remove_member(body, theirs)
    if value is None or value == b"null" or own in read_members(body):
        return body
    return replace_members(body, {own: value})
