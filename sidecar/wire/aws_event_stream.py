"""AWS event streams: binary messages in any pieces → events.

A message is ``total length, headers' length, CRC of these two`` (4 bytes each, big-endian), the
headers, the payload, and the CRC of all before it. Both CRCs are checked: a flipped bit is a broken
stream, never a wrong word. ``event`` is the message's ``:event-type``; exceptions and errors
(``:message-type``) come as ``EXCEPTION`` with ``{"type", "message"}`` as data, so that they are
classified like any other error.

Source: "Amazon Transcribe, event stream encoding" and Smithy's ``vnd.amazon.eventstream``.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import decode
from sidecar.wire.sse import SseEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

EXCEPTION = ":exception"
"""No event type begins with a colon."""

_PRELUDE = struct.Struct(">III")
_CRC_BYTES = 4
_MESSAGE_BYTES_MAX = 8 * 1024 * 1024
_FIXED_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Header value types of a fixed size: booleans, integers, an instant, a UUID."""
_BYTES_TYPE, _STRING_TYPE = 6, 7


class _Said(msgspec.Struct):
    message: str | None = None
    Message: str | None = None


_SAID = msgspec.json.Decoder(_Said)


class EventStreamParser:
    """Cuts a byte stream into messages (see ``Framer``); linear time however it is split."""

    def __init__(self, message_bytes_max: int = _MESSAGE_BYTES_MAX) -> None:
        self._message_bytes_max = message_bytes_max
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the messages that ``chunk`` completes.

        Raises:
            WireError: a CRC or length is wrong, or a message exceeds the bound.
        """
        buffer = self._buffer
        buffer += chunk
        events: list[SseEvent] = []
        start = 0
        while len(buffer) - start >= _PRELUDE.size:
            total, headers = self._lengths(start)
            if len(buffer) - start < total:
                break
            events.append(_read(bytes(buffer[start : start + total]), headers))
            start += total
        del buffer[:start]
        return events

    def rest(self) -> bytes:
        """Return the bytes of the unfinished message."""
        return bytes(self._buffer)

    def end(self) -> list[SseEvent]:
        """Return nothing: a message says itself where it ends.

        Raises:
            WireError: the bytes ended within a message.
        """
        if self._buffer:
            raise WireError("the stream ended within a message")
        return []

    def _lengths(self, start: int) -> tuple[int, int]:
        """Return the lengths of the whole message and of its headers, from a checked prelude."""
        total, headers, crc = _PRELUDE.unpack_from(self._buffer, start)
        if zlib.crc32(self._buffer[start : start + _PRELUDE.size - _CRC_BYTES]) != crc:
            raise WireError("the checksum of a message's prelude is wrong")
        if total > self._message_bytes_max:
            raise WireError(f"a message exceeds {self._message_bytes_max} bytes")
        if headers > total - _PRELUDE.size - _CRC_BYTES:
            raise WireError("a message's headers are longer than the message")
        return total, headers


def _read(raw: bytes, headers_bytes: int) -> SseEvent:
    """Read one whole message."""
    (crc,) = struct.unpack_from(">I", raw, len(raw) - _CRC_BYTES)
    if zlib.crc32(raw[:-_CRC_BYTES]) != crc:
        raise WireError("the checksum of a message is wrong")
    payload_at = _PRELUDE.size + headers_bytes
    headers = dict(_headers(raw[_PRELUDE.size : payload_at]))
    payload = raw[payload_at:-_CRC_BYTES]
    match headers.get(":message-type", "event"):
        case "event":
            return SseEvent(raw, headers.get(":event-type"), payload)
        case "exception":
            data = _error(headers.get(":exception-type"), _text(payload))
        case _:
            data = _error(headers.get(":error-code"), headers.get(":error-message", ""))
    return SseEvent(raw, EXCEPTION, data)


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the headers whose value is a string.

    Raises:
        WireError: they do not fill their bytes, or are of a type that does not exist.
    """
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind = data[at + 1 : name_end].decode(), data[name_end]
            at = name_end + 1
            if kind in {_BYTES_TYPE, _STRING_TYPE}:
                (size,) = struct.unpack_from(">H", data, at)
                at += 2
            elif kind in _FIXED_BYTES:
                size = _FIXED_BYTES[kind]
            else:
                raise WireError(f"a message's header has the unknown type {kind}")
            value = data[at : at + size]
            at += size
            if kind == _STRING_TYPE:
                yield name, value.decode()
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise WireError("a message's headers cannot be read") from error
    if at != len(data):
        raise WireError("a message's headers end too late")


def _text(payload: bytes) -> str:
    """Return what an exception's payload says."""
    try:
        said = decode(_SAID, payload)
    except WireError:
        return payload.decode("utf-8", "replace")
    return said.message or said.Message or ""


def _error(kind: str | None, message: str) -> bytes:
    return msgspec.json.encode({"type": kind or "unknown", "message": message})
