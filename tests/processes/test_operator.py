"""An operator at a terminal: looks, asks, drills, and sees each again where it matters."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.processes.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.processes.conftest import Sidecar

    Start = Callable[[str], Awaitable[Sidecar]]
    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]


async def tell(sidecar: Sidecar, *words: str) -> tuple[int, str, str]:
    """Run a command against ``sidecar``; return its exit code and what it printed."""
    command = [sys.executable, "-m", "sidecar.cli.main", *words, "--admin", sidecar.url("admin")]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def events(sidecar: Sidecar) -> list[dict[str, Any]]:
    """Return what happened."""
    async with sidecar.http.get(f"{sidecar.url('admin')}/api/v1/timeline") as answer:
        told: list[dict[str, Any]] = (await answer.json())["events"]
        return told


async def test_a_drill_is_survived_and_shown_everywhere(
    start: Start, config: Callable[..., str], until: Until
) -> None:
    """Callers notice nothing; state, terminal, timeline and log tell of it from first to last."""
    sidecar = await start(config() + "drills: enabled\n")
    assert (await sidecar.chat()).attempts == ["alpha/alpha-sim:OK"]
    code, out, _ = await tell(
        sidecar, "drill", "--endpoint", "alpha/alpha-sim", "--fault", "500", "--for", "2s"
    )
    assert (code, out) == (0, "alpha/alpha-sim: 500 for 100%, ends in 2 s\n")
    answer = await sidecar.chat()
    assert answer.status == 200
    assert answer.attempts == ["alpha/alpha-sim:S5", "beta/beta-sim:OK"]
    assert "DRILL: 500 at alpha/alpha-sim, 100%" in (await tell(sidecar, "status"))[1]

    async def is_over() -> bool:
        return not (await sidecar.state())["drills"]["drills"]

    await until(is_over, "the drill ends")
    texts = [one["text"] for one in await events(sidecar)]
    assert sum("drill 500 at alpha/alpha-sim" in text for text in texts) == 2
    log = sidecar.log.read_text()
    assert log.count("drill endpoint=alpha/alpha-sim fault=500") == 2


async def test_drills_are_off_unless_permitted(sidecar: Sidecar) -> None:
    """The refusal says what to write."""
    code, out, err = await tell(
        sidecar, "drill", "--endpoint", "alpha/alpha-sim", "--fault", "hang"
    )
    assert (code, out) == (1, "")
    assert "answered 403: drills are off; write `drills: enabled`" in err
    assert "drills are off" in (await tell(sidecar, "drill", "--list"))[1]


async def test_a_reload_that_forbids_drills_ends_them(
    start: Start, config: Callable[..., str], until: Until
) -> None:
    """What the file says holds at once."""
    sidecar = await start(config() + "drills: enabled\n")
    words = ("drill", "--endpoint", "alpha/alpha-sim", "--fault", "hang", "--for", "1h")
    assert (await tell(sidecar, *words))[0] == 0
    (sidecar.log.parent / "sidecar.yaml").write_text(config())

    async def is_off() -> bool:
        return not (await sidecar.state())["drills"]["enabled"]

    await until(is_off, "the drill ends")
    assert (await sidecar.chat()).attempts == ["alpha/alpha-sim:OK"]


async def test_explain_says_what_a_call_then_does(sidecar: Sidecar) -> None:
    """The first candidate is whom the next call is sent to; an isolated one is told as such."""
    code, out, _ = await tell(sidecar, "explain", "quick", "--json")
    explained = json.loads(out)
    assert (code, explained["decision"]) == (0, "attempt")
    first = explained["candidates"][0]["endpoint"]
    assert (await sidecar.chat()).attempts == [f"{first}:OK"]
    path = f"{sidecar.url('admin')}/api/v1/endpoints/{first}/isolate"
    async with sidecar.http.post(path) as answer:
        assert answer.status == 200
    code, out, _ = await tell(sidecar, "explain", "quick")
    assert code == 0
    assert "out: an operator took it out" in out
    assert (await sidecar.chat()).attempts == ["beta/beta-sim:OK"]
    code, out, _ = await tell(sidecar, "explain", "quick", "--budget", "0.0000001")
    assert (code, "refuse: infeasible" in out) == (3, True)


async def test_explain_leaves_no_trace(sidecar: Sidecar) -> None:
    """Asking changes nothing that a call would."""
    await sidecar.chat()
    before = await sidecar.state()
    for _ in range(3):
        await tell(sidecar, "explain", "quick")
    after = await sidecar.state()
    for name, one in after["endpoints"].items():
        assert one["attempts"] == before["endpoints"][name]["attempts"]
    assert after["routes"] == before["routes"]


async def test_status_and_top_show_the_same(sidecar: Sidecar) -> None:
    """Every endpoint and every task is there, and the last call."""
    await sidecar.chat()
    _, status, _ = await tell(sidecar, "status")
    code, top, _ = await tell(sidecar, "top", "--count", "1")
    assert code == 0
    for text in ("alpha/alpha-sim", "beta/beta-sim", "quick"):
        assert text in status
        assert text in top
    assert "quick: ok by alpha/alpha-sim" in top
    assert json.loads((await tell(sidecar, "status", "--json"))[1])["generation"] == 1


async def test_nobody_there_is_told(sidecar: Sidecar) -> None:
    """A clear message and exit code 1, from every command that asks."""
    sidecar.kill()
    for words in (("status",), ("top",), ("explain", "quick"), ("drill", "--list")):
        code, out, err = await tell(sidecar, *words)
        assert (code, out) == (1, "")
        assert "no sidecar answers at" in err
