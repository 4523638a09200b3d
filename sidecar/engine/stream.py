"""Reading one provider's stream: bytes → events → what they say, tallied on the way.

A stream that ends without its format's terminal marker is cut short, whatever the status line said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sidecar.engine.tally import Tally
from sidecar.errors import ConnectionBrokenError, ProtocolBrokenError, WireError
from sidecar.value import value
from sidecar.wire.neutral import CONTENT_DELTAS, Completion, Started

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.engine.ports import UpstreamResponse
    from sidecar.wire.codec import ProviderCodec
    from sidecar.wire.neutral import Delta
    from sidecar.wire.sse import SseEvent


@value
class Item:
    """One event: its exact bytes and what it says."""

    raw: bytes
    deltas: tuple[Delta, ...]

    def has_content(self) -> bool:
        """Return whether the event carries content of any kind."""
        return any(isinstance(delta, CONTENT_DELTAS) for delta in self.deltas)


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
            return self._parse(lambda: self._framer.feed(chunk))
        self.is_eof = True
        items = self._parse(self._framer.end)
        if not self._parser.is_complete() and self.tally.error is None:
            message = "the stream ended without its terminal marker"
            raise ProtocolBrokenError(message)
        return items

    def _parse(self, cut: Callable[[], list[SseEvent]]) -> tuple[Item, ...]:
        items: list[Item] = []
        try:
            for event in cut():
                deltas = tuple(named(delta, *self._name) for delta in self._parser.feed(event))
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


T = TypeVar("T")


def named(said: T, answer_id: str, model: str) -> T:
    """Return ``said`` with the id and model that answers of some formats do not give."""
    if not isinstance(said, Started | Completion) or (said.id and said.model):
        return said
    return replace(said, id=said.id or answer_id, model=said.model or model)
