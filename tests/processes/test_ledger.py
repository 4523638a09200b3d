"""The ledger between real processes: kills, disks that refuse, and questions from outside."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.ledger.reading import NotALedgerError, read_file
from sidecar.ledger.records import CallQuery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.processes.conftest import Answer, Sidecar

    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]
    Start = Callable[[str], Awaitable[Sidecar]]

ROOT = Path(__file__).parents[2]
ALL = CallQuery(limit=1000)
BROKEN = b"broken" * 1000


def ask_outside(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `sidecar calls` as an operator would."""
    command = [sys.executable, "-m", "sidecar.cli.main", "calls", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


async def several(sidecar: Sidecar, count: int) -> list[Answer]:
    """Ask ``count`` times at once."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sidecar.chat()) for _ in range(count)]
    return [task.result() for task in tasks]


def ids(answers: list[Answer]) -> set[str]:
    """Return the ids that the callers were told."""
    return {answer.headers["x-sidecar-call-id"] for answer in answers}


def saved_in(file: Path) -> set[str]:
    """Return the ids of the calls in a ledger, none while there is no ledger."""
    try:
        return {one.call_id for one in read_file(file, ALL)}
    except NotALedgerError:
        return set()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the ledger is kept."""
    return tmp_path / "ledger.db"


@pytest.fixture
def damaged(file: Path) -> Path:
    """A ledger that is none any more."""
    file.write_bytes(BROKEN)
    return file


async def test_kill_loses_at_most_the_last_batch(
    start: Start, config: Callable[..., str], file: Path, until: Until
) -> None:
    """After kill -9 in full traffic every batch is whole, what was saved is there, and the next
    process goes on with the same file.
    """
    text = config() + f"ledger: {{path: {file}}}\n"
    sidecar = await start(text)
    first = ids(await several(sidecar, 20))

    async def is_saved() -> bool:
        return first <= saved_in(file)

    await until(is_saved, "the first calls are in the file")
    under_way = asyncio.ensure_future(several(sidecar, 50))
    await sidecar.chat()
    sidecar.process.send_signal(signal.SIGKILL)
    assert await sidecar.ended() == -signal.SIGKILL
    await asyncio.wait([under_way])
    under_way.exception()  # those that were cut, if any were still open

    calls = read_file(file, ALL)
    assert first <= {one.call_id for one in calls}
    assert all(one.attempts for one in calls), "a call without its attempts is half a batch"

    again = await start(text)
    later = ids(await several(again, 5))
    async with again.http.get(f"{again.url('admin')}/api/v1/calls?limit=1000") as answer:
        shown = {one["call_id"] for one in (await answer.json())["calls"]}
    assert first | later <= shown
    days = (await again.state())["ledger"]["days"]
    assert sum(row["calls"] for row in days) == len(calls) + 5
    again.process.send_signal(signal.SIGINT)
    assert await again.ended() == 0
    assert later <= saved_in(file)


async def test_a_place_that_takes_nothing_refuses_no_call(
    start: Start, config: Callable[..., str]
) -> None:
    """Callers notice nothing; state, metrics and one line of the log tell the operator."""
    sidecar = await start(config() + "ledger: {path: /sys/ledger.db}\n")
    answers = await several(sidecar, 20)
    assert {answer.status for answer in answers} == {200}
    async with sidecar.http.get(f"{sidecar.url('admin')}/api/v1/calls") as answer:
        assert {one["call_id"] for one in (await answer.json())["calls"]} == ids(answers)
    ledger = (await sidecar.state())["ledger"]
    assert ledger["store"] == "memory"
    assert ledger["problem"]
    async with sidecar.http.get(f"{sidecar.url('health')}/metrics") as answer:
        assert "\nsidecar_ledger_file_usable 0\n" in await answer.text()
    sidecar.process.send_signal(signal.SIGINT)
    assert await sidecar.ended() == 0
    assert sidecar.log.read_text().count("WARNING sidecar ledger") == 1


async def test_a_damaged_file_refuses_no_call(
    start: Start, config: Callable[..., str], damaged: Path
) -> None:
    """What is no database is moved aside with one warning, and the ledger goes on in a file."""
    sidecar = await start(config() + f"ledger: {{path: {damaged}}}\n")
    told = ids(await several(sidecar, 3))
    assert (await sidecar.state())["ledger"]["problem"] is None
    sidecar.process.send_signal(signal.SIGINT)
    assert await sidecar.ended() == 0
    assert saved_in(damaged) == told
    assert damaged.with_name("ledger.db.corrupt").read_bytes() == BROKEN
    assert sidecar.log.read_text().count("WARNING sidecar ledger") == 1


async def test_operators_ask_from_outside(
    start: Start, config: Callable[..., str], file: Path, tmp_path: Path
) -> None:
    """`sidecar calls` shows the same by the admin plane and by the file, and exports it."""
    sidecar = await start(config() + f"ledger: {{path: {file}}}\n")
    told = ids([*await several(sidecar, 3), await sidecar.chat("alpha-sim")])
    missing = await sidecar.chat("alpha-sim", max_tokens=5, sidecar={"budget": 1e-12})
    assert missing.status == 422
    admin = sidecar.url("admin")
    by_plane = await asyncio.to_thread(ask_outside, "--admin", admin, "--json")
    by_file = await asyncio.to_thread(ask_outside, "--ledger", str(file), "--json")
    assert by_plane.stdout == by_file.stdout
    calls: list[dict[str, Any]] = json.loads(by_plane.stdout)
    assert told < {one["call_id"] for one in calls}
    assert all(one["cost_usd"] > 0 for one in calls if not one["is_failed"])
    failed = await asyncio.to_thread(ask_outside, "--admin", admin, "--failed", "--since", "1h")
    (line,) = failed.stdout.splitlines()
    assert " alpha-sim infeasible - " in line
    export = tmp_path / "out.jsonl"
    done = await asyncio.to_thread(
        ask_outside, "--admin", admin, "--route", "quick", "--export", str(export)
    )
    assert done.returncode == 0
    exported = [json.loads(one) for one in export.read_text().splitlines()]
    assert exported == [one for one in calls if one["route"] == "quick"]
