"""Whether and when a call gets a hedge, and its start: gathers what the rule in ``core/hedging.py``
looks at, and asks the budgets when the time has come.

Cheap where the answer is no: most calls have no second host, or their first content comes long
before the time of a hedge; so nothing but that time is worked out when an attempt starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.attempts import Start
from sidecar.core.breaker import BreakerState
from sidecar.core.hedging import HedgeBar, HedgeFacts, HedgePlan, hedge_at
from sidecar.domain import Gate
from sidecar.engine.budgets import HEDGE
from sidecar.engine.prospect import prospect_of
from sidecar.events import FIRST_KINDS

if TYPE_CHECKING:
    from sidecar.engine.choosing import Chooser
    from sidecar.engine.launch import Entrant, Launcher
    from sidecar.engine.parts import Parts
    from sidecar.engine.settlement import AttemptPlan

KINDS = FIRST_KINDS | {"failover"}


class Hedging:
    """Hedges one attempt: ``first_at`` is when to ask ``consider``, None if never."""

    __slots__ = (
        *("_began_at", "_call", "_chooser", "_launcher", "_parts", "_prospect"),
        "first_at",
    )

    def __init__(
        self, parts: Parts, chooser: Chooser, launcher: Launcher, first: AttemptPlan
    ) -> None:
        self._parts = parts
        self._call = first.call
        self._chooser = chooser
        self._launcher = launcher
        self._prospect = prospect = first.prospect
        self._began_at = first.ticket.admitted_at
        is_wanted = self._is_wanted()
        self.first_at = self._began_at + prospect.hedge_after_s if is_wanted else None

    def _is_wanted(self) -> bool:
        call, start = self._call, self._prospect.start
        wishes = call.constraints
        return (
            start.kind in KINDS
            and call.route.may_hedge
            and wishes.may_hedge
            and len(call.route.endpoints()) > 1
            # A typical time of 0 is unknown: a hedge on a guess would double every early call.
            and start.view.typical_ttft_s > 0.0
            and not self._parts.ladder.is_shedding(self._began_at)
        )

    def consider(self, first: Entrant) -> Entrant | float | None:
        """Return an attempt beside ``first``, when to ask again, or None: there will be none."""
        if first.plan.ticket.first_content_at is not None:
            # Its answer flows; it is merely kept back until it is whole.
            return None
        now = loop_now()
        if now >= self._call.deadline_at or self._parts.ladder.is_shedding(now):
            # A suspended machine wakes past the time of the hedge and past the deadline.
            return None
        plan = self._plan(now)
        if isinstance(plan, HedgeBar):
            return None
        return plan.at if plan.at > now else self._launch(plan, now)

    def _plan(self, now: float) -> HedgePlan | HedgeBar:
        call, health, prospect = self._call, self._parts.health, self._prospect
        wishes, facts = call.constraints, call.facts
        wish_s = wishes.first_token_s
        own = (health.endpoints[name] for name in call.route.endpoints())
        return hedge_at(
            HedgeFacts(
                primary=prospect.start.view,
                ttft_ratio_q95=prospect.ratio_q95,
                started_at=self._began_at,
                deadline_at=call.deadline_at,
                alternatives=self._chooser.equals(prospect.start.view),
                not_closed=sum(one.breaker.state(now) is not BreakerState.CLOSED for one in own),
                is_idempotent=not facts.untranslatable,
                priority=wishes.priority,
                prompt_tokens=facts.prompt_tokens,
                first_token_at=None if wish_s is None else call.arrived_at + wish_s,
                silent_s=0.0 if facts.is_stream else prospect.output_s,
            ),
            now,
            self._parts.settings.budgets.hedge,
        )

    def _launch(self, plan: HedgePlan, now: float) -> Entrant | None:
        """Start the planned attempt if money and gates still allow it."""
        chosen, budgets = plan.view, self._parts.budgets
        is_affordable = budgets.hedge.may_hedge(chosen.cost_usd, now)
        # A call's own budget is for both attempts together, the first with all that it may cost.
        is_affordable = is_affordable and self._launcher.can_afford(chosen.endpoint)
        if not is_affordable or not budgets.waste.may_waste(chosen.cost_usd or 0.0, now):
            return None
        start = Start(
            endpoint_id=chosen.endpoint.id,
            kind=HEDGE,
            needs_fresh_connection=False,
            view=chosen,
            next_view=None,
        )
        prospect = prospect_of(self._parts, self._call, start, now)
        entrant = self._launcher.launch(prospect, is_only_hope=False)
        return None if isinstance(entrant, Gate) else entrant
