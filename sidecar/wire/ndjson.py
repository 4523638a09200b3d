"""Newline-delimited JSON: bytes in any pieces → one event a line.

Ollama's native API streams so. A line ends with LF, a CR before it is white space to JSON; blank
lines say nothing. Where a line ends depends on its bytes alone, never on how they were cut, and
each byte is looked at once.
"""

from __future__ import annotations

from sidecar.errors import WireError
from sidecar.wire.sse import SseEvent

_LF = b"\n"
_LINE_BYTES_MAX = 8 * 1024 * 1024


class LineParser:
    """Cuts a byte stream into lines (see ``Framer``); linear time however it is split."""

    def __init__(self, line_bytes_max: int = _LINE_BYTES_MAX) -> None:
        self._line_bytes_max = line_bytes_max
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the lines that ``chunk`` completes.

        Raises:
            WireError: a line, finished or not, exceeds the bound.
        """
        buffer = self._buffer
        scanned = len(buffer)
        buffer += chunk
        events: list[SseEvent] = []
        start = 0
        while (at := buffer.find(_LF, max(start, scanned))) >= 0:
            events.append(self._event(bytes(buffer[start : at + 1])))
            start = at + 1
        del buffer[:start]
        self._check_bound(len(buffer))
        return events

    def rest(self) -> bytes:
        """Return the bytes of the unfinished line."""
        return bytes(self._buffer)

    def end(self) -> list[SseEvent]:
        """Return the last line where a server left out the line end."""
        raw = self.rest()
        self._buffer.clear()
        return [self._event(raw)] if raw else []

    def _event(self, raw: bytes) -> SseEvent:
        self._check_bound(len(raw))
        return SseEvent(raw, None, raw.strip() or None)

    def _check_bound(self, size: int) -> None:
        if size > self._line_bytes_max:
            raise WireError(f"a line exceeds {self._line_bytes_max} bytes")
