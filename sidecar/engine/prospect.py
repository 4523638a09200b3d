"""What an attempt can be expected to take, and what first attempts were chosen a moment ago.

Calls that are alike and come within a few milliseconds of each other get the same answer to "whom
first": nothing that the choice looks at has changed. So the answer is kept for as long as an
endpoint's standing is (``standing.py``), by what sets calls apart: route, format, length, wishes. A
batch call, which may be sent to explore, is chosen for by itself, and so is one for which lots were
drawn, since a share of the traffic is a share of the calls. What a call's very length decides, its
context and its budget, is looked at for each; what may shut in between, room, breakers, limits,
when the attempt asks for its ticket, as always.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import TYPE_CHECKING

from sidecar.core.cost import predicted_cost_usd
from sidecar.core.hedging import worth_considering_at
from sidecar.domain import Priority
from sidecar.engine.standing import FRESH_S

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sidecar.core.attempts import Start
    from sidecar.core.routing import Choice
    from sidecar.domain import Call, Route
    from sidecar.engine.health import Health
    from sidecar.engine.parts import Parts

KEPT_MAX = 512
"""More kinds of calls than this at once are forgotten all together; they come back at once."""
LENGTHS_PER_DOUBLING = 8
"""Prompts within a twelfth of each other's length are alike."""
CONTEXT_MARGIN = 1.1
HEDGE_QUANTILE = 0.95
ROUNDING_S = 1e-6
"""A deadline less an arrival is a limit but for the last digits."""


@dataclass(slots=True, kw_only=True)
class Prospect:
    """An attempt as ``start`` says, before it is made. Seconds: ``hang_s`` of silence that are
    tolerated, ``output_s`` of writing, ``stall_s`` of a pause, ``hedge_after_s`` before a hedge is
    worth a thought; ``ratio_q95`` as ``HedgeFacts`` has it.
    """

    start: Start
    hang_s: float
    output_s: float
    stall_s: float
    hedge_after_s: float
    ratio_q95: float


def prospect_of(parts: Parts, call: Call, start: Start, now: float) -> Prospect:
    """Work out what ``start`` would take."""
    view, prompt_tokens = start.view, call.facts.prompt_tokens
    latency = parts.health.endpoints[start.endpoint_id].latency
    output_s = view.output_tokens * view.itl_s
    ratio_q95 = latency.ratio_quantile(HEDGE_QUANTILE)
    return Prospect(
        start=start,
        hang_s=parts.health.hang_s(view.endpoint, prompt_tokens, now),
        output_s=output_s,
        stall_s=latency.stall_s(now),
        hedge_after_s=worth_considering_at(
            view,
            ratio_q95,
            0.0 if call.facts.is_stream else output_s,
            0.0,
            has_wish=call.constraints.first_token_s is not None,
            settings=parts.settings.budgets.hedge,
        ),
        ratio_q95=ratio_q95,
    )


@dataclass(slots=True, kw_only=True)
class _Kept:
    at: float
    version: int
    route: Route
    prospect: Prospect
    choice: Choice


class Prospects:
    """The first attempts chosen lately; ``KEPT_MAX`` at most."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._kept: dict[Hashable, _Kept] = {}

    def find(self, call: Call, now: float) -> tuple[Prospect, Choice] | None:
        """Return what was chosen for such a call a moment ago; None if nothing."""
        kept = self._kept.get(_kind_of(call)) if _is_usual(call) else None
        if kept is None or kept.version != self._health.version:
            return None
        if kept.route is not call.route or not 0.0 <= now - kept.at < FRESH_S:
            return None
        if not self._has_room(kept.prospect, call, now):
            return None
        return kept.prospect, kept.choice

    def keep(self, call: Call, prospect: Prospect, choice: Choice, now: float) -> None:
        """Remember a choice for calls like this one."""
        if not _is_usual(call):
            return
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[_kind_of(call)] = _Kept(
            at=now,
            version=self._health.version,
            route=call.route,
            prospect=prospect,
            choice=choice,
        )

    def _has_room(self, prospect: Prospect, call: Call, now: float) -> bool:
        """Return whether the endpoint takes this very prompt: alike is not the same here."""
        view, tokens = prospect.start.view, call.facts.prompt_tokens
        endpoint, budget_usd = view.endpoint, call.constraints.budget_usd
        most = endpoint.context_tokens
        if most is not None and tokens * CONTEXT_MARGIN > most:
            return False
        if budget_usd is not None:
            cost_usd = predicted_cost_usd(endpoint.price, tokens, ceil(view.output_tokens))
            if cost_usd is None or cost_usd > budget_usd:
                return False
        return not self._health.endpoints[endpoint.id].context.is_short(tokens, now)


def _is_usual(call: Call) -> bool:
    facts = call.facts
    is_interactive = call.constraints.priority is Priority.INTERACTIVE
    return is_interactive and not facts.references and not facts.inputs_count


def _kind_of(call: Call) -> Hashable:
    facts, wishes = call.facts, call.constraints
    return (
        call.route.name,
        call.format,
        facts.is_stream,
        int(log2(facts.prompt_tokens + 1) * LENGTHS_PER_DOUBLING),
        facts.max_tokens,
        facts.has_tools,
        facts.has_images,
        facts.untranslatable,
        facts.needs,
        _coarse(call.deadline_at - call.arrived_at),
        wishes.budget_usd,
        None if wishes.first_token_s is None else _coarse(wishes.first_token_s),
        wishes.quality,
        wishes.is_quality_hard,
    )


def _coarse(limit_s: float) -> float:
    """Return one number for limits that are alike: within 50 ms, from 1 s on within a quarter."""
    limit_s += ROUNDING_S
    if limit_s < 1.0:
        return limit_s // 0.05
    step_s = 0.25 if limit_s < 5.0 else 1.0 if limit_s < 20.0 else 5.0  # noqa: PLR2004 - steps
    return limit_s - limit_s % step_s
