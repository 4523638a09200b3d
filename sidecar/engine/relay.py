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
        self._pending: tuple[Item, ...] = committed.items
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
            if self._pending:
                items, self._pending = self._pending, ()
            else:
                try:
                    items = await self._wait()
                except (AttemptError, TimeoutError) as failure:
                    return await self._broken(self._fault_of(failure))
            is_last = self._stream.tally.is_ended or self._stream.is_eof
            if is_last and self._stream.tally.is_degenerate():
                message = "one character over and over"
                return self._break_off(Fault(cls=OutcomeClass.DEGENERATE, message=message))
            out = self._pass_on(items)
            error = self._stream.tally.error
            if error is not None:
                fault = self._upstream.classify(
                    self._settlement.plan.ticket.endpoint.id, 200, {}, error.data
                )
                return out + await self._broken(fault)
            if is_last:
                return out + self._complete()
            if out:
                return out
        await self._say_goodbye()
        return b""

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

    async def _wait(self) -> tuple[Item, ...]:
        """Read on; only this waiting counts towards the stall limit."""
        began_at = loop_now()
        limit_at = min(began_at + self._limits.stall_s - self._waited_s, self._limits.end_at)
        try:
            async with self.timer.until(limit_at):
                items = await self._stream.read()
        except TimeoutError:
            if not self._is_own_lag(began_at):
                raise
            # What came while the loop stood still is there to be read.
            return ()
        now = loop_now()
        self._listened_s += now - began_at
        if any(item.has_content() for item in items):
            self._waited_s = 0.0
            self._last_content_at = now
        else:
            # Pings and comments are signs of life of the connection, not of the model.
            self._waited_s += now - began_at
        return items

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
            async with self.timer.until(loop_now() + GOODBYE_S):
                while not self._stream.is_eof:
                    await self._stream.read()
        except (AttemptError, TimeoutError):
            # The answer is complete; the connection is just not worth keeping.
            self._stream.response.close()
        self._stream.is_eof = True

    def _was_broken(self) -> bool:
        return not (self._stream.tally.is_ended or self._stream.is_eof)

    # --- passing on ----------------------------------------------------------------------------

    def _pass_on(self, items: tuple[Item, ...]) -> bytes:
        if self._renderer is None:
            if self._stream.tally.error is None:
                return b"".join(item.raw for item in items)
            # The provider's error event is replaced by ours, which says what it said.
            return b"".join(item.raw for item in items if not _is_error(item))
        renderer = self._renderer
        return b"".join(
            renderer.render(delta)
            for item in items
            for delta in item.deltas
            if not isinstance(delta, (Ended, ErrorSeen))
        )

    def _complete(self) -> bytes:
        """The provider said that the answer is whole: settle, and say so in the caller's format."""
        tally = self._stream.tally
        usage = tally.usage(self._call.facts.prompt_tokens)
        lasted_s = self._last_content_at - self._first_at
        # A caller that reads slowly shows its own pace, not the model's: no sample then.
        if lasted_s > 0 and self._listened_s >= LISTENED_SHARE * lasted_s:
            gap_s = lasted_s / max(1, usage.output_tokens - 1)
            self._settlement.chunk_gap(gap_s, loop_now())
        self._settle(Fault(cls=OutcomeClass.OK, message="ok"))
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
        usage = self._stream.tally.usage(self._call.facts.prompt_tokens)
        outcome = self._settlement.settle(fault, usage)
        self.disclosure = self._on_end(outcome)
        return outcome


def _is_error(item: Item) -> bool:
    return any(isinstance(delta, ErrorSeen) for delta in item.deltas)
