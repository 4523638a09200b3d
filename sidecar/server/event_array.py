"""A stream of events as one JSON array, which Gemini's callers get who do not ask for ``alt=sse``.

    data: {"candidates": …}⏎⏎data: {…}⏎⏎ → [{"candidates": …},⏎{…}]

Each event is an element and goes out when it comes. An error is the last element: an array that
breaks off without its bracket would be no JSON, and say less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.server.formed import FormedSink
from sidecar.wire.sse import SseParser

if TYPE_CHECKING:
    from sidecar.engine.answer import Sink, StreamAnswer
    from sidecar.wire.sse import SseEvent


class ArrayAnswer:
    """Fulfils ``StreamAnswer`` over another one; closing it closes the stream behind."""

    def __init__(self, behind: StreamAnswer) -> None:
        self._behind = behind
        self.disclosure = behind.disclosure
        self._events = SseParser()
        self._is_begun = False

    async def send_to(self, sink: Sink) -> None:
        """Send the elements; see ``StreamAnswer``."""
        await self._behind.send_to(FormedSink(sink, self._element))
        self.disclosure = self._behind.disclosure
        elements = self._written(self._events.end())
        if not sink.push(elements + (b"]" if self._is_begun else b"[]")):
            await sink.room()

    def _element(self, chunk: bytes) -> bytes:
        return self._written(self._events.feed(chunk))

    async def aclose(self) -> None:
        """Close the stream behind."""
        await self._behind.aclose()

    def _written(self, events: list[SseEvent]) -> bytes:
        pieces: list[bytes] = []
        for event in events:
            if event.data is not None:
                pieces += (b",\n" if self._is_begun else b"[", event.data)
                self._is_begun = True
        return b"".join(pieces)
