"""What a caller sees of one call, read off the bytes that it gets.

By plain JSON and line by line, not by the parsers under test: a mistake there must not hide itself
here.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecar.clock import now as loop_now
from sidecar.domain import WireFormat

if TYPE_CHECKING:
    from sidecar.engine.answer import PlainAnswer, StreamAnswer

_LAST_EVENTS = frozenset({"message_stop", "response.completed", "response.incomplete"})


@dataclass(slots=True, kw_only=True)
class Seen:
    """What one caller saw. ``code`` is the sidecar's error code, or the type of an in-stream error.

    ``is_complete``: a whole plain answer, or a stream with the format's terminal marker.
    """

    route: str
    started_at: float
    deadline_at: float = math.inf
    ended_at: float = 0.0
    first_at: float | None = None
    status: int = 200
    code: str | None = None
    message: str = ""
    text: str = ""
    is_complete: bool = False
    degraded: str | None = None
    attempts: tuple[str, ...] = ()
    endpoint: str | None = None
    cost_usd: float | None = None
    retry_after_s: float | None = None
    raw: bytes = b""

    @property
    def is_good(self) -> bool:
        """Return whether the caller has a complete answer and no error."""
        return self.is_complete and self.code is None and self.status == 200  # noqa: PLR2004

    @property
    def took_s(self) -> float:
        """Return how long the call took."""
        return self.ended_at - self.started_at

    def speakers(self) -> tuple[str, ...]:
        """Return the providers whose words are in the text, in order of appearance."""
        names = [word.partition(":")[0] for word in self.text.split() if ":" in word]
        return tuple(dict.fromkeys(names))


def read_plain(seen: Seen, answer: PlainAnswer, format: WireFormat) -> None:  # noqa: A002
    """Read a whole answer into ``seen``."""
    seen.first_at = loop_now()
    seen.status, seen.raw = answer.status, answer.body
    _disclosed(seen, answer)
    if answer.status != 200:  # noqa: PLR2004 - HTTP
        return
    if answer.content_type.startswith("text/event-stream"):
        _read_events(seen, format)
        return
    body = json.loads(answer.body)
    if format is WireFormat.OPENAI_CHAT:
        choice = body["choices"][0]
        seen.text = choice["message"].get("content") or ""
        seen.is_complete = choice["finish_reason"] is not None
    elif format is WireFormat.OPENAI_RESPONSES:
        said = (part for item in body["output"] for part in item.get("content", ()))
        seen.text = "".join(part.get("text", "") for part in said)
        seen.is_complete = body["status"] in {"completed", "incomplete"}
    elif format is WireFormat.GEMINI:
        _read_candidates(seen, body)
    else:
        seen.text = "".join(block.get("text", "") for block in body["content"])
        seen.is_complete = body["stop_reason"] is not None


async def read_stream(
    seen: Seen,
    answer: StreamAnswer,
    format: WireFormat,  # noqa: A002
    pace_s: float = 0.0,
) -> None:
    """Read a stream to its end into ``seen``, with a pause of ``pace_s`` after each chunk."""
    _disclosed(seen, answer)
    try:
        await answer.send_to(_Sink(seen, pace_s))
    finally:
        await answer.aclose()
    _disclosed(seen, answer)
    _read_events(seen, format)


class _Sink:
    """A caller who notes what he gets, at his pace."""

    def __init__(self, seen: Seen, pace_s: float) -> None:
        self._seen = seen
        self._pace_s = pace_s

    def push(self, chunk: bytes) -> bool:
        self._seen.first_at = self._seen.first_at or loop_now()
        self._seen.raw += chunk
        return not self._pace_s

    async def room(self) -> None:
        if self._pace_s:
            await asyncio.sleep(self._pace_s)


def _read_events(seen: Seen, format: WireFormat) -> None:  # noqa: A002
    for block in seen.raw.decode().replace("\r\n", "\n").split("\n\n"):
        data = [line[5:].strip() for line in block.splitlines() if line.startswith("data:")]
        if data:
            _read_event(seen, "\n".join(data), format)


def _read_event(seen: Seen, data: str, format: WireFormat) -> None:  # noqa: A002
    if data == "[DONE]":
        seen.is_complete = True
        return
    event = json.loads(data)
    if "error" in event:
        error = event["error"]
        ours = error.get("sidecar", {})
        seen.code = ours.get("code") or error.get("code") or error.get("type")
        seen.message = error.get("message", "")
    else:
        _read_words(seen, event, format)


def _read_words(seen: Seen, event: dict[str, Any], format: WireFormat) -> None:  # noqa: A002
    if format is WireFormat.OPENAI_CHAT:
        for choice in event.get("choices", ()):
            seen.text += choice["delta"].get("content") or ""
    elif format is WireFormat.GEMINI:
        _read_candidates(seen, event)
    elif event["type"] == "content_block_delta":
        seen.text += event["delta"].get("text", "")
    elif event["type"] == "response.output_text.delta":
        seen.text += event["delta"]
    elif event["type"] in _LAST_EVENTS:
        seen.is_complete = True


def _read_candidates(seen: Seen, answer: dict[str, Any]) -> None:
    for candidate in answer["candidates"]:
        seen.text += "".join(part.get("text", "") for part in candidate["content"]["parts"])
        seen.is_complete |= "finishReason" in candidate


def _disclosed(seen: Seen, answer: PlainAnswer | StreamAnswer) -> None:
    disclosure = answer.disclosure
    seen.degraded, seen.attempts = disclosure.degraded, disclosure.attempts
    seen.endpoint, seen.cost_usd = disclosure.endpoint, disclosure.cost_usd
