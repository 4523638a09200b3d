"""``python -m bench soak``: hours of trouble in ten minutes; does anything grow, leak or stall?

Saturating callers, paced streams in two formats, slow readers of endless streams, callers that
leave, a provider that fails in some stretches and not in others, and a configuration that changes
(where the sidecar takes note of that: its ``generation`` tells). All the while memory, descriptors
and the sidecar's own counts are sampled, and its health plane is asked at a steady rate. Then the
load ends, and what is left must be what there was before.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import statistics
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.callers import hammer, ping, wander
from bench.candidates import HERE, SIDECAR
from bench.figures import percentile
from bench.processes import descriptors, memory
from bench.running import provider, started

if TYPE_CHECKING:
    from bench.processes import Cores
    from bench.running import Provider, Running

RESULTS = HERE / "results" / "soak.json"
SECONDS = 600
CONNECTIONS = 48
PING_RATE = 10
"""A second, on one connection: its answers must come back faster than this, or pings queue up."""
SAMPLE_S = 2.0
PHASE_S = 20.0
TROUBLE = "error=0.03&cut=0.02&hang=0.0003"
PEACE = "error=0&cut=0&hang=0"
CALM_S_MAX = 120.0
SKIPPED_SHARE = 1 / 3
"""Of the run, at its beginning, whose memory is not looked at: pools and caches fill."""
SLOPE_MIB_PER_HOUR_MAX = 24.0
"""Above what sampling noise of a run of ten minutes explains, far below a leak at saturation."""
LAG_S_MAX = 0.02
DESCRIPTORS_MORE_MAX = 16
HTTP_S_MAX = 10.0
SECONDS_PER_HOUR = 3600


@dataclass(slots=True)
class Samples:
    """What was seen while it ran: instants and MiB, descriptors, the loop's lag by its own word."""

    at_s: list[float] = field(default_factory=list)
    resident_mib: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    loop_lag_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What there is without load."""

    calls: int
    in_flight: int
    waiting: int
    tasks: int | None
    descriptors: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that must hold, and what was seen."""

    what: str
    is_met: bool


def soak(cores: Cores, seconds: float) -> int:
    """Run, print and keep; return 1 if something leaks, grows or stalls."""
    context = multiprocessing.get_context("spawn")
    with (
        provider(cores) as upstream,
        started(SIDECAR, upstream, cores) as running,
        context.Pool(3) as pool,
    ):
        before = left(running)
        health = int(running.places["health"])
        calls = pool.apply_async(hammer, (running.address.port, CONNECTIONS, seconds))
        wanderers = pool.apply_async(wander, (running.address.port, seconds))
        pings = pool.apply_async(ping, (health, PING_RATE, seconds))
        samples = _sampled(running, upstream, seconds)
        patience_s = seconds + CALM_S_MAX
        counts = {**calls.get(patience_s), **wanderers.get(patience_s)}
        lags_s = pings.get(patience_s)
        after = _calmed(running, before)
        is_alive = running.process.poll() is None
    findings = judged(samples, before, after, lags_s)
    lines = [
        f"{seconds:.0f} s; calls by how they ended: "
        + ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())),
        _reloads(before, after),
        *(f"{one.what}: {'met' if one.is_met else '**not met**'}" for one in findings),
    ]
    print("\n".join(lines))
    document = {"lines": lines, "resident_mib": [round(one, 1) for one in samples.resident_mib]}
    RESULTS.write_text(json.dumps(document) + "\n")
    return 0 if is_alive and all(one.is_met for one in findings) else 1


def judged(samples: Samples, before: Left, after: Left, lags_s: list[float]) -> list[Finding]:
    """Hold what was seen against what must be."""
    slope = slope_per_hour(samples.at_s, samples.resident_mib)
    lag_s = percentile(lags_s, 0.999)
    own_s = max(samples.loop_lag_s)
    half_s = percentile(lags_s, 0.5)
    open_calls = after.calls + after.in_flight + after.waiting
    more = after.descriptors - before.descriptors
    tasks = "tasks: not told by the sidecar"
    if after.tasks is not None and before.tasks is not None:
        tasks = f"tasks {before.tasks} before, {after.tasks} after"
    return [
        Finding(
            what=f"memory: {samples.resident_mib[-1]:.1f} MiB at the end, {slope:+.1f} MiB an hour"
            f" after the first third (at most {SLOPE_MIB_PER_HOUR_MAX:g})",
            is_met=slope <= SLOPE_MIB_PER_HOUR_MAX,
        ),
        Finding(what=f"calls left over: {open_calls}", is_met=open_calls == 0),
        Finding(what=tasks, is_met=(after.tasks or 0) <= (before.tasks or after.tasks or 0)),
        Finding(
            what=f"descriptors: {before.descriptors} before, at most {max(samples.descriptors)},"
            f" {after.descriptors} after",
            is_met=more <= DESCRIPTORS_MORE_MAX,
        ),
        Finding(
            what=f"/livez: p50 {half_s * 1000:.1f} ms, p99.9 {lag_s * 1000:.1f} ms; the loop's own"
            f" word: at most {own_s * 1000:.0f} ms",
            is_met=lag_s < LAG_S_MAX,
        ),
    ]


def slope_per_hour(at_s: list[float], values: list[float]) -> float:
    """Return the slope of the least squares line after the first third, per hour."""
    first = int(len(at_s) * SKIPPED_SHARE)
    slope, _ = statistics.linear_regression(at_s[first:], values[first:])
    return slope * SECONDS_PER_HOUR


def left(running: Running) -> Left:
    """Ask the sidecar what it has."""
    state = _state(running)
    endpoints: dict[str, dict[str, Any]] = state["endpoints"]
    return Left(
        calls=state["calls_in_flight"],
        in_flight=sum(one["in_flight"] for one in endpoints.values()),
        waiting=state["waiting"],
        tasks=state.get("tasks"),
        descriptors=descriptors(running.pid),
        generation=state["generation"],
    )


def _sampled(running: Running, upstream: Provider, seconds: float) -> Samples:
    samples = Samples()
    began = time.perf_counter()
    phase = -1
    while (now := time.perf_counter() - began) < seconds:
        if int(now / PHASE_S) != phase:
            phase = int(now / PHASE_S)
            _set_faults(upstream, TROUBLE if phase % 2 else PEACE)
            _change_configuration(running, phase)
        samples.at_s.append(now)
        samples.resident_mib.append(memory(running.pid).resident)
        samples.descriptors.append(descriptors(running.pid))
        samples.loop_lag_s.append(_state(running)["loop_lag_s"])
        time.sleep(SAMPLE_S)
    _set_faults(upstream, PEACE)
    return samples


def _calmed(running: Running, before: Left) -> Left:
    """Wait until what the load left is gone, or the patience."""
    give_up_at = time.perf_counter() + CALM_S_MAX
    while True:
        now = left(running)
        is_calm = now.calls == now.in_flight == now.waiting == 0
        is_calm = is_calm and (now.tasks or 0) <= (before.tasks or now.tasks or 0)
        if is_calm and now.descriptors <= before.descriptors + DESCRIPTORS_MORE_MAX:
            return now
        if time.perf_counter() > give_up_at:
            return now
        time.sleep(SAMPLE_S)


def _change_configuration(running: Running, phase: int) -> None:
    """Rewrite a price in the file; signal it only to a process that would not die of it."""
    path = Path(running.places["folder"]) / "sidecar.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub(r"output: 2[.\d]*", f"output: 2.{phase % 9}", text, count=1), encoding="utf-8"
    )
    status = (Path("/proc") / str(running.pid) / "status").read_text()
    if catches(status, signal.SIGHUP):
        os.kill(running.pid, signal.SIGHUP)


def catches(status: str, number: int) -> bool:
    """Return whether a process of this ``/proc/PID/status`` has a handler for a signal."""
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def _reloads(before: Left, after: Left) -> str:
    if before.generation == after.generation:
        return "reloads: none, this version reads its configuration once"
    return f"reloads: {after.generation - before.generation}"


def _state(running: Running) -> dict[str, Any]:
    url = f"http://127.0.0.1:{running.places['admin']}/api/v1/state"
    with urllib.request.urlopen(url, timeout=HTTP_S_MAX) as answer:
        state: dict[str, Any] = json.load(answer)
    return state


def _set_faults(upstream: Provider, faults: str) -> None:
    with socket.create_connection(("127.0.0.1", upstream.ports[0]), HTTP_S_MAX) as client:
        client.sendall(f"GET /faults?{faults} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
        client.recv(1024)
