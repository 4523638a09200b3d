"""What the router sees: one frozen view an endpoint of the route, made for one call at one instant.

Live traffic is kept from being the guinea pig: an endpoint whose breaker is due for a trial is
offered to a call only where no probe will make that trial, or when nothing else is left
(``may_try``). Nor may calls that were to go elsewhere push out an endpoint's own: it is full for
them when its headroom is (``core/headroom.py``), again unless nothing else is left.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sidecar.core.breaker import BreakerState
from sidecar.core.cost import predicted_cost_usd
from sidecar.core.routing import EndpointView
from sidecar.domain import Gate
from sidecar.engine.health import SOFT_GATES

if TYPE_CHECKING:
    from sidecar.core.output import OutputModel
    from sidecar.domain import Call, Endpoint
    from sidecar.engine.endpoint_health import EndpointHealth
    from sidecar.engine.health import Health

SAMPLES_MIN = 3
"""Fewer measurements than this are no ground to call a deadline infeasible."""


def view(  # noqa: PLR0913 - what the call may do, each by its name
    endpoint: Endpoint,
    call: Call,
    health: Health,
    output: OutputModel,
    now: float,
    *,
    may_try: bool,
    may_overflow: bool = False,
) -> EndpointView:
    """Return what is known of ``endpoint`` for ``call``; ``may_try``: nothing else is left,
    so the call may be a breaker's trial and take what room there is. ``may_overflow``: it may also
    be asked though it refused as long a prompt lately.
    """
    own = health.endpoints[endpoint.id]
    facts = call.facts
    pacer = health.pacers.get(endpoint.provider)
    pacing_s = pacer.wait_s(now) if pacer is not None else 0.0
    output_tokens = output.predict(facts.max_tokens, now)
    ttft_s = own.latency.ttft_s(facts.prompt_tokens, now) + pacing_s
    itl_s = own.latency.itl_s(now)
    gate = _gate(endpoint, call, health, now, may_try=may_try)
    if gate is None and not may_overflow and own.context.is_short(facts.prompt_tokens, now):
        gate = Gate.CONTEXT_TOO_SMALL
    if gate is None and pacing_s > (call.deadline_at - now) / 2:
        gate = Gate.ACCOUNT_RATE
    return EndpointView(
        endpoint=endpoint,
        gate=gate,
        opens_at=health.opens_at(endpoint, now),
        ttft_s=ttft_s,
        itl_s=itl_s,
        total_s=ttft_s + output_tokens * itl_s,
        typical_ttft_s=_known_ttft_s(own, facts.prompt_tokens),
        reliability=own.reliability.value(now),
        availability=own.availability.value(now),
        penalty_s=own.penalty.value_s(now),
        slow_start=own.breaker.slow_start(now),
        utilisation=_utilisation(own, health, now),
        is_sluggish=own.latency.is_sluggish(now),
        is_suspect=own.breaker.is_suspect(now) or own.latency.is_suspect(now),
        cost_usd=predicted_cost_usd(endpoint.price, facts.prompt_tokens, math.ceil(output_tokens)),
        hang_s=own.latency.hang_s(facts.prompt_tokens, now),
    )


def _gate(
    endpoint: Endpoint, call: Call, health: Health, now: float, *, may_try: bool
) -> Gate | None:
    """Return the gate that is shut for ``call``, which may be more than those shut for all."""
    own = health.endpoints[endpoint.id]
    gate = health.gate(endpoint, now)
    if gate in SOFT_GATES and may_try:
        gate = None
    if gate is None and not may_try and own.is_probed and _is_trial(endpoint, health, now):
        gate = Gate.BREAKER_OPEN
    is_spilled = endpoint.id not in call.route.tiers[0]
    if gate is None and is_spilled and not may_try and not own.may_spill(now):
        gate = Gate.CONCURRENCY
    return gate


def _is_trial(endpoint: Endpoint, health: Health, now: float) -> bool:
    """Return whether a call to ``endpoint`` now would be a trial of its breaker or its host's."""
    breakers = (health.endpoints[endpoint.id].breaker, health.hosts[endpoint.host])
    return any(breaker.state(now) is not BreakerState.CLOSED for breaker in breakers)


def _known_ttft_s(own: EndpointHealth, prompt_tokens: int) -> float:
    """Return the usual first-content time, 0 while it is a guess that must refuse no call."""
    is_known = own.latency.samples >= SAMPLES_MIN
    return own.latency.typical_ttft_s(prompt_tokens) if is_known else 0.0


def _utilisation(own: EndpointHealth, health: Health, now: float) -> float:
    """Return how much of its limits the endpoint uses: its own, and its account's."""
    in_use = own.limit.inflight / own.limit_value
    headroom = health.account_limits[own.endpoint.provider].headroom(now)
    return min(1.0, max(in_use, 1.0 - headroom))
