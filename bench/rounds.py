"""A run: all candidates start, then subject by subject each is measured in turn, and again.

Interleaved, since neighbours slow a shared machine for minutes: the candidates of one subject run
within seconds of each other, so that ratios within a round hold where figures do not.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from bench import measures
from bench.figures import percentile
from bench.load import BadAnswerError
from bench.machine import described, versions
from bench.measures import CONNECTIONS, CPU_RATE, RATES, Subject, quiet
from bench.processes import MachineTime, cpu_ns
from bench.running import StartError, provider, started, stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.candidates import Candidate
    from bench.figures import Figures, Round
    from bench.measures import Lengths, Samples
    from bench.processes import Cores
    from bench.running import Provider, Running

Measure = tuple[str, "Callable[[], Figures] | None"]
RESERVE = 1.2
"""A rate is tried where the candidate can do so much more."""
NOTE_CHARS = 300
CHUNKS_PER_S = 50
STREAMS = 50
BEGIN_SHARE = 0.7
DIRECT_STREAMS = 2000


@dataclass(slots=True)
class Run:
    """What was measured so far. ``samples``: by candidate and measure, of all rounds."""

    cores: Cores
    lengths: Lengths
    rounds: list[Round] = field(default_factory=list)
    samples: dict[str, Samples] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "machine": described(),
            "versions": versions(),
            "at": time.strftime("%Y-%m-%d", time.gmtime()),
            "rounds": [
                {name: _rounded(figures) for name, figures in one.items()} for one in self.rounds
            ],
            "pooled": {name: _rounded(_pooled(own)) for name, own in self.samples.items()},
            "notes": self.notes,
        }


def measured(
    candidates: Sequence[Candidate], cores: Cores, lengths: Lengths, count: int
) -> Iterator[Run]:
    """Yield the run after each of ``count`` rounds, so that it may be kept even if it is stopped.

    A candidate that fails is left out of what it fails in.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()  # a pause of the load would look like a pause of the candidate
    run = Run(cores, lengths)
    with provider(cores) as upstream:
        for number in range(count):
            print(f"round {number + 1} of {count}")
            left = count - number
            _round(run, [one for one in candidates if left <= one.rounds_max], upstream, number)
            gc.collect()
            yield run


def _round(run: Run, candidates: list[Candidate], upstream: Provider, number: int) -> None:
    random.Random(number).shuffle(candidates)
    figures: Round = {"direct": {}}
    run.rounds.append(figures)
    before, own_before, began = MachineTime.now(), _own_s(upstream), time.perf_counter()
    with ExitStack() as stack:
        running: list[Running] = []
        for candidate in candidates:
            try:
                one = stack.enter_context(started(candidate, upstream, run.cores))
            except StartError as error:
                run.notes.append(_note(candidate.name, "start", error))
                continue
            figures[candidate.name] = {"start_s": one.start_s}
            running.append(one)
        _measure(run, running, upstream, number)
        for one in running:
            took_s = stopped(one)
            if took_s is not None:
                figures[one.candidate.name]["exit_s"] = took_s
    took_s = (time.perf_counter() - began) * (os.cpu_count() or 1)
    after = MachineTime.now()
    foreign_s = after.busy_s - before.busy_s - (_own_s(upstream) - own_before)
    figures["machine"] = {
        "foreign_share": max(0.0, foreign_s) / took_s,
        "stolen_share": (after.stolen_s - before.stolen_s) / took_s,
    }


def _own_s(upstream: Provider) -> float:
    """Return the CPU of harness and provider, and of whatever it started that has ended."""
    spent = os.times()
    own = spent.user + spent.system + spent.children_user + spent.children_system
    return own + cpu_ns(upstream.process.pid) / 1e9


def _measure(run: Run, running: list[Running], upstream: Provider, number: int) -> None:
    figures = run.rounds[-1]
    provider_pid = upstream.process.pid
    direct = Subject(name="direct", address=upstream.address, pid=None, others=provider_pid)
    plans = {"direct": (direct, _of_direct(run, direct, number))}
    for one in running:
        name = one.candidate.name
        subject = Subject(name=name, address=one.address, pid=one.pid, others=provider_pid)
        plans[name] = (subject, _of_candidate(run, subject, one.candidate, number))
    # Side by side: every plan's next measure in turn, so that the same ones meet.
    while plans:
        for name, (subject, plan) in list(plans.items()):
            following = next(plan, None)
            if following is None:
                del plans[name]
                continue
            what, measure = following
            if measure is None:
                continue
            began = time.perf_counter()
            try:
                found = measure()
            except (BadAnswerError, OSError) as error:
                run.notes.append(_note(name, what, error))
                found = {}
            quiet(subject)
            figures[name] |= found
            shown = " ".join(f"{key}={value:.4g}" for key, value in found.items())
            took_s = time.perf_counter() - began
            print(f"  {what:14} {name:13} {took_s:4.1f} s {shown}", flush=True)


def _of_direct(run: Run, subject: Subject, number: int) -> Iterator[Measure]:
    """Yield what is measured without a proxy, at the same places of the plan."""
    for what, measure in _plan(run, subject, None, number):
        is_wanted = what == "chunks" or what.startswith(("rate", "first", "capacity"))
        yield what, measure if is_wanted else None


def _of_candidate(
    run: Run, subject: Subject, candidate: Candidate, number: int
) -> Iterator[Measure]:
    """Yield what a candidate is measured in; nothing at rates that it does not reach."""
    own = run.rounds[-1][subject.name]
    for what, measure in _plan(run, subject, candidate, number):
        rate = own.get("calls_per_s_64", 0.0)
        is_too_slow = what.startswith("rate") and rate < RESERVE * float(what.split()[1])
        cannot = what.startswith("translated") and not candidate.translates
        yield what, None if is_too_slow or cannot else measure


def _plan(
    run: Run, subject: Subject, candidate: Candidate | None, number: int
) -> Iterator[Measure]:
    lengths = run.lengths
    few = STREAMS if candidate is None else candidate.streams
    many = 0 if candidate is None else candidate.streams_of_memory
    samples = run.samples.setdefault(subject.name, {})
    yield "idle", partial(measures.idle, subject, lengths)
    yield "stream memory", partial(measures.streams_memory, subject, lengths, many)
    for connections in CONNECTIONS:
        what = f"saturation {connections}"
        yield what, partial(measures.saturation, subject, lengths, connections)
    yield "translated", partial(measures.translated, subject, lengths)
    for rate in (*RATES, CPU_RATE):
        yield f"rate {rate}", partial(measures.at_fixed_rate, subject, lengths, rate, samples)
    yield "first chunk", partial(measures.first_chunks, subject, lengths, samples)
    for is_translated in (False, True):
        what = "translated chunks" if is_translated else "chunks"
        yield what, partial(measures.chunks, subject, lengths, few, is_translated=is_translated)
    if number < lengths.capacity_rounds:
        yield "capacity", partial(_capacity, run, subject)
    yield "loaded", partial(measures.loaded, subject, lengths)


def _capacity(run: Run, subject: Subject) -> Figures:
    """Begin below what the cost of a chunk promises."""
    us = run.rounds[-1][subject.name].get("chunk_us", 0.0)
    promised = 1e6 / (us * CHUNKS_PER_S) if us else DIRECT_STREAMS if subject.pid is None else 8
    first = int(promised * BEGIN_SHARE)
    return measures.streams_capacity(subject, run.lengths, max(4, first))


def _pooled(samples: Samples) -> Figures:
    return {
        f"p{name}_{measure}": percentile(values, share)
        for measure, values in samples.items()
        for name, share in (("50", 0.5), ("99", 0.99), ("999", 0.999))
    }


def _rounded(figures: Figures) -> Figures:
    return {name: float(f"{value:.5g}") for name, value in figures.items()}


def _note(name: str, what: str, error: Exception) -> str:
    said = f"{name}, {what}: {type(error).__name__}: {error}"[:NOTE_CHARS]
    print(f"  {said}", flush=True)
    return said
