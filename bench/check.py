"""``--check``: has the sidecar become dearer against the bare loop, measured in the same run?

Absolute times say nothing on a machine that is shared, the ratio to a reference that runs seconds
apart does. Recorded ratios are in ``baseline.json``; one that has grown by more than 15 % fails.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.asking import PLAIN, Wish
from bench.candidates import CANDIDATES, HERE
from bench.figures import ratio_of
from bench.load import Streams, saturate
from bench.processes import memory
from bench.running import provider, started, stopped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.candidates import Candidate
    from bench.figures import Figures, Round
    from bench.processes import Cores
    from bench.running import Provider, Running

BASELINE = HERE / "baseline.json"
GROWTH_MAX = 1.15
WHAT = {
    "call_us": "CPU per call",
    "chunk_us": "CPU per streamed chunk",
    "resident_mib": "resident memory, idle",
    "start_s": "start to first answered call",
}
OURS, REFERENCE = "sidecar", "bare-loop"
NS_PER_US = 1000
CONNECTIONS = 64
STREAMS = 40
GAP_MS = 10
"""Short enough that the loop is seldom idle: waking up costs more than a chunk, and varies more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured: starts, turns after each, and seconds of the parts of a turn."""

    starts: int
    turns: int
    warm_s: float
    calls_s: float
    chunks_s: float


SHORT = Effort(starts=5, turns=3, warm_s=0.15, calls_s=0.4, chunks_s=0.5)
LONG = Effort(starts=9, turns=5, warm_s=0.3, calls_s=1.0, chunks_s=1.0)


def check(cores: Cores, *, is_short: bool, is_recorded: bool) -> int:
    """Measure, then compare or record; return 1 if something has grown too much."""
    rounds = list(_rounds(cores, SHORT if is_short else LONG))
    ratios = ratios_of(rounds)
    if is_recorded:
        BASELINE.write_text(json.dumps({"ratios": ratios}, indent=1) + "\n")
        print(f"recorded in {BASELINE}: {ratios}")
        return 0
    recorded: dict[str, float] = json.loads(BASELINE.read_text())["ratios"]
    for line in table(recorded, ratios):
        print(line)
    return 1 if grown(recorded, ratios) else 0


def ratios_of(rounds: list[Round]) -> dict[str, float]:
    """Return the sidecar's ratio to the bare loop, by measure."""
    ratios = {name: ratio_of(rounds, name, OURS, REFERENCE) for name in WHAT}
    return {name: round(ratio, 3) for name, ratio in ratios.items() if ratio is not None}


def grown(recorded: Mapping[str, float], ratios: Mapping[str, float]) -> list[str]:
    """Return the measures whose ratio is above ``GROWTH_MAX`` times the recorded one, or gone."""
    return [
        name
        for name, before in recorded.items()
        if name not in ratios or ratios[name] > GROWTH_MAX * before
    ]


def table(recorded: Mapping[str, float], ratios: Mapping[str, float]) -> list[str]:
    """Return the comparison as lines to print."""
    failed = grown(recorded, ratios)
    lines = [f"{'sidecar / bare loop':32}{'recorded':>10}{'now':>10}"]
    for name, before in recorded.items():
        verdict = "GROWN" if name in failed else "ok"
        now = f"{ratios[name]:.2f}" if name in ratios else "missing"
        lines.append(f"{WHAT.get(name, name):32}{before:10.2f}{now:>10}  {verdict}")
    lines.append(f"allowed: {GROWTH_MAX} times what is recorded")
    return lines


def _rounds(cores: Cores, effort: Effort) -> Iterator[Round]:
    both = [candidate for candidate in CANDIDATES if candidate.name in (OURS, REFERENCE)]
    with provider(cores) as upstream:
        for number in range(effort.starts):
            yield from _turns(both if number % 2 else both[::-1], upstream, cores, effort)
            print(".", end="" if number + 1 < effort.starts else "\n", file=sys.stderr, flush=True)


def _turns(
    candidates: list[Candidate], upstream: Provider, cores: Cores, effort: Effort
) -> Iterator[Round]:
    """Start both once and measure them in short turns: neighbours change within seconds."""
    with ExitStack() as stack:
        both = [stack.enter_context(started(one, upstream, cores)) for one in candidates]
        begun = {
            one.candidate.name: {"start_s": one.start_s, "resident_mib": memory(one.pid).resident}
            for one in both
        }
        for _ in range(effort.turns):
            calls = {one.candidate.name: _calls(one, effort) for one in both}
            chunks = {one.candidate.name: _chunks(one, effort) for one in both}
            yield {name: begun[name] | calls[name] | chunks[name] for name in begun}
        for one in both:
            stopped(one)


def _calls(running: Running, effort: Effort) -> Figures:
    saturate(running.address, PLAIN, connections=CONNECTIONS, duration_s=effort.warm_s)
    window = saturate(
        running.address,
        PLAIN,
        connections=CONNECTIONS,
        duration_s=effort.calls_s,
        cpu_ns=running.cpu_ns,
    )
    return {"call_us": window.cpu_ns / NS_PER_US / window.calls}


def _chunks(running: Running, effort: Effort) -> Figures:
    with Streams(running.address, Wish(is_stream=True, gap_ms=GAP_MS)) as streams:
        streams.open(STREAMS)
        streams.watch(effort.warm_s)
        before = running.cpu_ns()
        watched = streams.watch(effort.chunks_s)
        spent_ns = running.cpu_ns() - before
    return {"chunk_us": spent_ns / NS_PER_US / len(watched.delays_s)}
