"""What the ledger counts, remembers and saves."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

import pytest

from sidecar import clock
from sidecar.domain import OutcomeClass
from sidecar.events import BreakerChanged
from sidecar.ledger import ledger as module
from sidecar.ledger.ledger import Ledger
from sidecar.ledger.reading import read_file
from sidecar.ledger.records import PASSED, PROBE, CallQuery
from sidecar.ledger.settings import LedgerSettings
from sidecar.ledger.sums import NOBODY, OTHER, Sums
from tests.ledger.events import BIG, SMALL, attempt, call, outcome, passage, probe

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.events import Event
    from sidecar.ledger.records import CallRecord

ALL = CallQuery(limit=1000)
DAY_S = 86_400.0
NOWHERE = "/sys/sidecar-ledger.db"
"""Nobody, root neither, makes a file there."""


def told(*events: Event, settings: LedgerSettings | None = None, wall: float = 1010.0) -> Ledger:
    """Return a ledger that heard ``events`` and counted them at 10 s on the loop's clock."""
    ledger = Ledger(settings or LedgerSettings())
    for event in events:
        ledger.on_event(event)
    ledger.absorb(10.0, wall)
    return ledger


def is_usable(ledger: Ledger) -> bool:
    """Return whether the file takes records."""
    return ledger.problem is None


def kept_in(path: Path, memory_calls: int = 10_000) -> LedgerSettings:
    """Return settings with a file."""
    return LedgerSettings(path=str(path), memory_calls=memory_calls)


# --- counting ----------------------------------------------------------------------------------


def test_everything_paid_for_is_counted_once() -> None:
    """Answers, failures, hedges that lost, probes and passages are summed where they belong."""
    won = outcome()
    lost = outcome(SMALL, OutcomeClass.OUTRUN, cost_usd=0.5, is_estimated=True)
    ledger = told(
        attempt("c1", lost, kind="hedge"),
        attempt("c1", won),
        call("c1", won, result="degraded"),
        call("c2", result="shed", endpoint=None),
        probe(outcome(SMALL, cost_usd=0.0), cost_usd=0.125),
        passage("p1", 503, outcome(cls=OutcomeClass.S5, cost_usd=0.0)),
        BreakerChanged(at=1.0, name="a/big", old="closed", new="open", reason="run"),
    )
    tokens = {
        "input_tokens": 100,
        "output_tokens": 20,
        "cached_tokens": 60,
        "cache_write_tokens": 5,
        "reasoning_tokens": 7,
    }
    assert ledger.totals == {
        ("reason", BIG): Sums(calls=1, degraded_calls=1, attempts=1, cost_usd=0.25, **tokens),
        ("reason", SMALL): Sums(
            attempts=1,
            estimated_attempts=1,
            cost_usd=0.5,
            estimated_usd=0.5,
            wasted_usd=0.5,
            **tokens,
        ),
        ("reason", NOBODY): Sums(calls=1, failed_calls=1),
        (PROBE, SMALL): Sums(attempts=1, cost_usd=0.125, **tokens),
        (PASSED, "a"): Sums(calls=1, failed_calls=1, attempts=1, **tokens),
    }


def test_days_are_those_of_the_wall_clock_in_utc() -> None:
    """An event counts on the day on which it happened, whenever it is counted."""
    noon, midnight = 12 * 3600.0, 2 * DAY_S
    ledger = told(
        call("c1", at=10.0 - 1.0), call("c2", at=10.0 + 1.0), wall=midnight, settings=None
    )
    assert {key[0]: sums.calls for key, sums in ledger.days.items()} == {1: 1, 2: 1}
    ledger.on_event(call("c3", at=10.0))
    ledger.absorb(10.0, 40 * DAY_S + noon)
    assert [key[0] for key in ledger.days] == [40], "what is older than is kept is gone"
    assert sum(sums.calls for sums in ledger.totals.values()) == 3, "counters never go back"


def test_a_call_shows_its_attempts_and_their_money() -> None:
    """A call's record holds every attempt, one that settles after it too, and what all cost."""
    won = outcome(at=10.0)
    lost = outcome(SMALL, OutcomeClass.CANCEL, at=10.5, cost_usd=0.5, is_estimated=True)
    ledger = told(attempt("c1", won), call("c1", won), attempt("c1", lost, kind="hedge"))
    (record,) = ledger._memory.calls(ALL)
    assert (record.call_id, record.at, record.model, record.cost_usd, record.is_estimated) == (
        *("c1", 1010.0, "big", 0.75, True),
    )
    assert [(one.kind, one.endpoint, one.outcome, one.reason) for one in record.attempts] == [
        ("first", BIG, "OK", ""),
        ("hedge", SMALL, "CANCEL", "what the provider said"),
    ]
    assert record.attempts[0].first_content_s == 0.5
    assert record.attempts[1].at == 1010.5


def test_memory_is_bounded() -> None:
    """The oldest calls go, with their attempts; attempts of calls that never end do not pile up."""
    events: list[Event] = []
    for number in range(50):
        events += [attempt(f"c{number}", outcome()), call(f"c{number}", outcome())]
        events += [attempt(f"open{number}", outcome())]
    ledger = told(*events, settings=LedgerSettings(memory_calls=5))
    records = ledger._memory.calls(ALL)
    assert [one.call_id for one in records] == [f"c{number}" for number in range(49, 44, -1)]
    assert len(ledger._memory._attempts) <= 11


def test_the_buffer_is_bounded_and_says_what_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that does not run costs the oldest events, and they are counted."""
    monkeypatch.setattr(module, "BUFFER_MAX", 200)
    ledger = told(*(call(f"c{number}") for number in range(260)))
    assert ledger.lost == 60
    assert ledger.totals["reason", BIG].calls == 200


def test_series_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes and endpoints beyond any configuration are summed together."""
    monkeypatch.setattr(module, "SERIES_MAX", 3)
    ledger = told(*(call(f"c{number}", route=f"r{number}") for number in range(10)))
    assert len(ledger.totals) == 4
    assert ledger.totals[OTHER, OTHER].calls == 7


# --- saving ------------------------------------------------------------------------------------


async def test_a_file_survives_its_process(tmp_path: Path) -> None:
    """Records and sums are there after a restart, and go on from there."""
    path = tmp_path / "ledger.db"

    async def life(name: str) -> tuple[Ledger, list[CallRecord]]:
        ledger = Ledger(kept_in(path))
        ledger.start()
        won = outcome(at=clock.now())
        ledger.on_event(attempt(name, won))
        ledger.on_event(call(name, won, at=clock.now()))
        calls = await ledger.calls(ALL)
        await ledger.aclose()
        return ledger, calls

    await life("c1")
    ledger, calls = await life("c2")
    assert [one.call_id for one in calls] == ["c2", "c1"]
    assert [len(one.attempts) for one in calls] == [1, 1]
    assert sum(one.calls for one in ledger.days.values()) == 2
    assert sum(one.calls for one in ledger.totals.values()) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_file(path, ALL) == calls


async def test_closing_saves_what_was_not_counted_yet(tmp_path: Path) -> None:
    """A drain leaves nothing behind in the buffer."""
    ledger = Ledger(kept_in(tmp_path / "ledger.db"))
    ledger.start()
    ledger.on_event(call("last", at=clock.now()))
    await ledger.aclose()
    await ledger.aclose()
    assert [one.call_id for one in read_file(tmp_path / "ledger.db", ALL)] == ["last"]


@pytest.mark.parametrize(
    "content", [b"no database at all" * 500, b"SQLite format 3\0" + b"x" * 9000]
)
async def test_a_damaged_file_is_moved_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage costs the old records, not the new ones, and is said once."""
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    ledger = Ledger(kept_in(path))
    ledger.start()
    ledger.on_event(call("new", at=clock.now()))
    assert [one.call_id for one in await ledger.calls(ALL)] == ["new"]
    await ledger.aclose()
    assert ledger.problem is None
    assert (tmp_path / "ledger.db.corrupt").read_bytes() == content
    assert [one.call_id for one in read_file(path, ALL)] == ["new"]
    assert [one.levelname for one in caplog.records] == ["WARNING"]


async def test_a_file_damaged_inside_is_moved_aside(tmp_path: Path) -> None:
    """Pages that rot behind a sound first one cost no batch either."""
    path = tmp_path / "ledger.db"
    ledger = Ledger(kept_in(path))
    ledger.start()
    for number in range(2000):
        ledger.on_event(call(f"old{number}", at=clock.now()))
    await ledger.calls(ALL)
    await ledger.aclose()
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    again = Ledger(kept_in(path))
    again.start()
    again.on_event(call("new", at=clock.now()))
    assert [one.call_id for one in await again.calls(ALL)] == ["new"]
    await again.aclose()
    assert (tmp_path / "ledger.db.corrupt").exists()


async def test_a_place_that_cannot_be_written_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a usable file the memory serves, one warning tells why, nothing is refused."""
    monkeypatch.setattr(module, "UNSAVED_MAX", 10)
    ledger = Ledger(LedgerSettings(path=NOWHERE))
    ledger.start()
    for number in range(30):
        ledger.on_event(call(f"c{number}", at=clock.now()))
        assert (await ledger.calls(ALL))[0].call_id == f"c{number}"
    await ledger.save()
    assert ledger.problem is not None
    assert (ledger.unsaved_count, ledger.lost) == (10, 20)
    await ledger.aclose()
    warned = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert NOWHERE in warned[0]


async def test_a_place_that_becomes_writable_gets_everything(tmp_path: Path) -> None:
    """What waited for the disk is saved when it is back, records and sums once each."""
    path = tmp_path / "missing" / "ledger.db"
    ledger = Ledger(kept_in(path))
    ledger.start()
    ledger.on_event(call("before", at=clock.now()))
    await ledger.calls(ALL)
    await ledger.save()
    assert not is_usable(ledger)
    path.parent.mkdir()
    ledger.on_event(call("after", at=clock.now()))
    ledger.absorb(clock.now(), clock.wall())
    await ledger.save()
    assert is_usable(ledger)
    assert ledger.lost == 0
    assert [one.call_id for one in await ledger.calls(ALL)] == ["after", "before"]
    await ledger.aclose()
    again = Ledger(kept_in(path))
    again.start()
    await again.save()
    assert sum(one.calls for one in again.days.values()) == 2
    await again.aclose()


async def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    """A path that names somebody else's file by mistake destroys nothing there."""
    import sqlite3  # noqa: PLC0415 - only here

    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    ledger = Ledger(kept_in(path))
    ledger.start()
    ledger.on_event(call("c1", at=clock.now()))
    assert [one.call_id for one in await ledger.calls(ALL)] == ["c1"]
    assert ledger.problem is not None
    assert "another program" in ledger.problem
    await ledger.aclose()
    assert path.read_bytes() == before


async def test_asking_while_many_write_agrees_with_what_was_told(tmp_path: Path) -> None:
    """Questions and batches from several tasks at once lose and double nothing."""
    ledger = Ledger(kept_in(tmp_path / "ledger.db"))
    ledger.start()

    async def tell(name: str) -> None:
        for number in range(50):
            ledger.on_event(call(f"{name}{number}", at=clock.now()))
            await ledger.calls(CallQuery(limit=1))

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(tell(name))
    found = [one.call_id for one in await ledger.calls(ALL)]
    await ledger.aclose()
    assert sorted(found) == sorted(f"{name}{number}" for name in "abc" for number in range(50))
