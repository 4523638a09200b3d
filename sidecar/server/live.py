"""The timeline as server-sent events: what there is, then each thing as it happens.

Whoever comes back says which number it saw last (``Last-Event-ID``, as browsers do, or ``?after=``)
and gets what is newer. A reader who takes too long misses the oldest, never more memory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from sidecar.errors import BadRequestError

if TYPE_CHECKING:
    from sidecar.server.exchange import Exchange
    from sidecar.server.timeline import Timeline

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
PAUSE_S = 0.25
"""Pieces are at least so far apart: a page need not draw each of a thousand calls a second."""
QUIET_S = 15.0
"""A comment after so much silence shows both sides that the other is there."""
NUMBER_DIGITS_MAX = 18


async def send_events(exchange: Exchange, timeline: Timeline) -> None:
    """Send events until the reader is gone.

    Raises:
        BadRequestError: the number to begin after is none.
    """
    after = number_after(exchange)
    await exchange.start_stream(200, HEADERS)
    await exchange.write(b"retry: 1000\n\n")
    while True:
        entries = timeline.read(after)
        if entries:
            after = int(str(entries[-1]["number"]))
            await exchange.write(b"".join([_event(entry) for entry in entries]))
            await asyncio.sleep(PAUSE_S)
        try:
            async with asyncio.timeout(QUIET_S):
                await timeline.newer(after)
        except TimeoutError:
            await exchange.write(b": still here\n\n")


def _event(entry: dict[str, object]) -> bytes:
    head = f"id: {entry['number']}\nevent: {entry['kind']}\ndata: "
    return head.encode() + msgspec.json.encode(entry) + b"\n\n"


def number_after(exchange: Exchange) -> int:
    """Return after which event a reader wants to begin, 0 for all there is.

    Raises:
        BadRequestError: what is given is no number.
    """
    asked = parse_qs(exchange.query, max_num_fields=4).get("after")
    text = exchange.headers.get("last-event-id") or (asked[0] if asked else "0")
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        raise BadRequestError(f"after: expected the number of an event, got {text[:40]!r}")
    return int(text)
