"""What a play came to: whole stretches as they were, the rest by the slices that stand for it.

A call of a slice stands for many: those of its route, in the same weather, that were not played.
``figures_of`` weighs them: of each hour, what was played in it, and for what was not the expected
number of calls times the shares, costs and latencies of the slices of that state. Latencies are
counted in bins of 2 %, so a percentile is right to 1 %.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sidecar.simulate.whatif.fleet import Record
    from sidecar.simulate.whatif.inputs import Flow
    from sidecar.simulate.whatif.timeline import Piece, State, Timeline
    from sidecar.upstream.simulated import LogEntry

HOUR_S = 3600.0
HOURS_A_WEEK = 168
MONDAY_HOUR = 96  # of the epoch: 1970-01-05 was a Monday
BIN = math.log(1.02)
LATENCY_S_LEAST = 0.001
NORMAL_95 = 1.96
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(slots=True)
class Cell:
    """Calls, weighed or not. ``bins``: whole latencies of the good ones, by logarithm."""

    calls: float = 0.0
    good: float = 0.0
    degraded: float = 0.0
    usd: float = 0.0
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, other: Cell, weight: float = 1.0) -> None:
        """Add ``other``, each of its calls counted as ``weight`` calls."""
        self.calls += weight * other.calls
        self.good += weight * other.good
        self.degraded += weight * other.degraded
        self.usd += weight * other.usd
        for bin_, count in other.bins.items():
            self.bins[bin_] += weight * count  # type: ignore[assignment] # a counter of weights

    @property
    def availability(self) -> float:
        """Return the share of calls answered whole and in time; 1.0 without calls."""
        return self.good / self.calls if self.calls else 1.0

    @property
    def degraded_share(self) -> float:
        """Return the share of calls answered by a lesser model or a static answer."""
        return self.degraded / self.calls if self.calls else 0.0

    def latency_s(self, share: float) -> float | None:
        """Return a quantile of the time to the whole answer, None without answers."""
        total = sum(self.bins.values())
        reached = 0.0
        for bin_ in sorted(self.bins):
            reached += self.bins[bin_]
            if reached >= share * total * (1 - 1e-12):
                return math.exp(bin_ * BIN)
        return None


class Tally:
    """Owns what was counted during one play."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.own: dict[tuple[int, str], Cell] = {}
        self.samples: dict[tuple[State, str], Cell] = {}
        self.clusters: dict[tuple[State, str], dict[int, list[int]]] = {}
        self.probes_own: dict[int, float] = {}
        self.probes_sampled: dict[State, float] = {}
        self._unsettled: list[tuple[Cell, LogEntry]] = []
        self._probes: list[tuple[Piece, LogEntry]] = []
        self.requests = 0

    def note(self, record: Record, real_at: float) -> None:
        """Count a call that has ended; it began at ``real_at``."""
        piece = self._timeline.pieces[record.piece]
        if piece.is_sample:
            key = (piece.state, record.route)
            cell = self.samples.setdefault(key, Cell())
            counts = self.clusters.setdefault(key, {}).setdefault(record.piece, [0, 0])
            counts[0] += 1
            counts[1] += not record.is_good
        else:
            cell = self.own.setdefault((int(real_at // HOUR_S), record.route), Cell())
        cell.calls += 1
        cell.good += record.is_good
        cell.degraded += record.is_good and record.is_degraded
        if record.is_good:
            took_s = max(LATENCY_S_LEAST, record.ended_at - record.started_at)
            cell.bins[round(math.log(took_s) / BIN)] += 1
        self.requests += len(record.sends)
        # What is still under way, a hedge that lost, is billed at its end.
        self._unsettled += [(cell, entry) for entry in record.sends]

    def note_probe(self, piece: Piece, entry: LogEntry) -> None:
        """Count a request that belongs to no call."""
        self._probes.append((piece, entry))

    def settle(self) -> None:
        """Read the bills of what was open so far; to be called when nothing is under way."""
        for cell, entry in self._unsettled:
            cell.usd += entry.cost_usd
        for piece, entry in self._probes:
            if piece.is_sample:
                self.probes_sampled[piece.state] = (
                    self.probes_sampled.get(piece.state, 0.0) + entry.cost_usd
                )
            else:
                hour = int(piece.start_s // HOUR_S)
                self.probes_own[hour] = self.probes_own.get(hour, 0.0) + entry.cost_usd
        self._unsettled.clear()
        self._probes.clear()


@value
class Figures:
    """One design in numbers: in all, by route, by hour (of the epoch).

    ``margin`` is half the 95 % interval of the availability as far as sampling goes.
    ``unplayed`` calls were in weather and on routes of which no slice had a call; they are in no
    figure.
    """

    total: Cell
    routes: Mapping[str, Cell]
    hours: Mapping[int, Cell]
    margin: float
    probe_usd: float
    played_calls: int
    unplayed: float


def figures_of(tally: Tally, timeline: Timeline, flows: Sequence[Flow]) -> Figures:
    """Return the figures of a play that is over."""
    total, unplayed = Cell(), 0.0
    routes = {name: Cell() for name in dict.fromkeys(flow.route for flow in flows)}
    hours: dict[int, Cell] = {}
    played = 0.0
    for (hour, route), cell in tally.own.items():
        played += cell.calls
        _spread(cell, 1.0, (total, routes[route], hours.setdefault(hour, Cell())))
    expected: dict[tuple[State, str], float] = {}
    for (hour, state, route), calls in expected_calls(timeline, flows).items():
        sample = tally.samples.get((state, route))
        if sample is None:
            unplayed += calls
            continue
        weight = calls / sample.calls
        _spread(sample, weight, (total, routes[route], hours.setdefault(hour, Cell())))
        expected[state, route] = expected.get((state, route), 0.0) + calls
    played += sum(cell.calls for cell in tally.samples.values())
    variance = sum(
        calls**2 * _variance(list(tally.clusters[key].values())) for key, calls in expected.items()
    )
    probe_usd = _probe_usd(tally, timeline)
    total.usd += probe_usd
    return Figures(
        total=total,
        routes=routes,
        hours=dict(sorted(hours.items())),
        margin=NORMAL_95 * math.sqrt(variance) / total.calls if total.calls else 0.0,
        probe_usd=probe_usd,
        played_calls=round(played),
        unplayed=unplayed,
    )


def _spread(cell: Cell, weight: float, into: Sequence[Cell]) -> None:
    for one in into:
        one.add(cell, weight)


def expected_calls(
    timeline: Timeline, flows: Sequence[Flow]
) -> dict[tuple[int, State, str], float]:
    """Return how many calls are to be expected where nothing is played, by hour, state, route."""
    found: dict[tuple[int, State, str], float] = {}
    for rest in timeline.rests:
        first, last = int(rest.start_s // HOUR_S), int(-(-rest.end_s // HOUR_S))
        for hour in range(first, last):
            begin_s, end_s = max(rest.start_s, hour * HOUR_S), min(rest.end_s, (hour + 1) * HOUR_S)
            for flow in flows:
                if flow.is_in(hour_of_week(hour)):
                    key = (hour, rest.state, flow.route)
                    calls = flow.calls_per_s * (end_s - begin_s)
                    found[key] = found.get(key, 0.0) + calls
    return found


def hour_of_week(hour: int) -> int:
    """Return the hour of the week (Monday 0:00 UTC is 0) of an hour of the epoch."""
    return (hour - MONDAY_HOUR) % HOURS_A_WEEK


def _variance(clusters: Sequence[Sequence[int]]) -> float:
    """Return the variance of the share of failed calls, slices being what was drawn."""
    calls, bad = (sum(one[place] for one in clusters) for place in (0, 1))
    count = len(clusters)
    if count <= 1:
        share = bad / calls
        return share * (1.0 - share) / calls
    residues = sum((one[1] - bad / calls * one[0]) ** 2 for one in clusters)
    return float(count / (count - 1) * residues / calls**2)


def _probe_usd(tally: Tally, timeline: Timeline) -> float:
    """Return what probes cost, by the second where they were sampled."""
    sampled_s: dict[State, float] = {}
    for piece in timeline.pieces:
        if piece.is_sample:
            sampled_s[piece.state] = sampled_s.get(piece.state, 0.0) + piece.length_s
    usd = sum(tally.probes_own.values())
    for rest in timeline.rests:
        per_s = tally.probes_sampled.get(rest.state, 0.0) / sampled_s[rest.state]
        usd += per_s * (rest.end_s - rest.start_s)
    return usd
