"""OpenAI Chat Completions requests that keep their format.

A glance at what matters, and renaming the model. Every call pays for this, so only lengths and
types are looked at; image data is skipped, never copied. The prompt estimate is UTF-8 bytes of text
by 3.6 (four characters of English a token, less for code and other scripts, which have more bytes a
character as well) plus a flat price an image.
"""

from __future__ import annotations

import math

import msgspec

from sidecar.abilities import Ability
from sidecar.domain import RequestFacts
from sidecar.errors import WireError
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.splice import may_have, read_members, remove_member, replace_members

MAX_TOKENS_FIELDS = ("max_completion_tokens", "max_tokens")

_BYTES_PER_TOKEN = 3.6
_TOKENS_PER_IMAGE = 800
_ABSENT = msgspec.Raw(b"")
_FORCED = frozenset({b'"required"', b'"any"'})
_SCHEMA = b'"json_schema"'
_JSON = b'"json_object"'
_NO_NEEDS: frozenset[Ability] = frozenset()
_KNOWN_PARTS = frozenset({"text", "image_url", "refusal", "thinking"})
_SYSTEM_ROLES = frozenset({"system", "developer"})


class _Part(msgspec.Struct, gc=False):
    type: str
    text: msgspec.Raw = _ABSENT


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: msgspec.Raw = _ABSENT


class _Tool(msgspec.Struct, gc=False):
    type: str = "function"
    function: msgspec.Raw = _ABSENT


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class _Request(msgspec.Struct, gc=False):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[_Tool] | None = None
    functions: list[msgspec.Raw] | None = None
    n: int | None = None
    logprobs: bool | None = None
    audio: msgspec.Raw = _ABSENT
    modalities: list[str] | None = None
    tool_choice: msgspec.Raw = _ABSENT
    response_format: msgspec.Raw = _ABSENT


class _Role(msgspec.Struct):
    role: str


_REQUEST = msgspec.json.Decoder(_Request)
_MESSAGES = msgspec.json.Decoder(list[msgspec.Raw])
_ROLE = msgspec.json.Decoder(_Role)


def inspect_request(body: bytes) -> RequestFacts:
    """Return the facts of a request.

    Raises:
        WireError: not JSON, not UTF-8, no model, no messages, or a field of the wrong type.
    """
    check_utf8(body)
    request = decode(_REQUEST, body)
    if not request.model:
        raise WireError("model is empty", "$.model")
    if not request.messages:
        raise WireError("messages is empty", "$.messages")
    text_bytes, part_types, roles = _seen(request)
    images = part_types.count("image_url") if part_types else 0
    options = request.stream_options
    wanted = bytes(request.response_format)
    return RequestFacts(
        model=request.model,
        is_stream=bool(request.stream),
        prompt_tokens=math.ceil(text_bytes / _BYTES_PER_TOKEN) + images * _TOKENS_PER_IMAGE,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        has_tools=bool(request.tools),
        has_images=images > 0,
        wants_usage_in_stream=options is not None and bool(options.include_usage),
        untranslatable=_untranslatable(request, part_types, roles),
        needs=_needs(request, wanted),
        may_bind_output=_SCHEMA in wanted or _JSON in wanted,
        has_tool_results="tool" in roles,
    )


def rewrite_request(
    body: bytes, *, model: str, system: str | None, max_tokens: tuple[str, int] | None
) -> bytes:
    """Return ``body`` for another model, its other bytes as they were (see ``Codec``).

    Raises:
        WireError: ``body`` is not a request.
    """
    new = {"model": msgspec.json.encode(model)}
    if max_tokens is not None:
        for field in MAX_TOKENS_FIELDS:
            if field != max_tokens[0] and may_have(body, field):
                body, _ = remove_member(body, field)
        new[max_tokens[0]] = b"%d" % max_tokens[1]
    if system is not None:
        new["messages"] = _with_system(body, system)
    return replace_members(body, new)


def _with_system(body: bytes, system: str) -> bytes:
    """Return the messages with ``system`` in place of every system and developer message."""
    messages = decode(_MESSAGES, read_members(body).get("messages", b"null"), "$.messages")
    kept = [raw for raw in messages if decode(_ROLE, raw).role not in _SYSTEM_ROLES]
    return msgspec.json.encode([{"role": "system", "content": system}, *kept])


def _seen(request: _Request) -> tuple[int, list[str], set[str]]:
    """Return about how many bytes of prompt text there are, tools included; the types of all parts
    of messages; who speaks.
    """
    size = 0
    part_types: list[str] = []
    roles: set[str] = set()
    for message in request.messages:
        content = message.content
        if isinstance(content, str):
            size += len(content) if content.isascii() else len(content.encode())
        elif content:
            for part in content:
                part_types.append(part.type)
                size += len(part.text)
        if message.tool_calls is not _ABSENT:
            size += len(message.tool_calls)
        roles.add(message.role)
    for tool in request.tools or ():
        size += len(tool.function)
    return size, part_types, roles


def _needs(request: _Request, wanted: bytes) -> frozenset[Ability]:
    """Return what the model must be able to do beside tools and images, for an answer ``wanted``
    in this form.
    """
    if request.tool_choice is _ABSENT and not wanted and not request.logprobs:
        return _NO_NEEDS
    choice = bytes(request.tool_choice)
    needs = {
        Ability.FORCED_TOOL: choice.startswith(b"{") or choice in _FORCED,
        Ability.SCHEMA: _SCHEMA in wanted,
        Ability.LOGPROBS: bool(request.logprobs),
    }
    return frozenset(ability for ability, is_needed in needs.items() if is_needed)


def _untranslatable(request: _Request, part_types: list[str], roles: set[str]) -> tuple[str, ...]:
    """Name what only this format can answer as asked."""
    checks = (
        ("n", request.n is not None and request.n > 1),
        ("logprobs", request.logprobs),
        ("audio", request.audio is not _ABSENT and bytes(request.audio) != b"null"),
        ("modalities", request.modalities and set(request.modalities) != {"text"}),
        ("functions", request.functions),
        ("messages.function", "function" in roles),
        ("tools", request.tools and {tool.type for tool in request.tools} != {"function"}),
    )
    found = [name for name, is_used in checks if is_used]
    if part_types:
        found += (kind for kind in dict.fromkeys(part_types) if kind not in _KNOWN_PARTS)
    return tuple(found)
