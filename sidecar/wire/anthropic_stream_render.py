"""Deltas → Anthropic Messages streams.

Anthropic streams have one open block at a time, other formats interleave parallel tool calls. So
blocks wait in a queue: the first is written live, the others are held until it may close. Text and
thinking may close whenever another block comes, a tool call when its arguments are whole JSON: then
calls that come one after the other, the usual case, all stream without delay.

Final usage may come after the finish reason, hence both wait for ``finish``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

import msgspec

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.anthropic_response import stop_reason_of, usage_block
from sidecar.wire.anthropic_turns import Block, tool_input
from sidecar.wire.neutral import (
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageSeen,
)
from sidecar.wire.sse import encode_event

if TYPE_CHECKING:
    from sidecar.wire.neutral import Delta

_CHANGE = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n'
)


@dataclass(slots=True)
class _OpenBlock:
    """A block that is not closed; ``held`` are the deltas not written yet."""

    start: Block
    tool_index: int | None = None
    held: list[Block] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    is_started: bool = False
    is_done: bool = False

    def may_close(self) -> bool:
        """Return whether nothing more can come, given that another block wants to begin."""
        if self.tool_index is None:
            return True
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}"):
            return False
        try:
            tool_input("".join(self.arguments))
        except WireError:
            return False
        return True


class AnthropicStreamRenderer:
    """See ``StreamRenderer``."""

    def __init__(self) -> None:
        self._blocks: deque[_OpenBlock] = deque()
        self._index = 0
        self._is_started = False
        self._has_tool_calls = False
        self._has_refusal = False
        self._finished = Finished(finish=Finish.STOP)
        self._usage = Usage()

    def render(self, delta: Delta) -> bytes:
        """Return the events that say ``delta``; see ``StreamRenderer.render``."""
        match delta:
            case TextDelta() | RefusalDelta() | ReasoningDelta() | ToolCallStart():
                self._add(delta)
            case ToolCallDelta():
                self._add_arguments(delta)
            case Started():
                return self._start(delta)
            case Finished():
                self._finished = delta
            case UsageSeen():
                self._usage = delta.usage
            case ErrorSeen() | Ended():
                pass
            case _:
                assert_never(delta)
        return self._pump()

    def finish(self) -> bytes:
        """Return what is held, the stop reason with final usage, and ``message_stop``."""
        pieces = [self._pump(is_last=True)]
        reason = stop_reason_of(
            self._finished.finish,
            has_tool_calls=self._has_tool_calls,
            has_refusal=self._has_refusal,
        )
        sequence = self._finished.stop_sequence if reason == "stop_sequence" else None
        change: Block = {"stop_reason": reason, "stop_sequence": sequence}
        usage = usage_block(self._usage)
        pieces.append(_event("message_delta", {"delta": change, "usage": usage}))
        pieces.append(_event("message_stop", {}))
        return b"".join(pieces)

    def _start(self, started: Started) -> bytes:
        if self._is_started:
            return b""
        self._is_started = True
        self._usage = started.usage or Usage()
        message: Block = {
            "id": started.id,
            "type": "message",
            "role": "assistant",
            "model": started.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_block(self._usage),
        }
        return _event("message_start", {"message": message})

    def _add(self, delta: TextDelta | RefusalDelta | ReasoningDelta | ToolCallStart) -> None:
        match delta:
            case TextDelta() | RefusalDelta():
                self._has_refusal |= isinstance(delta, RefusalDelta)
                block = self._last("text", {"type": "text", "text": ""})
                block.held.append({"type": "text_delta", "text": delta.text})
            case ReasoningDelta(redacted=str(data)):
                start: Block = {"type": "redacted_thinking", "data": data}
                self._blocks.append(_OpenBlock(start, is_done=True))
            case ReasoningDelta():
                self._add_reasoning(delta)
            case ToolCallStart():
                self._has_tool_calls = True
                start = {"type": "tool_use", "id": delta.id, "name": delta.name, "input": {}}
                self._blocks.append(_OpenBlock(start, tool_index=delta.index))

    def _add_reasoning(self, delta: ReasoningDelta) -> None:
        block = self._last("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if delta.text:
            block.held.append({"type": "thinking_delta", "thinking": delta.text})
        if delta.signature is not None:
            block.held.append({"type": "signature_delta", "signature": delta.signature})
            block.is_done = True

    def _add_arguments(self, delta: ToolCallDelta) -> None:
        """Add arguments to their call; after whole JSON only white space can come, which is cut."""
        for block in self._blocks:
            if block.tool_index == delta.index:
                block.arguments.append(delta.arguments)
                change: Block = {"type": "input_json_delta", "partial_json": delta.arguments}
                block.held.append(change)

    def _last(self, kind: str, start: Block) -> _OpenBlock:
        """Return the block that a delta of ``kind`` continues: the last one, or a new one."""
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.is_done or last.start["type"] != kind:
            last = _OpenBlock(start)
            self._blocks.append(last)
        return last

    def _pump(self, *, is_last: bool = False) -> bytes:
        """Write the first block as far as it goes, and the next ones when it may close."""
        pieces: list[bytes] = []
        while self._blocks:
            block = self._blocks[0]
            if not block.is_started:
                block.is_started = True
                start: Block = {"index": self._index, "content_block": block.start}
                pieces.append(_event("content_block_start", start))
            if block.held:
                pieces += [_CHANGE % (self._index, msgspec.json.encode(d)) for d in block.held]
                block.held.clear()
            is_followed = len(self._blocks) > 1
            if not (is_last or block.is_done or (is_followed and block.may_close())):
                break
            pieces.append(_event("content_block_stop", {"index": self._index}))
            self._blocks.popleft()
            self._index += 1
        return b"".join(pieces)


def _event(name: str, data: Block) -> bytes:
    return encode_event(msgspec.json.encode({"type": name, **data}), event=name)
