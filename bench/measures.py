"""What is measured of a candidate that runs, one function a subject; figures are named with units.

``_us`` microseconds of CPU, ``_ms`` milliseconds, ``_mib`` MiB, ``_s`` seconds. Which runs are long
enough for what is ``Lengths``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.asking import PLAIN, TRANSLATED, Wish, body_of, headers_of, path_of
from bench.figures import percentile
from bench.load import BadAnswerError, Streams, at_rate, saturate
from bench.processes import cpu_ns, memory

if TYPE_CHECKING:
    from bench.asking import Address
    from bench.figures import Figures

RATES = (200, 500)
CPU_RATE = 1000
CONNECTIONS = (1, 64, 512)
FAST_RATE = 2000
"""From so many calls a second on, ``wrk`` makes the load, so that its core is not the limit."""
QUIET_SHARE = 0.03
QUIET_S = 0.1
QUIET_S_MAX = 5.0
NS_PER_US = 1000
DELAY_S_MAX = 0.02
"""The 99th percentile of a chunk's age at which a candidate carries too many streams."""
CHUNKS_SHARE_MIN = 0.95
"""Of the chunks that are due; fewer: the provider's bytes are held back."""
STREAMS_STEP = 1.3
STREAMS_MAX = 4000
FIRSTS_RATE = 50
SECONDS_MIN = 0.001
WARMING_S_MAX = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Seconds, and how many rounds look for the greatest number of streams."""

    saturation_s: float
    rate_s: float
    streams_s: float
    settle_s: float
    capacity_s: float
    capacity_rounds: int


FULL = Lengths(
    saturation_s=2.0,
    rate_s=4.0,
    streams_s=3.0,
    settle_s=1.0,
    capacity_s=2.0,
    capacity_rounds=2,
)
QUICK = Lengths(
    saturation_s=1.0,
    rate_s=1.5,
    streams_s=1.0,
    settle_s=0.3,
    capacity_s=1.0,
    capacity_rounds=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is measured; ``pid`` is None without a proxy. ``others``: the provider's process."""

    name: str
    address: Address
    pid: int | None
    others: int

    def cpu_ns(self) -> int:
        """Return its CPU so far."""
        return 0 if self.pid is None else cpu_ns(self.pid)


Samples = dict[str, list[float]]
"""Measure: every single value in milliseconds, for percentiles over all rounds."""


def quiet(subject: Subject) -> None:
    """Wait until it works off nothing any more."""
    if subject.pid is None:
        return
    give_up_at = time.perf_counter() + QUIET_S_MAX
    before = subject.cpu_ns()
    while time.perf_counter() < give_up_at:
        time.sleep(QUIET_S)
        now = subject.cpu_ns()
        if now - before < QUIET_SHARE * QUIET_S * 1e9:
            return
        before = now


def idle(subject: Subject, lengths: Lengths) -> Figures:
    """Memory before any load but the first call, and CPU of doing nothing."""
    quiet(subject)
    before, began = subject.cpu_ns(), time.perf_counter()
    time.sleep(lengths.settle_s)
    spent_us = (subject.cpu_ns() - before) / NS_PER_US
    return {
        **_memory(subject, "idle"),
        "idle_us_per_s": spent_us / (time.perf_counter() - began),
    }


def loaded(subject: Subject, lengths: Lengths) -> Figures:
    """Memory after all load."""
    time.sleep(lengths.settle_s)
    return _memory(subject, "loaded")


def streams_memory(subject: Subject, lengths: Lengths, count: int) -> Figures:
    """Memory of ``count`` open streams with a chunk a second each, scaled to 1,000."""
    if subject.pid is None:
        return {}
    saturate(subject.address, PLAIN, connections=8, duration_s=lengths.settle_s)
    quiet(subject)
    before = memory(subject.pid)
    with Streams(subject.address, Wish(is_stream=True, gap_ms=1000)) as streams:
        if not streams.open(count):
            raise BadAnswerError(f"only {len(streams)} of {count} streams opened")
        streams.watch(lengths.settle_s)
        after = memory(subject.pid)
    return {
        "streams_resident_mib": (after.resident - before.resident) / count * 1000,
        "streams_proportional_mib": (after.proportional - before.proportional) / count * 1000,
    }


def saturation(subject: Subject, lengths: Lengths, connections: int) -> Figures:
    """Calls a second on so many connections, the CPU of each, and how busy the other core was."""
    calls, seconds, us, busy = _saturated(subject, PLAIN, connections, lengths.saturation_s)
    return {
        f"calls_per_s_{connections}": calls / seconds,
        f"call_us_{connections}": us / calls,
        f"own_share_{connections}": us / 1e6 / seconds,
        f"others_share_{connections}": busy,
    }


def translated(subject: Subject, lengths: Lengths) -> Figures:
    """The same for calls whose format the provider does not speak."""
    calls, seconds, us, _ = _saturated(subject, TRANSLATED, 64, lengths.saturation_s)
    return {"translated_per_s_64": calls / seconds, "translated_us_64": us / calls}


def at_fixed_rate(subject: Subject, lengths: Lengths, rate: int, samples: Samples) -> Figures:
    """Latency and CPU at a fixed rate; nothing where the candidate does not keep up."""
    before = subject.cpu_ns()
    answered = at_rate(subject.address, PLAIN, rate=rate, duration_s=lengths.rate_s)
    spent_us = (subject.cpu_ns() - before) / NS_PER_US
    if not answered.is_complete:
        return {}
    values = [value * 1000 for value in answered.wholes_s]
    samples.setdefault(f"ms_{rate}", []).extend(values)
    return {
        f"p50_ms_{rate}": percentile(values, 0.5),
        f"p99_ms_{rate}": percentile(values, 0.99),
        **({} if subject.pid is None else {f"call_us_at_{rate}": spent_us / len(values)}),
    }


def first_chunks(subject: Subject, lengths: Lengths, samples: Samples) -> Figures:
    """Time from when a stream was due to its first content, at a low rate."""
    wish = Wish(is_stream=True, gap_ms=1, chunks=2)
    answered = at_rate(subject.address, wish, rate=FIRSTS_RATE, duration_s=lengths.rate_s)
    if not answered.is_complete:
        return {}
    values = [value * 1000 for value in answered.firsts_s]
    samples.setdefault("first_ms", []).extend(values)
    return {"first_p50_ms": percentile(values, 0.5), "first_p99_ms": percentile(values, 0.99)}


def chunks(
    subject: Subject, lengths: Lengths, streams_count: int, *, is_translated: bool
) -> Figures:
    """CPU of a chunk in the middle of paced streams, 50 a second each."""
    wish = Wish(is_stream=True, is_translated=is_translated)
    with Streams(subject.address, wish) as streams:
        if not streams.open(streams_count):
            raise BadAnswerError("not all streams began")
        streams.watch(lengths.settle_s)
        before = subject.cpu_ns()
        watched = streams.watch(lengths.streams_s)
        spent_us = (subject.cpu_ns() - before) / NS_PER_US
    name = "translated_chunk" if is_translated else "chunk"
    if len(watched.delays_s) < CHUNKS_SHARE_MIN * streams_count * 50 * watched.seconds:
        return {}
    values = [value * 1000 for value in watched.delays_s]
    return {
        f"{name}_p99_ms": percentile(values, 0.99),
        **({} if subject.pid is None else {f"{name}_us": spent_us / len(values)}),
    }


def streams_capacity(subject: Subject, lengths: Lengths, first: int) -> Figures:
    """How many streams of 50 chunks a second there may be before chunks come late.

    From a first guess the number is halved until it holds, then grows by three tenths until it does
    not; the last step is halved once. Every number has two tries: a neighbour's burst is no limit.
    """
    held = _held(subject, lengths, first)
    while held == 0 and first > 1:
        first //= 2
        held = _held(subject, lengths, first)
    grown = held
    while held and held == grown and grown < STREAMS_MAX:
        grown = max(held + 1, int(held * STREAMS_STEP))
        held = max(held, _held(subject, lengths, grown))
    if grown > held:
        held = max(held, _held(subject, lengths, (held + grown) // 2))
    return {"streams_max": float(held)}


def _held(subject: Subject, lengths: Lengths, count: int) -> int:
    """Return ``count`` if so many streams hold, else 0."""
    for _ in range(2):
        with Streams(subject.address, Wish(is_stream=True)) as streams:
            opens = streams.open(count)
            holds = opens and _in_time(streams, lengths.capacity_s)
        quiet(subject)
        if holds:
            return count
        if not opens:
            break
    return 0


def _in_time(streams: Streams, duration_s: float) -> bool:
    streams.watch(duration_s / 4)  # the opening itself costs more than what follows
    watched = streams.watch(duration_s)
    is_all = len(watched.delays_s) > CHUNKS_SHARE_MIN * len(streams) * 50 * watched.seconds
    return is_all and percentile(watched.delays_s, 0.99) <= DELAY_S_MAX


def _memory(subject: Subject, when: str) -> Figures:
    if subject.pid is None:
        return {}
    now = memory(subject.pid)
    return {f"{when}_resident_mib": now.resident, f"{when}_proportional_mib": now.proportional}


def _saturated(
    subject: Subject, wish: Wish, connections: int, duration_s: float
) -> tuple[int, float, float, float]:
    """Return calls, seconds, microseconds of CPU, and the share of the other core in use.

    A short run first says how fast the candidate is; slow ones are given the time for an answer on
    every connection before it counts.
    """
    probe_s = min(1.0, duration_s / 2)
    guess = saturate(subject.address, wish, connections=min(connections, 16), duration_s=probe_s)
    rate = guess.calls / max(guess.seconds, SECONDS_MIN)
    quiet(subject)
    busy_before = _others_s(subject)
    began = time.perf_counter()
    if rate > FAST_RATE and shutil.which("wrk") is not None:
        before = subject.cpu_ns()
        calls, seconds = _wrk(subject.address, wish, connections, duration_s)
        spent_ns = subject.cpu_ns() - before
    else:
        warming_s = min(WARMING_S_MAX, 1.3 * connections / max(rate, 1.0))
        window = saturate(
            subject.address,
            wish,
            connections=connections,
            duration_s=warming_s + duration_s,
            cpu_ns=subject.cpu_ns,
        )
        calls, seconds, spent_ns = window.calls, window.seconds, window.cpu_ns
    busy = (_others_s(subject) - busy_before) / (time.perf_counter() - began)
    quiet(subject)
    if calls == 0:
        raise BadAnswerError(f"no answer on {connections} connections")
    return calls, seconds, spent_ns / NS_PER_US, busy


def _others_s(subject: Subject) -> float:
    """Return the CPU seconds of the harness, its children that ended, and the provider."""
    spent = os.times()
    own = spent.user + spent.system + spent.children_user + spent.children_system
    return own + cpu_ns(subject.others) / 1e9


def _wrk(address: Address, wish: Wish, connections: int, duration_s: float) -> tuple[int, float]:
    """Make the load with ``wrk``; return calls and seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        script = Path(folder) / "post.lua"
        headers = (
            f'wrk.headers["{name}"] = "{it}"'
            for name, it in headers_of(address, wish).items()
            if name != "host"  # wrk sends its own, and two are refused
        )
        body = body_of(wish).decode().replace("\\", "\\\\").replace("'", "\\'")
        script.write_text("\n".join(('wrk.method = "POST"', f"wrk.body = '{body}'", *headers)))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(duration_s))}s"]
        url = f"http://127.0.0.1:{address.port}{path_of(wish)}"
        said = subprocess.run(
            [*command, "-s", str(script), url], capture_output=True, text=True, check=True
        ).stdout
    return parse_wrk(said)


def parse_wrk(said: str) -> tuple[int, float]:
    """Return the calls and seconds of ``12345 requests in 2.00s, 3.4MB read``.

    Raises:
        BadAnswerError: not all were answered with 200.
    """
    if "Non-2xx" in said:
        raise BadAnswerError(said)
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", said)
    if found is None:
        raise BadAnswerError(said)
    seconds = float(found[2]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[found[3]]
    return int(found[1]), seconds
