"""The invariants of the swarm, by name: what must hold in every world, whatever fails in it.

Each is a generator of sentences, one a case that breaks it; none looks at how the engine decides,
only at what was promised. ``AT_EVENT`` is asked after every event, the
others when a world is over: ``OF_CALL`` of each call, ``OF_WORLD`` of all together.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from sidecar.domain import OnBreak
from sidecar.simulate.checks_of_world import OF_WORLD
from sidecar.upstream.simulated_exchange import Ended
from sidecar.upstream.simulated_faults import DISTURBING_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.simulate.swarm_world import SwarmWorld
    from sidecar.simulate.traces import Trace

    OfCall = Callable[[SwarmWorld, Trace], Iterator[str]]

LATE_S = 0.05
"""An answer later than this after its deadline breaks the promise."""
WORD = re.compile(r"([a-z]+):(\d+)")
OK = 200
LEGS_MAX = 2
"""A broken answer is continued once."""


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
    """The places counted as taken are those of the calls in flight; probes take none."""
    for name, own in world.engine.health.endpoints.items():
        calls = sum(not ticket.is_probe for ticket in own.in_flight.values())
        if own.limit.inflight != calls:
            yield f"{name}: {own.limit.inflight} places, {calls} calls at {now:.3f}"


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
    if not words:
        return
    if _on_break(trace) is OnBreak.CONTINUE and "continuation" in (trace.seen.degraded or ""):
        if sum(number == 0 for _, number in words) > LEGS_MAX:
            yield f"joined from more than {LEGS_MAX}: {trace.seen.text[:200]!r}"
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
    if "continuation" not in (seen.degraded or "") and len(WORD.findall(seen.text)) not in whole:
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
    """A call has its attempts, one free repetition, and a hedge beside each."""
    settings = world.options.settings.attempts
    kinds = [attempt.kind for attempt in trace.attempts]
    hedges = kinds.count("hedge")
    usual = len(kinds) - hedges
    allowed = min(settings.attempts_max, trace.call.route.attempts_max) + settings.transparent_max
    if usual > allowed or hedges > usual:
        yield f"{kinds}, allowed {allowed}"


def _on_break(trace: Trace) -> OnBreak:
    return trace.call.constraints.on_break or trace.call.route.on_break


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
