"""One call, from arrival to answer: asks the attempts machine what next, does it, and says what
happened.

The decisions are in ``core/attempts.py`` and ``core/routing.py``; here is the waiting. Attempts are
made one after the other in the caller's own task, so a caller that hangs up cancels exactly what it
caused. When no attempt can help, the ladder's last rung before an error is a static answer, if the
route has one; else a truthful refusal that lists every attempt (``refusal.py``).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.attempts import AttemptRecord, Fail, FailReason, Start, WaitUntil, next_step
from sidecar.core.cost import predicted_cost_usd
from sidecar.core.routing import CallNeeds
from sidecar.core.timers import attempt_limits
from sidecar.domain import Gate, OutcomeClass
from sidecar.engine.answer import PlainAnswer
from sidecar.engine.attempt import Answered, Attempt, Committed
from sidecar.engine.prepare import Preparation
from sidecar.engine.refusal import passed_through, refusal
from sidecar.engine.relay import Relay
from sidecar.engine.report import Report
from sidecar.engine.settlement import AttemptPlan, Settlement
from sidecar.engine.timer import Timer
from sidecar.engine.views import view
from sidecar.errors import BadRequestError, CallError, UpstreamInterruptedError, WireError
from sidecar.wire.formats import codec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.core.routing import Choice, EndpointView
    from sidecar.domain import Call, Endpoint, EndpointId, Outcome
    from sidecar.engine.answer import Disclosure
    from sidecar.engine.attempt import Failed
    from sidecar.engine.parts import Parts
    from sidecar.engine.prepare import PreparedBody

SILENT_FACTOR = 3.0
"""A plain answer may take three times its predicted writing time before its silence counts as a
hang.
"""
INPUT_MARGIN = 1.1
"""Prompt tokens are estimated; a hard budget is kept with a tenth to spare."""


class CallRun:
    """Runs one call. ``records`` are its attempts so far, in order."""

    def __init__(self, parts: Parts, call: Call) -> None:
        self.call = call
        self.records: list[AttemptRecord] = []
        self.report = Report(parts, call)
        self._parts = parts
        self._preparation = Preparation(call)
        self._refused: dict[EndpointId, Gate] = {}
        self._views: tuple[EndpointView, ...] = ()
        self._failed: Failed | None = None
        self._has_waited = False

    async def run(self) -> PlainAnswer | Relay:
        """Return the answer.

        Raises:
            CallError: none could be had; says why.
        """
        try:
            while True:
                step = self._next_step()
                match step:
                    case Start():
                        answer = await self._attempt(step)
                        if answer is not None:
                            return answer
                    case WaitUntil():
                        await self._wait(step)
                    case Fail():
                        return self._give_up(step)
        except CallError as error:
            self.report.ended(error.code, None)
            raise
        except asyncio.CancelledError:
            self.report.ended("cancelled", None)
            raise

    # --- deciding ------------------------------------------------------------------------------

    def _next_step(self) -> Start | WaitUntil | Fail:
        parts = self._parts
        return next_step(
            records=self.records,
            choose=self._choose,
            route=self.call.route,
            deadline_at=self.call.deadline_at,
            now=loop_now(),
            rng=parts.rng,
            may_retry=parts.health.may_retry,
            settings=parts.settings.attempts,
            has_waited=self._has_waited,
        )

    def _choose(self, excluded: Mapping[EndpointId, Gate]) -> Choice:
        """Rank the endpoints; only where none is left may the call be a breaker's trial."""
        choice = self._rank({**self._refused, **excluded}, may_try=False)
        if not choice.ranked:
            choice = self._rank({**self._refused, **excluded}, may_try=True)
        if not self.records:
            self.report.rejected = choice.rejected
        return choice

    def _rank(self, excluded: Mapping[EndpointId, Gate], *, may_try: bool) -> Choice:
        parts, call = self._parts, self.call
        now = loop_now()
        output = parts.output_model(call.route.name)
        self._views = tuple(
            view(parts.catalogue.endpoints[name], call, parts.health, output, now, may_try=may_try)
            for name in call.route.endpoints()
        )
        needs = CallNeeds(
            route=call.route,
            remaining_s=call.deadline_at - now,
            budget_usd=self._budget_left(),
            format=call.format,
            untranslatable=call.facts.untranslatable,
            priority=call.constraints.priority,
            prompt_tokens=call.facts.prompt_tokens,
            excluded=excluded,
        )
        return parts.router.choose(self._views, needs, now, parts.rng)

    def _budget_left(self) -> float | None:
        budget = self.call.constraints.budget_usd
        return None if budget is None else budget - self.report.spent_usd()

    def _affordable_tokens(self, endpoint: Endpoint) -> int | None:
        """Return the clamp that keeps a hard budget hard, None where the answer is bounded well
        enough.
        """
        left, price = self._budget_left(), endpoint.price
        if left is None or price is None or price.output_usd <= 0:
            return None
        input_usd = predicted_cost_usd(price, self.call.facts.prompt_tokens * INPUT_MARGIN, 0) or 0
        tokens = max(1, int((left - input_usd) / price.output_usd * 1_000_000))
        asked = self.call.facts.max_tokens
        return None if asked is not None and asked <= tokens else tokens

    # --- acting --------------------------------------------------------------------------------

    async def _wait(self, step: WaitUntil) -> None:
        """Wait for a time, or for room under a concurrency limit if that comes first."""
        timer = Timer()
        self._parts.timers.add(timer)
        try:
            async with timer.until(min(step.at, self.call.deadline_at)):
                await self._parts.health.room.wait()
        except TimeoutError:
            if timer.interruption is not None:
                raise timer.interruption from None
        finally:
            self._parts.timers.discard(timer)
        self._refused.clear()
        self._has_waited = True

    async def _attempt(self, start: Start) -> PlainAnswer | Relay | None:
        """Make one attempt; None means that the call has to go on."""
        parts, endpoint = self._parts, start.view.endpoint
        try:
            clamp = self._affordable_tokens(endpoint)
            plan = self._plan(start, self._preparation.body_for(endpoint, max_tokens=clamp))
        except BadRequestError:
            if not self.records:
                raise
            # Another endpoint understood the body as it is; this one cannot be asked.
            plan = Gate.UNSUPPORTED
        if isinstance(plan, Gate):
            # The gate shut between the choice and now, or the overload throttle drew this call.
            self._refused[endpoint.id] = plan
            return None
        settlement = Settlement(parts.health, parts.observer, plan)
        timer = Timer()
        parts.timers.add(timer)
        answer: PlainAnswer | Relay | None = None
        try:
            result = await Attempt(plan, settlement, parts.upstream, timer).run()
            match result:
                case Answered():
                    answer = self._answer(result, plan)
                case Committed():
                    answer = self._relay(result, settlement, timer)
                case _:
                    self._failed = result
                    self._record(plan, result.outcome)
        finally:
            if not isinstance(answer, Relay):
                parts.timers.discard(timer)
        return answer

    def _plan(self, start: Start, body: PreparedBody) -> AttemptPlan | Gate:
        parts, call, endpoint = self._parts, self.call, start.view.endpoint
        facts = call.facts
        now = loop_now()
        output_tokens = parts.output_model(call.route.name).predict(facts.max_tokens, now)
        output_s = output_tokens * start.view.itl_s
        ticket = parts.health.admit(
            endpoint,
            now,
            prompt_tokens=facts.prompt_tokens,
            silent_s=0.0 if facts.is_stream else SILENT_FACTOR * output_s,
        )
        if isinstance(ticket, Gate):
            return ticket
        following = start.next_view
        limits_from = partial(
            attempt_limits,
            deadline_at=call.deadline_at,
            timers=endpoint.timers,
            hang_s=parts.health.hang_s(endpoint, facts.prompt_tokens, now),
            ttft_s=start.view.ttft_s,
            output_s=output_s,
            is_stream=facts.is_stream,
            next_total_s=None if following is None else following.total_s,
            stall_s=parts.health.endpoints[endpoint.id].latency.stall_s(now),
        )
        return AttemptPlan(
            call=call,
            ticket=ticket,
            kind=start.kind,
            request=body,
            limits_from=limits_from,
            pacer=parts.health.pacers.get(endpoint.provider),
            tokens_reserved=facts.prompt_tokens + output_tokens,
            is_empty_answer_fine=_follows_tool_result(call.body),
            needs_fresh_connection=start.needs_fresh_connection,
        )

    # --- answering -----------------------------------------------------------------------------

    def _record(self, plan: AttemptPlan, outcome: Outcome) -> None:
        is_transparent = outcome.cls is OutcomeClass.STALE_CONN
        self.records.append(
            AttemptRecord(
                endpoint=plan.ticket.endpoint, outcome=outcome, is_transparent=is_transparent
            )
        )
        self.report.outcomes.append(outcome)

    def _answer(self, result: Answered, plan: AttemptPlan) -> PlainAnswer:
        self._record(plan, result.outcome)
        endpoint = plan.ticket.endpoint
        body = result.body
        if plan.request.is_translated:
            body = self._rendered(result)
        self.report.dropped = plan.request.dropped
        disclosure = self.report.answered(endpoint, result.outcome)
        return PlainAnswer(status=200, body=body, disclosure=disclosure)

    def _rendered(self, result: Answered) -> bytes:
        try:
            return codec(self.call.format).render_response(result.completion)
        except WireError as error:
            # A tool call cut off by its token limit has no form where arguments must be an object.
            message = f"the answer cannot be said in the caller's format: {error.message}"
            raise UpstreamInterruptedError(message, attempts=tuple(self.report.outcomes)) from error

    def _relay(self, result: Committed, settlement: Settlement, timer: Timer) -> Relay:
        plan = settlement.plan
        endpoint = plan.ticket.endpoint
        self.report.dropped = plan.request.dropped

        def on_end(outcome: Outcome) -> Disclosure:
            self._parts.timers.discard(timer)
            self._record(plan, outcome)
            return self.report.answered(endpoint, outcome)

        return Relay(
            committed=result,
            settlement=settlement,
            upstream=self._parts.upstream,
            timer=timer,
            disclosure=self.report.committed(endpoint),
            on_end=on_end,
        )

    def _give_up(self, fail: Fail) -> PlainAnswer:
        """Return a provider's 4xx or the route's static answer.

        Raises:
            CallError: there is neither.
        """
        if fail.reason is FailReason.CALLER_FAULT and self._failed is not None:
            self.report.ended("passed", self.records[-1].endpoint.id)
            return passed_through(self.call, self._failed, self.records[-1].endpoint, self.report)
        error = refusal(fail, self.call, tuple(self.report.outcomes), self._views)
        if self.call.route.static is not None and error.status >= 500:  # noqa: PLR2004 - HTTP
            return self.report.static_answer(error)
        raise error


def _follows_tool_result(body: bytes) -> bool:
    """Return whether the conversation holds a tool's result: then a model may have nothing more to
    say.
    """
    return b'"tool_result"' in body or b'"tool_call_id"' in body
