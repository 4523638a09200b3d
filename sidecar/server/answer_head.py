"""The head of an answer, as bytes: what never changes is prepared, the rest is joined.

    HTTP/1.1 200 OK⏎Server: sidecar⏎Date: …⏎x-sidecar-route: chat⏎Content-Length: 12⏎⏎

A value cannot end its line: whatever control characters it holds become question marks.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from sidecar import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER_NAME = "sidecar"
"""Sent as ``Server``: Python's version and those of libraries are nobody's business."""
_OURS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
)
"""What the front says itself; a handler's word on it is not sent."""
_REASONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
    424: "Failed Dependency",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class AnswerHeads:
    """Renders heads. Owns the first lines of this second, by status."""

    def __init__(self) -> None:
        self._second = -1
        self._starts: dict[int, str] = {}

    def render(self, status: int, headers: Mapping[str, str], framing: str) -> bytes:
        """Return the whole head.

        Args:
            status: three digits.
            headers: by lower-case name; those that are the front's to say are left out.
            framing: the lines that say where the answer ends, each with its line end.
        """
        second = int(clock.wall())
        if second != self._second:
            self._starts.clear()
            self._second = second
        lines = [self._starts.get(status) or self._start(status)]
        for name, value in headers.items():
            if name not in _OURS:
                lines.append(f"{name}: {value}")  # a call more on 3.11
        text = "\r\n".join(lines)
        ends = len(lines) + 1  # the first item has three lines
        if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
            text = "\r\n".join([lines[0], *(_CONTROL.sub("?", line) for line in lines[1:])])
        return f"{text}\r\n{framing}\r\n".encode("utf-8", "surrogateescape")

    def _start(self, status: int) -> str:
        first = f"HTTP/1.1 {status} {_REASONS.get(status, '')}"
        start = f"{first}\r\nServer: {SERVER_NAME}\r\nDate: {http_date(self._second)}"
        self._starts[status] = start
        return start


def http_date(second: int) -> str:
    """Return ``Sun, 06 Nov 1994 08:49:37 GMT`` for 784111777 (RFC 9110, 5.6.7)."""
    at = time.gmtime(second)
    day = f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year}"
    return f"{day} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
