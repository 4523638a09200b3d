"""Questions to a world that was played: what breakers did, what providers saw, what probes cost.

The providers' logs are the ground truth; the engine's events are what it believes. A scenario asks
both.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sidecar.events import AttemptFinished, BreakerChanged, EndpointEjected, ProbeFinished

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.domain import EndpointId, Outcome
    from sidecar.simulate.seen import Seen
    from sidecar.simulate.world import World
    from sidecar.upstream.simulated import LogEntry, SimulatedProvider

FOREVER_S = float("inf")


def changes(world: World, name: str, *, to: str | None = None) -> list[BreakerChanged]:
    """Return the state changes of one breaker (an endpoint or a host), maybe only to ``to``."""
    return [
        event
        for event in world.recorder.events
        if isinstance(event, BreakerChanged) and event.name == name and to in (None, event.new)
    ]


def opened_at(world: World, name: str) -> float:
    """Return when the breaker first opened; infinity if it never did."""
    return min((event.at for event in changes(world, name, to="open")), default=FOREVER_S)


def ejections(world: World, endpoint: EndpointId) -> list[EndpointEjected]:
    """Return when one endpoint was taken out softly."""
    return [
        event
        for event in world.recorder.events
        if isinstance(event, EndpointEjected) and event.endpoint == endpoint
    ]


def probes(world: World, endpoint: EndpointId, *, kind: str | None = None) -> list[ProbeFinished]:
    """Return the probes of one endpoint, maybe only those of ``kind`` (free or paid)."""
    return [
        event
        for event in world.recorder.events
        if isinstance(event, ProbeFinished)
        and event.endpoint == endpoint
        and kind in (None, event.kind)
    ]


def outcomes(world: World, endpoint: EndpointId) -> list[Outcome]:
    """Return the outcomes of the callers' attempts at one endpoint."""
    return [
        event.outcome
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.outcome.endpoint == endpoint
    ]


def requests(
    provider: SimulatedProvider,
    start_s: float = 0.0,
    end_s: float = FOREVER_S,
    *,
    is_probe: bool | None = None,
) -> list[LogEntry]:
    """Return what ``provider`` logged in [start, end), maybe only probes or only callers' calls."""
    return [
        entry
        for entry in provider.log
        if start_s <= entry.at_s < end_s and is_probe in (None, entry.is_probe)
    ]


def started(seen: Iterable[Seen], start_s: float, end_s: float = FOREVER_S) -> list[Seen]:
    """Return what the callers saw whose calls began in [start, end)."""
    return [one for one in seen if start_s <= one.started_at < end_s]


def answered_by(seen: Iterable[Seen]) -> Counter[str | None]:
    """Return how many answers each endpoint gave."""
    return Counter(one.endpoint for one in seen)


def unrest(
    world: World, provider: SimulatedProvider, name: str, end_s: float, *, trials_max: int = 1
) -> list[str]:
    """Return what disturbed the rest of a sick provider until ``end_s``, each as a sentence.

    While the breaker ``name`` is open nobody may ask what it guards, the model of an endpoint or
    anything of a host; when it is due one may, until it opens again or closes (``trials_max``
    where a trial may succeed and the next one fail).
    """
    model = None if "://" in name else name.partition("/")[2]
    asked = [entry for entry in provider.log if model in (None, entry.model)]
    opens = [event for event in changes(world, name, to="open") if event.at < end_s]
    found = []
    for number, event in enumerate(opens):
        assert event.reopens_at is not None, "an open breaker says when it may be tried"
        closed_at = [one.at for one in changes(world, name, to="closed") if one.at > event.at]
        opened_at = [one.at for one in opens[number + 1 :]]
        next_at = min([*closed_at, *opened_at, end_s])
        early = [
            entry.at_s for entry in asked if event.at < entry.at_s < min(event.reopens_at, end_s)
        ]
        # A trial that fails at once opens the breaker in the instant in which it was sent.
        trials = [
            entry.at_s
            for entry in asked
            if event.reopens_at <= entry.at_s <= next_at and entry.at_s < end_s
        ]
        if early:
            found.append(f"open since {event.at:.2f} until {event.reopens_at:.2f}, asked {early}")
        if len(trials) > trials_max:
            found.append(f"due at {event.reopens_at:.2f}, tried at {trials}")
    return found
