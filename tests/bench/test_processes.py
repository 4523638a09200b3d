"""What is read from /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import (
    TICK_S,
    Cores,
    MachineTime,
    cpu_ns,
    descriptors,
    launch,
    memory,
    parse_kib,
    parse_schedstat,
    stop,
    tree,
)

ROLLUP = "55d0-7ffd ---p 00000000 00:00 0   [rollup]\nRss:   50760 kB\nPss:   42355 kB\n"
PARENT = """
import subprocess, sys
code = "import os; print(os.getpid(), flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
input()
child.communicate(b"\\n")
"""


def test_numbers_are_found() -> None:
    """The scheduler's line begins with nanoseconds; memory is found by its key alone."""
    assert parse_schedstat("340992385 764613 100\n") == 340992385
    assert parse_kib(ROLLUP, "Rss") == 50760
    assert parse_kib(ROLLUP, "Pss") == 42355
    assert parse_kib(ROLLUP, "ss") == 0


def test_the_machine_is_busy_or_stolen() -> None:
    """Idle and waiting for disks is not at work; the host's share is told apart."""
    text = "cpu  100 10 50 9000 800 5 35 400 7 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert MachineTime.parse(text) == MachineTime(busy_s=200 * TICK_S, stolen_s=400 * TICK_S)
    assert MachineTime.now().busy_s > 0


@pytest.mark.parametrize(
    ("available", "candidate", "others"),
    [({0, 1}, {0}, {1}), ({4, 2, 3}, {2}, {3, 4}), ({5}, {5}, {5})],
)
def test_the_candidate_has_a_core_alone(
    available: set[int], candidate: set[int], others: set[int]
) -> None:
    """The first core is the candidate's wherever there are two."""
    assert Cores.split(available) == Cores(candidate=frozenset(candidate), others=frozenset(others))


def test_a_tree_has_its_children() -> None:
    """CPU and memory of a process are those of its children too."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert tree(parent.pid) == [parent.pid, child]
        assert memory(parent.pid).resident > memory(child).resident > 1
        assert cpu_ns(parent.pid) > cpu_ns(child) > 0
        parent.communicate(b"\n")
    assert memory(parent.pid).resident == 0


def test_descriptors_are_counted() -> None:
    """An open file is one more."""
    before = descriptors(os.getpid())
    with Path(os.devnull).open("rb"):
        assert descriptors(os.getpid()) == before + 1


def test_launched_on_its_core_and_stopped(tmp_path: Path) -> None:
    """A process starts with the affinity it is given, and SIGTERM ends it."""
    core = frozenset({min(os.sched_getaffinity(0))})
    log = tmp_path / "log"
    log.touch()
    code = "import os; print(os.sched_getaffinity(0), flush=True)"
    code += "; import signal; signal.pause()"
    process = launch([sys.executable, "-c", code], cores=core, log=log, env={}, folder=tmp_path)
    while not log.read_text().endswith("\n"):
        assert process.poll() is None
    assert log.read_text().strip() == str(set(core))
    assert stop(process, 30.0) is not None
    assert process.returncode == -15
