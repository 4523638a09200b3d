"""Neutral turns → the messages of an Anthropic request, by the rules the API enforces with a 400.

Roles alternate and begin with the user (Bedrock and compatible servers insist), tool results lead
their turn, no text is blank, ids are of a small alphabet, thinking is signed or left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.wire.anthropic_blocks import object_text
from sidecar.wire.decode import decode
from sidecar.wire.neutral import (
    ImagePart,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

if TYPE_CHECKING:
    from sidecar.wire.neutral import Part, Turn

Block = dict[str, object]

_OPENING = "."
"""Stands where the user's first turn is missing, as other gateways do: it asks for nothing."""

_ID_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_RAW = msgspec.json.Decoder(msgspec.Raw)


def render_turns(turns: tuple[Turn, ...], dropped: list[str]) -> list[Block]:
    """Return alternating messages, the first the user's; names in ``dropped`` what cannot be sent.

    Raises:
        WireError: a tool call's arguments are not JSON of an object.
    """
    merged: list[tuple[Role, list[Block]]] = []
    for turn in turns:
        blocks = [block for part in turn.parts for block in _blocks(part, dropped)]
        if not blocks:
            continue
        if merged and merged[-1][0] is turn.role:
            merged[-1][1].extend(blocks)
        else:
            merged.append((turn.role, blocks))
    if not merged or merged[0][0] is Role.ASSISTANT:
        merged.insert(0, (Role.USER, [text_block(_OPENING)]))
    _trim_prefill(*merged[-1])
    return [
        {"role": role.value, "content": sorted(blocks, key=_is_no_result)}
        for role, blocks in merged
    ]


def _is_no_result(block: Block) -> bool:
    """Sort tool results to the front of their turn, where the API wants them."""
    return block["type"] != "tool_result"


def _trim_prefill(role: Role, blocks: list[Block]) -> None:
    """Cut white space off the end of an answer the model shall continue, as the API demands."""
    text = blocks[-1].get("text")
    if role is Role.ASSISTANT and isinstance(text, str):
        blocks[-1] = text_block(text.rstrip())


def _blocks(part: Part, dropped: list[str]) -> list[Block]:
    """Return the part as no block or one: blank text and unsigned thinking cannot be sent."""
    match part:
        case TextPart() | RefusalPart():
            return [text_block(part.text)] if part.text.strip() else []
        case ImagePart():
            return [_image(part)]
        case ToolCallPart():
            return [_tool_use(part)]
        case ToolResultPart():
            return [_tool_result(part, dropped)]
        case ReasoningPart():
            return _reasoning(part, dropped)


def _reasoning(part: ReasoningPart, dropped: list[str]) -> list[Block]:
    if part.redacted is not None:
        return [{"type": "redacted_thinking", "data": part.redacted}]
    if part.signature:
        return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]
    dropped.append("reasoning")
    return []


def text_block(text: str) -> Block:
    """Return a block of text, which must not be blank."""
    return {"type": "text", "text": text}


def _image(part: ImagePart) -> Block:
    if part.url is not None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    return {"type": "image", "source": source}


def _tool_use(part: ToolCallPart) -> Block:
    return {
        "type": "tool_use",
        "id": tool_use_id(part.id),
        "name": part.name,
        "input": tool_input(part.arguments),
    }


def tool_input(arguments: str) -> msgspec.Raw:
    """Return a tool call's arguments as the JSON object they are; none at all are an empty one.

    Raises:
        WireError: they are not the JSON text of an object.
    """
    data = arguments.strip().encode("utf-8", "replace") or b"{}"
    try:
        raw = decode(_RAW, data)
    except WireError as error:
        raise WireError("tool call arguments are not JSON") from error
    object_text(raw, "$.arguments")
    return raw


def _tool_result(part: ToolResultPart, dropped: list[str]) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": tool_use_id(part.call_id)}
    content = [block for item in part.content for block in _blocks(item, dropped)]
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return block


def tool_use_id(call_id: str) -> str:
    """Return ``call_id`` in the small alphabet that the models behind this API are held to."""
    return _ID_FOREIGN.sub("_", call_id) or "_"
