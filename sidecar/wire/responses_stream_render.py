"""Deltas → an OpenAI Responses stream.

The stream is a script that SDKs play: each item is added, filled and done, each event has its
number, and the last one repeats the whole answer. Words and thoughts are one item at a time; calls
of functions may be under way side by side, since each event names its item.

Final usage may come after the finish reason, hence the last event waits for ``finish``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.neutral import (
    Finish,
    Finished,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageSeen,
)
from sidecar.wire.responses_items import item_id, response_id
from sidecar.wire.responses_response import (
    Json,
    call_item,
    message_item,
    reasoning_item,
    response_object,
    word,
)
from sidecar.wire.sse import encode_event

if TYPE_CHECKING:
    from sidecar.domain import Usage
    from sidecar.wire.neutral import Delta

_EVENTS = {"text": "output_text", "refusal": "refusal", "reasoning": "reasoning_summary_text"}


@dataclass(slots=True)
class _Open:
    """An item that is not done; ``pieces`` are its words, or its arguments."""

    kind: str
    position: int
    id: str
    call: ToolCallStart | None = None
    pieces: list[str] = field(default_factory=list)
    signature: str | None = None
    redacted: str | None = None

    def text(self) -> str:
        return "".join(self.pieces)


class ResponsesStreamRenderer:
    """One stream's renderer (see ``StreamRenderer``); usage is always part of the last event."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._usage: Usage | None = None
        self._finish = Finish.STOP
        self._number = 0
        self._output: list[Json] = []
        self._open: _Open | None = None
        self._calls: dict[int, _Open] = {}

    def render(self, delta: Delta) -> bytes:
        """Return the events that say ``delta`` (see ``StreamRenderer``)."""
        match delta:
            case Started():
                return self._start(delta)
            case UsageSeen():
                self._usage = delta.usage
                return b""
            case Finished():
                self._finish = delta.finish
                return self._close_all()
            case _:
                return self._ensured() + self._render_content(delta)

    def finish(self) -> bytes:
        """Return the last event with the whole answer."""
        head = self._ensured() + self._close_all()
        answer = self._answer(self._finish)
        return head + self._event(f"response.{answer['status']}", {"response": answer})

    def _render_content(self, delta: Delta) -> bytes:
        match delta:
            case TextDelta():
                return self._say("text", delta.text)
            case RefusalDelta():
                return self._say("refusal", delta.text)
            case ReasoningDelta():
                return self._think(delta)
            case ToolCallStart():
                return self._begin_call(delta)
            case ToolCallDelta():
                return self._add_arguments(delta)
            case _:
                return b""

    # --- the answer ----------------------------------------------------------------------------

    def _ensured(self) -> bytes:
        return b"" if self._started else self._start(Started(id="", model=""))

    def _start(self, started: Started) -> bytes:
        if self._started is not None:
            return b""
        self._started = started
        self._usage = started.usage
        answer: Json = {"response": self._answer(None)}
        created = self._event("response.created", answer)
        return created + self._event("response.in_progress", answer)

    def _answer(self, finish: Finish | None) -> Json:
        started = self._started or Started(id="", model="")
        return response_object(
            answer_id=response_id(started.id),
            model=started.model,
            created=started.created,
            finish=finish,
            output=self._output,
            usage=None if finish is None else self._usage,
        )

    # --- items ---------------------------------------------------------------------------------

    def _say(self, kind: str, text: str) -> bytes:
        head = b""
        if self._open is None or self._open.kind != kind:
            head = self._close() + self._add_words(kind)
        assert self._open is not None, "an item was just opened"
        self._open.pieces.append(text)
        more: Json = {"logprobs": []} if kind == "text" else {}
        place = _place(self._open)
        return head + self._event(f"response.{_EVENTS[kind]}.delta", place | {"delta": text} | more)

    def _think(self, delta: ReasoningDelta) -> bytes:
        out = b""
        if delta.redacted is not None:
            out += self._close() + self._add("reasoning", "rs")
            assert self._open is not None, "an item was just opened"
            self._open.redacted = delta.redacted
            return out + self._close()
        if delta.text:
            out += self._say("reasoning", delta.text)
        if delta.signature is not None:
            if self._open is None or self._open.kind != "reasoning":
                out += self._close() + self._add("reasoning", "rs")
            assert self._open is not None, "an item was just opened"
            self._open.signature = delta.signature
            out += self._close()
        return out

    def _add_words(self, kind: str) -> bytes:
        added = self._add(kind, "rs" if kind == "reasoning" else "msg")
        assert self._open is not None, "an item was just opened"
        part = _part(kind, "")
        place = _place(self._open)
        return added + self._event(f"response.{_part_event(kind)}.added", place | {"part": part})

    def _add(self, kind: str, prefix: str) -> bytes:
        position = len(self._output)
        answer_id = response_id(self._started.id if self._started else "")
        self._open = _Open(kind, position, item_id(prefix, answer_id, position))
        return self._announce(self._open)

    def _announce(self, item: _Open) -> bytes:
        skeleton = _item(item, status="in_progress")
        self._output.append(skeleton)
        event: Json = {"output_index": item.position, "item": skeleton}
        return self._event("response.output_item.added", event)

    def _begin_call(self, start: ToolCallStart) -> bytes:
        closing = self._close()
        position = len(self._output)
        answer_id = response_id(self._started.id if self._started else "")
        item = _Open("call", position, item_id("fc", answer_id, position), call=start)
        self._calls[start.index] = item
        return closing + self._announce(item)

    def _add_arguments(self, delta: ToolCallDelta) -> bytes:
        item = self._calls.get(delta.index)
        return b"" if item is None else self._argue(item, delta.arguments)

    def _argue(self, item: _Open, arguments: str) -> bytes:
        item.pieces.append(arguments)
        event: Json = {"item_id": item.id, "output_index": item.position, "delta": arguments}
        return self._event("response.function_call_arguments.delta", event)

    def _close_all(self) -> bytes:
        closing = self._close()
        calls, self._calls = self._calls, {}
        return closing + b"".join(self._close_call(item) for item in calls.values())

    def _close_call(self, item: _Open) -> bytes:
        """Finish a call; one without argument text gets ``{}``, since callers parse it."""
        out = b"" if item.text() else self._argue(item, "{}")
        event: Json = {
            "item_id": item.id,
            "output_index": item.position,
            "name": item.call.name if item.call else "",
            "arguments": item.text(),
        }
        return out + self._event("response.function_call_arguments.done", event) + self._done(item)

    def _close(self) -> bytes:
        item, self._open = self._open, None
        if item is None:
            return b""
        return (self._close_words(item) if item.pieces else b"") + self._done(item)

    def _close_words(self, item: _Open) -> bytes:
        text, place = item.text(), _place(item)
        said: Json = {"refusal": text} if item.kind == "refusal" else {"text": text}
        more: Json = {"logprobs": []} if item.kind == "text" else {}
        part: Json = {"part": _part(item.kind, text)}
        done = self._event(f"response.{_EVENTS[item.kind]}.done", place | said | more)
        return done + self._event(f"response.{_part_event(item.kind)}.done", place | part)

    def _done(self, item: _Open) -> bytes:
        whole = self._output[item.position] = _item(item, status="completed")
        event: Json = {"output_index": item.position, "item": whole}
        return self._event("response.output_item.done", event)

    def _event(self, kind: str, fields: Json) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return encode_event(msgspec.json.encode(data), event=kind)


def _place(item: _Open) -> Json:
    index = "summary_index" if item.kind == "reasoning" else "content_index"
    return {"item_id": item.id, "output_index": item.position, index: 0}


def _part_event(kind: str) -> str:
    return "reasoning_summary_part" if kind == "reasoning" else "content_part"


def _part(kind: str, text: str) -> Json:
    if kind == "reasoning":
        return {"type": "summary_text", "text": text}
    return word(RefusalPart(text=text) if kind == "refusal" else TextPart(text=text))


def _item(item: _Open, *, status: str) -> Json:
    """Return the item as it is now: empty while in progress, as it is announced."""
    text = item.text()
    if item.call is not None:
        call = ToolCallPart(id=item.call.id, name=item.call.name, arguments=text)
        return call_item(item.id, call, status=status)
    if item.kind == "reasoning":
        part = ReasoningPart(text=text, signature=item.signature, redacted=item.redacted)
        return reasoning_item(item.id, part)
    content = [_part(item.kind, text)] if item.pieces else []
    return message_item(item.id, content, status=status)


def render_stream_error(*, code: str, message: str, details: dict[str, object]) -> bytes:
    """Return the event that ends a broken stream.

    Flat as the format describes it and with the ``error`` member that OpenAI really sends, at which
    SDKs raise. Its number is 0: who breaks off a stream of another's making has not counted.
    """
    error = {"message": message, "type": code, "param": None, "code": code, "sidecar": details}
    event = {
        "type": "error",
        "sequence_number": 0,
        "code": code,
        "message": message,
        "param": None,
        "error": error,
    }
    return encode_event(msgspec.json.encode(event), event="error")
