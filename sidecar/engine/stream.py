"""Reading one provider's stream: bytes → events → what they say, tallied on the way.

What arrives together stays together: one read is one ``Item``, however many events it completes. A
stream that ends without its format's terminal marker is cut short, whatever the status line said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sidecar.engine.tally import Tally
from sidecar.errors import ConnectionBrokenError, ProtocolBrokenError, WireError
from sidecar.value import value
from sidecar.wire.neutral import Completion, Started

if TYPE_CHECKING:
    from sidecar.engine.ports import UpstreamResponse
    from sidecar.wire.codec import ProviderCodec
    from sidecar.wire.neutral import Delta
    from sidecar.wire.sse import SseEvent


@value
class Item:
    """The events of one read, maybe none: their exact bytes but for those of an error, what they
    say, and whether content of any kind is in it.
    """

    raw: bytes
    deltas: list[Delta]
    has_content: bool


def joined(items: tuple[Item, ...]) -> Item:
    """Return several reads as one."""
    return Item(
        raw=b"".join(item.raw for item in items),
        deltas=[delta for item in items for delta in item.deltas],
        has_content=any(item.has_content for item in items),
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
        if chunk:
            return self._listen(events)
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
                deltas = self._parser.feed(event)
            except WireError as broken:
                self._failure = _invalid(broken)
                if event is events[0]:
                    raise self._failure from broken
                break
            for delta in deltas:
                one = named(delta, *self._name) if isinstance(delta, Started) else delta
                tally.note(one)
                said.append(one)
            if tally.error is error:
                raws.append(event.raw)
        return Item(raw=b"".join(raws), deltas=said, has_content=tally.content_deltas > known)


def _invalid(error: WireError) -> ProtocolBrokenError:
    return ProtocolBrokenError(f"not a valid stream: {error.message}")


T = TypeVar("T", Started, Completion)


def named(said: T, answer_id: str, model: str) -> T:
    """Return ``said`` with the id and model that answers of some formats do not give."""
    if said.id and said.model:
        return said
    return replace(said, id=said.id or answer_id, model=said.model or model)
