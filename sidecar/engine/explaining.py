"""What would become of a call now, and why: the decision as it would be made, without making it.

Asks the same chooser and the same rules as a call that arrives, over a copy of what they remember,
so that asking changes nothing.
"""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING

from sidecar.core.attempts import FailReason, Start, WaitUntil, next_step
from sidecar.engine.choosing import Chooser
from sidecar.engine.reasons import SAID
from sidecar.engine.refusal import refusal
from sidecar.engine.state import score_of

if TYPE_CHECKING:
    from sidecar.core.attempts import Step
    from sidecar.core.routing import EndpointView
    from sidecar.domain import Call, Gate, Route
    from sidecar.engine.engine import Engine
    from sidecar.engine.parts import Parts

SEED = 0
"""Where lots would be drawn, an explanation draws the same ones each time."""


def explain(engine: Engine, call: Call, now: float) -> dict[str, object]:
    """Return whom ``call`` would be sent to, who would follow and who is out; durations in seconds.

    ``decision`` is ``attempt``, ``wait`` or ``refuse``; ``text`` says it in a sentence.
    """
    parts = _aside(engine.parts)
    chooser = Chooser(parts, call, lambda: call.constraints.budget_usd)
    step = next_step(
        records=[],
        choose=lambda excluded, _: chooser.choose(excluded),
        route=call.route,
        deadline_at=call.deadline_at,
        now=now,
        rng=parts.rng,
        may_retry=chooser.may_retry,
        past=chooser.past,
        settings=parts.settings.attempts,
        has_waited=False,
    )
    choice = chooser.choice
    assert choice is not None, "a step without a question"
    rejected = dict(choice.rejected)
    decision, text = _said(step, call, chooser)
    views = {view.endpoint.id: view for view in chooser.views}
    return {
        "route": call.route.name,
        "asked": _asked(call),
        "decision": decision,
        "text": text,
        "candidates": [_shown(engine, call, view, now) for view in choice.ranked],
        "rejected": [
            _shown(engine, call, views[name], now) | _why(engine, views[name], gate, now)
            for name, gate in rejected.items()
        ],
    }


def _aside(parts: Parts) -> Parts:
    """Return parts that choose as these do, and remember nothing of it."""
    aside = copy.copy(parts)
    aside.router, aside.rng = parts.router.twin(), random.Random(SEED)
    aside.lots = None if parts.lots is None else parts.lots.twin()
    aside.budgets = copy.copy(parts.budgets)
    aside.budgets.caps = copy.deepcopy(parts.budgets.caps)
    return aside


def _said(step: Step, call: Call, chooser: Chooser) -> tuple[str, str]:
    if isinstance(step, Start):
        after = "" if step.next_view is None else f", then {step.next_view.endpoint.id}"
        return "attempt", f"{step.view.endpoint.id} would be asked{after}"
    if isinstance(step, WaitUntil):
        return "wait", "every endpoint that can answer is full: the call would wait for room"
    error = refusal(step, call, (), chooser)
    is_final = step.reason is FailReason.INFEASIBLE
    static = "" if is_final or call.route.static is None else "; the route's static answer is given"
    return "refuse", f"{error.code}: {error.message}{static}"


def _asked(call: Call) -> dict[str, object]:
    wishes, facts = call.constraints, call.facts
    quality = wishes.quality
    given = {
        "within_s": round(call.deadline_at - call.arrived_at, 3),
        "first_token_s": wishes.first_token_s,
        "budget_usd": wishes.budget_usd,
        "quality": quality,
        "quality_is_hard": None if quality is None else wishes.is_quality_hard,
        "priority": wishes.priority.value,
        "prompt_tokens": facts.prompt_tokens,
        "max_tokens": facts.max_tokens,
    }
    return {name: one for name, one in given.items() if one is not None}


def _shown(engine: Engine, call: Call, view: EndpointView, now: float) -> dict[str, object]:
    endpoint = view.endpoint
    return {
        "endpoint": endpoint.id,
        "tier": _tier_of(call.route, view),
        "score": round(score_of(engine, endpoint.id, now).value, 1),
        "quality": round(endpoint.quality.of(call.route.name), 4),
        "first_token_s": round(view.ttft_s, 3),
        "total_s": round(view.total_s, 3),
        "chance_in_time": round(view.chance, 3),
        "cost_usd": None if view.cost_usd is None else round(view.cost_usd, 8),
        "reliability": round(view.reliability, 4),
    }


def _tier_of(route: Route, view: EndpointView) -> int:
    return next(n for n, tier in enumerate(route.tiers, 1) if view.endpoint.id in tier)


def _why(engine: Engine, view: EndpointView, gate: Gate, now: float) -> dict[str, object]:
    """Return the reason: the gate's name, what that means, what caused it, when it may end."""
    cause = engine.health.endpoints[view.endpoint.id].last_cause
    opens_in_s = None if view.opens_at is None else round(max(0.0, view.opens_at - now), 1)
    return {
        "gate": gate.value,
        "why": SAID[gate],
        "cause": cause or None,
        "opens_in_s": opens_in_s,
    }
