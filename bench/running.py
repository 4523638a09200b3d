"""Candidates and the provider as processes: started on their cores, awaited, stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.asking import PLAIN, Address
from bench.candidates import HERE, ROOT, filled, written
from bench.load import BadAnswerError, call
from bench.processes import Cores, cpu_ns, free_port, kill, launch, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.candidates import Candidate

TRY_AGAIN_S = 0.002
STOP_S_MAX = 40.0
LOG_SHOWN_CHARS = 2000


class StartError(Exception):
    """A candidate did not answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A candidate that answers. ``start_s``: from the command to the end of the first answer."""

    candidate: Candidate
    process: subprocess.Popen[bytes]
    address: Address
    start_s: float
    places: dict[str, str]

    @property
    def pid(self) -> int:
        """Return the root of its process tree."""
        return self.process.pid

    def cpu_ns(self) -> int:
        """Return the tree's CPU so far."""
        return cpu_ns(self.pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The simulated provider."""

    process: subprocess.Popen[str]
    ports: tuple[int, int]

    @property
    def address(self) -> Address:
        """Return where it is asked directly."""
        return Address(port=self.ports[0])


@contextmanager
def provider(cores: Cores) -> Iterator[Provider]:
    """Run the provider."""
    ports = (free_port(), free_port())
    command = [sys.executable, str(HERE / "provider.py"), f"{ports[0]},{ports[1]}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(process.pid, cores.others)
        assert process.stdout is not None
        if "listening" not in process.stdout.readline():
            raise StartError("the provider does not listen")
        yield Provider(process=process, ports=ports)
    finally:
        process.kill()
        process.communicate()  # waits, and closes the pipe


@contextmanager
def started(candidate: Candidate, upstream: Provider, cores: Cores) -> Iterator[Running]:
    """Run a candidate; it is killed at the end if it still lives.

    Raises:
        StartError: it ended or did not answer in time; holds the end of its log.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        places = {
            "folder": str(folder),
            "one": str(upstream.ports[0]),
            "two": str(upstream.ports[1]),
            **{name: str(free_port()) for name in ("port", "admin", "health")},
        }
        written(candidate, folder, places)
        headers = {name: filled(text, places) for name, text in candidate.headers.items()}
        address = Address(port=int(places["port"]), headers=headers)
        command = [filled(part, places) for part in candidate.command]
        log = folder / "log"
        began = time.perf_counter()
        process = launch(
            command, cores=cores.candidate, log=log, env=dict(candidate.env), folder=ROOT
        )
        stack.callback(kill, process)
        _await_answer(candidate, address, process, log)
        yield Running(
            candidate=candidate,
            process=process,
            address=address,
            start_s=time.perf_counter() - began,
            places=places,
        )


def stopped(running: Running) -> float | None:
    """Stop a candidate; return the seconds from SIGTERM to exit, None if it had to be killed."""
    return stop(running.process, STOP_S_MAX)


def _await_answer(
    candidate: Candidate, address: Address, process: subprocess.Popen[bytes], log: Path
) -> None:
    give_up_at = time.perf_counter() + candidate.start_s_max
    last: Exception | None = None
    while time.perf_counter() < give_up_at and process.poll() is None:
        try:
            call(address, PLAIN)
        except (OSError, BadAnswerError) as error:
            last = error
            time.sleep(TRY_AGAIN_S)
        else:
            return
    said = log.read_text(errors="replace")[-LOG_SHOWN_CHARS:]
    raise StartError(f"{candidate.name} does not answer: {last}\n{said}")
