"""Deltas → an OpenAI Chat Completions stream.

The role comes first with empty content, as OpenAI sends it and SDK accumulators expect. A tool
call without argument text gets ``{}``, since callers parse what they are given. Signatures and
redacted reasoning have no field here and no use outside their provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.neutral import (
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageSeen,
)
from sidecar.wire.openai_response import write_finish, write_usage
from sidecar.wire.sse import encode_event

if TYPE_CHECKING:
    from sidecar.domain import Usage
    from sidecar.wire.neutral import Delta

_Json = dict[str, object]
_DONE = b"data: [DONE]\n\n"
_CHUNK = b'%bdata: %b{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}\n\n'
"""Most of a chunk is the same in all of a stream, and is written once."""


class OpenAIStreamRenderer:
    """One stream's renderer (see ``StreamRenderer``)."""

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._started: Started | None = None
        self._before_choice = b""
        self._usage: Usage | None = None
        self._call_without_arguments: int | None = None

    def render(self, delta: Delta) -> bytes:
        """Return the chunks that say ``delta`` (see ``StreamRenderer``)."""
        match delta:
            case TextDelta():
                return self._chunk({"content": delta.text})
            case Started():
                return self._start(delta)
            case UsageSeen():
                self._usage = delta.usage
                return b""
            case Finished():
                closing = self._close_call()
                return closing + self._chunk({}, finish=write_finish(delta.finish))
            case _:
                return self._render_content(delta)

    def finish(self) -> bytes:
        """Return the usage chunk, if it is wanted and known, and ``[DONE]``."""
        if not self._wants_usage or self._usage is None:
            return _DONE
        usage = {**self._head(), "choices": [], "usage": write_usage(self._usage)}
        return encode_event(msgspec.json.encode(usage)) + _DONE

    def _render_content(self, delta: Delta) -> bytes:
        match delta:
            case RefusalDelta():
                return self._chunk({"refusal": delta.text})
            case ReasoningDelta():
                return self._chunk({"reasoning_content": delta.text}) if delta.text else b""
            case ToolCallStart():
                return self._start_call(delta)
            case ToolCallDelta():
                self._call_without_arguments = None
                return self._arguments(delta.index, delta.arguments)
            case _:
                return b""

    def _start(self, started: Started) -> bytes:
        if self._started is not None:
            return b""
        self._started = started
        self._usage = started.usage
        self._before_choice = msgspec.json.encode({**self._head(), "choices": []})[: -len(b"]}")]
        return self._chunk({"role": "assistant", "content": ""})

    def _start_call(self, start: ToolCallStart) -> bytes:
        closing = self._close_call()
        self._call_without_arguments = start.index
        call: _Json = {
            "index": start.index,
            "id": start.id,
            "type": "function",
            "function": {"name": start.name, "arguments": ""},
        }
        return closing + self._chunk({"tool_calls": [call]})

    def _close_call(self) -> bytes:
        index, self._call_without_arguments = self._call_without_arguments, None
        return b"" if index is None else self._arguments(index, "{}")

    def _arguments(self, index: int, arguments: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})

    def _head(self) -> _Json:
        started = self._started
        return {
            "id": started.id if started else "",
            "object": "chat.completion.chunk",
            "created": (started.created if started else None) or 0,
            "model": started.model if started else "",
        }

    def _chunk(self, delta: _Json, *, finish: str | None = None) -> bytes:
        """Return one chunk; content before any start gets the role chunk first."""
        role = self._start(Started(id="", model="")) if self._started is None else b""
        reason = b"null" if finish is None else msgspec.json.encode(finish)
        return _CHUNK % (role, self._before_choice, msgspec.json.encode(delta), reason)


def render_stream_error(*, code: str, message: str, details: dict[str, object]) -> bytes:
    """Return the event that ends a broken stream; SDKs raise at an ``error`` member."""
    error = {"message": message, "type": code, "param": None, "code": code, "sidecar": details}
    return encode_event(msgspec.json.encode({"error": error}))
