"""The file: bounded by age and size, whole after a write that fails half-way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.ledger.reading import NotALedgerError, read_file
from sidecar.ledger.records import CallQuery
from sidecar.ledger.settings import LedgerSettings
from sidecar.ledger.store import MIB, Store, StoreError
from sidecar.ledger.sums import DAY_S, Sums
from tests.ledger.events import attempt, call, outcome

if TYPE_CHECKING:
    from sidecar.ledger.records import Kept

ROOT = Path(__file__).parents[2]
ALL = CallQuery(limit=1_000_000)
EVENT_PAIRS = 500


def batch(number: int, at: float) -> list[tuple[float, Kept]]:
    """Return calls with an attempt each, ended at ``at`` seconds since the epoch."""
    events: list[tuple[float, Kept]] = []
    for each in range(EVENT_PAIRS):
        name = f"c{number}-{each}"
        events += [(at - 10.0, attempt(name, outcome())), (at - 10.0, call(name, outcome()))]
    return events


def test_what_is_too_old_is_removed(tmp_path: Path) -> None:
    """Records and sums older than ``keep_days`` go, the rest stays."""
    path, now = tmp_path / "ledger.db", 100 * DAY_S + 5.0
    store = Store(LedgerSettings(path=str(path), keep_days=30))
    for age_days in (0, 29, 31):
        day = 100 - age_days
        store.save(
            batch(age_days, now - age_days * DAY_S), {(day, "reason", "a/big"): Sums(calls=1)}
        )
    store.retain(now)
    assert {one.call_id.partition("-")[0] for one in store.calls(ALL)} == {"c0", "c29"}
    assert sorted(day for day, _, _ in store.days()) == [71, 100]
    store.close()


def test_what_is_too_much_is_removed(tmp_path: Path) -> None:
    """The file stays within its size; the oldest go first, and sums are kept."""
    path = tmp_path / "ledger.db"
    store = Store(LedgerSettings(path=str(path), keep_mib=1))
    for number in range(20):
        store.save(batch(number, 1000.0), {(1, "reason", "a/big"): Sums(calls=EVENT_PAIRS)})
        store.retain(1000.0)
        assert path.stat().st_size <= 1.5 * MIB
    kept = [one.call_id for one in store.calls(ALL)]
    store.close()
    assert 200 < len(kept) < 20 * EVENT_PAIRS
    told = [f"c{number}-{each}" for number in range(20) for each in range(EVENT_PAIRS)]
    assert kept == told[-len(kept) :][::-1]
    assert store.days()[1, "reason", "a/big"].calls == 20 * EVENT_PAIRS
    store.close()


FULL = """
import resource, sys
from sidecar.ledger.settings import LedgerSettings
from sidecar.ledger.store import Store, StoreError
from sidecar.ledger.sums import Sums
from tests.ledger.test_store import batch
store = Store(LedgerSettings(path=sys.argv[1]))
saved = 0
try:
    for number in range(1000):
        if number == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, -1))
        store.save(batch(number, 1000.0), {(1, "reason", "a/big"): Sums(calls=1)})
        saved += 1
except StoreError as error:
    print(saved, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
store.save(batch(2000, 1000.0), {(1, "reason", "a/big"): Sums(calls=1)})
store.close()
"""


def test_a_disk_that_is_full_leaves_whole_batches(tmp_path: Path) -> None:
    """A batch that does not fit is told and leaves no trace; with room again writing goes on."""
    path = tmp_path / "ledger.db"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    saved = int(done.stdout.split()[0])
    assert saved >= 2
    numbers = [one.call_id.partition("-")[0] for one in read_file(path, ALL)]
    expected = [f"c{number}" for number in (*range(saved), 2000) for _ in range(EVENT_PAIRS)]
    assert numbers == expected[::-1]
    store = Store(LedgerSettings(path=str(path)))
    assert store.days()[1, "reason", "a/big"].calls == saved + 1
    store.close()


def test_a_later_version_is_left_alone(tmp_path: Path) -> None:
    """An older sidecar neither writes nor misreads the file of a newer one."""
    path = tmp_path / "ledger.db"
    store = Store(LedgerSettings(path=str(path)))
    store.save(batch(1, 1000.0), {})
    assert store._connection is not None
    store._connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="version 99"):
        store.save(batch(2, 1000.0), {})
    with pytest.raises(NotALedgerError, match="version 99"):
        read_file(path, ALL)


def test_a_pipe_is_left_alone(tmp_path: Path) -> None:
    """What is no plain file is neither written to nor moved aside."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(StoreError, match="no plain file"):
        Store(LedgerSettings(path=str(path))).save(batch(1, 1000.0), {})
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_ledger_is_not_read(tmp_path: Path) -> None:
    """`sidecar calls` on a wrong file says so."""
    path = tmp_path / "text.db"
    for content in (b"", b"text" * 1000):
        path.write_bytes(content)
        with pytest.raises(NotALedgerError):
            read_file(path, ALL)
    with pytest.raises(NotALedgerError, match="no such file"):
        read_file(tmp_path / "none.db", ALL)
