"""The codec of Ollama's native ``/api/chat``; only providers speak it.

An answer is one object, a stream the same object again and again, a line each, its message in
pieces: ``{"model", "created_at", "message": {"content", "thinking", "tool_calls"}, "done"}``. Tool
calls always come whole. The last one has ``done``, the reason and the counts. Errors are
``{"error": "text"}``, alone or as a line of a stream. Answers have no id and old servers give tool
calls none, so both are made of the answer's instant.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import Usage, WireFormat
from sidecar.errors import WireError
from sidecar.wire import ollama_render
from sidecar.wire.anthropic_blocks import object_text
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.ndjson import LineParser
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
    from sidecar.wire.codec import Framer, StreamParser
    from sidecar.wire.neutral import Conversation, Rendered
    from sidecar.wire.sse import SseEvent

_FINISHES = {"": Finish.STOP, "stop": Finish.STOP, "length": Finish.LENGTH}
"""Servers before 0.1.37 give no reason."""


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Answer(msgspec.Struct):
    done: bool
    model: str = ""
    created_at: str = ""
    message: _Message | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class _Error(msgspec.Struct):
    error: str


_ANSWER = msgspec.json.Decoder(_Answer)
_ERROR = msgspec.json.Decoder(_Error)


class OllamaChatCodec:
    """Stateless; see ``ProviderCodec`` for every method."""

    format = WireFormat.OLLAMA_CHAT

    def path_for(self, model: str, *, is_stream: bool) -> str:  # noqa: ARG002 - both are in the body
        """Return the one path there is."""
        return "/api/chat"

    def render_request(
        self, conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
    ) -> Rendered:
        """See ``ollama_render``."""
        return ollama_render.render_request(
            conversation, model=model, is_stream=is_stream, max_tokens_field=max_tokens_field
        )

    def parse_response(self, body: bytes) -> Completion:
        """Read a whole answer."""
        check_utf8(body)
        answer = decode(_ANSWER, body)
        message = answer.message or _Message()
        parts: list[AnswerPart] = []
        if message.thinking:
            parts.append(ReasoningPart(text=message.thinking))
        if message.content:
            parts.append(TextPart(text=message.content))
        calls = _read_calls(answer, 0)
        return Completion(
            id=_id(answer),
            model=answer.model,
            parts=(*parts, *calls),
            finish=_finish(answer, has_calls=bool(calls)) if answer.done else None,
            usage=_usage(answer),
            created=_created(answer),
        )

    def framer(self) -> Framer:
        """Return a fresh framer: a line an object."""
        return LineParser()

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""
        return OllamaStreamParser()

    def error_text(self, body: bytes) -> str | None:
        """Return the text of ``{"error": "text"}``."""
        try:
            return decode(_ERROR, body).error
        except WireError:
            return None


class OllamaStreamParser:
    """One stream's parser (see ``StreamParser``); it ends with ``done`` alone."""

    def __init__(self) -> None:
        self._is_started = False
        self._is_done = False
        self._call_count = 0

    def feed(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what one line says."""
        if event.data is None:
            return ()
        error = _read_error(event.data)
        if error is not None:
            return (error,)
        check_utf8(event.data)
        answer = decode(_ANSWER, event.data)
        deltas: list[Delta] = []
        if not self._is_started:
            self._is_started = True
            deltas.append(Started(id=_id(answer), model=answer.model, created=_created(answer)))
        message = answer.message or _Message()
        if message.thinking:
            deltas.append(ReasoningDelta(text=message.thinking))
        if message.content:
            deltas.append(TextDelta(text=message.content))
        for call in _read_calls(answer, self._call_count):
            index = self._call_count
            deltas.append(ToolCallStart(index=index, id=call.id, name=call.name))
            deltas.append(ToolCallDelta(index=index, arguments=call.arguments))
            self._call_count += 1
        if answer.done:
            self._is_done = True
            deltas.append(Finished(finish=_finish(answer, has_calls=self._call_count > 0)))
            usage = _usage(answer)
            deltas += [] if usage is None else [UsageSeen(usage=usage)]
            deltas.append(Ended())
        return tuple(deltas)

    def is_complete(self) -> bool:
        """Return whether ``done`` was seen."""
        return self._is_done


def _read_error(data: bytes) -> ErrorSeen | None:
    try:
        text = decode(_ERROR, data).error
    except WireError:
        return None
    return ErrorSeen(message=text, error_type=None, data=data)


def _read_calls(answer: _Answer, count: int) -> list[ToolCallPart]:
    """Return the calls of one object; ``count`` is how many came before it."""
    message = answer.message or _Message()
    return [
        ToolCallPart(
            id=call.id or f"call_{_digits(answer)}_{number}",
            name=call.function.name,
            arguments=object_text(call.function.arguments, "$.message.tool_calls"),
        )
        for number, call in enumerate(message.tool_calls or (), count)
    ]


def _finish(answer: _Answer, *, has_calls: bool) -> Finish:
    finish = _FINISHES.get(answer.done_reason or "", Finish.OTHER)
    return Finish.TOOL_CALLS if has_calls and finish is Finish.STOP else finish


def _usage(answer: _Answer) -> Usage | None:
    """Return the counts; that of a prompt wholly in the cache is left out by old servers."""
    if answer.prompt_eval_count is None and answer.eval_count is None:
        return None
    return Usage(input_tokens=answer.prompt_eval_count or 0, output_tokens=answer.eval_count or 0)


def _id(answer: _Answer) -> str:
    return f"ollama-{_digits(answer)}"


def _digits(answer: _Answer) -> str:
    return "".join(char for char in answer.created_at if "0" <= char <= "9") or "0"


def _created(answer: _Answer) -> int | None:
    try:
        return int(datetime.fromisoformat(answer.created_at).timestamp())
    except (ValueError, OverflowError):
        return None
