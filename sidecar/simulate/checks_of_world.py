"""The invariants of a whole world, asked when all its calls are over (``checks.py``)."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from sidecar.domain import Gate, OutcomeClass, Priority
from sidecar.events import FIRST_KINDS
from sidecar.upstream.simulated_exchange import Ended
from sidecar.upstream.simulated_faults import DISTURBING_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.domain import EndpointId, Outcome
    from sidecar.simulate.swarm_world import SwarmWorld

    OfWorld = Callable[[SwarmWorld], Iterator[str]]

TINY_USD = 1e-9
ESTIMATE_OFF_MAX = 0.1
"""Where nothing was reported yet, tokens are told from characters."""
SHUT = ("open", "isolated")
REPEATED = ("retry", "failover")


def nothing_left_behind(world: SwarmWorld) -> Iterator[str]:
    """No ticket, timer, waiter, open response, exchange or task outlives its call."""
    counts = {
        "responses": world.upstream.open_count,
        "timers": len(world.engine.timers),
        "calls waiting for room": len(world.engine.health.room),
    }
    for what, count in counts.items():
        if count:
            yield f"{count} {what}"
    for name, own in world.engine.health.endpoints.items():
        if own.in_flight or own.limit.inflight:
            yield f"{name}: {len(own.in_flight)} tickets, {own.limit.inflight} places"
    for provider in world.providers.values():
        if provider.in_flight:
            yield f"{provider.name}: {provider.in_flight} exchanges"
    yield from (f"{task!r}" for task in asyncio.all_tasks() - {asyncio.current_task()})


def shut_gates_hold(world: SwarmWorld) -> Iterator[str]:
    """Nothing starts while a breaker is open or an account blocked, but what panic is rationed."""
    started = [(one.outcome, one.kind, one.kind == "panic") for one in world.traces.attempts]
    started += [(one.outcome, f"{one.kind} probe", False) for one in world.traces.probes]
    for outcome, kind, is_panic in started:
        endpoint = world.catalogue.endpoints[outcome.endpoint]
        names = [endpoint.host] if kind == "free probe" else [endpoint.host, endpoint.id]
        shut = [] if is_panic else [name for name in names if _is_open(world, name, outcome)]
        is_guess = is_panic and _is_rate_unstated(world, endpoint.provider, outcome)
        if kind != "free probe" and not is_guess and _is_blocked(world, endpoint.provider, outcome):
            shut.append(f"account {endpoint.provider}")
        if shut:
            yield f"{kind} at {endpoint.id} began at {outcome.started_at:.3f}, shut: {shut}"


def _is_open(world: SwarmWorld, name: str, outcome: Outcome) -> bool:
    """Return whether a breaker was open when an attempt began; in the instant of a change: no."""
    changes = [one for one in world.traces.breakers.get(name, ()) if one.at <= outcome.started_at]
    return bool(changes) and changes[-1].new in SHUT and changes[-1].at < outcome.started_at


def _is_blocked(world: SwarmWorld, provider: str, outcome: Outcome) -> bool:
    at = outcome.started_at
    changes = [one for one in world.traces.accounts.get(provider, ()) if one.at <= at]
    return bool(changes) and changes[-1].at < at < (changes[-1].until or 0.0)


def _is_rate_unstated(world: SwarmWorld, provider: str, outcome: Outcome) -> bool:
    """Return whether a block is for a rate, and all times that were stated for it have passed."""
    at = outcome.started_at
    changes = [one for one in world.traces.accounts.get(provider, ()) if one.at <= at]
    if not changes or changes[-1].reason != Gate.ACCOUNT_RATE.value:
        return False
    outcomes = [one.outcome for one in world.traces.attempts]
    outcomes += [one.outcome for one in world.traces.probes]
    return not any(
        one.cls is OutcomeClass.RATE
        and world.catalogue.endpoints[one.endpoint].provider == provider
        and one.ended_at <= at < one.ended_at + (one.retry_after_s or 0.0)
        for one in outcomes
    )


def panic_is_rationed(world: SwarmWorld) -> Iterator[str]:
    """Trials past shut gates are earned by their endpoint's answers, or keep their distance."""
    settings = world.options.settings
    life, tries = settings.health.endpoint.life, dict.fromkeys(world.catalogue.endpoints, 0)
    rationed_at = -math.inf
    for at, is_start, name in sorted(_answers_and_panics(world)):
        if not is_start:
            tries[name] = min(life.tries_max, tries[name] + life.tries_per_answer)
        elif tries[name] > 0:
            tries[name] -= 1
        elif at - rationed_at < settings.panic.every_s - TINY_USD:
            yield f"panic at {rationed_at:.3f} and {at:.3f}, nothing earned by {name}"
        else:
            rationed_at = at


def _answers_and_panics(world: SwarmWorld) -> Iterator[tuple[float, bool, EndpointId]]:
    """Yield when an attempt past a gate began (true), and when whose answer was whole (false)."""
    for one in world.traces.attempts:
        if one.kind == "panic":
            yield one.outcome.started_at, True, one.outcome.endpoint
    outcomes = [one.outcome for one in world.traces.attempts]
    outcomes += [one.outcome for one in world.traces.probes]
    for outcome in outcomes:
        if outcome.cls is OutcomeClass.OK:
            yield outcome.ended_at, False, outcome.endpoint


def hedges_within_count(world: SwarmWorld) -> Iterator[str]:
    """Hedges spend tokens that calls have paid in."""
    settings = world.options.settings.budgets.hedge
    attempts = world.traces.attempts
    hedges = sum(one.kind == "hedge" for one in attempts)
    allowed = settings.tokens_max + settings.deposit_per_primary * len(attempts)
    if hedges * settings.withdraw_per_hedge > allowed + TINY_USD:
        yield f"{hedges} hedges, allowed {allowed:.2f}"


def hedges_within_money(world: SwarmWorld) -> Iterator[str]:
    """When a hedge starts, what the earlier ones cost is within their share of the spending."""
    settings = world.options.settings.budgets.hedge
    attempts = world.traces.attempts
    for hedge in (one for one in attempts if one.kind == "hedge"):
        start = hedge.outcome.started_at
        spent = sum(one.outcome.cost_usd for one in attempts if one.at <= start)
        hedged = sum(
            one.outcome.cost_usd for one in attempts if one.kind == "hedge" and one.at < start
        )
        if hedged > settings.usd_share * spent + settings.floor_usd + TINY_USD:
            yield f"at {start:.3f}: {hedged:.6f} of {spent:.6f} USD"


def ledger_covers_bills(world: SwarmWorld) -> Iterator[str]:
    """What complete answers cost by the provider's bill is not more than what was entered, but for
    the error of the estimates.
    """
    entered: dict[EndpointId, float] = {}
    costs = [(one.outcome.endpoint, one.outcome.cost_usd) for one in world.traces.attempts]
    costs += [(one.endpoint, one.cost_usd) for one in world.traces.probes]
    for name, usd in costs:
        entered[name] = entered.get(name, 0.0) + usd
    for endpoint in world.catalogue.endpoints.values():
        log = world.providers[endpoint.provider].log
        billed = sum(
            entry.cost_usd
            for entry in log
            if entry.model == endpoint.upstream_model
            and entry.ended is Ended.COMPLETE
            and entry.fault in (None, *DISTURBING_KINDS)
        )
        if (
            endpoint.price is not None
            and billed > (1 + ESTIMATE_OFF_MAX) * entered.get(endpoint.id, 0.0) + TINY_USD
        ):
            yield f"{endpoint.id}: billed {billed:.6f}, entered {entered.get(endpoint.id, 0.0):.6f}"


def no_fault_of_ours(world: SwarmWorld) -> Iterator[str]:
    """No attempt ends by a fault of the sidecar, but in a machine that was suspended or told to
    stop.
    """
    for one in world.traces.attempts:
        began, ended = one.outcome.started_at, one.outcome.ended_at
        is_excused = any(began <= at <= ended for at in (world.jumped_at, world.drained_at))
        if one.outcome.cls is OutcomeClass.LOCAL and not is_excused:
            yield f"{one.call_id}: {one.outcome.message}"


def batch_does_not_multiply(world: SwarmWorld) -> Iterator[str]:
    """A batch call is tried again only while all calls together keep their ratio of attempts."""
    settings = world.options.settings.budgets.amplification
    attempts = world.traces.attempts
    firsts = [one.outcome.started_at for one in attempts if one.kind in FIRST_KINDS]
    extras = [one.outcome.started_at for one in attempts if one.kind not in FIRST_KINDS]
    for one in attempts:
        call = world.traces.calls[one.call_id].call
        at = one.outcome.started_at
        if one.kind not in REPEATED or call.constraints.priority is not Priority.BATCH:
            continue
        # The engine's window moves in steps; in doubt a step is its own.
        since = at - settings.window_s
        before = sum(since + settings.slot_s < extra < at for extra in extras)
        requests = sum(since - settings.slot_s < first <= at for first in firsts)
        share = settings.attempts_per_request - 1.0
        if before + 1 > max(settings.free_extra, share * requests):
            yield f"{one.call_id} at {at:.3f}: {before} extra before it, {requests} requests"


OF_WORLD: tuple[OfWorld, ...] = (
    nothing_left_behind,
    shut_gates_hold,
    panic_is_rationed,
    hedges_within_count,
    hedges_within_money,
    batch_does_not_multiply,
    ledger_covers_bills,
    no_fault_of_ours,
)
