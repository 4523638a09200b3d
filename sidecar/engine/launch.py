"""From a decision to an attempt ready to run: the body, the ticket, the limits.

Everything that a first attempt, a failover and a hedge need alike. A hard budget covers all
attempts together: each reserves the most that it can cost when it starts, which bounds its answer,
and what it did cost counts when it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.cost import TOKENS_PER_PRICE, predicted_cost_usd
from sidecar.core.timers import CLAMP_SHARE, CLAMP_TOKENS_MIN
from sidecar.domain import Gate, Rung
from sidecar.engine.attempt import Attempt
from sidecar.engine.endpoint_health import SILENT_FACTOR
from sidecar.engine.prepare import Preparation
from sidecar.engine.settlement import AttemptPlan, Settlement
from sidecar.engine.timer import Timer
from sidecar.errors import BadRequestError

if TYPE_CHECKING:
    from sidecar.core.attempts import Start
    from sidecar.core.routing import EndpointView
    from sidecar.domain import Call, Endpoint
    from sidecar.engine.parts import Parts
    from sidecar.engine.prepare import PreparedBody
    from sidecar.engine.prospect import Prospect
    from sidecar.engine.ticket import Ticket

INPUT_MARGIN = 1.1
INPUT_SPARE_TOKENS = 16
"""Prompt tokens are estimated; a hard budget is kept with a tenth to spare, and with what providers
add to every message.
"""
HEDGE_PARTS = 2.0
"""A first attempt leaves the half of a budget to a hedge,"""
LONG_FACTOR = 2.0
"""where the other half pays for answers twice as long as all but one in a hundred are."""


@dataclass(slots=True, kw_only=True, eq=False)
class Entrant:
    """One attempt ready to run, or running."""

    plan: AttemptPlan
    settlement: Settlement
    timer: Timer
    attempt: Attempt
    reserved_usd: float = 0.0


class Launcher:
    """Makes the attempts of one call. Owns the list of those that count against its budget.

    ``is_read``: the text of a stream is wanted afterwards.
    """

    def __init__(self, parts: Parts, call: Call, *, is_whole: bool, is_read: bool = False) -> None:
        self._parts = parts
        self._call = call
        self._charged: list[Entrant] = []
        self._is_whole = is_whole
        self.preparation = Preparation(call)
        self._flaw_of = parts.output_checks.check_for(call, self.preparation.conversation)
        self._is_kept = call.facts.is_stream and (
            self._flaw_of is not None or is_read or parts.keeps_content or parts.cache.wants(call)
        )

    def launch(self, prospect: Prospect, *, is_only_hope: bool) -> Entrant | Gate:
        """Return the attempt that ``prospect`` says, its ticket taken; or the gate that refuses.

        Raises:
            BadRequestError: the caller's body cannot be said in the endpoint's format, and no other
                endpoint has understood it (``is_only_hope``).
        """
        parts, view = self._parts, prospect.start.view
        capped = self._capped(view)  # no await between this look and what is reserved below
        if capped is not None:
            return capped
        clamp = self._clamp(prospect.start)
        try:
            body = self.preparation.body_for(view.endpoint, max_tokens=clamp)
        except BadRequestError:
            if is_only_hope:
                raise
            return Gate.UNSUPPORTED  # another endpoint understood the body
        ticket = self._ticket(prospect)
        if isinstance(ticket, Gate):
            return ticket
        own = parts.health.endpoints[view.endpoint.id]
        plan = AttemptPlan(
            call=self._call,
            ticket=ticket,
            request=self._in_trace(body, ticket),
            prospect=prospect,
            pacer=own.pacer,
            is_whole=self._is_whole,
            is_clamped=clamp is not None,
            is_kept=self._is_kept,
            flaw_of=self._flaw_of,
            reserved_usd=self._reserved_usd(view),
        )
        now = ticket.admitted_at
        own.account_limits.reserve(ticket.prompt_tokens, view.output_tokens, now)
        parts.budgets.started(prospect.start.kind, view.cost_usd, now)
        settlement = Settlement(parts.health, parts.budgets, parts.observer, plan)
        timer = Timer()
        parts.timers.add(timer)
        attempt = Attempt(plan, settlement, parts.upstream, timer)
        entrant = Entrant(plan=plan, settlement=settlement, timer=timer, attempt=attempt)
        if self._call.constraints.budget_usd is not None:
            entrant.reserved_usd = self._most_usd(view.endpoint, clamp)
            self._charged.append(entrant)
        return entrant

    def _in_trace(self, body: PreparedBody, ticket: Ticket) -> PreparedBody:
        """Return ``body`` with its trace context, for endpoints that may hear of it."""
        endpoint, call = ticket.endpoint, self._call
        if not endpoint.hears_trace:
            return body
        tells = self._parts.propagation.headers
        told = tells(call.id, endpoint.id, ticket.admitted_at, call.trace)
        return replace(body, headers=(*body.headers, *told))

    def _capped(self, view: EndpointView) -> Gate | None:
        """Return the daily spend cap that has no room for an attempt at ``view``."""
        caps = self._parts.budgets.caps
        if caps is None:
            return None
        return caps.refusal(view.endpoint.provider, self._call.route.name, view.cost_usd)

    def _reserved_usd(self, view: EndpointView) -> float:
        """Set aside what the attempt is expected to cost, and return it; 0 without caps."""
        caps, usd = self._parts.budgets.caps, view.cost_usd or 0.0
        if caps is None:
            return 0.0
        caps.reserve(view.endpoint.provider, self._call.route.name, usd)
        return usd

    def _ticket(self, prospect: Prospect) -> Ticket | Gate:
        call, start = self._call, prospect.start
        return self._parts.health.admit(
            start.view.endpoint,
            loop_now(),
            prompt_tokens=call.facts.prompt_tokens,
            hang_s=prospect.hang_s,
            silent_s=0.0 if call.facts.is_stream else SILENT_FACTOR * prospect.output_s,
            is_panic=start.kind == "panic",
            is_spilled=not call.route.is_best(start.endpoint_id),
        )

    def budget_left(self) -> float | None:
        """Return what the call may still spend, US dollars, None without a budget."""
        left_usd = self._call.constraints.budget_usd
        if left_usd is None:
            return None
        for entrant in self._charged:
            outcome = entrant.settlement.outcome
            left_usd -= entrant.reserved_usd if outcome is None else outcome.cost_usd
        return left_usd

    def can_afford(self, endpoint: Endpoint) -> bool:
        """Return whether the budget has room for a usual answer beside all that is under way."""
        left_usd = self.budget_left()
        if left_usd is None:
            return True
        return self._tokens_for(endpoint, left_usd) >= self._long_tokens()

    # --- clamps --------------------------------------------------------------------------------

    def _clamp(self, start: Start) -> int | None:
        """Return the bound on the answer that keeps the call's promises, None if none is needed."""
        view = start.view
        clamps = (
            self._affordable_tokens(start),
            self._timely_tokens(view),
            self._writable_tokens(view.endpoint),
        )
        if clamps == (None, None, None):
            return None
        return min(clamp for clamp in clamps if clamp is not None)

    def _affordable_tokens(self, start: Start) -> int | None:
        """Return the clamp that keeps a hard budget hard."""
        endpoint = start.view.endpoint
        if self._call.constraints.budget_usd is None:
            return None
        left_usd = self.budget_left()
        if left_usd is None or endpoint.price is None or endpoint.price.output_usd <= 0:
            return None
        tokens = self._tokens_for(endpoint, left_usd)
        if start.next_view is not None and self._call.constraints.may_hedge:
            shared = self._tokens_for(endpoint, left_usd / HEDGE_PARTS)
            tokens = shared if shared >= LONG_FACTOR * self._long_tokens() else tokens
        longest = endpoint.abilities.output_tokens_max
        if longest is not None and longest <= tokens:
            return None
        return self._unless_asked_less(max(1, int(tokens)))

    def _tokens_for(self, endpoint: Endpoint, usd: float) -> float:
        """Return how long an answer ``usd`` pays for, prompt included; may be negative."""
        price = endpoint.price
        if price is None or price.output_usd <= 0:
            return inf if price is not None else 0.0
        input_usd = predicted_cost_usd(price, self._input_tokens(), 0) or 0.0
        return (usd - input_usd) / price.output_usd * TOKENS_PER_PRICE

    def _input_tokens(self) -> float:
        return self._call.facts.prompt_tokens * INPUT_MARGIN + INPUT_SPARE_TOKENS

    def _long_tokens(self) -> float:
        """Return a length that one answer in a hundred exceeds, or none may."""
        length = self._parts.output_model(self._call.route.name).length(loop_now())
        longest, asked = length.median * length.stretch, self._call.facts.max_tokens
        return longest if asked is None else min(longest, asked)

    def _most_usd(self, endpoint: Endpoint, clamp: int | None) -> float:
        """Return the most that an attempt can cost whose answer is bounded by ``clamp``."""
        asked, longest = self._call.facts.max_tokens, endpoint.abilities.output_tokens_max
        bounds = [bound for bound in (clamp, asked, longest) if bound is not None]
        tokens = min(bounds, default=0)
        return predicted_cost_usd(endpoint.price, self._input_tokens(), tokens) or 0.0

    def _timely_tokens(self, view: EndpointView) -> int | None:
        """Return the clamp that lets the answer end by the deadline, where the route permits it."""
        if Rung.CLAMP not in self._call.route.rungs:
            return None
        remaining_s = self._call.deadline_at - loop_now()
        if view.total_s <= remaining_s or view.itl_s <= 0:
            return None
        tokens = int(CLAMP_SHARE * (remaining_s - view.ttft_s) / view.itl_s)
        return self._unless_asked_less(tokens) if tokens >= CLAMP_TOKENS_MIN else None

    def _writable_tokens(self, endpoint: Endpoint) -> int | None:
        """Return the longest answer that the model writes, if the call asks for a longer one."""
        longest, asked = endpoint.abilities.output_tokens_max, self._call.facts.max_tokens
        return longest if longest is not None and asked is not None and asked > longest else None

    def _unless_asked_less(self, tokens: int) -> int | None:
        asked = self._call.facts.max_tokens
        return None if asked is not None and asked <= tokens else tokens
