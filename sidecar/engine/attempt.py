"""One try of a call at one endpoint, from ticket to verdict.

An attempt returns what happened and never lets a provider's fault out as an exception: ``Answered``
(a whole answer), ``Committed`` (a stream whose first content is at hand) or ``Failed``. Nothing of
a stream is shown to the caller before its first content, so that everything up to there can still
fail over in silence. The ticket is settled exactly once: here, or by the relay that takes over a
committed stream.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.outcome import Next, class_of, effects
from sidecar.domain import Fault, OutcomeClass
from sidecar.engine.billing import billed
from sidecar.engine.judging import FINE, flaw_of, is_broken_silence, read_answer
from sidecar.engine.output_check import defect_of
from sidecar.engine.ports import OutboundRequest
from sidecar.engine.stream import UpstreamStream, named
from sidecar.engine.tally import Tally
from sidecar.errors import AttemptError, ProtocolBrokenError, WireError
from sidecar.value import value
from sidecar.wire.formats import any_codec, provider_codec

if TYPE_CHECKING:
    from sidecar.core.timers import AttemptLimits
    from sidecar.domain import Outcome, Usage
    from sidecar.engine.ports import Upstream, UpstreamResponse
    from sidecar.engine.settlement import AttemptPlan, Settlement
    from sidecar.engine.stream import Item
    from sidecar.engine.timer import Timer
    from sidecar.wire.neutral import Completion, ErrorSeen

ANSWER_BYTES_MAX = 32 * 1024 * 1024
ERROR_BYTES_MAX = 64 * 1024
PRELUDE_BYTES_MAX = 1024 * 1024
ERROR_BODY_S = 5.0
"""How long the body of an error may take: its status already says that it is one."""
HTTP_OK = 200
MAYBE_CALLERS = (OutcomeClass.CONTEXT, OutcomeClass.UNFIT)
"""Refusals that are passed on if nobody else takes the call."""


@value
class Answered:
    """A whole, complete answer in the provider's format."""

    outcome: Outcome
    body: bytes
    completion: Completion


@value
class Committed:
    """A stream with its first content; ``items`` are the reads so far, prelude included."""

    stream: UpstreamStream
    items: tuple[Item, ...]
    first_content_at: float
    limits: AttemptLimits


@value
class Failed:
    """No answer. ``error_body`` is the provider's own, for a fault of the caller's making."""

    outcome: Outcome
    error_body: bytes | None = None
    content_type: str = "application/json"


AttemptResult = Answered | Committed | Failed


class Attempt:
    """Runs one plan. The caller of ``run`` may be cancelled at any await."""

    __slots__ = (
        *("_limits", "_plan", "_response", "_settlement", "_timer", "_upstream"),
        *("has_lost", "is_begun", "is_outrun", "tally"),
    )

    def __init__(
        self, plan: AttemptPlan, settlement: Settlement, upstream: Upstream, timer: Timer
    ) -> None:
        self._plan = plan
        self._settlement = settlement
        self._upstream = upstream
        self._timer = timer
        self._response: UpstreamResponse | None = None
        self._limits: AttemptLimits | None = None
        self.tally = Tally()
        self.has_lost = False  # another attempt of the call has answered
        self.is_outrun = False  # and it started later
        self.is_begun = False

    async def run(self) -> AttemptResult:
        """Try.

        Raises:
            CallError: the sidecar itself ended the attempt (drain).
        """
        self.is_begun = True
        result: AttemptResult | None = None
        try:
            result = await self._run()
        except (AttemptError, TimeoutError) as error:
            result = self._failed(error)
        except BaseException as error:
            if not self._settlement.is_done:
                self._left(error)
            raise
        finally:
            if self._response is not None and not isinstance(result, Committed):
                self._response.close()
        return result

    def abandon(self) -> None:
        """Give the ticket of an attempt back that was never run."""
        self._settle(OutcomeClass.CANCEL, "not needed any more")

    def _failed(self, error: AttemptError | TimeoutError) -> Failed:
        if isinstance(error, AttemptError):
            return Failed(outcome=self._settle(class_of(error), str(error)))
        if self._timer.interruption is not None:
            self._settle(OutcomeClass.LOCAL, "ended by the sidecar")
            raise self._timer.interruption from None
        return Failed(outcome=self._timed_out())

    async def _run(self) -> AttemptResult:
        plan = self._plan
        if plan.pacer is not None:
            with self._timer.until(plan.call.deadline_at):
                await plan.pacer.acquire(plan.tokens_reserved)
        sent_at = loop_now()
        if sent_at >= plan.call.deadline_at:
            # A suspended machine wakes past both: nobody would wait for this answer.
            raise TimeoutError
        self._settlement.sent(sent_at)
        limits = self._limits = plan.limits(sent_at)
        with self._timer.until(min(limits.first_content_at, limits.end_at)):
            response = await self._upstream.open(
                OutboundRequest(
                    endpoint=plan.ticket.endpoint.id,
                    path=plan.request.path,
                    body=plan.request.body,
                    headers=plan.request.headers,
                    needs_fresh_connection=plan.prospect.start.needs_fresh_connection,
                ),
                connect_s=limits.connect_s,
            )
            self._response = response
            self._settlement.limits_seen(self._upstream.rate_limits(response.headers))
            if response.status != HTTP_OK:
                return await self._refused(response)
            if plan.call.facts.is_stream:
                committed = await self._commit(response)
            else:
                return self._judge(await _read_all(response, ANSWER_BYTES_MAX))
        if plan.is_whole and isinstance(committed, Committed):
            return await self._complete(committed)
        return committed

    async def _refused(self, response: UpstreamResponse) -> Failed:
        try:
            async with asyncio.timeout(ERROR_BODY_S):
                body = await _read_all(response, ERROR_BYTES_MAX)
        except (AttemptError, TimeoutError):
            if self._timer.interruption is not None:
                raise
            body = b""
        fault = self._upstream.classify(
            self._plan.ticket.endpoint.id, response.status, response.headers, body
        )
        outcome = self._settlement.settle(fault)
        is_callers = (
            fault.cls in MAYBE_CALLERS
            or effects(fault.cls, status=fault.status).next is Next.CALLER
        )
        return Failed(
            outcome=outcome,
            error_body=(fault.body or body) if is_callers else None,
            content_type=response.headers.get("content-type", "application/json"),
        )

    # --- streams -------------------------------------------------------------------------------

    async def _commit(self, response: UpstreamResponse) -> Committed | Failed:
        codec = provider_codec(self._plan.request.format)
        stream = UpstreamStream(response, codec, name=self._plan.answer_name())
        self.tally = stream.tally
        self.tally.keeps_text = self._plan.is_kept
        prelude: list[Item] = []
        prelude_bytes = 0
        while True:
            item = await stream.read()
            prelude.append(item)
            error = stream.tally.error
            has_content = item.has_content
            if error is not None and not has_content:
                return self._error_inside(error, response)
            if has_content or (stream.is_eof or stream.tally.is_ended):
                break
            prelude_bytes += len(item.raw)
            if prelude_bytes > PRELUDE_BYTES_MAX:
                message = f"more than {PRELUDE_BYTES_MAX} bytes before the first content"
                raise ProtocolBrokenError(message)
        is_fine = self._plan.is_empty_answer_fine
        if not has_content and is_broken_silence(stream.tally.finish, is_empty_answer_fine=is_fine):
            return Failed(
                outcome=self._settle(OutcomeClass.DEGENERATE, "an answer without content")
            )
        at = loop_now()
        self._settlement.first_content(at)
        assert self._limits is not None, "limits are set before the request is sent"
        self._plan.request.let_go()
        return Committed(
            stream=stream, items=tuple(prelude), first_content_at=at, limits=self._limits
        )

    async def _complete(self, committed: Committed) -> Committed | Failed:
        """Read a stream to its end before anybody sees it: a break can then be tried again."""
        stream, limits = committed.stream, committed.limits
        items = list(committed.items)
        answer_bytes = sum(len(item.raw) for item in items)
        last_at = committed.first_content_at
        while not (stream.is_eof or stream.tally.is_ended):
            with self._timer.until(min(last_at + limits.stall_s, limits.end_at)):
                item = await stream.read()
            if item.has_content:
                last_at = loop_now()
            items.append(item)
            if stream.tally.error is not None:
                return self._error_inside(stream.tally.error, stream.response)
            answer_bytes += len(item.raw)
            if answer_bytes > ANSWER_BYTES_MAX:
                raise ProtocolBrokenError(f"the answer exceeds {ANSWER_BYTES_MAX} bytes")
        defect = defect_of(stream.tally, self._plan)
        if defect is not None:
            return Failed(outcome=self._settle(OutcomeClass.DEGENERATE, defect))
        tokens = self._settlement.usage_of(stream.tally).output_tokens
        if last_at > committed.first_content_at:
            gap_s = (last_at - committed.first_content_at) / max(1, tokens - 1)
            self._settlement.chunk_gap(gap_s, loop_now())
        return replace(committed, items=tuple(items))

    def _error_inside(self, error: ErrorSeen, response: UpstreamResponse) -> Failed:
        """Judge an error event inside a 200."""
        endpoint = self._plan.ticket.endpoint.id
        fault = self._upstream.classify(endpoint, HTTP_OK, response.headers, error.data)
        return Failed(outcome=self._settlement.settle(fault, self._billed(fault.cls)))

    # --- whole answers -------------------------------------------------------------------------

    def _judge(self, body: bytes) -> Answered | Failed:
        try:
            read = read_answer(self._plan.request, body)
            completion = named(read, *self._plan.answer_name())
        except WireError as error:
            return Failed(outcome=self._misshapen(body, error))
        tally = self.tally
        tally.note_whole(completion)
        usage = self._settlement.usage_of(tally)
        self._settlement.first_content(loop_now(), made_tokens=usage.output_tokens)
        if completion.finish is None:
            message = "the answer does not say that it is complete"
            return Failed(outcome=self._settle(OutcomeClass.TRUNC, message, usage))
        is_empty_fine = self._plan.is_empty_answer_fine
        flaw = flaw_of(completion, tally, self._plan.call, is_empty_answer_fine=is_empty_fine)
        flaw = flaw or defect_of(tally, self._plan)
        if flaw is not None:
            return Failed(outcome=self._settle(OutcomeClass.DEGENERATE, flaw, usage))
        self._settlement.learn(tally)
        outcome = self._settlement.settle(FINE, usage)
        return Answered(outcome=outcome, body=body, completion=completion)

    def _misshapen(self, body: bytes, error: WireError) -> Outcome:
        """Judge a 200 that is not an answer: an error in disguise, or plain rubbish."""
        endpoint = self._plan.ticket.endpoint
        if any_codec(self._plan.request.format).error_text(body) is not None:
            fault = self._upstream.classify(endpoint.id, HTTP_OK, {}, body)
            return self._settlement.settle(fault)
        message = f"not a valid answer: {error.message} at {error.path}"
        return self._settle(OutcomeClass.TRUNC, message)

    # --- verdicts ------------------------------------------------------------------------------

    def _settle(self, cls: OutcomeClass, message: str, usage: Usage | None = None) -> Outcome:
        fault = Fault(cls=cls, message=message)
        return self._settlement.settle(fault, usage or self._billed(cls))

    def _billed(self, cls: OutcomeClass) -> Usage | None:
        return billed(self._settlement, self._response, self.tally, cls)

    def _timed_out(self) -> Outcome:
        ticket = self._plan.ticket
        waited_s = loop_now() - (ticket.sent_at or ticket.admitted_at)
        if self._settlement.was_lagging(waited_s):
            return self._settle(OutcomeClass.LOCAL, "the event loop lagged")
        limits = self._limits
        if limits is not None and ticket.first_content_at is not None:
            is_over = loop_now() >= limits.end_at
            cls = OutcomeClass.CALLER_SHORT if is_over else OutcomeClass.STALL_MID
            return self._settle(cls, f"not whole after {waited_s:.3g} s")
        is_short = limits is None or limits.is_short
        cls = OutcomeClass.CALLER_SHORT if is_short else OutcomeClass.HANG
        return self._settle(cls, f"no content within {waited_s:.3g} s")

    def _left(self, error: BaseException) -> None:
        """The caller left; after a silence longer than the hang budget the provider is to blame."""
        if not isinstance(error, asyncio.CancelledError):
            # A bug of ours: the ticket goes back, and no provider is blamed.
            self._settle(OutcomeClass.LOCAL, "ended by a fault of the sidecar")
            return
        ticket = self._plan.ticket
        waited_s = loop_now() - (ticket.sent_at or ticket.admitted_at)
        is_silent = ticket.sent_at is not None and ticket.first_content_at is None
        if is_silent and waited_s > ticket.hang_s:
            cls = OutcomeClass.HANG
        elif is_silent and self.is_outrun:
            cls = OutcomeClass.OUTRUN
        else:
            cls = OutcomeClass.CANCEL
        what = "another attempt was faster" if self.has_lost else "the caller left"
        self._settle(cls, f"{what} after {waited_s:.3g} s")


async def _read_all(response: UpstreamResponse, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.read():
        size += len(chunk)
        if size > bytes_max:
            message = f"the answer exceeds {bytes_max} bytes"
            raise ProtocolBrokenError(message)
        chunks.append(chunk)
    return b"".join(chunks)
