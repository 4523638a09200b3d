"""Reading one provider's stream: bytes → events → what they say, with the running tally that a
verdict needs.

The tally is the side parser of RESILIENCE 3.10: how much content came, whether a finish reason and
a terminal marker were seen, the usage. A stream that ends without them is cut short, whatever the
status line said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.domain import Usage
from sidecar.errors import ConnectionBrokenError, ProtocolBrokenError, WireError
from sidecar.wire.neutral import (
    CONTENT_DELTAS,
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
from sidecar.wire.sse import SseParser

if TYPE_CHECKING:
    from sidecar.engine.ports import UpstreamResponse
    from sidecar.wire.neutral import Delta, StreamParser

CHARS_PER_TOKEN = 3.6
"""English text in the tokenizers of today; used only where a provider reports no usage."""
DEGENERATE_RUN = 64
"""So many times the same character and nothing else is a broken model, not an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One event: its exact bytes and what it says."""

    raw: bytes
    deltas: tuple[Delta, ...]

    def has_content(self) -> bool:
        """Return whether the event carries content of any kind."""
        return any(isinstance(delta, CONTENT_DELTAS) for delta in self.deltas)


class Tally:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self.content_chars = 0
        self.content_deltas = 0
        self.finish: Finish | None = None
        self.is_ended = False
        self.error: ErrorSeen | None = None
        self._usage: Usage | None = None
        self._run_char: str | None = None
        self._is_one_char = True

    def note(self, delta: Delta) -> None:
        """Count ``delta``."""
        match delta:
            case TextDelta(text=text) | RefusalDelta(text=text) | ReasoningDelta(text=text):
                self._note_text(text)
            case ToolCallDelta() | ToolCallStart():
                self._note_tool_call(delta)
            case Finished(finish=finish):
                self.finish = finish
            case UsageSeen(usage=usage):
                self._usage = usage
            case Started(usage=usage):
                self._usage = usage or self._usage
            case ErrorSeen():
                self.error = delta
            case Ended():
                self.is_ended = True

    def _note_tool_call(self, delta: ToolCallStart | ToolCallDelta) -> None:
        self._is_one_char = False
        self.content_deltas += 1
        if isinstance(delta, ToolCallDelta):
            self.content_chars += len(delta.arguments)

    def _note_text(self, text: str) -> None:
        self.content_deltas += 1
        self.content_chars += len(text)
        if self._is_one_char and text:
            self._run_char = self._run_char or text[0]
            self._is_one_char = text.count(self._run_char) == len(text)

    def is_degenerate(self) -> bool:
        """Return whether the content so far is one character over and over."""
        return self._is_one_char and self.content_chars >= DEGENERATE_RUN

    def usage(self, prompt_tokens: int) -> Usage:
        """Return the reported usage where it is complete, else an estimate marked as such."""
        estimated = max(self.content_deltas, round(self.content_chars / CHARS_PER_TOKEN))
        reported = self._usage
        if reported is None:
            return Usage(input_tokens=prompt_tokens, output_tokens=estimated, is_estimated=True)
        if self.finish is None and reported.output_tokens < estimated:
            # A stream that broke reported its input and a first token or so of its output.
            return Usage(
                input_tokens=reported.input_tokens,
                output_tokens=estimated,
                cached_tokens=reported.cached_tokens,
                cache_write_tokens=reported.cache_write_tokens,
                is_estimated=True,
            )
        return reported


class UpstreamStream:
    """One provider stream under way; keeps its tally and refuses to end early in silence."""

    def __init__(self, response: UpstreamResponse, parser: StreamParser) -> None:
        self.response = response
        self.tally = Tally()
        self.is_eof = False
        self._parser = parser
        self._sse = SseParser()
        self._failure: ProtocolBrokenError | None = None

    async def read(self) -> tuple[Item, ...]:
        """Return the events of the next bytes, maybe none yet; ``is_eof`` is set with the last
        ones.

        Raises:
            ConnectionBrokenError: the connection broke.
            ProtocolBrokenError: the bytes are not the stream they should be, or end too early.
        """
        if self._failure is not None:
            raise self._failure
        try:
            chunk = await self.response.read()
        except ConnectionBrokenError:
            if not self._parser.is_complete():
                raise
            # All that was asked for is here; a rude goodbye changes nothing.
            chunk = b""
        if chunk:
            return self._parse(chunk)
        self.is_eof = True
        # Some servers leave out the blank line that would close their last event.
        items = self._parse(b"\n\n") if self._sse.rest() else ()
        if not self._parser.is_complete() and self.tally.error is None:
            message = "the stream ended without its terminal marker"
            raise ProtocolBrokenError(message)
        return items

    def _parse(self, chunk: bytes) -> tuple[Item, ...]:
        items: list[Item] = []
        try:
            for event in self._sse.feed(chunk):
                deltas = self._parser.feed(event)
                for delta in deltas:
                    self.tally.note(delta)
                items.append(Item(raw=event.raw, deltas=deltas))
        except WireError as error:
            failure = ProtocolBrokenError(f"not a valid stream: {error.message}")
            if not items:
                raise failure from error
            # What came before the broken event is good; the break is met at the next read.
            self._failure = failure
        return tuple(items)
