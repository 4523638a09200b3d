"""``python -m bench.telemetry``: what telemetry takes of a call, in CPU of all threads together.

Events of calls with their attempts are recorded once and handed over again, with a collector in
another process that takes everything. So nothing is measured but telemetry: on a shared machine a
whole call's cost wanders by more. The least of the rounds is what it costs undisturbed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.server
import random
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import uvloop

from sidecar.catalogue import Catalogue
from sidecar.domain import CallId
from sidecar.events import AttemptFinished, CallFinished
from sidecar.simulate.world import default_endpoints, play
from sidecar.telemetry.environment import read_environment
from sidecar.telemetry.settings import TelemetrySettings
from sidecar.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.events import Event
    from sidecar.simulate.world import World

CALLS, RATE_PER_S, ROUNDS = 4000, 40.0, 9
STROKE, WAITING_MOST = 128, 1024
ENDPOINT, RATIO = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER_ARG"
SAMPLER = {"OTEL_TRACES_SAMPLER": "traceidratio"}
NONE = "none"
SETTINGS: dict[str, dict[str, str]] = {
    "no exporter (metrics counted, pulled)": {},
    "metrics pushed, no traces": {"OTEL_TRACES_EXPORTER": NONE},
    "metrics and traces, sampling 0": {**SAMPLER, RATIO: "0"},
    "metrics and traces, sampling 0.05": {**SAMPLER, RATIO: "0.05"},
    "metrics and traces, sampling 1": {**SAMPLER, RATIO: "1"},
}


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read and say that all is well."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """Run a collector in a process of its own; yields its address."""
    command = [sys.executable, "-m", "bench.telemetry", "collect"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.communicate()


def recorded() -> list[Event]:
    """Return the events of some calls, from a world in simulated time, under random ids."""

    async def calls(world: World) -> None:
        await world.load(CALLS / RATE_PER_S, rate_per_s=RATE_PER_S, route="pair")

    world = play(calls)
    rng = random.Random(1)
    ids: dict[str, CallId] = {}
    told: list[Event] = []
    for event in world.recorder.events:
        if isinstance(event, AttemptFinished | CallFinished):
            known = ids.setdefault(event.call_id, CallId(f"call_{rng.getrandbits(96):024x}"))
            told.append(replace(event, call_id=known))
    return told


async def measure(env: dict[str, str], events: list[Event], catalogue: Catalogue) -> float:
    """Return the CPU of a call in microseconds, of loop and thread together."""
    telemetry = Telemetry(read_environment(env), TelemetrySettings(), lambda: catalogue)
    telemetry.start()
    gc.collect()
    calls = sum(isinstance(event, CallFinished) for event in events)
    began = time.process_time()
    for first in range(0, len(events), STROKE):
        for event in events[first : first + STROKE]:
            telemetry.on_event(event)
        telemetry.absorb(0.0, 1e9)
        if telemetry.waiting > WAITING_MOST:
            await asyncio.sleep(0.05)
    await telemetry.aclose()
    return (time.process_time() - began) / calls * 1e6


def main() -> None:
    """Measure, or be the collector."""
    if sys.argv[1:] == ["collect"]:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
        print(server.server_port, flush=True)
        server.serve_forever()
    found: dict[str, list[float]] = {name: [] for name in SETTINGS}
    events = recorded()
    catalogue = Catalogue(endpoints={one.id: one for one in default_endpoints()}, routes={})
    with collector() as url:
        for _ in range(ROUNDS):
            for name, env in SETTINGS.items():
                given = {**env, ENDPOINT: url} if env else {}
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    found[name].append(runner.run(measure(given, events, catalogue)))
    print("| telemetry | us of CPU a call, least of rounds | median |\n|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {min(values):.1f} | {statistics.median(values):.1f} |")


if __name__ == "__main__":
    main()
