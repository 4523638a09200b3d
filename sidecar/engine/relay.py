"""Relaying a committed stream to its caller: pass on, watch, and end truthfully.

After the commit there is no failover. A stream of the caller's own format is forwarded byte by byte
in whole events; another format is rendered from deltas. The second verdict falls at the end: a
stream that breaks, stalls, runs over its deadline or ends without its terminal marker is closed
with the format's error event and never with a success marker (mode ``error``).

What arrives is written to the caller where it arrives, in the provider connection's own callback:
the call's task sleeps until something else is to be done than to pass on. A turn of the loop for
every chunk would cost as much as all that is done with it.

Backpressure is one chunk: the provider is read only when the caller's connection took the chunk
before, and only the time spent waiting for the provider counts towards its stall limit.
"""

from __future__ import annotations

import asyncio
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
    from sidecar.engine.answer import Disclosure, Sink
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
        self._waited_s = 0.0  # for the provider, since its last content, up to `_waiting_since`
        self._waiting_since = 0.0
        self._listened_s = 0.0  # for the provider, altogether
        self._is_over = False
        self._sink: Sink = _NOBODY
        self._event: asyncio.Future[Item | None] | None = None  # what the task sleeps for
        self._renderer: StreamRenderer | None = None
        if plan.request.is_translated:
            wants_usage = self._call.facts.wants_usage_in_stream
            self._renderer = codec(self._call.format).stream_renderer(wants_usage=wants_usage)

    # --- StreamAnswer --------------------------------------------------------------------------

    async def send_to(self, sink: Sink) -> None:
        """Give ``sink`` the whole stream; see ``StreamAnswer``."""
        self._sink = sink
        while not self._is_over:
            item, self._pending = self._pending, None
            if item is None:
                try:
                    item = await self._listen()
                except (AttemptError, TimeoutError) as failure:
                    await self._send(await self._broken(self._fault_of(failure)))
                    continue
                if item is None:
                    await sink.room()
                    continue
            if self._is_last():
                await self._send(await self._end(item))
            else:
                await self._send(self._pass_on(item))
        await self._say_goodbye()

    async def _send(self, out: bytes) -> None:
        if out and not self._sink.push(out):
            await self._sink.room()

    def _is_last(self) -> bool:
        """Return whether more is to be done with the item just read than to pass it on."""
        tally = self._stream.tally
        return tally.is_ended or self._stream.is_eof or tally.error is not None

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

    async def _listen(self) -> Item | None:
        """Pass on what comes until the caller has no room (None), or until the item that is the
        last; only this waiting counts towards the stall limit.
        """
        began_at = self._waiting_since = loop_now()
        limits, response = self._limits, self._stream.response
        event: asyncio.Future[Item | None] = asyncio.get_running_loop().create_future()
        self._event = event
        response.watch(self._arrived)
        try:
            with self.timer.until(min(limits.end_at, began_at + limits.stall_s - self._waited_s)):
                self._arrived()  # what is here already
                return await event
        except TimeoutError:
            if event.done() and not event.cancelled():
                return event.result()  # it came before the limit
            if not self._is_own_lag(self._waiting_since):
                raise
            # What came while the loop stood still is there to be read.
            return joined(())
        finally:
            response.watch(None)
            self._event = None
            self._listened_s += self._waiting_since - began_at
            if event.done() and not event.cancelled():
                event.exception()  # seen, also where the caller left in the same moment

    def _arrived(self) -> None:
        """Pass on what has come, and wake the task if that is not all that is to be done."""
        event = self._event
        if event is None or event.done():
            return  # the limit came first, or the caller is gone
        try:
            stream = self._stream
            item = stream.take()
            if item is None:
                return
            self._note(item)
            tally = stream.tally
            if tally.is_ended or stream.is_eof or tally.error is not None:
                event.set_result(item)
                return
            out = item.raw if self._renderer is None else self._pass_on(item)
            if out and not self._sink.push(out):
                event.set_result(None)
        except Exception as error:  # noqa: BLE001 - raised where the task waits
            event.set_exception(error)

    def _note(self, item: Item) -> None:
        """Count the wait that ``item`` ended."""
        now, limits = loop_now(), self._limits
        if item.has_content:
            self._waited_s = 0.0
            self._last_content_at = now
            stall_at = now + limits.stall_s
            self.timer.extend(min(limits.end_at, stall_at))
        else:
            # Pings and comments are signs of life of the connection, not of the model.
            self._waited_s += now - self._waiting_since
        self._waiting_since = now

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
            with self.timer.until(min(loop_now() + GOODBYE_S, self._limits.end_at)):
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


class _Nobody:
    """A ``Sink`` before there is one."""

    def push(self, chunk: bytes) -> bool:
        raise AssertionError(f"{len(chunk)} bytes for nobody")

    async def room(self) -> None:
        raise AssertionError("room for nothing")


_NOBODY = _Nobody()


def _rendered(renderer: StreamRenderer, delta: Delta) -> bytes:
    return b"" if isinstance(delta, (Ended, ErrorSeen)) else renderer.render(delta)
