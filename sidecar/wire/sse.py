"""Server-sent events: bytes in any pieces → events that still hold their exact bytes.

Same-format streams are forwarded byte by byte and merely watched, so every event keeps ``raw``,
and the raws of all events plus ``rest()`` are the input. Rules: WHATWG HTML, "Server-sent events"
(LF, CRLF, CR, byte order mark, joined data lines, one leading space); ``id`` and ``retry`` only
stay in ``raw``, since nobody reconnects.

Where an event ends depends on its bytes alone, never on how they were cut: a blank line ``CR``
after a line that ended in ``LF`` waits for one more byte (it may be ``CRLF``); after a line that
ended in ``CR`` it ends the event at once, else the last event of a CR-only stream would never come
out. An ``LF`` that follows after all is a blank line of its own, which says nothing.
"""

from __future__ import annotations

import re

import msgspec

from sidecar.errors import WireError

_BOM = b"\xef\xbb\xbf"
_END = re.compile(rb"\n(?:\n|\r\n|\r(?=[^\n]))|\r\r")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_LF, _CR = 0x0A, 0x0D
_EVENT = b"event: "
_DATA = b"data: "
_END_OF_EVENT = b"\n\n"
_LOOK_BACK_BYTES = 2
_EVENT_BYTES_MAX = 8 * 1024 * 1024


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: ``raw`` bytes with the blank line that closes it, its name, its data lines.

    Data lines are joined by LF; ``data`` is None where there are none (comments, blank lines). A
    struct, since there is one a chunk.
    """

    raw: bytes
    event: str | None
    data: bytes | None


class SseParser:
    """Cuts a byte stream into events; linear time however it is split."""

    def __init__(self, event_bytes_max: int = _EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._buffer = bytearray()
        self._scanned = 0
        self._is_at_start = True

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that ``chunk`` completes.

        Raises:
            WireError: an event, finished or not, exceeds the bound.
        """
        if not self._buffer and len(chunk) <= self._event_bytes_max:
            event = _read_plain(chunk)
            if event is not None:
                self._is_at_start = False
                return [event]
            if not self._is_at_start and _is_whole(chunk):
                events = chunk[: -len(_END_OF_EVENT)].split(_END_OF_EVENT)
                return [_read(event + _END_OF_EVENT) for event in events]
        return self._feed(chunk)

    def _feed(self, chunk: bytes) -> list[SseEvent]:
        """As ``feed``, whatever the bytes and wherever they were cut."""
        buffer = self._buffer
        buffer += chunk
        events: list[SseEvent] = []
        start = 0
        while (end := self._end_of_event(start)) is not None:
            raw = bytes(buffer[start:end])
            self._check_bound(len(raw))
            events.append(_read(raw, is_first=self._is_at_start))
            self._is_at_start = False
            start = self._scanned = end
        del buffer[:start]
        self._check_bound(len(buffer))
        self._scanned = max(0, len(buffer) - _LOOK_BACK_BYTES)
        return events

    def rest(self) -> bytes:
        """Return the bytes of the unfinished event."""
        return bytes(self._buffer)

    def end(self) -> list[SseEvent]:
        """Return the last event where a server left out the blank line that would close it."""
        return self.feed(b"\n\n") if self._buffer else []

    def _end_of_event(self, start: int) -> int | None:
        """Return the index after the event at ``start``, None while it is unfinished."""
        buffer = self._buffer
        first = start
        if self._is_at_start and buffer.startswith(_BOM):
            first += len(_BOM)
        if first >= len(buffer):
            return None
        if buffer[first] == _LF:
            return first + 1
        if buffer[first] == _CR:
            if first + 1 >= len(buffer):
                return None
            return first + 2 if buffer[first + 1] == _LF else first + 1
        match = _END.search(buffer, max(first, self._scanned))
        return None if match is None else match.end()

    def _check_bound(self, size: int) -> None:
        if size > self._event_bytes_max:
            raise WireError(f"an event exceeds {self._event_bytes_max} bytes")


def _read_plain(raw: bytes) -> SseEvent | None:
    """Return the event if ``raw`` is just one of the form that nearly every one has: a line
    ``data: …``, maybe after one ``event: …``, all ended by LF.
    """
    at = 0
    if not raw.startswith(_DATA):
        at = raw.find(b"\n") + 1 if raw.startswith(_EVENT) else 0
        if not at or not raw.startswith(_DATA, at):
            return None
    begin = at + len(_DATA)
    # A number is looked for at once; for a byte string an error is raised and caught first.
    if raw.find(b"\n", begin) != len(raw) - len(_END_OF_EVENT) or raw[-1] != _LF or _CR in raw:
        return None
    name = raw[len(_EVENT) : at - 1].decode("utf-8", "replace") if at else None
    return SseEvent(raw, name, raw[begin : -len(_END_OF_EVENT)])


def _is_whole(chunk: bytes) -> bool:
    """Return whether a chunk is events that end in two LF, with no other blank line."""
    return (
        chunk.endswith(_END_OF_EVENT)
        and chunk[0] != _LF
        and b"\n\n\n" not in chunk
        and _CR not in chunk
    )


def _read(raw: bytes, *, is_first: bool = False) -> SseEvent:
    """Read one event."""
    event = _read_plain(raw)
    return _read_lines(raw.removeprefix(_BOM) if is_first else raw, raw) if event is None else event


def _read_lines(text: bytes, raw: bytes) -> SseEvent:
    name: str | None = None
    data: list[bytes] = []
    for line in _LINE_END.split(text):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    return SseEvent(raw, name, b"\n".join(data) if data else None)


def encode_event(data: bytes, event: str | None = None) -> bytes:
    """Return the bytes of an event with ``data``, one ``data:`` line for each of its lines."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    if b"\n" not in data and b"\r" not in data:
        return head + b"data: " + data + b"\n\n"
    lines = b"\ndata: ".join(_LINE_END.split(data))
    return head + b"data: " + lines + b"\n\n"


def encode_comment(text: str) -> bytes:
    """Return the bytes of a comment, which every SSE reader skips."""
    return b": " + b"\n: ".join(_LINE_END.split(text.encode())) + b"\n\n"
