"""Going on where a stream broke: text from another attempt, joined to what was delivered.

Opt-in (``on_break: continue``), for text alone, once a call: continuations are
dangerous by default. So that two providers' events become one stream, everything is rendered from
deltas, also where the formats would allow to forward bytes. The final figures tell the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import OutcomeClass
from sidecar.engine.relay import Relay
from sidecar.engine.stream import joined
from sidecar.value import value
from sidecar.wire.continuation import Delivered, Join
from sidecar.wire.formats import codec
from sidecar.wire.neutral import Ended, ErrorSeen, Finished, Started, TextDelta

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.domain import Call, Fault, Outcome
    from sidecar.engine.answer import Disclosure
    from sidecar.engine.attempt import Committed
    from sidecar.engine.launch import Entrant
    from sidecar.engine.ports import Upstream
    from sidecar.engine.stream import Item
    from sidecar.wire.codec import StreamRenderer
    from sidecar.wire.neutral import Delta

FINAL = (OutcomeClass.CALLER_SHORT, OutcomeClass.LOCAL, OutcomeClass.DEGENERATE)
"""Breaks after which going on would not help: the deadline, our own stop, a broken model."""


@value
class Leg:
    """Another attempt that goes on with the answer."""

    committed: Committed
    entrant: Entrant
    is_prefilled: bool


class ContinuingRelay(Relay):
    """A relay that may go on with another attempt; ``resume`` finds it, or None."""

    def __init__(
        self,
        *,
        committed: Committed,
        entrant: Entrant,
        upstream: Upstream,
        disclosure: Disclosure,
        on_end: Callable[[Outcome], Disclosure],
        resume: Callable[[Delivered, Outcome], Awaitable[Leg | None]],
    ) -> None:
        super().__init__(
            committed=committed,
            settlement=entrant.settlement,
            upstream=upstream,
            timer=entrant.timer,
            disclosure=disclosure,
            on_end=on_end,
        )
        self._resume = resume
        self._delivered = Delivered()
        self._join: Join | None = None
        self._last_outcome: Outcome | None = None
        self._renderer = self._renderer or _renderer(self._call)

    async def aclose(self) -> None:
        """As ``Relay``; a caller that leaves between two attempts ends the call too."""
        if self._settlement.is_done and not self._is_over and self._last_outcome is not None:
            self._is_over = True
            self.disclosure = self._on_end(self._last_outcome)
        await super().aclose()

    def _pass_on(self, item: Item) -> bytes:
        return b"".join([self._say(delta) for delta in item.deltas])

    def _say(self, delta: Delta) -> bytes:
        assert self._renderer is not None, "a continuing relay always renders"
        if isinstance(delta, (Ended, ErrorSeen)) or (self._join and isinstance(delta, Started)):
            return b""
        held = b""
        if self._join is not None:
            if isinstance(delta, Finished):
                held = self._flush()
            elif isinstance(delta, TextDelta):
                text = self._join.feed(delta.text)
                if not text:
                    return b""
                delta = TextDelta(text=text)
        self._delivered.note(delta)
        return held + self._renderer.render(delta)

    def _flush(self) -> bytes:
        """Return the text that was held back because it could have been a repetition."""
        assert self._renderer is not None, "a continuing relay always renders"
        text = "" if self._join is None else self._join.finish()
        return self._renderer.render(TextDelta(text=text)) if text else b""

    def _complete(self) -> bytes:
        return self._flush() + super()._complete()

    async def _broken(self, fault: Fault) -> bytes:
        is_final = fault.cls in FINAL or self.timer.interruption is not None
        if self._join is not None or is_final:
            return self._flush() + self._break_off(fault)
        usage = self._settlement.usage_of(self._stream.tally)
        outcome = self._last_outcome = self._settlement.settle(fault, usage)
        self._stream.response.close()
        leg = await self._resume(self._delivered, outcome)
        if leg is None:
            self._is_over = True
            self.disclosure = self._on_end(outcome)
            return self._error_event(outcome)
        self._switch(leg)
        return b""

    def _switch(self, leg: Leg) -> None:
        self._join = Join(self._delivered.text(), is_prefilled=leg.is_prefilled)
        self._stream = leg.committed.stream
        self._pending = joined(leg.committed.items)
        self._settlement = leg.entrant.settlement
        self.timer = leg.entrant.timer
        self._limits = leg.committed.limits
        self._first_at = self._last_content_at = leg.committed.first_content_at
        self._waited_s = self._listened_s = 0.0


def _renderer(call: Call) -> StreamRenderer:
    return codec(call.format).stream_renderer(wants_usage=call.facts.wants_usage_in_stream)
