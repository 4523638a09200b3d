"""A running sidecar whose configuration changes: by a swapped link, an editor, a signal; for better
and for worse, and always under load.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes.conftest import Sidecar, spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import aiohttp

    from tests.processes.conftest import Provider

    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]

CALLERS = 6


def only(config: str, model: str) -> str:
    """Return a configuration whose route leads to one model alone."""
    return config.replace("[[alpha-sim], [beta-sim]]", f"[[{model}]]")


def publish(mount: Path, text: str) -> Path:
    """Write the configuration as a kubelet does: a new directory, and ``..data`` swapped to it."""
    stamp = f"..{len(list(mount.iterdir()))}"
    (mount / stamp).mkdir()
    (mount / stamp / "sidecar.yaml").write_text(text)
    (mount / "..data_tmp").symlink_to(stamp)
    (mount / "..data_tmp").rename(mount / "..data")
    link = mount / "sidecar.yaml"
    if not link.is_symlink():
        link.symlink_to("..data/sidecar.yaml")
    return link


async def readyz(sidecar: Sidecar) -> tuple[int, dict[str, Any]]:
    """Return what readiness says, and of the configuration."""
    async with sidecar.http.get(f"{sidecar.url('health')}/readyz") as answer:
        return answer.status, (await answer.json())["config"]


async def generation(sidecar: Sidecar) -> int:
    """Return which configuration is in force."""
    number: int = (await readyz(sidecar))[1]["generation"]
    return number


@asynccontextmanager
async def load(sidecar: Sidecar) -> AsyncIterator[Counter[str]]:
    """Call all the while, in plain and in streams; yields who answered how often, or what else."""
    seen: Counter[str] = Counter()
    is_over = False

    async def caller(number: int) -> None:
        while not is_over:
            is_stream = number % 2 == 1
            answer = await sidecar.chat(stream=is_stream)
            is_whole = answer.status == 200 and (not is_stream or "data: [DONE]" in answer.text)
            name = answer.headers.get("x-sidecar-model", "?")
            seen[name if is_whole else f"{answer.status}: {answer.text[-300:]}"] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(number))
        try:
            yield seen
        finally:
            is_over = True


@pytest.fixture
async def mounted(
    tmp_path: Path, config: Callable[..., str], http_session: aiohttp.ClientSession, until: Until
) -> AsyncIterator[tuple[Sidecar, Path]]:
    """A sidecar whose configuration is mounted like a ConfigMap, and the mount."""
    mount, log = tmp_path / "etc", tmp_path / "log.txt"
    mount.mkdir()
    sidecar = Sidecar(spawn(publish(mount, config()), log), log, http_session)
    try:
        await until(sidecar.is_ready, "the sidecar listens")
        yield sidecar, mount
    finally:
        sidecar.kill()


async def test_a_swapped_config_map_moves_the_calls(
    mounted: tuple[Sidecar, Path], config: Callable[..., str], until: Until
) -> None:
    """Under load the calls move to the other provider and back, and none fails."""
    sidecar, mount = mounted

    async with load(sidecar) as seen:
        for number, model in enumerate(("beta-sim", "alpha-sim", "beta-sim"), start=2):
            publish(mount, only(config(), model))

            async def is_in_force(number: int = number) -> bool:
                return await generation(sidecar) == number

            await until(is_in_force, f"generation {number} is in force")
            name = f"{model.partition('-')[0]}/{model}"
            before = seen[name]

            async def is_used(name: str = name, before: int = before) -> bool:
                return seen[name] > before + 2 * CALLERS

            await until(is_used, f"{name} answers")
    assert set(seen) == {"alpha/alpha-sim", "beta/beta-sim"}, seen
    state = await sidecar.state()
    assert state["generation"] == 4
    assert state["config"]["reloads"] == 3
    assert sum(one["in_flight"] for one in state["endpoints"].values()) == 0


async def test_a_stream_outlives_the_provider_it_comes_from(
    mounted: tuple[Sidecar, Path], config: Callable[..., str], until: Until
) -> None:
    """A provider that is taken out of the configuration ends the answer it is giving."""
    sidecar, mount = mounted
    body = {"model": "alpha-slow", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with sidecar.http.post(f"{sidecar.url()}/v1/chat/completions", json=body) as answer:
        got = await answer.content.readany()
        lines = [line for line in config().splitlines() if "alpha" not in line]
        publish(
            mount, "\n".join(lines).replace("routes:", "routes:\n  quick: {tiers: [[beta-sim]]}")
        )

        async def is_gone() -> bool:
            return "alpha/alpha-slow" not in (await sidecar.state())["endpoints"]

        await until(is_gone, "alpha is gone")
        got += await answer.read()
    assert b"data: [DONE]" in got
    assert b"alpha/alpha-slow:OK" in got
    assert (await sidecar.chat("alpha-slow")).status == 404
    assert (await sidecar.chat()).headers["x-sidecar-model"] == "beta/beta-sim"


async def test_a_bad_file_is_refused_and_said_once(
    mounted: tuple[Sidecar, Path], config: Callable[..., str], until: Until
) -> None:
    """All its mistakes are in readiness, state and log; calls go on, and a good file ends it."""
    sidecar, mount = mounted
    bad = config().replace("kind: openai", "kind: opnai").replace("within: 20s", "within: soon")
    publish(mount, bad)

    async def is_refused() -> bool:
        return "error" in (await readyz(sidecar))[1]

    async with load(sidecar) as seen:
        await until(is_refused, "the file is refused")
    assert set(seen) <= {"alpha/alpha-sim"}, seen
    status, said = await readyz(sidecar)
    assert (status, said["generation"]) == (200, 1)
    assert len(said["error"]) == 2
    assert "opnai" in said["error"][0]
    assert "within" in said["error"][1]
    state = await sidecar.state()
    assert state["config"]["error"] == said["error"]
    assert state["config"]["refused"] == 1
    publish(mount, only(config(), "beta-sim"))

    async def is_good() -> bool:
        return await generation(sidecar) == 2 and not await is_refused()

    await until(is_good, "the good file is in force")
    assert sidecar.log.read_text().count("configuration refused") == 1
    assert (await sidecar.chat()).headers["x-sidecar-model"] == "beta/beta-sim"


async def test_a_deleted_file_changes_nothing(
    sidecar: Sidecar, tmp_path: Path, config: Callable[..., str], until: Until
) -> None:
    """What is missing is reported, and what was read stays; the file may come back as it was."""
    path = tmp_path / "sidecar.yaml"
    text = path.read_text()
    path.unlink()

    async def is_reported() -> bool:
        return "error" in (await readyz(sidecar))[1]

    await until(is_reported, "the missing file is reported")
    assert (await sidecar.chat()).status == 200
    path.write_text(text)

    async def is_well() -> bool:
        return not await is_reported()

    await until(is_well, "the file is back")
    assert await generation(sidecar) == 1


async def test_sighup_has_it_read_again(
    sidecar: Sidecar, tmp_path: Path, config: Callable[..., str], until: Until
) -> None:
    """A signal has the file read even if it looks unchanged, and ends nobody."""
    sidecar.process.send_signal(signal.SIGHUP)

    async def is_read() -> bool:
        return "nothing changed" in sidecar.log.read_text()

    await until(is_read, "the file is read again")
    assert await generation(sidecar) == 1
    path = tmp_path / "sidecar.yaml"
    stat = path.stat()
    path.write_text(config().replace("[alpha-sim], [beta-sim]", "[beta-sim], [alpha-sim]"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    sidecar.process.send_signal(signal.SIGHUP)

    async def is_in_force() -> bool:
        return await generation(sidecar) == 2

    await until(is_in_force, "the change is in force")
    assert (await sidecar.chat()).headers["x-sidecar-model"] == "beta/beta-sim"


async def test_what_needs_a_restart_is_said_and_the_rest_applies(
    sidecar: Sidecar, tmp_path: Path, config: Callable[..., str], until: Until
) -> None:
    """Another address is named in readiness and log; the route of the same file is in force."""
    text = only(config(), "beta-sim").replace('data: "127.0.0.1:0"', 'data: "127.0.0.1:1"')
    (tmp_path / "sidecar.yaml").write_text(text)

    async def is_in_force() -> bool:
        return await generation(sidecar) == 2

    await until(is_in_force, "the change is in force")
    (what,) = (await readyz(sidecar))[1]["needs_restart"]
    assert "listen" in what
    assert "needs a restart for: listen" in sidecar.log.read_text()
    assert (await sidecar.chat()).headers["x-sidecar-model"] == "beta/beta-sim"


async def test_the_breaker_of_who_stays_is_kept(
    alpha: Provider, sidecar: Sidecar, tmp_path: Path, config: Callable[..., str], until: Until
) -> None:
    """An open breaker is still open after a reload, for as long as it would have been."""
    alpha.break_by({"kind": "status", "status": 500})
    state: dict[str, Any] = {}

    async def is_open() -> bool:
        await sidecar.chat()
        state.update((await sidecar.state())["endpoints"]["alpha/alpha-sim"])
        return bool(state["breaker"] == "open")

    await until(is_open, "alpha's breaker is open")
    (tmp_path / "sidecar.yaml").write_text(config().replace("output: 2", "output: 3"))

    async def is_in_force() -> bool:
        return await generation(sidecar) == 2

    await until(is_in_force, "the change is in force")
    after = (await sidecar.state())["endpoints"]["alpha/alpha-sim"]
    assert after["breaker"] in {"open", "half_open"}
    assert after["attempts"] >= state["attempts"] > 0
