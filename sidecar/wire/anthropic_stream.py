"""Anthropic Messages streams → deltas.

The type is read from the data, as its servers promise it to equal the event's name. Counts of usage
are running totals and not all of them are repeated, so they are kept here and updated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.wire.anthropic_errors import ErrorBody
from sidecar.wire.anthropic_response import WireUsage, finish_of, read_block
from sidecar.wire.decode import decode
from sidecar.wire.neutral import (
    Delta,
    Ended,
    ErrorSeen,
    Finished,
    ReasoningDelta,
    ReasoningPart,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageSeen,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.wire.sse import SseEvent


class _Tagged(msgspec.Struct):
    type: str | None = None


class _Message(msgspec.Struct):
    id: str
    model: str
    usage: WireUsage | None = None


class _MessageStart(msgspec.Struct):
    message: _Message


class _BlockStart(msgspec.Struct):
    index: int
    content_block: msgspec.Raw


class _Change(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""


class _BlockDelta(msgspec.Struct):
    index: int
    delta: _Change


class _BlockStop(msgspec.Struct):
    index: int


class _End(msgspec.Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _MessageDelta(msgspec.Struct):
    delta: _End
    usage: WireUsage | None = None


class _OpenTool:
    """A tool call whose block is open; ``input`` holds until the first delta says otherwise."""

    __slots__ = ("index", "input")

    def __init__(self, index: int, arguments: str) -> None:
        self.index = index
        self.input: str | None = arguments if arguments != "{}" else None


_TAGGED = msgspec.json.Decoder(_Tagged)
_MESSAGE_START = msgspec.json.Decoder(_MessageStart)
_BLOCK_START = msgspec.json.Decoder(_BlockStart)
_BLOCK_DELTA = msgspec.json.Decoder(_BlockDelta)
_BLOCK_STOP = msgspec.json.Decoder(_BlockStop)
_MESSAGE_DELTA = msgspec.json.Decoder(_MessageDelta)
_ERROR = msgspec.json.Decoder(ErrorBody)


class AnthropicStreamParser:
    """See ``StreamParser``; ends with ``message_stop`` alone."""

    def __init__(self) -> None:
        self._usage = WireUsage()
        self._tools: dict[int, _OpenTool] = {}
        self._tool_count = 0
        self._is_stopped = False
        self._readers: dict[str | None, Callable[[bytes], tuple[Delta, ...]]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "error": _error,
        }

    def feed(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what ``event`` says; see ``StreamParser.feed``."""
        if event.data is None:
            return ()
        if event.event == "error":
            return _error(event.data)
        read = self._readers.get(decode(_TAGGED, event.data).type)
        return () if read is None else read(event.data)

    def is_complete(self) -> bool:
        """Return whether ``message_stop`` was seen: this format's servers never omit it."""
        return self._is_stopped

    def _message_start(self, data: bytes) -> tuple[Delta, ...]:
        message = decode(_MESSAGE_START, data).message
        usage = None
        if message.usage is not None:
            self._usage = self._usage.updated(message.usage)
            usage = self._usage.neutral()
        return (Started(id=message.id, model=message.model, usage=usage),)

    def _block_start(self, data: bytes) -> tuple[Delta, ...]:
        start = decode(_BLOCK_START, data)
        match read_block(start.content_block, "$.content_block"):
            case TextPart(text=text) if text:
                return (TextDelta(text=text),)
            case ReasoningPart() as part if part != ReasoningPart():
                return (
                    ReasoningDelta(
                        text=part.text, signature=part.signature, redacted=part.redacted
                    ),
                )
            case ToolCallPart(id=call_id, name=name, arguments=arguments):
                tool = self._tools[start.index] = _OpenTool(self._tool_count, arguments)
                self._tool_count += 1
                return (ToolCallStart(index=tool.index, id=call_id, name=name),)
            case _:
                return ()

    def _block_delta(self, data: bytes) -> tuple[Delta, ...]:
        event = decode(_BLOCK_DELTA, data)
        change = event.delta
        match change.type:
            case "text_delta" if change.text:
                return (TextDelta(text=change.text),)
            case "thinking_delta" if change.thinking:
                return (ReasoningDelta(text=change.thinking),)
            case "signature_delta" if change.signature:
                return (ReasoningDelta(signature=change.signature),)
            case "input_json_delta" if change.partial_json:
                return self._arguments(event.index, change.partial_json)
            case _:
                return ()

    def _arguments(self, block_index: int, text: str) -> tuple[Delta, ...]:
        """Return more arguments; those of server tools belong to no call the caller knows."""
        tool = self._tools.get(block_index)
        if tool is None:
            return ()
        tool.input = None
        return (ToolCallDelta(index=tool.index, arguments=text),)

    def _block_stop(self, data: bytes) -> tuple[Delta, ...]:
        tool = self._tools.pop(decode(_BLOCK_STOP, data).index, None)
        if tool is None or tool.input is None:
            return ()
        return (ToolCallDelta(index=tool.index, arguments=tool.input),)

    def _message_delta(self, data: bytes) -> tuple[Delta, ...]:
        event = decode(_MESSAGE_DELTA, data)
        deltas: list[Delta] = []
        if event.delta.stop_reason is not None:
            finish = finish_of(event.delta.stop_reason)
            deltas.append(Finished(finish=finish, stop_sequence=event.delta.stop_sequence))
        if event.usage is not None:
            self._usage = self._usage.updated(event.usage)
            deltas.append(UsageSeen(usage=self._usage.neutral()))
        return tuple(deltas)

    def _message_stop(self, _data: bytes) -> tuple[Delta, ...]:
        self._is_stopped = True
        return (Ended(),)


def _error(data: bytes) -> tuple[Delta, ...]:
    """Return the error, in whatever shape: an error must not be lost to a parse error."""
    try:
        error = decode(_ERROR, data).error
    except WireError:
        return (ErrorSeen(message="the provider sent an error", error_type=None, data=data),)
    return (ErrorSeen(message=error.message, error_type=error.type, data=data),)
