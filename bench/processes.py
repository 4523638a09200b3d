"""What Linux knows of a process and its children: CPU, memory, descriptors; starting and stopping.

CPU is on-CPU time of the whole tree in nanoseconds, from the scheduler's own count, so that windows
of a second are exact enough. Memory is that of the tree: resident (pages shared between its
processes count twice) and proportional (they count once).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROC = Path("/proc")
KIB = 1024
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
POLL_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """MiB of a process tree."""

    resident: float
    proportional: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Which cores the candidate has alone, and which all else shares."""

    candidate: frozenset[int]
    others: frozenset[int]

    @classmethod
    def split(cls, available: set[int]) -> Cores:
        """Give the first core to the candidate and the others to load and provider."""
        first, *rest = sorted(available)
        return cls(candidate=frozenset({first}), others=frozenset(rest or [first]))


def parse_schedstat(text: str) -> int:
    """Return the nanoseconds on a CPU: the first of three numbers."""
    return int(text.split(maxsplit=1)[0])


def parse_kib(text: str, key: str) -> int:
    """Return the number of ``key:   123 kB``, 0 if there is no such line."""
    found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return 0 if found is None else int(found[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineTime:
    """Seconds since boot, of all cores together: at work, and taken by the host for others."""

    busy_s: float
    stolen_s: float

    @classmethod
    def parse(cls, text: str) -> MachineTime:
        """Read ``/proc/stat``, whose first line is ``cpu user nice system idle iowait irq ...``."""
        ticks = [int(part) for part in text.split("\n", 1)[0].split()[1:]]
        user, nice, system, _idle, _waiting, hard, soft, stolen = ticks[:8]
        busy = user + nice + system + hard + soft
        return cls(busy_s=busy * TICK_S, stolen_s=stolen * TICK_S)

    @classmethod
    def now(cls) -> MachineTime:
        """Read it now."""
        return cls.parse((PROC / "stat").read_text())


def tree(pid: int) -> list[int]:
    """Return ``pid`` and all its descendants that live."""
    found = [pid]
    for one in found:
        for task in _tasks(one):
            with contextlib.suppress(OSError):
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_ns(pid: int) -> int:
    """Return the nanoseconds that the tree has been on a CPU, threads that ended left out."""
    total = 0
    for one in tree(pid):
        for task in _tasks(one):
            with contextlib.suppress(OSError):
                total += parse_schedstat((task / "schedstat").read_text())
    return total


def memory(pid: int) -> Memory:
    """Return what the tree holds now."""
    resident = proportional = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            text = (PROC / str(one) / "smaps_rollup").read_text()
            resident += parse_kib(text, "Rss")
            proportional += parse_kib(text, "Pss")
    return Memory(resident=resident / KIB, proportional=proportional / KIB)


def descriptors(pid: int) -> int:
    """Return how many files and sockets the process itself has open."""
    return sum(1 for _ in (PROC / str(pid) / "fd").iterdir())


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody had a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def launch(
    command: Sequence[str],
    *,
    cores: frozenset[int],
    log: Path,
    env: Mapping[str, str],
    folder: Path,
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own on ``cores``, its output in ``log``."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # inherited from the first instruction on
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env={**os.environ, **env},
                start_new_session=True,
            )
    finally:
        os.sched_setaffinity(0, before)


def stop(process: subprocess.Popen[bytes], patience_s: float) -> float | None:
    """Send SIGTERM; return the seconds until the exit, None if it had to be killed."""
    began = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        if time.perf_counter() - began > patience_s:
            kill(process)
            return None
        time.sleep(POLL_S)
    took_s = time.perf_counter() - began
    kill(process)  # children that outlived it
    return took_s


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the whole session, whatever is left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tasks(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []
