"""An OpenAI Responses stream → deltas.

Every event names its type in its data; items are told apart by ``output_index``, or by their ids
where a server leaves that out (llama.cpp does). What deltas did
not say is taken from the ``done`` event, since not every server of this format sends deltas for
everything. Work of the provider's own tools is content without words: it shows that the model is at
it. An error comes as ``error`` (flat by the book, nested in recorded traffic) or within
``response.failed``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import decode
from sidecar.wire.neutral import (
    Delta,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStart,
    UsageSeen,
)
from sidecar.wire.openai_content import Dropped
from sidecar.wire.responses_items import PARAGRAPH, Item, read_call, read_content, read_reasoning
from sidecar.wire.responses_response import Response, item_ids, read_finish, read_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.wire.sse import SseEvent


_Key = int | str | None


class _Tagged(msgspec.Struct):
    type: str | None = None


class _OfResponse(msgspec.Struct):
    response: Response


class _OfItem(msgspec.Struct):
    item: Item
    output_index: int | None = None

    def key(self) -> _Key:
        return self.item.id if self.output_index is None else self.output_index


class _OfText(msgspec.Struct):
    output_index: int | None = None
    item_id: str | None = None
    delta: str = ""
    arguments: str | None = None
    summary_index: int = 0

    def key(self) -> _Key:
        return self.item_id if self.output_index is None else self.output_index


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Failed(msgspec.Struct):
    error: _Error | None = None


class _OfError(msgspec.Struct):
    message: str | None = None
    code: str | int | None = None
    error: _Error | None = None
    response: _Failed | None = None


class _Call:
    """A function's call under way; ``is_said``: its arguments came."""

    __slots__ = ("index", "is_said")

    def __init__(self, index: int) -> None:
        self.index = index
        self.is_said = False


_TAGGED = msgspec.json.Decoder(_Tagged)
_OF_RESPONSE = msgspec.json.Decoder(_OfResponse)
_OF_ITEM = msgspec.json.Decoder(_OfItem)
_OF_TEXT = msgspec.json.Decoder(_OfText)
_OF_ERROR = msgspec.json.Decoder(_OfError)
_WORDS = ("response.output_text.delta", "response.refusal.delta")
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


class ResponsesStreamParser:
    """One stream's parser (see ``StreamParser``)."""

    def __init__(self) -> None:
        self._is_started = False
        self._is_ended = False
        self._calls: dict[_Key, _Call] = {}
        self._said: set[_Key] = set()
        self._readers: dict[str | None, Callable[[str, bytes], list[Delta]]] = {
            "response.created": self._start,
            "response.in_progress": self._start,
            "response.output_item.added": self._add_item,
            "response.output_item.done": self._finish_item,
            "response.reasoning_summary_part.added": self._add_paragraph,
            "response.function_call_arguments.delta": self._arguments,
            "response.function_call_arguments.done": self._arguments,
            "response.completed": self._end,
            "response.incomplete": self._end,
            **dict.fromkeys((*_WORDS, *_THOUGHTS), self._text),
        }

    def feed(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what ``event`` says (see ``StreamParser``)."""
        data = event.data.strip() if event.data is not None else b""
        if event.event == "error":
            return (_read_error(data),)
        if not data.startswith(b"{"):
            return ()
        kind = decode(_TAGGED, data).type or event.event
        if kind in {"error", "response.failed"}:
            return (_read_error(data),)
        read = self._readers.get(kind)
        if read is not None:
            return tuple(read(kind or "", data))
        return self._unknown(kind, data)

    def is_complete(self) -> bool:
        """Return whether the answer has ended: no server of this format leaves that out."""
        return self._is_ended

    def _start(self, _kind: str, data: bytes) -> list[Delta]:
        if self._is_started:
            return []
        self._is_started = True
        answer = decode(_OF_RESPONSE, data).response
        created = None if answer.created_at is None else int(answer.created_at)
        return [Started(id=answer.id or "", model=answer.model or "", created=created)]

    def _add_item(self, _kind: str, data: bytes) -> list[Delta]:
        event = decode(_OF_ITEM, data)
        kind = event.item.kind()
        if kind == "function_call":
            return self._begin_call(event)
        # a hosted tool's item holds no words, and still is a sign of work
        return [] if kind in {"message", "reasoning"} else [ReasoningDelta(redacted=kind)]

    def _begin_call(self, event: _OfItem) -> list[Delta]:
        call = self._calls[event.key()] = _Call(len(self._calls))
        part = read_call(event.item, call.index, "$.item")
        return [ToolCallStart(index=call.index, id=part.id, name=part.name)]

    def _arguments(self, _kind: str, data: bytes) -> list[Delta]:
        event = decode(_OF_TEXT, data)
        call = self._calls.get(event.key())
        if call is None:
            return []
        text = event.delta or ("" if call.is_said else event.arguments or "")
        call.is_said = call.is_said or bool(text)
        return [ToolCallDelta(index=call.index, arguments=text)] if text else []

    def _text(self, kind: str, data: bytes) -> list[Delta]:
        event = decode(_OF_TEXT, data)
        if not event.delta:
            return []
        self._said.add(event.key())
        if kind in _THOUGHTS:
            return [ReasoningDelta(text=event.delta)]
        is_refusal = kind == "response.refusal.delta"
        return [RefusalDelta(text=event.delta) if is_refusal else TextDelta(text=event.delta)]

    def _add_paragraph(self, _kind: str, data: bytes) -> list[Delta]:
        event = decode(_OF_TEXT, data)
        return [ReasoningDelta(text=PARAGRAPH)] if event.summary_index else []

    def _finish_item(self, _kind: str, data: bytes) -> list[Delta]:
        """Return what the item holds and no delta has said."""
        event = decode(_OF_ITEM, data)
        match event.item.kind():
            case "message" if event.key() not in self._said:
                return _words(event.item)
            case "reasoning":
                return self._finish_thought(event)
            case "function_call":
                return self._finish_call(event)
            case _:
                return []

    def _finish_thought(self, event: _OfItem) -> list[Delta]:
        thought = read_reasoning(event.item, "$.item", Dropped())
        if thought is None:
            return []
        text = "" if event.key() in self._said else thought.text
        is_new = text or thought.signature or thought.redacted
        delta = ReasoningDelta(text=text, signature=thought.signature, redacted=thought.redacted)
        return [delta] if is_new else []

    def _finish_call(self, event: _OfItem) -> list[Delta]:
        deltas = [] if event.key() in self._calls else self._begin_call(event)
        call = self._calls[event.key()]
        if not call.is_said:
            call.is_said = True
            arguments = read_call(event.item, call.index, "$.item").arguments
            deltas.append(ToolCallDelta(index=call.index, arguments=arguments))
        return deltas

    def _end(self, kind: str, data: bytes) -> list[Delta]:
        deltas = self._start(kind, data)
        answer = decode(_OF_RESPONSE, data).response
        answer.status = kind.removeprefix("response.")
        usage = read_usage(answer.usage)
        if usage is not None:
            deltas.append(UsageSeen(usage=usage))
        finish = read_finish(answer) or Finish.OTHER
        if finish is Finish.STOP and self._calls:
            finish = Finish.TOOL_CALLS  # a server whose last event leaves the output out
        self._is_ended = True
        return [*deltas, Finished(finish=finish, item_ids=item_ids(answer)), Ended()]

    def _unknown(self, kind: str | None, data: bytes) -> tuple[Delta, ...]:
        """Return an error that has no type, as servers with errors of their own send it."""
        if kind is None and decode(_OF_ERROR, data).error is not None:
            return (_read_error(data),)
        return ()


def _words(item: Item) -> list[Delta]:
    deltas: list[Delta] = []
    for part in read_content(item.content, "$.item.content", Dropped()):
        match part:
            case TextPart():
                deltas.append(TextDelta(text=part.text))
            case RefusalPart():
                deltas.append(RefusalDelta(text=part.text))
            case _:
                pass
    return deltas


def _read_error(data: bytes) -> ErrorSeen:
    """Return the error, in whatever shape: an error must not be lost to a parse error."""
    try:
        read = decode(_OF_ERROR, data)
    except WireError:
        return ErrorSeen(message="the provider sent an error", error_type=None, data=data)
    error = read.error or (read.response.error if read.response else None)
    error = error or _Error(message=read.message, code=read.code)
    kind = error.type or error.code
    return ErrorSeen(
        message=error.message or "no message",
        error_type=None if kind is None else str(kind),
        data=data,
    )
