"""Gemini streams → deltas.

Each event is a whole answer object with what is new in it; a call comes in one piece. There is no
terminal marker: a stream is complete when every candidate has a finish reason, or the prompt was
refused. Counts of usage are running totals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.decode import decode
from sidecar.wire.gemini_response import (
    BROKEN,
    Response,
    read_finish,
    read_part,
    read_usage,
    reason_of,
)
from sidecar.wire.neutral import (
    ErrorSeen,
    Finish,
    Finished,
    ReasoningDelta,
    ReasoningPart,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageSeen,
)

if TYPE_CHECKING:
    from sidecar.wire.gemini_response import Candidate
    from sidecar.wire.neutral import AnswerPart, Delta
    from sidecar.wire.sse import SseEvent


class _Error(msgspec.Struct):
    message: str | None = None
    status: str | None = None
    code: int | str | None = None


_CHUNK = msgspec.json.Decoder(Response | list[Response])
_ERROR = msgspec.json.Decoder(str | _Error)
_NO_ERROR = b"null"


class GeminiStreamParser:
    """One stream's parser (see ``StreamParser``)."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._finishes: dict[int, Finish | None] = {}
        self._call_count = 0

    def feed(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what ``event`` says (see ``StreamParser``)."""
        if event.data is None or not event.data.strip():
            return ()
        read = decode(_CHUNK, event.data)
        chunks = read if isinstance(read, list) else [read]
        return tuple(delta for chunk in chunks for delta in self._read(chunk, event.data))

    def is_complete(self) -> bool:
        """Return whether the stream may end here (see ``StreamParser``)."""
        return bool(self._finishes) and None not in self._finishes.values()

    def _read(self, chunk: Response, data: bytes) -> list[Delta]:
        if bytes(chunk.error) != _NO_ERROR:
            return [_read_error(chunk.error, data)]
        deltas: list[Delta] = []
        if self._id is None:
            self._id = chunk.response_id or ""
            deltas.append(Started(id=self._id, model=chunk.model_version or ""))
        for candidate in chunk.candidates or ():
            self._finishes.setdefault(candidate.index, None)
        for candidate in chunk.candidates or ():
            deltas += self._read_candidate(candidate)
        if chunk.is_blocked() and not chunk.candidates:
            self._finishes[0] = Finish.CONTENT_FILTER
            deltas.append(Finished(finish=Finish.CONTENT_FILTER))
        usage = read_usage(chunk.usage_metadata)
        if usage is not None:
            deltas.append(UsageSeen(usage=usage))
        return deltas

    def _read_candidate(self, candidate: Candidate) -> list[Delta]:
        deltas: list[Delta] = []
        parts = candidate.content.parts or () if candidate.content else ()
        for index, part in enumerate(parts):
            path = f"$.candidates[{candidate.index}].content.parts[{index}]"
            for read in read_part(part, self._id or "", self._call_count, path):
                deltas += self._deltas(read)
        was_finished = self._finishes[candidate.index] is not None
        reason = reason_of(candidate)
        if reason in BROKEN:
            return [*deltas, _broken(str(reason), candidate.finish_message)]
        finish = read_finish(reason, has_calls=self._call_count > 0)
        if finish is None or was_finished:
            return deltas
        self._finishes[candidate.index] = finish
        if self.is_complete():
            deltas.append(Finished(finish=self._finishes.get(0) or finish))
        return deltas

    def _deltas(self, part: AnswerPart) -> list[Delta]:
        match part:
            case TextPart(text=text) | RefusalPart(text=text):
                return [TextDelta(text=text)]
            case ReasoningPart(text=text):
                return [ReasoningDelta(text=text)]
            case ToolCallPart(id=call_id, name=name, arguments=arguments):
                index = self._call_count
                self._call_count += 1
                return [
                    ToolCallStart(index=index, id=call_id, name=name),
                    ToolCallDelta(index=index, arguments=arguments),
                ]


def _broken(reason: str, message: str | None) -> ErrorSeen:
    """Return the error that a broken answer is; in Google's shape, for the table of errors."""
    said = message or "the model's answer broke"
    data = msgspec.json.encode({"error": {"message": said, "status": reason}})
    return ErrorSeen(message=said, error_type=reason, data=data)


def _read_error(raw: msgspec.Raw, data: bytes) -> ErrorSeen:
    error = decode(_ERROR, raw, "$.error")
    if isinstance(error, str):
        return ErrorSeen(message=error, error_type=None, data=data)
    kind = error.status or (None if error.code is None else str(error.code))
    return ErrorSeen(message=error.message or "no message", error_type=kind, data=data)
