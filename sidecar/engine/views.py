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
from sidecar.core.routing import EndpointView
from sidecar.domain import Gate
from sidecar.engine.fitness import unfitness
from sidecar.engine.health import SOFT_GATES

if TYPE_CHECKING:
    from sidecar.domain import Call, EndpointId
    from sidecar.engine.endpoint_health import EndpointHealth
    from sidecar.engine.parts import Parts
    from sidecar.engine.standing import Standing

SAMPLES_MIN = 3
"""Fewer measurements than this are no ground to call a deadline infeasible."""


class Sight:
    """What one call sees at ``now``, endpoint by endpoint; ``least`` is the quality it insists on.

    ``may_try``: nothing else is left, so the call may be a breaker's trial and take what room there
    is. ``may_overflow``: it may also ask who refused as long a prompt lately.
    """

    __slots__ = (
        "_call",
        "_least",
        "_output_tokens",
        "_parts",
        "_seen",
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
        self._output_tokens = parts.output_model(call.route.name).predict(
            call.facts.max_tokens, now
        )
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
            unfit=unfitness(endpoint, call, self._least, self._parts.qualities),
        )

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
