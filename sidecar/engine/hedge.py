"""Whether and when a call gets a hedge, and its start: gathers what the rule in ``core/hedging.py``
looks at, and asks the budgets when the time has come.

Cheap where the answer is no: most calls have no second host, or their first content comes long
before the time of a hedge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.attempts import Start
from sidecar.core.breaker import BreakerState
from sidecar.core.hedging import HedgeFacts, HedgePlan, hedge_at
from sidecar.domain import Gate
from sidecar.engine.budgets import HEDGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.core.routing import Choice, EndpointView
    from sidecar.domain import Call, Route
    from sidecar.engine.launch import Entrant, Launcher
    from sidecar.engine.parts import Parts

QUANTILE = 0.95
KINDS = ("first", "failover")


def hedge_plan(
    parts: Parts, call: Call, start: Start, choice: Choice | None, views: Sequence[EndpointView]
) -> HedgePlan | None:
    """Return when to ask whom beside ``start``, None if nobody."""
    wishes = call.constraints
    # A hard budget covers both attempts, and what the first will cost is not known yet.
    is_wanted = call.route.may_hedge and wishes.may_hedge and wishes.budget_usd is None
    is_wanted = is_wanted and start.kind in KINDS
    # A typical time of 0 is unknown: a hedge on a guess would double every early call.
    if choice is None or not is_wanted or start.view.typical_ttft_s == 0.0:
        return None
    now = loop_now()
    if parts.ladder.is_shedding(now):
        return None
    own = parts.health.endpoints[start.endpoint_id]
    output_tokens = parts.output_model(call.route.name).predict(call.facts.max_tokens, now)
    wish_s = wishes.first_token_s
    facts = HedgeFacts(
        primary=start.view,
        ttft_ratio_q95=own.latency.ratio_quantile(QUANTILE),
        started_at=now,
        deadline_at=call.deadline_at,
        alternatives=_equals(call.route, start.view, choice.ranked, views),
        not_closed=sum(
            parts.health.endpoints[one.endpoint.id].breaker.state(now) is not BreakerState.CLOSED
            for one in views
        ),
        is_idempotent=not call.facts.untranslatable,
        priority=wishes.priority,
        prompt_tokens=call.facts.prompt_tokens,
        first_token_at=None if wish_s is None else call.arrived_at + wish_s,
        silent_s=0.0 if call.facts.is_stream else output_tokens * start.view.itl_s,
    )
    plan = hedge_at(facts, now, parts.settings.budgets.hedge)
    return plan if isinstance(plan, HedgePlan) else None


def _equals(
    route: Route,
    primary: EndpointView,
    ranked: Sequence[EndpointView],
    views: Sequence[EndpointView],
) -> tuple[EndpointView, ...]:
    """Return those of ``ranked`` whose answer would be no degradation: one call in twenty is hedged
    where all is well, and none of them asked for a lesser model.
    """
    best = [one for one in views if one.endpoint.id in route.tiers[0]]
    least = min(one.endpoint.quality.of(route.name) for one in (primary, *best))
    return tuple(one for one in ranked if one.endpoint.quality.of(route.name) >= least)


def launch_hedge(
    parts: Parts, launcher: Launcher, first: Entrant, plan: HedgePlan
) -> Entrant | None:
    """Return the planned attempt beside ``first``, if that is still silent and time, money and
    gates still allow it.
    """
    if first.plan.ticket.first_content_at is not None:
        # Its answer flows; it is merely kept back until it is whole.
        return None
    chosen, now = plan.view, loop_now()
    if now >= first.plan.call.deadline_at:
        # A suspended machine wakes past the time of the hedge and past the deadline.
        return None
    is_affordable = parts.budgets.hedge.may_hedge(chosen.cost_usd, now)
    if not is_affordable or not parts.budgets.waste.may_waste(chosen.cost_usd or 0.0, now):
        return None
    start = Start(
        endpoint_id=chosen.endpoint.id,
        kind=HEDGE,
        needs_fresh_connection=False,
        view=chosen,
        next_view=None,
    )
    entrant = launcher.launch(start, is_only_hope=False)
    return None if isinstance(entrant, Gate) else entrant
