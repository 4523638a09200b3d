"""An OpenAI Chat Completions stream → deltas.

What recorded streams of compatible servers taught: role-only and empty deltas are no content;
usage may ride in a chunk without choices, in the last one with, or in Groq's ``x_groq``; errors
come as a chunk's ``error`` or as ``event: error``; a third of the servers never send ``[DONE]``,
so that a finish reason may end a stream too; some give every parallel tool call index 0 and only
a new id tells them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.decode import decode
from sidecar.wire.neutral import (
    Delta,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ImagePart,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStart,
    UsageSeen,
)
from sidecar.wire.openai_content import (
    Content,
    Dropped,
    Function,
    ToolCall,
    read_arguments,
    read_content,
)
from sidecar.wire.openai_response import FINISH_ERROR, UsageObject, read_finish, read_usage

if TYPE_CHECKING:
    from sidecar.wire.sse import SseEvent

_NULL = msgspec.Raw(b"null")
_DONE = b"[DONE]"


class _Delta(msgspec.Struct, gc=False):
    content: Content = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Groq(msgspec.Struct, gc=False):
    usage: UsageObject | None = None


class _Chunk(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    created: int | float | None = None
    choices: list[_Choice] | None = None
    usage: UsageObject | None = None
    x_groq: _Groq | None = None
    error: msgspec.Raw = _NULL


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | int | None = None
    code: str | int | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_ERROR = msgspec.json.Decoder(str | _Error)


class OpenAIStreamParser:
    """One stream's parser (see ``StreamParser``)."""

    def __init__(self) -> None:
        self._is_started = False
        self._is_ended = False
        self._unfinished: dict[int, bool] = {}
        self._finish: Finish | None = None
        self._calls: dict[tuple[int, int], tuple[int, str]] = {}
        self._call_count = 0

    def feed(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what ``event`` says (see ``StreamParser``)."""
        data = event.data
        if data is None:
            return ()
        if event.event is None and data.startswith(b"{"):
            return self._read(data)
        data = data.strip()
        if data == _DONE:
            self._is_ended = True
            return (Ended(),)
        is_error = event.event == "error"
        is_json = data.startswith(b"{") or event.event in {None, "message"}
        if not data or not (is_json or is_error):
            return ()
        if is_error and not is_json:
            return (ErrorSeen(message=data.decode("utf-8", "replace"), error_type=None, data=data),)
        return self._read(data, is_error=is_error)

    def is_complete(self) -> bool:
        """Return whether the stream may end here (see ``StreamParser``)."""
        return self._is_ended or (self._finish is not None and not any(self._unfinished.values()))

    def _read(self, data: bytes, *, is_error: bool = False) -> tuple[Delta, ...]:
        chunk = decode(_CHUNK, data)
        if is_error or (chunk.error is not _NULL and bytes(chunk.error) != b"null"):
            return (_read_error(chunk, data.strip()),)
        deltas: list[Delta] = []
        if not self._is_started and (chunk.id or chunk.choices):
            self._is_started = True
            created = None if chunk.created is None else int(chunk.created)
            deltas.append(Started(id=chunk.id or "", model=chunk.model or "", created=created))
        for choice in chunk.choices or ():
            self._unfinished.setdefault(choice.index, True)
            if choice.delta is not None:
                self._read_delta(choice.index, choice.delta, deltas)
            if choice.finish_reason:
                deltas += self._read_finish(choice.index, choice.finish_reason, data)
        if chunk.usage is not None or chunk.x_groq is not None:
            groq = chunk.x_groq.usage if chunk.x_groq else None
            usage = read_usage(chunk.usage) or read_usage(groq)
            deltas += [] if usage is None else [UsageSeen(usage=usage)]
        return tuple(deltas)

    def _read_finish(self, choice: int, reason: str, data: bytes) -> list[Delta]:
        """Return the end of the answer with the end of its last choice, or that it broke."""
        if not self._unfinished[choice]:
            return []
        if reason == FINISH_ERROR:
            message = "the provider ended the answer with an error"
            return [ErrorSeen(message=message, error_type=None, data=data.strip())]
        finish = read_finish(reason, has_calls=self._call_count > 0)
        self._unfinished[choice] = False
        if self._finish is None or choice == 0:
            self._finish = finish
        if any(self._unfinished.values()) or self._finish is None:
            return []
        return [Finished(finish=self._finish)]

    def _read_delta(self, choice: int, delta: _Delta, deltas: list[Delta]) -> None:
        """Add what ``delta`` says to ``deltas``."""
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            deltas.append(ReasoningDelta(text=reasoning))
        content = delta.content
        if isinstance(content, str):
            if content:
                deltas.append(TextDelta(text=content))
        elif content is not None:
            deltas += _read_parts(content)
        if delta.refusal:
            deltas.append(RefusalDelta(text=delta.refusal))
        for call in delta.tool_calls or ():
            deltas += self._read_call(choice, call)
        if delta.function_call is not None:
            deltas += self._read_call(choice, ToolCall(index=-1, function=delta.function_call))

    def _read_call(self, choice: int, call: ToolCall) -> list[Delta]:
        """Start a call at a new index, or at a known one under another id; then its arguments."""
        function = call.function or Function()
        key = (choice, call.index or 0)
        known = self._calls.get(key)
        deltas: list[Delta] = []
        if known is None or (call.id and function.name and call.id != known[1]):
            known = (self._call_count, call.id or f"call_{self._call_count}")
            self._call_count += 1
            self._calls[key] = known
            deltas.append(ToolCallStart(index=known[0], id=known[1], name=function.name or ""))
        arguments = read_arguments(function)
        if arguments:
            deltas.append(ToolCallDelta(index=known[0], arguments=arguments))
        return deltas


def _read_parts(content: Content) -> list[Delta]:
    deltas: list[Delta] = []
    for part in read_content(content, Dropped()):
        match part:
            case TextPart():
                deltas.append(TextDelta(text=part.text))
            case ReasoningPart():
                deltas.append(ReasoningDelta(text=part.text))
            case RefusalPart():
                deltas.append(RefusalDelta(text=part.text))
            case ImagePart():
                pass
    return deltas


def _read_error(chunk: _Chunk, data: bytes) -> ErrorSeen:
    raw = bytes(chunk.error)
    error = decode(_ERROR, data if raw == b"null" else raw, "$.error")
    if isinstance(error, str):
        return ErrorSeen(message=error, error_type=None, data=data)
    kind = error.type or error.code
    return ErrorSeen(
        message=error.message or "no message",
        error_type=None if kind is None else str(kind),
        data=data,
    )
