"""The examples' pods, really run: apart in root, user and privileges, together in their network."""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pod.conftest import KEYS
from tests.pod.kubelet import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.pod.conftest import World

    Start = Callable[..., Awaitable[World]]

MIB = 1024 * 1024


def status_of(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def root_options(pid: int) -> list[str]:
    """Return how a process' root is mounted."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines()
    (fields,) = (fields for fields in map(str.split, lines) if fields[4] == "/")
    return fields[5].split(",")


def is_of_a_cut(error: str) -> bool:
    """Say whether an SDK speaks of a stream whose connection ended under it."""
    return "stream was cut" in error or "peer closed connection" in error


async def test_the_pod_is_what_the_manifest_says(start: Start) -> None:
    """The app starts after the sidecar is up; each has its own user and root, and no privilege; the
    sidecar is ready seen from outside, where its other planes are not.
    """
    world = await start()
    await world.more(2)
    assert world.pod.told[:3] == [
        "start llm-sidecar",
        "llm-sidecar has started",
        "start app",
    ]
    for container, user in ((world.sidecar, 65532), (world.app, 10001)):
        pid = container.process.pid
        assert pid is not None
        status = status_of(pid)
        assert status["Uid"].split() == [str(user)] * 4
        assert status["NoNewPrivs"] == "1"
        assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
        assert status["NSpid"].split()[1:] == ["1"]
        assert "ro" in root_options(pid)
    assert world.pod.probe(world.sidecar, "readinessProbe")
    assert world.pod.probe(world.sidecar, "livenessProbe")
    for port in (4180, 4181):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((world.pod.network.inside, port), timeout=5)
    assert world.errors() == []


async def test_neither_an_outage_nor_a_crash_reaches_the_app(start: Start) -> None:
    """A provider dies: calls to come, and those that had no content yet, are answered by the other.
    The sidecar is killed: it alone is started again, and an app that tries again is answered.
    """
    world = await start(callers=4)
    await world.more(4, model="claude-sonnet-5-5")
    world.providers["anthropic"].kill()
    await world.more(8, model="gpt-6.1-sol")
    assert world.readiness()["ready"]
    # A stream that had begun ends in an error that says so; half of the callers stream.
    assert [line for line in world.errors() if "broke off mid-answer" not in line["error"]] == []
    assert len(world.errors()) <= 2

    known = world.errors()
    world.sidecar.process.tell(signal.SIGKILL)
    await until(lambda: len(world.sidecar.runs) == 2, "it is started again")
    await world.more(8, model="gpt-6.1-sol")
    assert world.sidecar.runs[0].exit_code() != 0
    assert len(world.app.runs) == 1
    cut = [line for line in world.errors()[len(known) :] if not is_of_a_cut(line["error"])]
    assert cut == []


async def test_configuration_and_keys_change_under_load(start: Start) -> None:
    """A swapped ConfigMap and a swapped Secret are taken over while calls go on, a bad
    configuration is refused and seen, and not one call is lost. A provider whose key was wrong is
    called again as soon as the right one is there.
    """
    world = await start(callers=4, keys={**KEYS, "openai": "of last year"})
    await world.more(4)
    volumes = world.pod.volumes
    volumes["llm-sidecar-config"].write({"sidecar.yaml": "providers: none of your business\n"})
    await until(lambda: "error" in world.readiness()["config"], "the bad one is refused")
    assert world.readiness()["config"]["generation"] == 1

    better = world.config.replace("[[sonnet, sol], [haiku, luna]]", "[[luna], [haiku]]")
    volumes["llm-sidecar-config"].write({"sidecar.yaml": better})
    await until(lambda: world.readiness()["config"]["generation"] == 2, "the good one is in force")
    assert "error" not in world.readiness()["config"]
    await world.more(4, model="claude-haiku-5-5")

    volumes["llm-sidecar-keys"].write(KEYS)
    await world.more(4, model="gpt-6-luna")
    assert world.errors() == []
    assert len(world.sidecar.runs) == 1


async def test_a_deleted_pod_ends_in_order(start: Start) -> None:
    """The app is told first, finishes its streams, makes the calls it still needs, and ends; then
    the sidecar is told, and ends at once with 0.
    """
    world = await start(callers=4, after=6, itl_s=0.01)
    await world.more(1)
    before = len(world.lines())
    await world.pod.delete()
    assert world.pod.told[-4:] == [
        "SIGTERM app",
        "app ended with 0",
        "SIGTERM llm-sidecar",
        "llm-sidecar ended with 0",
    ]
    assert world.errors() == []
    assert world.lines()[-1] == {"last": "all is done"}
    assert len(world.lines()) >= before + 4 + 6
    assert "grace is over" not in world.sidecar.said()


async def test_older_clusters_tell_both_at_once(start: Start) -> None:
    """Beside a sidecar that is a plain container the app's last calls are answered all the same,
    and the sidecar ends when the app has hung up.
    """
    world = await start(callers=4, after=6, itl_s=0.01)
    await world.more(1)
    await world.pod.delete_at_once()
    assert world.errors() == []
    assert world.lines()[-1] == {"last": "all is done"}
    assert world.sidecar.process.exit_code() == 0
    assert "grace is over" not in world.sidecar.said()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the Job's script calls curl")
async def test_a_job_completes(start: Start) -> None:
    """The shell's Job asks its questions by curl and is complete, sidecar and all."""
    world = await start("shell")
    await world.pod.completed()
    assert world.pod.told[-3:] == [
        "all apps are done",
        "SIGTERM llm-sidecar",
        "llm-sidecar ended with 0",
    ]
    assert world.app.process.exit_code() == 0
    answers = world.lines()
    assert len(answers) == 3
    assert all(answer["output"] for answer in answers)


async def test_the_memory_limit_holds_under_load(start: Start) -> None:
    """Prompts of megabytes by the dozen: what does not fit is shed, the process is not killed, and
    stays within what the manifest gives it.
    """
    world = await start(callers=12, prompt_bytes=2 * MIB)
    if not world.sidecar.memory.folders:
        pytest.skip("cgroups cannot be made here")
    await world.more(24)
    assert world.sidecar.manifest["resources"]["limits"]["memory"] == "256Mi"
    assert world.sidecar.memory.kills() == 0
    assert world.sidecar.memory.peak_bytes() < 256 * MIB
    assert len(world.sidecar.runs) == 1
