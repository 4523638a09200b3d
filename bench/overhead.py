"""What the sidecar costs a pod, beside a bare aiohttp proxy in the same run: CPU, memory, start.

``python bench/overhead.py`` (about two minutes) starts a fast provider, both candidates pinned to
one core, load and provider on the other; rounds are interleaved, medians and ratios printed. On a
shared machine only ratios of one run compare. CPU is on-CPU time of the candidate's process.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

HERE = Path(__file__).parent
ROUNDS = 5
CALLS = 3000
CONNECTIONS = 16
STREAMS = 40
CHUNKS = 200
GAP_S = 0.005
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CONFIG = """
listen: {{data: 127.0.0.1:0, admin: 127.0.0.1:0, health: 127.0.0.1:0}}
providers:
  one: {{kind: openai, base_url: http://127.0.0.1:{port}/v1}}
  two: {{kind: openai, base_url: http://localhost:{port}/v1}}
models:
  a: {{provider: one, model: bench, quality: 0.9, price: {{input: 1, output: 2}}, context: 100000}}
  b: {{provider: two, model: bench, quality: 0.9, price: {{input: 1, output: 2}}, context: 100000}}
routes:
  bench: {{tiers: [[a], [b]], within: 60s}}
"""


@dataclass
class Candidate:
    """One proxy under measurement."""

    name: str
    process: subprocess.Popen[str]
    port: int
    start_s: float
    idle_mib: float = 0.0
    loaded_mib: float = 0.0
    call_us: list[float] = field(default_factory=list)
    chunk_us: list[float] = field(default_factory=list)

    def cpu_s(self) -> float:
        """Return the CPU seconds spent so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def resident_mib(self) -> float:
        """Return resident memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def started(name: str, command: list[str], cores: set[int]) -> Candidate:
    """Start a candidate on ``cores`` and wait for its first answered call."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, cores)
    port = bound_port(process, is_sidecar=name == "sidecar")
    asyncio.run(load(port, 1, 1))
    candidate = Candidate(name, process, port, time.perf_counter() - began)
    candidate.idle_mib = candidate.resident_mib()
    return candidate


def bound_port(process: subprocess.Popen[str], *, is_sidecar: bool) -> int:
    """Return the port the process says it listens on."""
    assert process.stdout is not None
    assert process.stderr is not None
    if not is_sidecar:
        return int(process.stdout.readline())
    for line in process.stderr:
        if "data" in line and "http://" in line:
            return int(line.rsplit(":", 1)[1])
    message = "the sidecar did not start"
    raise RuntimeError(message)


def request(*, is_stream: bool) -> bytes:
    """Return a request of about 770 bytes."""
    body = json.dumps(
        {
            "model": "bench",
            "messages": [{"role": "user", "content": "Why do things fail? " * 32}],
            "stream": is_stream,
        }
    ).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, calls: int, connections: int) -> None:
    """Make plain calls, one after the other on each connection."""
    data = request(is_stream=False)

    async def one(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            writer.write(data)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b" 200 " in head[:20], head
            mark = head.index(b"content-length:")
            await reader.readexactly(int(head[mark + 15 :].split(b"\r\n")[0]))
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one(calls // connections))


async def streams(port: int, count: int) -> None:
    """Read paced streams side by side."""
    data = request(is_stream=True)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())


def measure(candidate: Candidate) -> None:
    """Run one round."""
    before = candidate.cpu_s()
    uvloop.run(load(candidate.port, CALLS, CONNECTIONS))
    candidate.call_us.append((candidate.cpu_s() - before) / CALLS * 1e6)
    before = candidate.cpu_s()
    uvloop.run(streams(candidate.port, STREAMS))
    candidate.chunk_us.append((candidate.cpu_s() - before) / (STREAMS * CHUNKS) * 1e6)
    candidate.loaded_mib = candidate.resident_mib()


def report(candidates: list[Candidate]) -> None:
    """Print medians, and ratios to the last candidate."""
    cores = os.cpu_count()
    print(f"{platform.platform()}, {cores} cores, CPython {platform.python_version()}")
    print(f"{'':22}{'start s':>9}{'idle MiB':>10}{'loaded':>8}{'us/call':>9}{'us/chunk':>10}")
    for one in candidates:
        call, chunk = statistics.median(one.call_us), statistics.median(one.chunk_us)
        print(
            f"{one.name:22}{one.start_s:9.2f}{one.idle_mib:10.1f}{one.loaded_mib:8.1f}"
            f"{call:9.0f}{chunk:10.0f}"
        )
    ours, bare = candidates
    call = statistics.median(a / b for a, b in zip(ours.call_us, bare.call_us, strict=True))
    chunk = statistics.median(a / b for a, b in zip(ours.chunk_us, bare.chunk_us, strict=True))
    print(f"ratio to {bare.name}: {call:.2f} a call, {chunk:.2f} a chunk (medians of {ROUNDS})")


def main() -> None:
    """Measure and print; processes are killed whatever happens."""
    last = max(os.sched_getaffinity(0))
    proxies, rest = {min(os.sched_getaffinity(0))}, {last}
    os.sched_setaffinity(0, rest)
    command = [sys.executable, str(HERE / "provider.py"), str(GAP_S)]
    provider = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert provider.stdout is not None
    port = int(provider.stdout.readline())
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "sidecar.yaml"
        config.write_text(CONFIG.format(port=port))
        commands = {
            "sidecar": [sys.executable, "-m", "sidecar", "run", "--config", str(config)],
            "bare aiohttp proxy": [sys.executable, str(HERE / "bare_proxy.py"), str(port)],
        }
        candidates = [started(name, command, proxies) for name, command in commands.items()]
        try:
            for _ in range(ROUNDS):
                for candidate in candidates:
                    measure(candidate)
            report(candidates)
        finally:
            for process in (provider, *(one.process for one in candidates)):
                process.kill()


if __name__ == "__main__":
    main()
