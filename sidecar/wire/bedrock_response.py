"""Bedrock Converse's answers and streams → the neutral form.

``inputTokens`` counts what was neither read from nor written to the cache, the neutral form counts
all. Answers name neither themselves nor the model. A stream says its stop reason before its usage,
so that it may end after the reason and is over after both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.anthropic_blocks import object_text
from sidecar.wire.aws_event_stream import EXCEPTION
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.neutral import (
    AnswerPart,
    Completion,
    Delta,
    Ended,
    ErrorSeen,
    Finish,
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

_FINISHES = {
    "end_turn": Finish.STOP,
    "tool_use": Finish.TOOL_CALLS,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "guardrail_intervened": Finish.CONTENT_FILTER,
    "content_filtered": Finish.CONTENT_FILTER,
}
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})
"""Not an end but a failure: the model wrote what Bedrock could not read."""
_OWN_TYPES = (None, "tool_use")
"""Of tool calls; ``server_tool_use`` is for Bedrock itself to answer."""
_MALFORMED_TEXT = "the model's output was malformed"


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None

    def neutral(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_write_input_tokens or 0
        return Usage(
            input_tokens=self.input_tokens + read + written,
            output_tokens=self.output_tokens,
            cached_tokens=read,
            cache_write_tokens=written,
        )


class _ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: msgspec.Raw = msgspec.Raw(b"{}")
    type: str | None = None


class _ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(msgspec.Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None


class _Cited(msgspec.Struct):
    text: str = ""


class _Citations(msgspec.Struct):
    content: list[_Cited] = []


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Citations | None = None


class _Message(msgspec.Struct):
    content: list[_Block] = []


class _Output(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Stopped(msgspec.Struct, rename="camel"):
    stop_reason: str


class _Start(msgspec.Struct, rename="camel"):
    tool_use: _ToolUse | None = None


class _BlockStart(msgspec.Struct, rename="camel"):
    start: _Start
    content_block_index: int


class _ToolInput(msgspec.Struct):
    input: str


class _ReasoningPiece(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Change(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolInput | None = None
    reasoning_content: _ReasoningPiece | None = None


class _BlockDelta(msgspec.Struct, rename="camel"):
    delta: _Change
    content_block_index: int


class _Metadata(msgspec.Struct):
    usage: _Usage | None = None


class _Error(msgspec.Struct):
    message: str
    type: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_STOPPED = msgspec.json.Decoder(_Stopped)
_BLOCK_START = msgspec.json.Decoder(_BlockStart)
_BLOCK_DELTA = msgspec.json.Decoder(_BlockDelta)
_METADATA = msgspec.json.Decoder(_Metadata)
_ERROR = msgspec.json.Decoder(_Error)


def parse_response(body: bytes) -> Completion:
    """Read a whole answer; errors as in ``ProviderCodec.parse_response``."""
    check_utf8(body)
    answer = decode(_ANSWER, body)
    if answer.stop_reason in _MALFORMED:
        raise WireError(_MALFORMED_TEXT, "$.stopReason")
    parts = (_read_block(block) for block in answer.output.message.content)
    return Completion(
        id="",
        model="",
        parts=tuple(part for part in parts if part is not None),
        finish=None if answer.stop_reason is None else _finish(answer.stop_reason),
        usage=None if answer.usage is None else answer.usage.neutral(),
    )


def error_text(body: bytes) -> str | None:
    """Return the message of an error body; an answer that is none has one too."""
    try:
        return decode(_ERROR, body).message
    except WireError:
        pass
    try:
        reason = decode(_STOPPED, body).stop_reason
    except WireError:
        return None
    return _MALFORMED_TEXT if reason in _MALFORMED else None


class ConverseStreamParser:
    """One stream's parser (see ``StreamParser``)."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        self._unwritten: set[int] = set()
        self._call_count = 0
        self._is_stopped = False
        self._has_usage = False
        self._readers: dict[str | None, Callable[[bytes], tuple[Delta, ...]]] = {
            "messageStart": _started,
            "contentBlockStart": self._start,
            "contentBlockDelta": self._change,
            "contentBlockStop": self._stop_block,
            "messageStop": self._stop,
            "metadata": self._metadata,
            EXCEPTION: _exception,
        }

    def feed(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what one message says."""
        read = self._readers.get(event.event)
        return () if read is None else read(event.data or b"{}")

    def is_complete(self) -> bool:
        """Return whether the stop reason was seen."""
        return self._is_stopped

    def _start(self, data: bytes) -> tuple[Delta, ...]:
        start = decode(_BLOCK_START, data)
        call = start.start.tool_use
        if call is None or call.type not in _OWN_TYPES:
            return ()
        index = self._calls[start.content_block_index] = self._call_count
        self._unwritten.add(index)
        self._call_count += 1
        return (ToolCallStart(index=index, id=call.tool_use_id, name=call.name),)

    def _change(self, data: bytes) -> tuple[Delta, ...]:
        check_utf8(data)
        change = decode(_BLOCK_DELTA, data)
        if change.delta.text:
            return (TextDelta(text=change.delta.text),)
        index = self._calls.get(change.content_block_index)
        if index is not None and change.delta.tool_use is not None and change.delta.tool_use.input:
            self._unwritten.discard(index)
            return (ToolCallDelta(index=index, arguments=change.delta.tool_use.input),)
        thought = change.delta.reasoning_content
        if thought is None or not (thought.text or thought.signature or thought.redacted_content):
            return ()
        return (
            ReasoningDelta(
                text=thought.text or "",
                signature=thought.signature,
                redacted=thought.redacted_content,
            ),
        )

    def _stop_block(self, _: bytes) -> tuple[Delta, ...]:
        """A call that ends without a word of input has none: an empty object."""
        silent = sorted(self._unwritten)
        self._unwritten.clear()
        return tuple(ToolCallDelta(index=index, arguments="{}") for index in silent)

    def _stop(self, data: bytes) -> tuple[Delta, ...]:
        reason = decode(_STOPPED, data).stop_reason
        if reason in _MALFORMED:
            said = msgspec.json.encode({"type": reason, "message": _MALFORMED_TEXT})
            return (ErrorSeen(message=_MALFORMED_TEXT, error_type=reason, data=said),)
        self._is_stopped = True
        return (Finished(finish=_finish(reason)), *self._ended())

    def _metadata(self, data: bytes) -> tuple[Delta, ...]:
        usage = decode(_METADATA, data).usage
        if usage is None:
            return ()
        self._has_usage = True
        return (UsageSeen(usage=usage.neutral()), *self._ended())

    def _ended(self) -> tuple[Delta, ...]:
        return (Ended(),) if self._is_stopped and self._has_usage else ()


def _started(_: bytes) -> tuple[Delta, ...]:
    return (Started(id="", model=""),)


def _exception(data: bytes) -> tuple[Delta, ...]:
    error = decode(_ERROR, data)
    return (ErrorSeen(message=error.message, error_type=error.type, data=data),)


def _read_block(block: _Block) -> AnswerPart | None:
    """Return the part that a block is, None if the neutral form has none or it is empty."""
    if block.text:
        return TextPart(text=block.text)
    if block.citations_content is not None:
        return TextPart(text="".join(piece.text for piece in block.citations_content.content))
    if block.tool_use is not None and block.tool_use.type in _OWN_TYPES:
        call = block.tool_use
        arguments = object_text(call.input, "$.output.message.content")
        return ToolCallPart(id=call.tool_use_id, name=call.name, arguments=arguments)
    thought = block.reasoning_content
    if thought is not None and thought.redacted_content is not None:
        return ReasoningPart(redacted=thought.redacted_content)
    if thought is not None and thought.reasoning_text is not None:
        return ReasoningPart(
            text=thought.reasoning_text.text, signature=thought.reasoning_text.signature
        )
    return None


def _finish(reason: str) -> Finish:
    return _FINISHES.get(reason, Finish.OTHER)
