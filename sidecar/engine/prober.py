"""Probing: asks the scheduler what is due, makes the probe, and settles it like any attempt, at
half weight.

A free probe lists models: it shows that the host answers and the credential holds. A paid probe
asks for a few tokens and reads them all. Whether one is worth its price is decided
in ``core/probing.py`` and ``core/spend.py``; here it is only carried out. Every 50 ms of slack
costs nothing: the loop sleeps to the next due time, bounded so that new evidence is seen soon.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.breaker import BreakerState
from sidecar.core.cost import predicted_cost_usd
from sidecar.core.probing import ProbeKind, ProbeView, ProbeWhy, draw_jitter, probe_need
from sidecar.core.spend import SpendGate
from sidecar.domain import Gate, Outcome, OutcomeClass
from sidecar.engine.fleet_port import ALONE
from sidecar.engine.probe import free_probe, paid_probe
from sidecar.events import ProbeFinished

if TYPE_CHECKING:
    from sidecar.core.probing import ProbeNeed
    from sidecar.domain import Endpoint, EndpointId, Route
    from sidecar.engine.endpoint_health import EndpointHealth
    from sidecar.engine.fleet_port import Fleet
    from sidecar.engine.parts import Parts

LOOK_S = 0.25
"""How often the scheduler is asked."""
URGENT_RUN = 2.0
"""Two failures in a row are hardly ever chance: waiting for traffic to tell is not worth it."""
WANTED_S = 3600.0
"""A fallback is kept warm if its route was used within the hour."""
WANTED_PER_ROUTE = 2
NEAR_S = 120.0
"""A batch call so long before a paid look at an idle endpoint makes it needless: a quarter of the
eight minutes between the third look and the first paid one.
"""
PROBE_INPUT_TOKENS = 15
PROBE_OUTPUT_TOKENS = 16
PROBE_OUTPUT_TOKENS_REASONING = 64


@dataclass(slots=True)
class _Record:
    """What the prober remembers of one endpoint."""

    jitter: float
    last_probe_at: float | None = None
    idle_ok_count: int = 0
    suspect_probe_count: int = 0
    suspect_ok_count: int = 0
    is_in_flight: bool = False
    not_before: float | None = None  # another pod of the fleet is at it
    free_probe_ok: bool = False
    state_generation: int = -1


class Prober:
    """Owns the probe budget and, for each endpoint, what its probes have shown so far."""

    def __init__(self, parts: Parts) -> None:
        self.fleet: Fleet = ALONE
        self.spend = SpendGate(parts.settings.spend)
        self.spent_usd = 0.0
        self.probes_count = 0
        self._wanted_until: dict[EndpointId, float] = {}
        self._records: dict[EndpointId, _Record] = {}
        self._know(parts)

    def adopt(self, parts: Parts) -> None:
        """Probe the endpoints of ``parts`` from now on; probes under way end where they began."""
        before = self._parts.health.endpoints
        stays = {name for name, own in parts.health.endpoints.items() if before.get(name) is own}
        self._records = {name: one for name, one in self._records.items() if name in stays}
        self._wanted_until = {
            name: at for name, at in self._wanted_until.items() if name in parts.health.endpoints
        }
        self.spend.adapt(parts.settings.spend)
        self._know(parts)

    def _know(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings.probes
        for name in parts.catalogue.endpoints:
            if name not in self._records:
                self._records[name] = _Record(jitter=draw_jitter(self._settings, parts.rng))

    def wanted(self, route: Route, now: float) -> None:
        """Note that ``route`` is in use: its first endpoints are worth knowing."""
        for endpoint_id in route.endpoints()[:WANTED_PER_ROUTE]:
            self._wanted_until[endpoint_id] = now + WANTED_S

    async def run(self) -> None:
        """Probe until cancelled; a probe in flight is cancelled too, and its permit returned."""
        async with asyncio.TaskGroup() as group:
            while True:
                for endpoint_id, need in self._due(loop_now()):
                    record = self._records[endpoint_id]
                    record.is_in_flight = True
                    group.create_task(self._probe(self._parts, endpoint_id, record, need))
                await asyncio.sleep(LOOK_S)

    def _due(self, now: float) -> list[tuple[EndpointId, ProbeNeed]]:
        due = []
        is_shedding = self._parts.ladder.is_shedding(now)
        for endpoint_id in self._records:
            need = probe_need(self._view(endpoint_id, now), self._settings, now)
            endpoint = self._parts.catalogue.endpoints[endpoint_id]
            own = self._parts.health.endpoints[endpoint_id]
            price_usd = _price_usd(endpoint)
            is_affordable = need is None or (
                need.kind is ProbeKind.FREE or self._may_spend(endpoint, price_usd, need, now)
            )
            is_left = _is_left(self._records[endpoint_id], now)
            # Where no probe will make the breaker's trial, here or in the fleet, a call has to.
            own.is_probed = is_affordable and (not is_left or self.fleet.is_up)
            own.idle_probe_usd = price_usd if need is not None and _is_near(need, now) else None
            is_spared = need is not None and need.why is ProbeWhy.IDLE and is_shedding
            is_due = need is not None and need.due_at <= now and not is_left
            if need is not None and is_due and is_affordable and not is_spared:
                due.append((endpoint_id, need))
        return due

    def _may_spend(self, endpoint: Endpoint, price_usd: float, need: ProbeNeed, now: float) -> bool:
        """Return whether a paid probe fits into the probes' budget and its provider's cap."""
        if not self.spend.may_spend(price_usd, need.why, now):
            return False
        caps = self._parts.budgets.caps
        return caps is None or caps.refusal(endpoint.provider, None, price_usd) is None

    def _view(self, endpoint_id: EndpointId, now: float) -> ProbeView:
        parts, record = self._parts, self._records[endpoint_id]
        own = parts.health.endpoints[endpoint_id]
        host = parts.health.hosts[own.endpoint.host]
        if record.state_generation != own.breaker.generation:
            record.state_generation = own.breaker.generation
            record.free_probe_ok = False
        is_suspect = own.breaker.is_suspect(now) or own.silence.is_suspect
        if not is_suspect:
            record.suspect_probe_count = 0
            record.suspect_ok_count = 0
        state, cause = own.breaker.state(now), own.last_cause
        reopens_at, free_probe_ok = own.breaker.reopens_at(now), record.free_probe_ok
        if host.state(now) is not BreakerState.CLOSED:
            # Nothing passes a host in doubt: its recovery comes first, and whether it can be
            # reached is seen for free, whatever made it doubtful. What models do is theirs to show.
            state, cause = BreakerState.OPEN, OutcomeClass.CONNECT.value
            reopens_at, free_probe_ok = host.reopens_at(now), False
        account_gate = parts.health.accounts[own.endpoint.provider].gate(now)
        return ProbeView(
            endpoint=endpoint_id,
            state=state,
            cause=cause,
            reopens_at=reopens_at,
            is_suspect=is_suspect,
            is_urgent=own.silence.is_silent or own.breaker.run_weight(now) >= URGENT_RUN,
            rate_per_s=max(own.rate_per_s(now), self.fleet.rate_per_s(endpoint_id)),
            last_sample_at=own.last_sample_at if is_suspect else self._sampled_at(own),
            last_probe_at=record.last_probe_at,
            idle_ok_count=record.idle_ok_count,
            suspect_probe_count=record.suspect_probe_count,
            suspect_ok_count=record.suspect_ok_count,
            is_probe_in_flight=record.is_in_flight,
            is_account_blocked=account_gate is not None or parts.health.is_gone(endpoint_id, now),
            is_wanted=self._wanted_until.get(endpoint_id, now) > now,
            free_probe_ok=free_probe_ok,
            has_free_probe=parts.upstream.free_probe_path(endpoint_id) is not None,
            jitter=record.jitter,
        )

    def _sampled_at(self, own: EndpointHealth) -> float | None:
        """Return when anybody in the fleet last had an answer of an endpoint."""
        seen = (own.last_sample_at, self.fleet.sampled_at(own.endpoint.id))
        return max((at for at in seen if at is not None), default=None)

    async def _probe(
        self, parts: Parts, endpoint_id: EndpointId, record: _Record, need: ProbeNeed
    ) -> None:
        try:
            record.not_before = await self.fleet.lease(self._subject(endpoint_id, need), need)
        finally:
            record.is_in_flight = False
        if record.not_before is None:
            record.is_in_flight = True
            await self._make(parts, endpoint_id, record, need)

    def _subject(self, endpoint_id: EndpointId, need: ProbeNeed) -> str:
        """Return whose breaker a probe is about: while the host's is shut, the host's."""
        host = self._parts.catalogue.endpoints[endpoint_id].host
        is_shut = self._parts.health.hosts[host].state(loop_now()) is not BreakerState.CLOSED
        return host if is_shut and need.kind is ProbeKind.FREE else endpoint_id

    async def _make(
        self, parts: Parts, endpoint_id: EndpointId, record: _Record, need: ProbeNeed
    ) -> None:
        endpoint = parts.catalogue.endpoints[endpoint_id]
        is_free, reserved_usd = need.kind is ProbeKind.FREE, _price_usd(endpoint)
        caps = None if is_free else parts.budgets.caps
        outcome: Outcome | Gate | None = None
        if caps is not None:
            caps.reserve(endpoint.provider, None, reserved_usd)
        try:
            outcome = await (free_probe if is_free else paid_probe)(parts, endpoint)
        finally:
            if caps is not None:
                paid_usd = outcome.cost_usd if isinstance(outcome, Outcome) else 0.0
                caps.settle(endpoint.provider, None, reserved_usd, paid_usd)
            record.is_in_flight = False
            record.last_probe_at = loop_now()
            record.jitter = draw_jitter(self._settings, parts.rng)
        if isinstance(outcome, Gate):
            return
        self.spend.spent(outcome.cost_usd, loop_now())
        self.spent_usd += outcome.cost_usd
        self.probes_count += 1
        self._remember(record, need, is_ok=outcome.cls.value == "OK")
        parts.observer.on_event(
            ProbeFinished(
                at=outcome.ended_at,
                endpoint=endpoint_id,
                kind=need.kind.value,
                why=need.why.value,
                outcome=outcome,
                cost_usd=outcome.cost_usd,
            )
        )

    @staticmethod
    def _remember(record: _Record, need: ProbeNeed, *, is_ok: bool) -> None:
        if need.kind is ProbeKind.FREE and is_ok:
            record.free_probe_ok = True
        if need.why.value == "idle":
            record.idle_ok_count = record.idle_ok_count + 1 if is_ok else 0
        if need.why.value == "suspect":
            record.suspect_probe_count += 1
            record.suspect_ok_count += is_ok


def _is_left(record: _Record, now: float) -> bool:
    """Return whether another pod of the fleet is left to look first."""
    return record.not_before is not None and now < record.not_before


def _is_near(need: ProbeNeed, now: float) -> bool:
    """Return whether a paid look at an idle endpoint is due so soon that a call may do instead."""
    is_paid_look = need.kind is ProbeKind.PAID and need.why is ProbeWhy.IDLE
    return is_paid_look and need.due_at - now <= NEAR_S


def _price_usd(endpoint: Endpoint) -> float:
    """Return what a paid probe costs; a model without a price is taken to be one's own, hence
    free.
    """
    tokens = PROBE_OUTPUT_TOKENS_REASONING if endpoint.is_reasoning else PROBE_OUTPUT_TOKENS
    return predicted_cost_usd(endpoint.price, PROBE_INPUT_TOKENS, tokens) or 0.0
