"""OpenAI Responses requests that keep their format: a glance at what matters, and renaming.

The counterpart of ``openai_inspect``, with the same estimate of the prompt. Two things are this
format's own. A request may refer to what a provider keeps (``previous_response_id``,
``conversation``, ``item_reference``): each reference is named with its place, since only the keeper
can answer. And ``background`` is refused: its answer is fetched by a path that is not served here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import RequestFacts
from sidecar.errors import WireError
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.responses_items import REDACTED_SEAL, SIGNATURE_SEAL
from sidecar.wire.splice import read_members, replace_members, replace_string_member

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTES_PER_TOKEN = 3.6
_TOKENS_PER_IMAGE = 800
_ABSENT = msgspec.Raw(b"")
_NOTHING = frozenset({b"", b"null"})
_SEALS = (SIGNATURE_SEAL, REDACTED_SEAL)
_BEGIN_OF_SEALS = b'"sidecar.'
_SYSTEM_ROLES = frozenset({"system", "developer"})
_KNOWN_PARTS = frozenset({"input_text", "output_text", "text", "refusal", "input_image"})
_KNOWN_ITEMS = frozenset(
    {"message", "function_call", "function_call_output", "reasoning", "item_reference"}
)
_KNOWN_CHOICES = frozenset({"auto", "none", "required"})
_PARTS_OF = {"message": "content", "function_call_output": "output"}
_LIST = ord("[")
_LOGPROBS = "message.output_text.logprobs"


class _Part(msgspec.Struct, gc=False):
    type: str
    text: msgspec.Raw = _ABSENT
    refusal: msgspec.Raw = _ABSENT
    image_url: msgspec.Raw = _ABSENT


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    role: str | None = None
    encrypted_content: str | None = None
    content: msgspec.Raw = _ABSENT
    arguments: msgspec.Raw = _ABSENT
    output: msgspec.Raw = _ABSENT

    def kind(self) -> str:
        return self.type or ("item_reference" if self.role is None else "message")


class _Tool(msgspec.Struct):
    type: str = "function"


class _Conversation(msgspec.Struct):
    id: str


class _Request(msgspec.Struct, gc=False):
    model: str
    input: str | list[_Item] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: msgspec.Raw = _ABSENT
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | _Conversation | None = None
    prompt: msgspec.Raw = _ABSENT
    include: list[str] | None = None
    top_logprobs: int | None = None
    text: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct):
    type: str


_REQUEST = msgspec.json.Decoder(_Request)
_PARTS = msgspec.json.Decoder(list[_Part])
_TOOL = msgspec.json.Decoder(_Tool)
_ITEM = msgspec.json.Decoder(_Item)
_INPUT = msgspec.json.Decoder(str | list[msgspec.Raw])
_CHOICE = msgspec.json.Decoder(str | _Choice | None)


def inspect_request(body: bytes) -> RequestFacts:
    """Return the facts of a request.

    Raises:
        WireError: not JSON, not UTF-8, no model, nothing to answer, a background answer is asked
            for, or a field is of the wrong type.
    """
    check_utf8(body)
    request = decode(_REQUEST, body)
    if not request.model:
        raise WireError("model is empty", "$.model")
    if request.background:
        message = "answers in the background are fetched by a path that is not served here"
        raise WireError(message, "$.background")
    items = request.input if isinstance(request.input, list) else []
    kinds = [item.kind() for item in items]
    references = tuple(_references(request, items, kinds))
    if not (request.input or references or _is_given(request.prompt)):
        raise WireError("input is empty", "$.input")
    parts = _parts(items, kinds)
    text_bytes = _text_bytes(request, items, parts)
    images = [part.type for part in parts].count("input_image")
    form = bytes(request.text)
    return RequestFacts(
        model=request.model,
        is_stream=bool(request.stream),
        prompt_tokens=math.ceil(text_bytes / _BYTES_PER_TOKEN) + images * _TOKENS_PER_IMAGE,
        max_tokens=request.max_output_tokens,
        has_tools=bool(request.tools),
        has_images=images > 0,
        wants_usage_in_stream=True,
        untranslatable=tuple(dict.fromkeys(_untranslatable(request, parts, kinds))),
        references=references,
        may_bind_output=b'"json_schema"' in form or b'"json_object"' in form,
        has_tool_results="function_call_output" in kinds,
    )


def rewrite_request(
    body: bytes, *, model: str, system: str | None, max_tokens: tuple[str, int] | None
) -> bytes:
    """Return ``body`` for another model, its other bytes as they were (see ``Codec``).

    Reasoning behind our seal (``responses_items``) is taken out: OpenAI refuses what it has not
    encrypted itself.

    Raises:
        WireError: ``body`` is not a request.
    """
    body = replace_string_member(body, "model", model)
    if max_tokens is not None:
        body = replace_members(body, {"max_output_tokens": b"%d" % max_tokens[1]})
    is_sealed = _BEGIN_OF_SEALS in body
    if system is not None or is_sealed:
        body = _filtered(body, drops_system=system is not None)
    if system is not None:
        body = replace_members(body, {"instructions": msgspec.json.encode(system)})
    return body


def _filtered(body: bytes, *, drops_system: bool) -> bytes:
    """Return ``body`` without sealed reasoning, and without system messages if those go too."""
    items = decode(_INPUT, read_members(body).get("input", b'""'), "$.input")
    if isinstance(items, str):
        return body
    kept = [raw for raw in items if not _is_dropped(decode(_ITEM, raw), drops_system=drops_system)]
    if len(kept) == len(items):
        return body
    return replace_members(body, {"input": msgspec.json.encode(kept)})


def _is_dropped(item: _Item, *, drops_system: bool) -> bool:
    is_system = item.kind() == "message" and item.role in _SYSTEM_ROLES
    is_sealed = item.kind() == "reasoning" and (item.encrypted_content or "").startswith(_SEALS)
    return is_sealed or (drops_system and is_system)


def _is_given(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in _NOTHING


def _references(
    request: _Request, items: list[_Item], kinds: list[str]
) -> Iterator[tuple[str, str]]:
    """Name what a provider keeps and this request refers to, as (path, id)."""
    if request.previous_response_id:
        yield "$.previous_response_id", request.previous_response_id
    kept = request.conversation
    if kept:
        yield "$.conversation", kept if isinstance(kept, str) else kept.id
    if "item_reference" in kinds:
        for position, (item, kind) in enumerate(zip(items, kinds, strict=True)):
            if kind == "item_reference" and item.id:
                yield f"$.input[{position}].id", item.id


def _parts(items: list[_Item], kinds: list[str]) -> list[_Part]:
    """Return the parts of every content that is a list, those of function outputs too."""
    parts: list[_Part] = []
    for position, (item, kind) in enumerate(zip(items, kinds, strict=True)):
        place = _PARTS_OF.get(kind)
        raw = item.content if place == "content" else item.output
        if place is not None and _is_list(raw):
            found = decode(_PARTS, raw, f"$.input[{position}].{place}")
            parts += found
    return parts


def _is_list(raw: msgspec.Raw) -> bool:
    return raw is not _ABSENT and memoryview(raw)[0] == _LIST


def _text_bytes(request: _Request, items: list[_Item], parts: list[_Part]) -> int:
    """Return about how many bytes of prompt text there are, tools included."""
    size = len((request.instructions or "").encode())
    if isinstance(request.input, str):
        size += len(request.input.encode())
    for item in items:
        for raw in (item.content, item.arguments, item.output):
            if raw is not _ABSENT and not _is_list(raw):
                size += len(raw)
    for part in parts:
        size += len(part.text) + len(part.refusal)
    return size + sum(len(tool) for tool in request.tools or ())


def _untranslatable(request: _Request, parts: list[_Part], kinds: list[str]) -> Iterator[str]:
    """Name what only this format can answer as asked."""
    tools = [decode(_TOOL, tool, "$.tools").type for tool in request.tools or ()]
    checks = {
        "store": bool(request.store),
        "previous_response_id": bool(request.previous_response_id),
        "conversation": bool(request.conversation),
        "prompt": _is_given(request.prompt),
        "logprobs": bool(request.top_logprobs) or _LOGPROBS in (request.include or ()),
        "tools": any(kind != "function" for kind in tools),
        "tool_choice": not _is_plain_choice(request.tool_choice),
        "item_reference": "item_reference" in kinds,
        "input_image.file_id": any(
            part.type == "input_image" and not _is_given(part.image_url) for part in parts
        ),
    }
    yield from (name for name, is_used in checks.items() if is_used)
    yield from (part.type for part in parts if part.type not in _KNOWN_PARTS)
    yield from (kind for kind in kinds if kind not in _KNOWN_ITEMS)


def _is_plain_choice(raw: msgspec.Raw) -> bool:
    """Return whether every format knows such a choice of tool."""
    if not _is_given(raw):
        return True
    choice = decode(_CHOICE, raw, "$.tool_choice")
    return choice in _KNOWN_CHOICES if isinstance(choice, str) else _is_function(choice)


def _is_function(choice: _Choice | None) -> bool:
    return choice is None or choice.type == "function"
