"""What a call asked and was answered, in words, for telemetry that was switched on to record it.

Imported with the first such call. Pictures are named, not kept: nobody redacts a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.decisions import Content, Message
from sidecar.domain import EMBEDDINGS
from sidecar.errors import WireError
from sidecar.wire.formats import codec
from sidecar.wire.neutral import (
    ImagePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

if TYPE_CHECKING:
    from sidecar.domain import Call
    from sidecar.wire.neutral import Completion, Part


def content_of(call: Call, said: Completion | None) -> Content:
    """Return what was asked, as far as it can be read, and what was answered, if it is known."""
    asked: list[Message] = []
    if call.format not in EMBEDDINGS:
        try:
            conversation = codec(call.format).parse_request(call.body)
        except WireError:
            pass
        else:
            asked += [Message(role="system", parts=(("text", one),)) for one in conversation.system]
            for turn in conversation.turns:
                parts = tuple([_part(part) for part in turn.parts])
                asked.append(Message(role=turn.role.value, parts=parts))
    answered: tuple[Message, ...] = ()
    if said is not None:
        parts = tuple([_part(part) for part in said.parts])
        answered = (Message(role="assistant", parts=parts),)
    return Content(asked=tuple(asked), answered=answered)


def _part(part: Part) -> tuple[str, str]:
    match part:
        case TextPart(text=text) | RefusalPart(text=text):
            return "text", text
        case ReasoningPart(text=text):
            return "reasoning", text
        case ToolCallPart():
            return "tool_call", f"{part.name}({part.arguments})"
        case ToolResultPart(content=content):
            texts = [one.text for one in content if isinstance(one, TextPart)]
            return "tool_call_response", "\n".join(texts)
        case ImagePart():
            return "image", "(an image)"
