"""What was decided before an attempt, and the verdict that ends it.

A ticket is settled exactly once, by the attempt or by the relay that takes over a committed stream;
both do it here, so that health, observer and pacer hear the same verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.cost import cost_usd
from sidecar.core.timers import attempt_limits
from sidecar.domain import Outcome
from sidecar.engine.billing import in_full
from sidecar.events import AttemptFinished
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.metering import TokenMeter
    from sidecar.core.timers import AttemptLimits
    from sidecar.domain import Call, Fault, Usage
    from sidecar.engine.budgets import Budgets
    from sidecar.engine.health import Health
    from sidecar.engine.pacer import Pacer
    from sidecar.engine.ports import RateLimit
    from sidecar.engine.prepare import PreparedBody
    from sidecar.engine.prospect import Prospect
    from sidecar.engine.tally import Tally
    from sidecar.engine.ticket import Ticket
    from sidecar.events import Observer


BLAME_SHARE_MIN = 0.8
"""A limit that ran out is charged to the provider if it had at least this share of the time."""


@value
class AttemptPlan:
    """Everything decided before an attempt is made.

    ``prospect`` is what it was expected to take. ``is_whole``: a stream is committed only when it
    is complete. ``is_clamped``: the answer's length was bounded below what the caller asked for.
    ``is_kept``: a stream's text is remembered. ``flaw_of`` says how the text of a structured answer
    is wrong, if it is; None: none was asked. ``reserved_usd`` is what spend caps set aside.
    """

    call: Call
    ticket: Ticket
    request: PreparedBody
    prospect: Prospect
    pacer: Pacer | None
    is_whole: bool
    is_clamped: bool
    is_kept: bool
    flaw_of: Callable[[str], str | None] | None
    reserved_usd: float = 0.0

    def limits(self, now: float) -> AttemptLimits:
        """Return the limits of the attempt if the request leaves now, pacing being over."""
        prospect = self.prospect
        following = prospect.start.next_view
        return attempt_limits(
            now=now,
            deadline_at=self.call.deadline_at,
            timers=self.ticket.endpoint.timers,
            hang_s=prospect.hang_s,
            ttft_s=prospect.start.view.ttft_s,
            output_s=prospect.output_s,
            is_stream=self.call.facts.is_stream,
            next_total_s=None if following is None else following.total_s,
            stall_s=prospect.stall_s,
        )

    @property
    def kind(self) -> str:
        """Which attempt of its call it is: first, retry, failover, transparent, hedge or panic."""
        return self.prospect.start.kind

    @property
    def tokens_reserved(self) -> float:
        """What it was expected to use, prompt and answer."""
        return self.call.facts.prompt_tokens + self.prospect.start.view.output_tokens

    @property
    def itl_s(self) -> float:
        """The expected seconds between tokens."""
        return self.prospect.start.view.itl_s

    @property
    def is_empty_answer_fine(self) -> bool:
        """Whether a tool's result is in the conversation: then silence is an answer."""
        return self.call.facts.has_tool_results

    def answer_name(self) -> tuple[str, str]:
        """Return id and model for an answer whose format gives it none."""
        return self.call.id, self.ticket.endpoint.upstream_model


class Settlement:
    """Settles one ticket, once, and tells the observer; shared by attempt and relay."""

    def __init__(
        self, health: Health, budgets: Budgets, observer: Observer, plan: AttemptPlan
    ) -> None:
        self.plan = plan
        self.outcome: Outcome | None = None
        self._health = health
        self._budgets = budgets
        self._observer = observer

    @property
    def is_done(self) -> bool:
        """Return whether the verdict has been given."""
        return self.plan.ticket.is_settled

    def sent(self, now: float) -> None:
        """Note that the request leaves."""
        self._health.sent(self.plan.ticket, now)

    def limits_seen(self, limits: tuple[RateLimit, ...]) -> None:
        """Believe what an answer's headers say of the account's limits."""
        if limits:
            provider = self.plan.ticket.endpoint.provider
            self._health.account_limits[provider].seen(limits, loop_now())

    def was_lagging(self, waited_s: float) -> bool:
        """Return whether a wait overran mostly because our own event loop did not run."""
        lag = self._health.lag
        return lag.blame_s(waited_s, loop_now()) < waited_s * BLAME_SHARE_MIN

    def first_content(self, now: float, *, made_tokens: int = 0) -> None:
        """Note the first content; of a plain answer with all the tokens it is made of."""
        self._health.first_content(self.plan.ticket, now, made_tokens=made_tokens)

    def chunk_gap(self, gap_s: float, now: float) -> None:
        """Note the mean time between tokens."""
        self._health.chunk_gap(self.plan.ticket, gap_s, now)

    @property
    def meter(self) -> TokenMeter:
        """What the endpoint's tokens are worth in what can be seen of them."""
        return self._health.endpoints[self.plan.ticket.endpoint.id].meter

    def usage_of(self, tally: Tally) -> Usage:
        """Return the usage of an answer, as far as it came."""
        return tally.usage(self.plan.call.facts.prompt_tokens, self.meter)

    def learn(self, tally: Tally) -> None:
        """Learn from a whole answer what tokens are worth."""
        meter = self.meter
        if meter.is_curious(loop_now()):
            tally.teach(meter, self.plan.call.facts.prompt_tokens)

    def settle(self, fault: Fault, usage: Usage | None = None) -> Outcome:
        """Give the verdict. ``usage`` is what the provider will bill, as far as it can be known."""
        plan, ticket = self.plan, self.plan.ticket
        outcome = self.verdict(fault, usage)
        now = outcome.ended_at
        self._health.settle(ticket, outcome)
        self._budgets.ended(plan.kind, plan.prospect.start.view.cost_usd, outcome)
        caps = self._budgets.caps
        if caps is not None:
            provider, route = ticket.endpoint.provider, plan.call.route.name
            caps.settle(provider, route, plan.reserved_usd, outcome.cost_usd)
        if plan.pacer is not None and ticket.sent_at is not None:
            used = 0 if usage is None else usage.input_tokens + usage.output_tokens
            plan.pacer.used(plan.tokens_reserved, used)
        self._observer.on_event(
            AttemptFinished(
                at=now,
                call_id=plan.call.id,
                route=plan.call.route.name,
                kind=plan.kind,
                outcome=outcome,
                sent_at=ticket.sent_at,
                path=plan.request.path,
                trace=plan.call.trace,
                expected=plan.prospect.start.view,
            )
        )
        return outcome

    def verdict(self, fault: Fault, usage: Usage | None) -> Outcome:
        """Make the outcome, priced, and remember it; nobody is told yet."""
        ticket = self.plan.ticket
        if usage is not None:
            usage = in_full(self.plan, usage, fault.cls)
        self.outcome = Outcome(
            cls=fault.cls,
            endpoint=ticket.endpoint.id,
            message=fault.message,
            started_at=ticket.admitted_at,
            ended_at=loop_now(),
            first_content_at=ticket.first_content_at,
            status=fault.status,
            retry_after_s=fault.retry_after_s,
            usage=usage,
            cost_usd=(cost_usd(ticket.endpoint.price, usage) or 0.0) if usage else 0.0,
        )
        return self.outcome
