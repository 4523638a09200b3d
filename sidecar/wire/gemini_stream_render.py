"""Deltas → a Gemini stream.

A call is one piece here, so it is held until its arguments are a whole object and something else
follows, or the stream ends. Final usage may come after the finish reason, hence both wait for
``finish``. There is no terminal marker: the finish reason is the end. No comment may stand in such
a stream, since Google's Python SDK takes every line that is not data for JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.gemini_response import MALFORMED_CALL, Json, call_part, write_finish, write_usage
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


@dataclass(slots=True)
class _Call:
    """A call that is not written yet."""

    start: ToolCallStart
    arguments: list[str] = field(default_factory=list)

    def part(self) -> Json | None:
        """Return the part, None while the arguments are no whole object."""
        try:
            return call_part(self.start.id, self.start.name, "".join(self.arguments))
        except WireError:
            return None


class GeminiStreamRenderer:
    """One stream's renderer (see ``StreamRenderer``)."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._calls: dict[int, _Call] = {}
        self._finish = Finish.STOP
        self._has_refusal = False
        self._usage = Usage()

    def render(self, delta: Delta) -> bytes:
        """Return the chunks that say ``delta`` (see ``StreamRenderer``)."""
        match delta:
            case Started():
                self._started = self._started or delta
                self._usage = delta.usage or self._usage
            case UsageSeen():
                self._usage = delta.usage
            case Finished():
                self._finish = delta.finish
            case ErrorSeen() | Ended():
                pass
            case _:
                return self._content(delta)
        return b""

    def finish(self) -> bytes:
        """Return what is held, and the finish reason with final usage.

        A call cut short by the token limit is left out; one that is no call at all makes the answer
        a broken one, in Google's word for it.
        """
        calls = self._whole_calls(is_last=True)
        reason = write_finish(self._finish, has_refusal=self._has_refusal)
        if self._calls and self._finish is not Finish.LENGTH:
            reason = MALFORMED_CALL
        return calls + self._chunk([{"text": ""}], reason=reason)

    def _content(
        self, delta: TextDelta | RefusalDelta | ReasoningDelta | ToolCallStart | ToolCallDelta
    ) -> bytes:
        match delta:
            case TextDelta() | RefusalDelta():
                self._has_refusal |= isinstance(delta, RefusalDelta)
                return self._whole_calls() + self._chunk([{"text": delta.text}])
            case ReasoningDelta():
                thought: Json = {"text": delta.text, "thought": True}
                return self._whole_calls() + self._chunk([thought]) if delta.text else b""
            case ToolCallStart():
                calls = self._whole_calls()
                self._calls[delta.index] = _Call(delta)
                return calls
            case ToolCallDelta():
                if delta.index in self._calls:
                    self._calls[delta.index].arguments.append(delta.arguments)
                return b""

    def _whole_calls(self, *, is_last: bool = False) -> bytes:
        """Return the first calls as long as they are whole; those without a word only at the end,
        as more may come.
        """
        parts = []
        for index, call in list(self._calls.items()):
            part = call.part() if call.arguments or is_last else None
            if part is not None:
                parts.append(part)
                del self._calls[index]
            elif not is_last:
                break
        return self._chunk(parts) if parts else b""

    def _chunk(self, parts: list[Json], *, reason: str | None = None) -> bytes:
        candidate: Json = {"content": {"parts": parts, "role": "model"}}
        if reason is not None:
            candidate["finishReason"] = reason
        candidate["index"] = 0
        chunk: Json = {"candidates": [candidate]}
        if reason is not None:
            chunk["usageMetadata"] = write_usage(self._usage)
        if self._started is not None:
            chunk |= {"modelVersion": self._started.model, "responseId": self._started.id}
        return encode_event(msgspec.json.encode(chunk))
