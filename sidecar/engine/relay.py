"""Relaying a committed stream to its caller: pass on, watch, and end truthfully.

After the commit there is no failover. A stream of the caller's own format is forwarded byte by byte
in whole events; another format is rendered from deltas. The second verdict falls at the end: a
stream that breaks, stalls, runs over its deadline or ends without its terminal marker is closed
with the format's error event and never with a success marker (mode ``error``).

Backpressure is one chunk: the provider is read only when the caller's connection took the chunk
before, and only the time spent waiting for the provider counts towards its stall limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Fault, OutcomeClass
from sidecar.engine.judging import FINE
from sidecar.engine.stream import joined
from sidecar.errors import (
    AttemptError,
    CallError,
    DeadlineExceededError,
    ProtocolBrokenError,
    UpstreamInterruptedError,
)
from sidecar.wire.formats import codec
from sidecar.wire.neutral import Ended, ErrorSeen

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.domain import Outcome
    from sidecar.engine.answer import Disclosure
    from sidecar.engine.attempt import Committed
    from sidecar.engine.ports import Upstream
    from sidecar.engine.settlement import Settlement
    from sidecar.engine.stream import Item
    from sidecar.engine.timer import Timer
    from sidecar.wire.codec import StreamRenderer
    from sidecar.wire.neutral import Delta

GOODBYE_S = 0.1
"""How long to wait for the provider's end of stream after its terminal marker, so that the
connection can be kept.
"""
LISTENED_SHARE = 0.9
"""How much of a stream's time must have been waiting for the provider to tell its pace."""


class Relay:
    """One committed stream; fulfils ``StreamAnswer``. ``on_end`` gets the outcome once."""

    def __init__(
        self,
        *,
        committed: Committed,
        settlement: Settlement,
        upstream: Upstream,
        timer: Timer,
        disclosure: Disclosure,
        on_end: Callable[[Outcome], Disclosure],
    ) -> None:
        self.disclosure = disclosure
        self._stream = committed.stream
        self._pending: Item | None = joined(committed.items)
        self._settlement = settlement
        self._upstream = upstream
        self.timer = timer
        self._on_end = on_end
        plan = settlement.plan
        self._call = plan.call
        self._limits = committed.limits
        self._first_at = committed.first_content_at
        self._last_content_at = committed.first_content_at
        self._waited_s = 0.0  # for the provider, since its last content
        self._listened_s = 0.0  # for the provider, altogether
        self._is_over = False
        self._renderer: StreamRenderer | None = None
        if plan.request.is_translated:
            wants_usage = self._call.facts.wants_usage_in_stream
            self._renderer = codec(self._call.format).stream_renderer(wants_usage=wants_usage)

    # --- StreamAnswer --------------------------------------------------------------------------

    async def read(self) -> bytes:
        """Return the next bytes for the caller, ``b""`` at the end."""
        while not self._is_over:
            item, self._pending = self._pending, None
            if item is None:
                try:
                    item = await self._wait()
                except (AttemptError, TimeoutError) as failure:
                    return await self._broken(self._fault_of(failure))
            tally = self._stream.tally
            if tally.is_ended or self._stream.is_eof or tally.error is not None:
                return await self._end(item)
            out = self._pass_on(item)
            if out:
                return out
        await self._say_goodbye()
        return b""

    async def _end(self, item: Item) -> bytes:
        """Return what the caller gets last: the rest of the answer, or what became of it."""
        stream = self._stream
        error = stream.tally.error
        is_whole = stream.tally.is_ended or stream.is_eof
        if is_whole and stream.tally.is_degenerate():
            message = "one character over and over"
            return self._break_off(Fault(cls=OutcomeClass.DEGENERATE, message=message))
        out = self._pass_on(item)
        if error is None:
            return out + self._complete()
        fault = self._upstream.classify(
            self._settlement.plan.ticket.endpoint.id, 200, {}, error.data
        )
        return out + await self._broken(fault)

    async def aclose(self) -> None:
        """Cut or give back the connection; a stream not yet over was left by its caller."""
        if not self._settlement.is_done:
            message = "the caller left"
            self._settle(Fault(cls=OutcomeClass.CANCEL, message=message))
        self._is_over = True
        self._stream.response.close()

    def interrupt(self, reason: CallError) -> None:
        """End the stream with an error event, because the sidecar stops."""
        self.timer.interrupt(reason)

    # --- waiting -------------------------------------------------------------------------------

    async def _wait(self) -> Item:
        """Read on; only this waiting counts towards the stall limit."""
        began_at = loop_now()
        limits = self._limits
        limit_at = began_at + limits.stall_s - self._waited_s
        try:
            with self.timer.until(min(limits.end_at, limit_at)):
                item = await self._stream.read()
        except TimeoutError:
            if not self._is_own_lag(began_at):
                raise
            # What came while the loop stood still is there to be read.
            return joined(())
        now = loop_now()
        self._listened_s += now - began_at
        if item.has_content:
            self._waited_s = 0.0
            self._last_content_at = now
        else:
            # Pings and comments are signs of life of the connection, not of the model.
            self._waited_s += now - began_at
        return item

    def _is_own_lag(self, began_at: float) -> bool:
        """Return whether a wait overran because our own loop stood still, with time left."""
        now = loop_now()
        is_over = self.timer.interruption is not None or now >= self._limits.end_at
        return not is_over and self._settlement.was_lagging(now - began_at)

    async def _say_goodbye(self) -> None:
        """Read to the end of the body, so that the connection can serve again."""
        if self._stream.is_eof or not self._settlement.is_done or self._was_broken():
            return
        try:
            with self.timer.until(loop_now() + GOODBYE_S):
                while not self._stream.is_eof:
                    await self._stream.read()
        except (AttemptError, TimeoutError):
            # The answer is complete; the connection is just not worth keeping.
            self._stream.response.close()
        finally:
            self.timer.close()
        self._stream.is_eof = True

    def _was_broken(self) -> bool:
        return not (self._stream.tally.is_ended or self._stream.is_eof)

    # --- passing on ----------------------------------------------------------------------------

    def _pass_on(self, item: Item) -> bytes:
        """Return the item for the caller; of an error there is nothing in it, for ours will say
        what the provider's said.
        """
        renderer = self._renderer
        if renderer is None:
            return item.raw
        if len(item.deltas) == 1:
            return _rendered(renderer, item.deltas[0])
        return b"".join([_rendered(renderer, delta) for delta in item.deltas])

    def _complete(self) -> bytes:
        """The provider said that the answer is whole: settle, and say so in the caller's format."""
        tally = self._stream.tally
        usage = self._settlement.usage_of(tally)
        self._settlement.learn(tally)
        lasted_s = self._last_content_at - self._first_at
        # A caller that reads slowly shows its own pace, not the model's: no sample then.
        if lasted_s > 0 and self._listened_s >= LISTENED_SHARE * lasted_s:
            gap_s = lasted_s / max(1, usage.output_tokens - 1)
            self._settlement.chunk_gap(gap_s, loop_now())
        self._settle(FINE)
        return b"" if self._renderer is None else self._renderer.finish()

    # --- breaking off --------------------------------------------------------------------------

    def _fault_of(self, error: AttemptError | TimeoutError) -> Fault:
        if isinstance(error, AttemptError):
            is_garbage = isinstance(error, ProtocolBrokenError)
            cls = OutcomeClass.TRUNC if is_garbage else OutcomeClass.RESET_MID
            return Fault(cls=cls, message=str(error))
        if self.timer.interruption is not None:
            return Fault(cls=OutcomeClass.LOCAL, message=self.timer.interruption.message)
        if loop_now() >= self._limits.end_at:
            return Fault(cls=OutcomeClass.CALLER_SHORT, message="the deadline came mid-stream")
        message = f"no content for {self._limits.stall_s:.3g} s"
        return Fault(cls=OutcomeClass.STALL_MID, message=message)

    async def _broken(self, fault: Fault) -> bytes:
        """Return what the caller gets instead of the rest."""
        return self._break_off(fault)

    def _break_off(self, fault: Fault) -> bytes:
        """Settle, and return the error event that ends the stream."""
        return self._error_event(self._settle(fault))

    def _error_event(self, outcome: Outcome) -> bytes:
        self._stream.response.close()
        reason = self._reason(outcome)
        details: dict[str, object] = {
            "code": reason.code,
            "retryable": True,
            "endpoint": outcome.endpoint,
            "class": outcome.cls.value,
            "delivered_chars": self._stream.tally.content_chars,
            "call_id": self._call.id,
        }
        return codec(self._call.format).render_stream_error(
            code=reason.code, message=reason.message, details=details
        )

    def _reason(self, outcome: Outcome) -> CallError:
        if self.timer.interruption is not None:
            return self.timer.interruption
        if outcome.cls is OutcomeClass.CALLER_SHORT:
            return DeadlineExceededError("the deadline came before the end of the answer")
        message = (
            f"{outcome.endpoint} broke off mid-answer ({outcome.cls.value}: {outcome.message}); "
            "what was delivered is incomplete"
        )
        return UpstreamInterruptedError(message)

    def _settle(self, fault: Fault) -> Outcome:
        self._is_over = True
        usage = self._settlement.usage_of(self._stream.tally)
        outcome = self._settlement.settle(fault, usage)
        self.disclosure = self._on_end(outcome)
        return outcome


def _rendered(renderer: StreamRenderer, delta: Delta) -> bytes:
    return b"" if isinstance(delta, (Ended, ErrorSeen)) else renderer.render(delta)
