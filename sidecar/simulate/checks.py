"""The invariants of the swarm, by name: what must hold in every world, whatever fails in it.

Each is a generator of sentences, one a case that breaks it; none looks at how the engine decides,
only at what was promised (FAULTS 1, RESILIENCE 3). ``AT_EVENT`` is asked after every event, the
others when a world is over: ``OF_CALL`` of each call, ``OF_WORLD`` of all together.
"""

from __future__ import annotations

import asyncio
import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from sidecar.domain import OnBreak, OutcomeClass
from sidecar.upstream.simulated_exchange import Ended
from sidecar.upstream.simulated_faults import DISTURBING_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.domain import EndpointId, Outcome
    from sidecar.simulate.swarm_world import SwarmWorld
    from sidecar.simulate.traces import Trace

    OfWorld = Callable[[SwarmWorld], Iterator[str]]
    OfCall = Callable[[SwarmWorld, Trace], Iterator[str]]

LATE_S = 0.05
"""An answer later than this after its deadline breaks the promise (FAULTS 1)."""
WORD = re.compile(r"([a-z]+):(\d+)")
OK = 200
TINY_USD = 1e-9
SHUT = ("open", "isolated")


def one_trial_at_a_time(world: SwarmWorld, now: float) -> Iterator[str]:
    """A half-open breaker has at most one trial in flight; an expired lease gave its place back."""
    for name, own in world.engine.health.endpoints.items():
        trials = [
            permit.serial
            for ticket in own.in_flight.values()
            if (permit := ticket.permit) is not None
            and permit.is_trial
            and permit.generation == own.breaker.generation
            and now < (permit.expires_at or math.inf)
            and ticket.first_content_at is None
        ]
        if len(trials) > 1:
            yield f"{name}: trials {trials} at {now:.3f}"


def limits_are_kept(world: SwarmWorld, now: float) -> Iterator[str]:
    """The places counted as taken are those of the tickets in flight."""
    for name, own in world.engine.health.endpoints.items():
        if own.limit.inflight != len(own.in_flight):
            yield f"{name}: {own.limit.inflight} places, {len(own.in_flight)} calls at {now:.3f}"


# --- of one call ---------------------------------------------------------------------------------


def one_answer_per_call(_: SwarmWorld, trace: Trace) -> Iterator[str]:
    """Every call ends exactly once, for the engine and for its caller."""
    if len(trace.ends) != 1:
        yield f"ended {len(trace.ends)} times: {[end.result for end in trace.ends]}"
    if trace.answers != 1 and not trace.hung_up:
        yield f"answered {trace.answers} times"


def attempts_settle_once(_: SwarmWorld, trace: Trace) -> Iterator[str]:
    """Each request that left was judged, once."""
    if len(trace.sends) > len(trace.attempts):
        yield f"{len(trace.sends)} requests left, {len(trace.attempts)} attempts were settled"


def bytes_of_one_attempt(_: SwarmWorld, trace: Trace) -> Iterator[str]:
    """An answer is one provider's words, from the first, without gap; a joined text says so."""
    words = [(who, int(number)) for who, number in WORD.findall(trace.seen.text)]
    is_joined = _on_break(trace) is OnBreak.CONTINUE and "continu" in (trace.seen.degraded or "")
    if is_joined or not words:
        return
    speaker = words[0][0]
    if words != [(speaker, number) for number in range(len(words))]:
        yield f"mixed or torn: {trace.seen.text[:200]!r}"
    if trace.seen.endpoint is not None and trace.seen.endpoint.partition("/")[0] != speaker:
        yield f"{speaker} spoke, {trace.seen.endpoint} was disclosed"


def complete_means_whole(_: SwarmWorld, trace: Trace) -> Iterator[str]:
    """An answer called complete is as long as the provider made it."""
    seen = trace.seen
    if not seen.is_good or seen.endpoint is None or trace.hung_up or not WORD.search(seen.text):
        return
    model = seen.endpoint.partition("/")[2]
    whole = [
        entry.planned_tokens
        for entry in trace.sends
        if entry.ended is Ended.COMPLETE
        and entry.model == model
        and entry.fault in (None, *DISTURBING_KINDS)
    ]
    if "continu" not in (seen.degraded or "") and len(WORD.findall(seen.text)) not in whole:
        yield f"{len(WORD.findall(seen.text))} words of {whole}: {seen}"


def no_silent_truncation(_: SwarmWorld, trace: Trace) -> Iterator[str]:
    """A stream has the terminal marker or an error event, never both, never neither."""
    seen = trace.seen
    if trace.hung_up or seen.status != OK:
        return
    if seen.is_complete == (seen.code is not None):
        yield f"complete: {seen.is_complete}, code: {seen.code}: {seen.raw[-300:]!r}"


def in_time(_: SwarmWorld, trace: Trace) -> Iterator[str]:
    """Nothing is sent to a provider after the deadline."""
    for entry in trace.sends:
        if entry.at_s > trace.call.deadline_at:
            yield f"sent at {entry.at_s:.3f}, deadline {trace.call.deadline_at:.3f}"


def no_failover_after_commit(_: SwarmWorld, trace: Trace) -> Iterator[str]:
    """Once the caller has a byte of a stream nobody else is asked, unless it may be continued."""
    first_at = trace.seen.first_at
    if first_at is None or not trace.call.facts.is_stream or _on_break(trace) is OnBreak.CONTINUE:
        return
    late = [entry.at_s for entry in trace.sends if entry.at_s > first_at]
    if late:
        yield f"first byte at {first_at:.3f}, asked at {late}"


def attempts_within_bounds(world: SwarmWorld, trace: Trace) -> Iterator[str]:
    """A call has its attempts, one free repetition, a hedge beside each and one continuation."""
    settings = world.options.settings.attempts
    kinds = [attempt.kind for attempt in trace.attempts]
    hedges, continuations = kinds.count("hedge"), kinds.count("continue")
    usual = len(kinds) - hedges - continuations
    allowed = min(settings.attempts_max, trace.call.route.attempts_max) + settings.transparent_max
    if usual > allowed or hedges > usual or continuations > 1:
        yield f"{kinds}, allowed {allowed}"


def _on_break(trace: Trace) -> OnBreak:
    return trace.call.constraints.on_break or trace.call.route.on_break


# --- of the whole world --------------------------------------------------------------------------


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
        if kind != "free probe" and _is_blocked(world, endpoint.provider, outcome):
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


def panic_is_rationed(world: SwarmWorld) -> Iterator[str]:
    """Trials past shut gates keep their distance."""
    at = sorted(one.outcome.started_at for one in world.traces.attempts if one.kind == "panic")
    every_s = world.options.settings.panic.every_s
    for before, after in pairwise(at):
        if after - before < every_s - TINY_USD:
            yield f"panic at {before:.3f} and {after:.3f}"


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
    """What complete answers cost by the provider's bill is not more than what was entered."""
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
        if endpoint.price is not None and billed > entered.get(endpoint.id, 0.0) + TINY_USD:
            yield f"{endpoint.id}: billed {billed:.6f}, entered {entered.get(endpoint.id, 0.0):.6f}"


def no_fault_of_ours(world: SwarmWorld) -> Iterator[str]:
    """No attempt ends by a fault of the sidecar, but in a machine that was suspended."""
    for one in world.traces.attempts:
        is_suspended = one.outcome.started_at <= world.jumped_at <= one.outcome.ended_at
        if one.outcome.cls is OutcomeClass.LOCAL and not is_suspended:
            yield f"{one.call_id}: {one.outcome.message}"


AT_EVENT = (one_trial_at_a_time, limits_are_kept)
OF_CALL: tuple[OfCall, ...] = (
    one_answer_per_call,
    attempts_settle_once,
    bytes_of_one_attempt,
    complete_means_whole,
    no_silent_truncation,
    in_time,
    no_failover_after_commit,
    attempts_within_bounds,
)
OF_WORLD: tuple[OfWorld, ...] = (
    nothing_left_behind,
    shut_gates_hold,
    panic_is_rationed,
    hedges_within_count,
    hedges_within_money,
    ledger_covers_bills,
    no_fault_of_ours,
)


def look(world: SwarmWorld, now: float) -> None:
    """Ask what must hold at every event."""
    for invariant in AT_EVENT:
        for what in invariant(world, now):
            world.traces.breaks(invariant.__name__, what)


def judge(world: SwarmWorld) -> None:
    """Ask the rest, when all calls are over."""
    for of_call in OF_CALL:
        for call_id, trace in world.traces.calls.items():
            for what in of_call(world, trace):
                world.traces.breaks(of_call.__name__, f"{call_id}: {what}")
    for of_world in OF_WORLD:
        for what in of_world(world):
            world.traces.breaks(of_world.__name__, what)
