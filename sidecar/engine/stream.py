"""Reading one provider's stream: bytes → events → what they say, tallied on the way.

What arrives together stays together: one read is one ``Item``, however many events it completes. A
stream that ends without its format's terminal marker is cut short, whatever the status line said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import msgspec

from sidecar.engine.tally import Tally
from sidecar.errors import ConnectionBrokenError, ProtocolBrokenError, WireError
from sidecar.wire.neutral import Completion, Started, TextDelta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.engine.ports import UpstreamResponse
    from sidecar.wire.codec import ProviderCodec
    from sidecar.wire.neutral import Delta
    from sidecar.wire.sse import SseEvent


class Item(msgspec.Struct, frozen=True, gc=False):
    """The events of one read, maybe none: their exact bytes but for those of an error, what they
    say, and whether content of any kind is in it. A struct, since there is one a chunk.
    """

    raw: bytes
    deltas: Sequence[Delta]
    has_content: bool


def joined(items: tuple[Item, ...]) -> Item:
    """Return several reads as one."""
    return Item(
        b"".join([item.raw for item in items]),
        [delta for item in items for delta in item.deltas],
        any(item.has_content for item in items),
    )


class UpstreamStream:
    """One provider stream under way; keeps its tally and refuses to end early in silence."""

    def __init__(
        self, response: UpstreamResponse, codec: ProviderCodec, *, name: tuple[str, str]
    ) -> None:
        self.response = response
        self._name = name
        self.tally = Tally()
        self.is_eof = False
        self._parser = codec.stream_parser()
        self._framer = codec.framer()
        self._failure: ProtocolBrokenError | None = None

    async def read(self) -> Item:
        """Return the events of the next bytes; ``is_eof`` is set with the last ones.

        Raises:
            ConnectionBrokenError: the connection broke.
            ProtocolBrokenError: the bytes are not the stream they should be, or end too early.
        """
        if self._failure is not None:
            raise self._failure
        try:
            chunk = await self.response.read()
        except ConnectionBrokenError as error:
            chunk = self._goodbye(error)
        return self._read(chunk)

    def take(self) -> Item | None:
        """As ``read`` without waiting: None if nothing has come since."""
        if self._failure is not None:
            raise self._failure
        try:
            chunk = self.response.take()
        except ConnectionBrokenError as error:
            chunk = self._goodbye(error)
        return None if chunk is None else self._read(chunk)

    def _goodbye(self, error: ConnectionBrokenError) -> bytes:
        """Take a rude end for a proper one where all that was asked for is here."""
        if not self._parser.is_complete():
            raise error
        return b""

    def _read(self, chunk: bytes) -> Item:
        """Return the events that ``chunk`` completes; raises as ``read``."""
        try:
            events = self._framer.feed(chunk) if chunk else self._framer.end()
        except WireError as error:
            raise _invalid(error) from error
        if not chunk:
            return self._end(events)
        if len(events) != 1:
            return self._listen(events)
        tally = self.tally
        known, error_before = tally.content_deltas, tally.error
        said = self._hear(events[0])
        raw = events[0].raw if tally.error is error_before else b""
        return Item(raw, said, tally.content_deltas > known)

    def _end(self, events: list[SseEvent]) -> Item:
        self.is_eof = True
        item = self._listen(events)
        if not self._parser.is_complete() and self.tally.error is None:
            message = "the stream ended without its terminal marker"
            raise ProtocolBrokenError(message)
        return item

    def _listen(self, events: list[SseEvent]) -> Item:
        """Return what ``events`` say, tallied.

        Raises:
            ProtocolBrokenError: the first of them is broken; a later one is met at the next read.
        """
        tally = self.tally
        known = tally.content_deltas
        raws: list[bytes] = []
        said: list[Delta] = []
        for event in events:
            error = tally.error
            try:
                said += self._hear(event)
            except ProtocolBrokenError:
                if event is events[0]:
                    raise
                break
            if tally.error is error:
                raws.append(event.raw)
        return Item(b"".join(raws), said, tally.content_deltas > known)

    def _hear(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what one event says, tallied; raises as ``read``, here and from now on."""
        try:
            deltas = self._parser.feed(event)
        except WireError as broken:
            self._failure = _invalid(broken)
            raise self._failure from broken
        tally = self.tally
        if len(deltas) == 1 and isinstance(deltas[0], TextDelta):
            tally.add_text(deltas[0].text)
            return deltas
        said = tuple(
            [named(one, *self._name) if isinstance(one, Started) else one for one in deltas]
        )
        for one in said:
            tally.note(one)
        return said


def _invalid(error: WireError) -> ProtocolBrokenError:
    return ProtocolBrokenError(f"not a valid stream: {error.message}")


T = TypeVar("T", Started, Completion)


def named(said: T, answer_id: str, model: str) -> T:
    """Return ``said`` with the id and model that answers of some formats do not give."""
    if said.id and said.model:
        return said
    return replace(said, id=said.id or answer_id, model=said.model or model)
