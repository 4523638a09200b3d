"""Anthropic Messages answers ↔ the neutral form, and what streams share with them.

``input_tokens`` is the one trap: Anthropic counts tokens read from and written to its cache beside
it, the neutral form within it. Blocks that only Anthropic knows (server tools and their results)
say nothing in the neutral form, so they are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.anthropic_blocks import Tagged, object_text
from sidecar.wire.anthropic_turns import Block, tool_input
from sidecar.wire.decode import decode
from sidecar.wire.neutral import (
    Completion,
    Finish,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)

if TYPE_CHECKING:
    from sidecar.wire.neutral import AnswerPart

_FINISHES = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "tool_use": Finish.TOOL_CALLS,
    "refusal": Finish.REFUSAL,
    "pause_turn": Finish.PAUSE,
}
_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.CONTENT_FILTER: "refusal",
    Finish.REFUSAL: "refusal",
    Finish.PAUSE: "pause_turn",
    Finish.OTHER: "end_turn",
}


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """Usage as sent; in a stream, None where an event does not repeat a count."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None

    def updated(self, later: WireUsage) -> WireUsage:
        """Return these counts with those that ``later`` repeats (they are totals, not steps)."""
        seen = {k: v for k, v in msgspec.structs.asdict(later).items() if v is not None}
        return msgspec.structs.replace(self, **seen)

    def neutral(self) -> Usage:
        """Return the neutral usage: cached tokens are input tokens."""
        cached = self.cache_read_input_tokens or 0
        written = self.cache_creation_input_tokens or 0
        details = self.output_tokens_details
        return Usage(
            input_tokens=(self.input_tokens or 0) + cached + written,
            output_tokens=self.output_tokens or 0,
            cached_tokens=cached,
            cache_write_tokens=written,
            reasoning_tokens=(details.thinking_tokens or 0) if details else 0,
        )


class _Message(msgspec.Struct):
    type: Literal["message"]
    id: str
    model: str
    content: list[msgspec.Raw]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: WireUsage | None = None


class _Text(msgspec.Struct):
    text: str


class _ToolUse(msgspec.Struct):
    id: str
    name: str
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Thinking(msgspec.Struct):
    thinking: str = ""
    signature: str | None = None


class _Redacted(msgspec.Struct):
    data: str


_MESSAGE = msgspec.json.Decoder(_Message)
_TAGGED = msgspec.json.Decoder(Tagged)
_TEXT = msgspec.json.Decoder(_Text)
_TOOL_USE = msgspec.json.Decoder(_ToolUse)
_THINKING = msgspec.json.Decoder(_Thinking)
_REDACTED = msgspec.json.Decoder(_Redacted)


def parse_response(body: bytes) -> Completion:
    """Read a whole answer; errors as in ``Codec.parse_response``."""
    message = decode(_MESSAGE, body)
    parts = (read_block(raw, f"$.content[{i}]") for i, raw in enumerate(message.content))
    return Completion(
        id=message.id,
        model=message.model,
        parts=tuple(part for part in parts if part is not None),
        finish=None if message.stop_reason is None else finish_of(message.stop_reason),
        stop_sequence=message.stop_sequence,
        usage=None if message.usage is None else message.usage.neutral(),
    )


def read_block(raw: msgspec.Raw, path: str) -> TextPart | ToolCallPart | ReasoningPart | None:
    """Return the part that a block of an answer is, None if only Anthropic knows its kind.

    Raises:
        WireError: a block of a known type has a wrong field.
    """
    match decode(_TAGGED, raw, path).type:
        case "text":
            return TextPart(text=decode(_TEXT, raw, path).text)
        case "tool_use":
            call = decode(_TOOL_USE, raw, path)
            arguments = object_text(call.input, f"{path}.input")
            return ToolCallPart(id=call.id, name=call.name, arguments=arguments)
        case "thinking":
            block = decode(_THINKING, raw, path)
            return ReasoningPart(text=block.thinking, signature=block.signature or None)
        case "redacted_thinking":
            return ReasoningPart(redacted=decode(_REDACTED, raw, path).data)
        case _:
            return None


def finish_of(stop_reason: str) -> Finish:
    """Return the neutral finish of a stop reason; new reasons are a finish too."""
    return _FINISHES.get(stop_reason, Finish.OTHER)


def stop_reason_of(finish: Finish, *, has_tool_calls: bool, has_refusal: bool) -> str:
    """Return the stop reason; providers that only say "stop" do not know tool calls or refusals."""
    if finish is Finish.STOP and has_tool_calls:
        return "tool_use"
    if finish is Finish.STOP and has_refusal:
        return "refusal"
    return _STOP_REASONS[finish]


def render_response(completion: Completion) -> bytes:
    """Write a whole answer.

    Raises:
        WireError: a tool call's arguments are not a JSON object although the answer is whole.
    """
    parts = completion.parts
    stop_reason = None
    if completion.finish is not None:
        stop_reason = stop_reason_of(
            completion.finish,
            has_tool_calls=any(isinstance(part, ToolCallPart) for part in parts),
            has_refusal=any(isinstance(part, RefusalPart) for part in parts),
        )
    message = {
        "id": completion.id,
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": [_block(part, completion.finish) for part in parts],
        "stop_reason": stop_reason,
        "stop_sequence": completion.stop_sequence if stop_reason == "stop_sequence" else None,
        "usage": usage_block(completion.usage or Usage()),
    }
    return msgspec.json.encode(message)


def _block(part: AnswerPart, finish: Finish | None) -> Block:
    match part:
        case TextPart(text=text) | RefusalPart(text=text):
            return {"type": "text", "text": text}
        case ReasoningPart(redacted=str(data)):
            return {"type": "redacted_thinking", "data": data}
        case ReasoningPart(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": signature or ""}
        case ToolCallPart():
            return {
                "type": "tool_use",
                "id": part.id,
                "name": part.name,
                "input": _answer_input(part, finish),
            }


def _answer_input(part: ToolCallPart, finish: Finish | None) -> msgspec.Raw:
    """Return the input; a call cut short at the token limit has none, as ``max_tokens`` tells."""
    try:
        return tool_input(part.arguments)
    except WireError:
        if finish is Finish.LENGTH:
            return msgspec.Raw(b"{}")
        raise


def usage_block(usage: Usage) -> Block:
    """Return usage as Anthropic counts it: cached tokens beside ``input_tokens``."""
    beside = usage.cached_tokens + usage.cache_write_tokens
    block: Block = {
        "input_tokens": max(0, usage.input_tokens - beside),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        block["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return block
