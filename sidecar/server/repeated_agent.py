"""A parser of requests that lets a repeated ``User-Agent`` pass, and nothing else aiohttp refuses.

Google's SDK and those built on it send the header twice. RFC 9110 (5.3) says they must not;
aiohttp answers 400 before any handler runs, and has no switch for it. So the head of a request is
kept until it is parsed, and only when aiohttp refuses it for this reason it is read again by a
fresh parser, every ``User-Agent:`` after the first renamed to another name of the same length.
Nobody here reads the header, and no byte moves: where a request ends, and so what is the next one,
stays as it was.

Where the head begins must be beyond doubt, or a body could be taken for a request. It is known for
the first bytes of a connection, and behind a body whose length was given and which aiohttp saw end
on the very same byte. Once it is not known (a chunked body, several requests in one piece) the
connection gets aiohttp's refusal, as ever. Usual requests cost one search for the end of the head.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiohttp.http_exceptions import BadHttpMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import StreamReader
    from aiohttp.http import HttpParser, RawRequestMessage

    Message = tuple[RawRequestMessage, StreamReader]

_HEAD_END = b"\r\n\r\n"
_AGENT = re.compile(rb"\r\n(user-agent):", re.IGNORECASE)
_OTHER_NAME = b"Also-Agent"
_REFUSAL = "duplicate 'user-agent' header found."
_LENGTH = re.compile(r"[0-9]{1,18}")
_METHOD_START = re.compile(rb"[A-Z]")
HEAD_BYTES_MAX = 64 * 1024
"""Heads in many pieces are not kept beyond this: joining them would cost ever more."""


class LenientParser:
    """aiohttp's ``parser`` of one connection; ``fresh`` makes another one.

    Owns ``_head``, the bytes of the head under way (None: where it began is not known), and
    ``_left``, how many bytes of the last body are still to come.
    """

    def __init__(self, parser: HttpParser[Any], fresh: Callable[[], HttpParser[Any]]) -> None:
        self._fresh = fresh
        self._parser = parser
        self._head: bytes | None = b""
        self._left = 0
        self._body: StreamReader | None = None

    def feed_data(self, data: bytes) -> tuple[Sequence[Message], bool, bytes]:
        """Return the requests whose heads ``data`` completes; see aiohttp's parser.

        Raises:
            HttpProcessingError: the bytes are not HTTP.
        """
        if not data:  # aiohttp goes on with what it held back
            return self._parser.feed_data(data)
        if self._left or self._head is None:
            self._pass_body(len(data))
            return self._parser.feed_data(data)
        head = self._head + data if self._head else data
        if not self._may_begin(head):
            self._head = None
            return self._parser.feed_data(data)
        try:
            parsed = self._parser.feed_data(data)
        except BadHttpMessage as error:
            repaired = _renamed(head) if error.message.lower() == _REFUSAL else head
            if repaired == head:
                raise
            self._parser, self._head = self._fresh(), b""
            return self.feed_data(repaired)
        self._note(head, *parsed)
        return parsed

    def feed_eof(self) -> RawRequestMessage | None:
        """See aiohttp's parser."""
        return self._parser.feed_eof()

    def pause_reading(self) -> None:
        """See aiohttp's parser."""
        self._parser.pause_reading()

    def message_consumed(self) -> None:
        """See aiohttp's parser."""
        self._parser.message_consumed()

    def set_upgraded(self, value: bool) -> None:
        """See aiohttp's parser."""
        self._parser.set_upgraded(value)

    def _may_begin(self, head: bytes) -> bool:
        """Return whether a head begins here: aiohttp is through with the last body too."""
        is_over = self._body is None or self._body.is_eof()
        return is_over and _METHOD_START.match(head) is not None

    def _pass_body(self, size: int) -> None:
        """Count off ``size`` bytes of a body; more than there should be, and all is uncertain."""
        if self._head is None:
            return
        if self._body is None or self._body.is_eof() or size > self._left:
            self._head = None
        self._left = max(0, self._left - size)

    def _note(
        self, head: bytes, messages: Sequence[Message], is_upgraded: bool, _tail: bytes
    ) -> None:
        """Remember where the next head begins, given what ``head`` was parsed to."""
        end = head.find(_HEAD_END)
        expected = 0 if end < 0 else 1
        if is_upgraded or len(messages) != expected:
            self._head = None
        elif end < 0:
            self._head = head if len(head) <= HEAD_BYTES_MAX else None
        else:
            message, self._body = messages[0]
            left = _body_bytes(message) - (len(head) - end - len(_HEAD_END))
            self._head, self._left = (None, 0) if left < 0 else (b"", left)


def _body_bytes(message: RawRequestMessage) -> int:
    """Return how long the body is, -1 if its head does not say."""
    if message.chunked:
        return -1
    length = _LENGTH.fullmatch(message.headers.get("content-length", "0"))
    return -1 if length is None else int(length[0])


def _renamed(head: bytes) -> bytes:
    """Return ``head``, and what follows it, with every ``User-Agent`` but the first renamed."""
    end = head.find(_HEAD_END)
    spans = [found.span(1) for found in _AGENT.finditer(head, 0, len(head) if end < 0 else end)]
    changed = bytearray(head)
    for start, stop in spans[1:]:
        changed[start:stop] = _OTHER_NAME
    return bytes(changed)
