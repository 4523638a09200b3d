"""One call, from arrival to answer: asks the attempts machine what next and does it.

Attempts are made one after the other, with at most one hedge beside each, all owned by the caller's
task: who hangs up cancels just what it caused. When none can help, the ladder's last rungs come
before an error: a rationed trial past shut breakers, a stale answer, a static one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.attempts import AttemptRecord, Fail, FailReason, Start, WaitUntil, next_step
from sidecar.domain import Gate, OnBreak, OutcomeClass, Priority
from sidecar.engine.answer import PlainAnswer
from sidecar.engine.attempt import Answered, Committed, Failed
from sidecar.engine.choosing import REPEATED, Chooser
from sidecar.engine.continuing import ContinuingRelay, Leg
from sidecar.engine.hedge import Hedging
from sidecar.engine.judging import is_as_asked, said_to_caller
from sidecar.engine.launch import Launcher
from sidecar.engine.prospect import Prospect, prospect_of
from sidecar.engine.race import race
from sidecar.engine.refusal import passed_through, refusal, shed_batch
from sidecar.engine.relay import Relay
from sidecar.engine.report import Report
from sidecar.engine.timer import wait
from sidecar.errors import CallError, UpstreamInterruptedError, WireError
from sidecar.wire.continuation import may_continue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.core.routing import Choice
    from sidecar.domain import Call, EndpointId, Outcome
    from sidecar.engine.answer import Disclosure
    from sidecar.engine.attempt import AttemptResult
    from sidecar.engine.launch import Entrant
    from sidecar.engine.parts import Parts
    from sidecar.engine.race import Finish
    from sidecar.wire.continuation import Delivered


class CallRun:
    """Runs one call. ``records`` are its attempts so far, in order."""

    def __init__(self, parts: Parts, call: Call) -> None:
        self.call = call
        self.records: list[AttemptRecord] = []
        self.report = Report(parts, call)
        self._parts = parts
        self._on_break = call.constraints.on_break or call.route.on_break
        is_whole, is_sampled = self._on_break is OnBreak.RESTART, self.report.is_sampled
        self._launcher = Launcher(parts, call, is_whole=is_whole, is_read=is_sampled)
        self._entrant: Entrant | None = None
        self._chooser = Chooser(parts, call, self._launcher.budget_left)
        self._failed: Failed | None = None
        self._has_waited = self._is_verifying = self._has_chosen = False

    async def run(self) -> PlainAnswer | Relay:
        """Return the answer.

        Raises:
            CallError: none could be had; says why.
        """
        try:
            shed_batch(self.call, self._parts.ladder)
            while True:
                step = self._known() or self._next_step()
                if isinstance(step, Prospect):
                    answer = await self._attempt(step)
                    if answer is not None:
                        return answer
                elif isinstance(step, WaitUntil):
                    await self._wait(step)
                else:
                    return self._last_rungs(step)
        except CallError as error:
            self.report.ended(error.code, None)
            raise
        except asyncio.CancelledError:
            self.report.ended("cancelled", None)
            raise

    # --- deciding ------------------------------------------------------------------------------

    def _known(self) -> Prospect | None:
        """Return what such a call was to begin with a moment ago, if this one is about to begin."""
        if self._has_chosen:
            return None
        self._has_chosen = True
        is_usual = not self._chooser.has_lot
        known = self._parts.prospects.find(self.call, loop_now()) if is_usual else None
        if known is None:
            return None
        prospect, choice = known
        self.report.chose(choice)
        return prospect

    def _next_step(self) -> Prospect | WaitUntil | Fail:
        step = self._step()
        if not isinstance(step, Start):
            return step
        now, choice = loop_now(), self._chooser.choice
        prospect = prospect_of(self._parts, self.call, step, now)
        is_plain = step.kind == "first" and not self._chooser.is_desperate and not self._has_waited
        if is_plain and choice is not None and not choice.is_drawn:
            self._parts.prospects.keep(self.call, prospect, choice, now)
        return prospect

    def _step(self) -> Start | WaitUntil | Fail:
        parts = self._parts
        records = self.records
        if self._is_verifying:
            # For this one step the refusal counts as the endpoint's failure, not the caller's.
            doubted = replace(records[-1].outcome, cls=OutcomeClass.GONE)
            records = [*records[:-1], replace(records[-1], outcome=doubted)]
            self._is_verifying = False
        step = next_step(
            records=records,
            choose=self._choose,
            route=self.call.route,
            deadline_at=self.call.deadline_at,
            now=loop_now(),
            rng=parts.rng,
            may_retry=self._chooser.may_retry,
            past=self._chooser.past,
            settings=parts.settings.attempts,
            has_waited=self._has_waited,
        )
        if isinstance(step, Fail) and step.reason is FailReason.NOTHING_ELIGIBLE:
            return self._chooser.panic() or step
        if not isinstance(step, Start):
            return step
        if self.records and step.kind in REPEATED and not self._may_repeat():
            return Fail(reason=FailReason.EXHAUSTED)
        return self._chooser.paid(step)

    def _may_repeat(self) -> bool:
        """Return whether all calls together leave room for one more attempt of this one."""
        is_interactive = self.call.constraints.priority is Priority.INTERACTIVE
        guard = self._parts.budgets.amplification
        return guard.may_extra(loop_now(), is_interactive=is_interactive)

    def _choose(self, excluded: Mapping[EndpointId, Gate], enough: int | None = None) -> Choice:
        choice = self._chooser.choose(excluded, enough=enough)
        if not self.records:
            self.report.chose(choice)
        return choice

    # --- acting --------------------------------------------------------------------------------

    async def _wait(self, step: WaitUntil) -> None:
        """Wait for a time, or for room under a concurrency limit if that comes first."""
        at = min(step.at, self.call.deadline_at)
        await wait(self._parts.timers, at, self._queue_for_room if step.reason == "room" else None)
        self._chooser.refused.clear()
        self._has_waited = True

    async def _queue_for_room(self) -> None:
        views, health = self._chooser.views, self._parts.health
        await health.room.wait(
            self.call,
            needs_s=min(one.total_s for one in views),
            limit=sum(health.endpoints[one.endpoint.id].limit_value for one in views),
        )

    async def _attempt(self, prospect: Prospect) -> PlainAnswer | Relay | None:
        """Make one attempt, perhaps with a hedge; None means that the call has to go on."""
        parts = self._parts
        entrant = self._launcher.launch(prospect, is_only_hope=not self.records)
        if isinstance(entrant, Gate):
            # The gate shut between the choice and now, or the overload throttle drew this call.
            self._chooser.refused[prospect.start.endpoint_id] = entrant
            self.report.refused(prospect.start.endpoint_id, entrant)
            return None
        hedging = Hedging(parts, self._chooser, self._launcher, entrant.plan)
        hedge: Entrant | None = None

        def consider() -> Entrant | float | None:
            nonlocal hedge
            found = hedging.consider(entrant)
            hedge = None if isinstance(found, float) else found
            return found

        answer: PlainAnswer | Relay | None = None
        try:
            finish = await race(entrant, hedging.first_at, consider)
            answer = self._take(finish)
        finally:
            for each in (entrant, hedge):
                if each is not None and getattr(answer, "timer", None) is not each.timer:
                    parts.timers.discard(each.timer)
        return answer

    # --- answering -----------------------------------------------------------------------------

    def _take(self, finish: Finish) -> PlainAnswer | Relay | None:
        """Record how the race ended, and answer if it was won."""
        for other, failed in finish.others:
            self._record(other, failed.outcome)
        match finish.result:
            case Answered():
                return self._answer(finish.result, finish.entrant)
            case Committed():
                return self._relay(finish.result, finish.entrant)
            case Failed():
                self._failed = finish.result
                self._record(finish.entrant, finish.result.outcome)
                self._is_verifying = self._parts.health.note_failed(
                    finish.result.outcome, self.call
                )
                return None

    def _record(self, entrant: Entrant, outcome: Outcome) -> None:
        is_transparent = outcome.cls is OutcomeClass.STALE_CONN
        endpoint = entrant.plan.ticket.endpoint
        self.records.append(
            AttemptRecord(endpoint=endpoint, outcome=outcome, is_transparent=is_transparent)
        )
        self.report.ends(entrant.plan, outcome)
        self._chooser.ended(outcome)
        self._chooser.has_overflowed |= outcome.cls is OutcomeClass.CONTEXT

    def _answer(self, result: Answered, entrant: Entrant) -> PlainAnswer:
        plan = entrant.plan
        self._record(entrant, result.outcome)
        self._note_accepted(plan.ticket.endpoint.id, result.outcome.ended_at)
        is_fit = not plan.request.is_translated and is_as_asked(self.call, result.completion)
        body = result.body if is_fit else self._rendered(result)
        self.report.takes(plan, entrant.attempt.tally)
        self._parts.cache.store(self.call, result.completion, result.outcome.ended_at)
        disclosure = self.report.answered(plan.ticket.endpoint, result.outcome)
        return PlainAnswer(status=200, body=body, disclosure=disclosure)

    def _note_accepted(self, endpoint: EndpointId, now: float) -> None:
        body_key = hash(self.call.body)
        self._parts.health.contract.answered(endpoint, self.call.route.name, body_key, now)

    def _rendered(self, result: Answered) -> bytes:
        try:
            return said_to_caller(self.call, result.completion)
        except WireError as error:
            # A tool call cut off by its token limit has no form where arguments must be an object.
            message = f"the answer cannot be said in the caller's format: {error.message}"
            raise UpstreamInterruptedError(message, attempts=tuple(self.report.outcomes)) from error

    def _relay(self, result: Committed, entrant: Entrant) -> Relay:
        self._entrant = entrant
        endpoint = entrant.plan.ticket.endpoint
        # What is shown only when it is whole has its end already.
        self.report.takes(entrant.plan, result.stream.tally)
        self._note_accepted(endpoint.id, result.first_content_at)
        disclosure = self.report.committed(endpoint)
        if self._on_break is OnBreak.CONTINUE and not self.call.facts.untranslatable:
            return ContinuingRelay(
                committed=result,
                entrant=entrant,
                upstream=self._parts.upstream,
                disclosure=disclosure,
                on_end=self._ended,
                resume=self._resume,
            )
        return Relay(
            committed=result,
            settlement=entrant.settlement,
            upstream=self._parts.upstream,
            timer=entrant.timer,
            disclosure=disclosure,
            on_end=self._ended,
        )

    def _ended(self, outcome: Outcome) -> Disclosure:
        """Record the end of a stream; the last entrant is the one that ended it."""
        entrant = self._entrant
        assert entrant is not None, "a stream ends after it began"
        self.report.closes(entrant.plan, entrant.attempt.tally)
        said = entrant.attempt.tally.completion()
        if said is not None and outcome.cls is OutcomeClass.OK and self.report.is_keepable():
            self._parts.cache.store(self.call, said, loop_now())
        self._parts.timers.discard(entrant.timer)
        if all(record.outcome is not outcome for record in self.records):
            self._record(entrant, outcome)
        return self.report.answered(entrant.plan.ticket.endpoint, outcome)

    async def _resume(self, delivered: Delivered, outcome: Outcome) -> Leg | None:
        """Return an attempt that goes on where the stream broke, None if that is impossible."""
        preparation, broken = self._launcher.preparation, self._entrant
        assert broken is not None, "a stream goes on after it began"
        self._record(broken, outcome)
        if may_continue(preparation.conversation(), delivered) is not None:
            return None
        step = self._next_step()
        if not isinstance(step, Prospect):
            return None
        cost_usd = step.start.view.cost_usd or 0.0
        if not self._parts.budgets.waste.may_waste(cost_usd, loop_now()):
            return None
        preparation.delivered = delivered.text()
        entrant = self._launcher.launch(step, is_only_hope=False)
        if isinstance(entrant, Gate):
            return None
        return await self._go_on(entrant, broken)

    async def _go_on(self, entrant: Entrant, broken: Entrant) -> Leg | None:
        """Make the attempt that takes over from ``broken``."""
        result: AttemptResult | None = None
        try:
            result = await entrant.attempt.run()
        except CallError:
            return None  # the sidecar stops: the stream ends as if nobody could go on
        finally:
            if not isinstance(result, Committed):
                self._parts.timers.discard(entrant.timer)
                if entrant.settlement.outcome is not None:
                    self._record(entrant, entrant.settlement.outcome)
        if not isinstance(result, Committed):
            return None
        self._parts.timers.discard(broken.timer)
        self._entrant = entrant
        self.report.is_continued = True
        endpoint = entrant.plan.ticket.endpoint
        return Leg(committed=result, entrant=entrant, is_prefilled=endpoint.supports_prefill)

    def _last_rungs(self, fail: Fail) -> PlainAnswer:
        """Return a provider's 4xx, a stale answer or the route's static one.

        Raises:
            CallError: there is none.
        """
        if fail.reason is FailReason.CALLER_FAULT and self._failed is not None:
            self.report.ended("passed", self.records[-1].endpoint.id)
            return passed_through(self.call, self._failed, self.records[-1].endpoint, self.report)
        error = refusal(fail, self.call, tuple(self.report.outcomes), self._chooser)
        if fail.reason is not FailReason.INFEASIBLE:
            stale = self._parts.cache.find(self.call, loop_now())
            if stale is not None:
                return self.report.stand_in(stale, error, "stale")
            if self.call.route.static is not None and not self.call.facts.inputs_count:
                return self.report.static_answer(error)
        raise error
