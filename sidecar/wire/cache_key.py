"""Which requests are the same for the stale cache, and which answers may be kept at all.

Exact keys only: same caller format, same route, same body. Left out is what tells
how the answer travels (``stream``) or for whose sake, as ``user`` does: two callers that send the
very same words get the same answer, and whatever of it is private is among those words. The order
of top-level members does not matter. Values count as they stand, byte by byte: one client writes
the same request in the same way each time, another spelling is merely a miss, and images need not
be decoded to be compared. Betas asked for by header change answers, so they count too.

An answer to a request with tools may be a tool call, and one to a tool's result speaks of the world
as the tool saw it: neither is kept. Temperature and seed forbid nothing: this cache answers only
when nobody else does, and an answer that was good an hour ago is then better than none.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import decode

if TYPE_CHECKING:
    from sidecar.domain import RouteName, WireFormat

_NOT_OF_THE_ANSWER = frozenset(
    {
        *("stream", "stream_options", "sidecar"),
        *("user", "metadata", "safety_identifier", "prompt_cache_key"),
    }
)
_ABSENT = msgspec.Raw(b"")
_NOTHING = frozenset({b"", b"null", b"[]", b"{}"})
_TOOL_ROLES = frozenset({"tool", "function"})
_GEMINI_CALL = re.compile(rb'"function_?[A-Za-z]+"\s*:')


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT


class _Part(msgspec.Struct):
    type: str = ""


class _Request(msgspec.Struct):
    messages: list[_Message] | None = None
    contents: msgspec.Raw = _ABSENT  # Gemini's messages
    tools: msgspec.Raw = _ABSENT
    functions: msgspec.Raw = _ABSENT
    mcp_servers: msgspec.Raw = _ABSENT
    container: msgspec.Raw = _ABSENT


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_REQUEST = msgspec.json.Decoder(_Request)
_PARTS = msgspec.json.Decoder(list[_Part])


def cache_key(
    body: bytes,
    *,
    wire_format: WireFormat,
    route: RouteName,
    headers: tuple[tuple[str, str], ...] = (),
) -> str:
    """Return the key of a request: 64 hexadecimal digits.

    ``headers`` are those of the caller that the provider may see (``Call.forward_headers``).

    Raises:
        WireError: ``body`` is not a JSON object.
    """
    digest = hashlib.sha256()
    members = decode(_MEMBERS, body)
    _add(digest, wire_format.value.encode(), route.encode())
    for name, value in sorted((name.lower(), value) for name, value in headers):
        _add(digest, b"header", name.encode(), value.encode("utf-8", "surrogateescape"))
    for key in sorted(members.keys() - _NOT_OF_THE_ANSWER):
        _add(digest, b"member", key.encode(), memoryview(members[key]))
    return digest.hexdigest()


def _add(digest: hashlib._Hash, *pieces: bytes | memoryview) -> None:
    """Add each piece behind its length, so that no two lists of pieces read alike."""
    for piece in pieces:
        digest.update(b"%d:" % len(piece))
        digest.update(piece)


def is_cacheable(body: bytes) -> bool:
    """Return whether answers to this request may be kept: no tools, no tool calls, no results."""
    try:
        request = decode(_REQUEST, body)
        if request.messages is None:
            has_words = _is_something(request.contents)
            return has_words and not _offers_tools(request) and not _names_functions(request)
        return not _offers_tools(request) and not any(map(_used_tools, request.messages))
    except WireError:
        return False


def _names_functions(request: _Request) -> bool:
    """Say whether Gemini's contents hold calls or results; words that look so are merely a miss."""
    return _GEMINI_CALL.search(memoryview(request.contents)) is not None


def _offers_tools(request: _Request) -> bool:
    offered = (request.tools, request.functions, request.mcp_servers, request.container)
    return any(map(_is_something, offered))


def _used_tools(message: _Message) -> bool:
    """Say whether a message calls tools or holds a result; block types of all kinds say ``tool``.

    Raises:
        WireError: its parts have no types.
    """
    if message.role in _TOOL_ROLES:
        return True
    if _is_something(message.tool_calls) or _is_something(message.function_call):
        return True
    if bytes(memoryview(message.content)[:1]) != b"[":
        return False
    return any("tool" in part.type for part in decode(_PARTS, message.content))


def _is_something(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in _NOTHING
