"""What the router sees: one frozen view an endpoint of the route, made for one call at one instant.

Live traffic is kept from being the guinea pig: an endpoint whose breaker is due for a trial is
offered to a call only where no probe will make that trial, or when nothing else is left
(``may_try``). Nor may calls that were to go elsewhere push out an endpoint's own: it is full for
them when its headroom is (``core/headroom.py``), again unless nothing else is left.

Views are made when they are looked at, and once a question: most calls look at two endpoints,
however many their route has.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sidecar.core.cost import predicted_cost_usd
from sidecar.core.forecast import Question
from sidecar.core.routing import EndpointView
from sidecar.core.timers import CLAMP_SHARE, CLAMP_TOKENS_MIN
from sidecar.domain import Gate, Rung
from sidecar.engine.fitness import unfitness
from sidecar.engine.health import SOFT_GATES

if TYPE_CHECKING:
    from sidecar.domain import Call, EndpointId
    from sidecar.engine.endpoint_health import EndpointHealth
    from sidecar.engine.parts import Parts
    from sidecar.engine.standing import Standing

SAMPLES_MIN = 3
"""Fewer measurements than this are no ground to call a deadline infeasible."""
LENGTHS_MIN = 8.0
"""Nor are fewer answers, for what their lengths have to do with it."""
SUSPECT_CHANCE = 0.05
"""Less likely to be in time than this, it is asked whether that is only how things are now."""
SURE = (1.0, 1.0, 1.0)


class Sight:
    """What one call sees at ``now``, endpoint by endpoint; ``least`` is the quality it insists on.

    ``may_try``: nothing else is left, so the call may be a breaker's trial and take what room there
    is. ``may_overflow``: it may also ask who refused as long a prompt lately.
    """

    __slots__ = (
        "_call",
        "_least",
        "_length",
        "_output_tokens",
        "_parts",
        "_seen",
        "_tokens_most",
        "may_overflow",
        "may_try",
        "now",
    )

    def __init__(
        self,
        parts: Parts,
        call: Call,
        now: float,
        *,
        least: float,
        may_try: bool,
        may_overflow: bool = False,
    ) -> None:
        self.now = now
        self.may_try = may_try
        self.may_overflow = may_overflow
        self._parts = parts
        self._call = call
        self._least = least
        output, asked = parts.output_model(call.route.name), call.facts.max_tokens
        self._output_tokens = output.predict(asked, now)
        length = self._length = output.length(now)
        longest = length.median * length.stretch
        self._tokens_most = longest if asked is None or asked > longest else asked
        self._seen: dict[EndpointId, EndpointView] = {}

    def all(self) -> tuple[EndpointView, ...]:
        """Return the views of all endpoints of the route, in its order."""
        return tuple([self.look(name) for name in self._call.route.endpoints()])

    def look(self, name: EndpointId) -> EndpointView:
        """Return the view of one endpoint."""
        view = self._seen.get(name)
        if view is None:
            view = self._seen[name] = self._view(name)
        return view

    def _view(self, name: EndpointId) -> EndpointView:
        health, call, now = self._parts.health, self._call, self.now
        own = health.endpoints[name]
        endpoint, latency, prompt_tokens = own.endpoint, own.latency, call.facts.prompt_tokens
        stands = health.standing(own, now)
        pacing_s = 0.0 if own.pacer is None else own.pacer.wait_s(now)
        typical_s = latency.typical_ttft_s(prompt_tokens)
        ttft_s = typical_s * stands.slowness + pacing_s
        output_tokens = self._output_tokens
        cost_usd = predicted_cost_usd(endpoint.price, prompt_tokens, math.ceil(output_tokens))
        caps, gate = self._parts.budgets.caps, None
        if caps is not None:
            gate = caps.refusal(endpoint.provider, call.route.name, cost_usd)
        is_capped = gate is not None
        gate = gate or self._gate(own, stands, pacing_s)
        most_s = stands.outlook.stretch * (typical_s + self._tokens_most * stands.itl_s) + pacing_s
        # Most calls have so much time that nobody needs to know how likely they are to make it.
        is_sure = most_s <= call.deadline_at - now and call.constraints.first_token_s is None
        chances = SURE if is_sure else self._chances(own, stands, pacing_s)
        return EndpointView(
            endpoint=endpoint,
            gate=gate,
            opens_at=None if gate is None or is_capped else health.opens_at(endpoint, now),
            ttft_s=ttft_s,
            itl_s=stands.itl_s,
            total_s=ttft_s + output_tokens * stands.itl_s,
            # A guess must refuse no call.
            typical_ttft_s=typical_s if latency.samples >= SAMPLES_MIN else 0.0,
            reliability=stands.reliability,
            availability=stands.availability,
            penalty_s=stands.penalty_s,
            slow_start=stands.slow_start,
            utilisation=own.utilisation(now),
            is_sluggish=stands.is_sluggish,
            is_suspect=stands.is_suspect,
            cost_usd=cost_usd,
            output_tokens=output_tokens,
            unfit=unfitness(endpoint, call, self._least),
            chance=chances[0],
            first_chance=chances[1],
            usual_chance=chances[2],
        )

    # --- chances -------------------------------------------------------------------------------

    def needs_s(self, name: EndpointId, share: float) -> float:
        """Return within how many seconds ``share`` of such calls end at an endpoint."""
        own = self._parts.health.endpoints[name]
        stands = self._parts.health.standing(own, self.now)
        question = self._question(own, stands, self._call.facts.max_tokens)
        return question.needs_s(stands.outlook, share)

    def _chances(
        self, own: EndpointHealth, stands: Standing, pacing_s: float
    ) -> tuple[float, float, float]:
        """Return the probability of an answer by the deadline, of content by the wished time, and
        of an answer by the deadline were all as usual.
        """
        call, now, outlook = self._call, self.now, stands.outlook
        left_s = call.deadline_at - now - pacing_s
        question = self._question(own, stands, self._tokens_max(own, stands, left_s))
        chance = question.in_time(outlook, left_s)
        usual = 1.0
        if chance < SUSPECT_CHANCE and outlook.weight > SAMPLES_MIN:
            if self._length.weight < LENGTHS_MIN:
                question = self._question(own, stands, 1)
            usual = question.in_time(outlook, left_s, is_usual=True)
        wish_s, first = call.constraints.first_token_s, 1.0
        if wish_s is not None:
            first = question.first_in_time(outlook, call.arrived_at + wish_s - now - pacing_s)
        return chance, first, usual

    def _question(self, own: EndpointHealth, stands: Standing, tokens_max: int | None) -> Question:
        tokens, now = self._call.facts.prompt_tokens, self.now
        source = own if own.latency.samples else self._kin(own)
        return Question(
            first_s=source.latency.typical_ttft_s(tokens),
            gap_s=stands.itl_s if source is own else source.latency.itl_s(now),
            length=self._length,
            tokens_max=tokens_max,
            is_stream=self._call.facts.is_stream,
        )

    def _kin(self, own: EndpointHealth) -> EndpointHealth:
        """Return who tells most of an endpoint that nothing is known of: the same model elsewhere,
        else an equal of its tier, else itself.
        """
        endpoint, everyone = own.endpoint, self._parts.health.endpoints
        known = [one for one in everyone.values() if one.latency.samples >= SAMPLES_MIN]
        tiers = self._call.route.tiers
        tier = next((names for names in tiers if endpoint.id in names), ())
        same = (one for one in known if one.endpoint.upstream_model == endpoint.upstream_model)
        equal = (one for one in known if one.endpoint.id in tier)
        return next(same, None) or next(equal, own)

    def _tokens_max(self, own: EndpointHealth, stands: Standing, left_s: float) -> int | None:
        """Return the bound on the answer: the call's, or where it will be clamped to its time."""
        asked = self._call.facts.max_tokens
        if Rung.CLAMP not in self._call.route.rungs or stands.itl_s <= 0.0:
            return asked
        ttft_s = own.latency.typical_ttft_s(self._call.facts.prompt_tokens) * stands.slowness
        room = max(CLAMP_TOKENS_MIN, int(CLAMP_SHARE * (left_s - ttft_s) / stands.itl_s))
        return room if asked is None else min(asked, room)

    # --- gates ---------------------------------------------------------------------------------

    def _gate(self, own: EndpointHealth, stands: Standing, pacing_s: float) -> Gate | None:
        """Return the gate that is shut for the call, which may be more than those for all."""
        gate, now = stands.gate, self.now
        if gate is None or gate in SOFT_GATES:
            gate = own.fullness(now) or gate
        if gate in SOFT_GATES and self.may_try:
            gate = None
        if gate is None and not self.may_try:
            gate = self._reserved(own, stands)
        if gate is not None:
            return gate
        call = self._call
        if not self.may_overflow and own.context.is_short(call.facts.prompt_tokens, now):
            return Gate.CONTEXT_TOO_SMALL
        return Gate.ACCOUNT_RATE if pacing_s > (call.deadline_at - now) / 2 else None

    def _reserved(self, own: EndpointHealth, stands: Standing) -> Gate | None:
        """Return why an endpoint is kept for others: a probe's trial, its own callers."""
        if stands.is_trial and own.is_probed:
            return Gate.BREAKER_OPEN
        is_spilled = not self._call.route.is_best(own.endpoint.id)
        return Gate.CONCURRENCY if is_spilled and not own.may_spill(self.now) else None
