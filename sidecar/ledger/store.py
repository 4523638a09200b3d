"""The ledger file: SQLite with a write-ahead log, used by one thread at a time.

A batch is one transaction, records and sums together, so a process that is killed leaves whole
batches. With ``synchronous = NORMAL`` what was committed survives the death of the process; the
death of the machine may cost the last batches, never the file.

A file that is damaged is moved aside (to the same name with ``.corrupt``, over an older one) and a
new one is begun: an account that goes on is worth more than one that waits for a human. A file that
is somebody else's, or of a later version, is left alone.

SQLite is imported with the first use: who has no file does not pay for it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.events import CallFinished, PassageFinished
from sidecar.ledger.delivered import read_delivered
from sidecar.ledger.reading import read_calls, read_evidence, read_remembered, read_sums
from sidecar.ledger.records import (
    ATTEMPT_FIELDS,
    EVIDENCE_FIELDS,
    HEAD_FIELDS,
    SCORE_FIELDS,
    ScoreGiven,
    attempts_of,
    head_of,
)
from sidecar.ledger.sums import DAY_S, SUM_FIELDS
from sidecar.ledger.tables import (
    ADD_SUMS,
    APPLICATION_ID,
    INSERT_ATTEMPT,
    INSERT_CALL,
    PUT_EVIDENCE,
    PUT_SCORE,
    SCHEMA,
    UPGRADES,
    VERSION,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from sidecar.ledger.delivered import Delivered
    from sidecar.ledger.records import CallQuery, CallRecord, EvidenceRow, Kept, Remembered
    from sidecar.ledger.settings import LedgerSettings
    from sidecar.ledger.sums import Key, Sums

    T = TypeVar("T")

log = logging.getLogger("sidecar")

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
BUSY_S = 1.0
MIB = 1024 * 1024
CUT_SHARE = 8
"""One part in so many of the records goes when the file is full: seldom, and in short strokes."""
CUTS_MAX = 16
AGED_EVERY_S = 600.0
WAL_BYTES_MAX = 4 * MIB
_PRIMARY_CODE = 0xFF

_sum_values = attrgetter(*SUM_FIELDS)
_head_values = attrgetter(*HEAD_FIELDS)
_attempt_values = attrgetter(*ATTEMPT_FIELDS)
_score_values = attrgetter(*SCORE_FIELDS)
_evidence_values = attrgetter(*EVIDENCE_FIELDS)


class StoreError(Exception):
    """The file cannot be used now; the message says why, in a few words."""


class Store:
    """Owns the connection to the file at ``settings.path``."""

    def __init__(self, settings: LedgerSettings) -> None:
        assert settings.path is not None, "a store needs a file"
        self.path = Path(settings.path)
        self._settings = settings
        self._connection: sqlite3.Connection | None = None
        self._aged_at: float | None = None

    def save(
        self,
        events: Sequence[tuple[float, Kept]],
        sums: dict[Key, Sums],
        evidence: Sequence[EvidenceRow] = (),
    ) -> int:
        """Write a batch: events with their offsets to the epoch, what to add to the sums, and
        evidence that takes the place of what there was of it.

        Returns how many events were written.

        Raises:
            StoreError: nothing of it was written.
        """
        self._guarded(lambda connection: self._write(connection, events, sums, evidence))
        return len(events)

    def retain(self, wall: float) -> None:
        """Remove what is too old at ``wall``, and the oldest of what is too much.

        Raises:
            StoreError: the file cannot be written to.
        """
        self._guarded(lambda connection: self._retain(connection, wall))

    def days(self) -> dict[Key, Sums]:
        """Return the sums in the file.

        Raises:
            StoreError: it cannot be read.
        """
        return self._guarded(read_sums)

    def calls(self, query: CallQuery) -> list[CallRecord]:
        """Return the calls that ``query`` asks for, newest first.

        Raises:
            StoreError: they cannot be read.
        """
        return self._guarded(lambda connection: read_calls(connection, query))

    def remembered(self, call_id: str) -> Remembered | None:
        """Return the call of this id and the last score it was given, None if there is none.

        Raises:
            StoreError: it cannot be read.
        """
        return self._guarded(lambda connection: read_remembered(connection, call_id))

    def delivered(self, since_at: float) -> dict[tuple[str, str], Delivered]:
        """Return what models delivered since then.

        Raises:
            StoreError: it cannot be read.
        """
        return self._guarded(lambda connection: read_delivered(connection, since_at))

    def evidence(self) -> list[EvidenceRow]:
        """Return the evidence in the file.

        Raises:
            StoreError: it cannot be read.
        """
        return self._guarded(read_evidence)

    def close(self) -> None:
        """Let go of the file; may repeat."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # --- writing -------------------------------------------------------------------------------

    @staticmethod
    def _write(
        connection: sqlite3.Connection,
        events: Sequence[tuple[float, Kept]],
        sums: dict[Key, Sums],
        evidence: Sequence[EvidenceRow],
    ) -> None:
        connection.execute("BEGIN IMMEDIATE")
        # Rows are made one by one as they are written: SQLite lets other threads run in between.
        connection.executemany(INSERT_CALL, _call_rows(events))
        connection.executemany(INSERT_ATTEMPT, _attempt_rows(events))
        connection.executemany(ADD_SUMS, ((*key, *_sum_values(one)) for key, one in sums.items()))
        connection.executemany(PUT_SCORE, _score_rows(events))
        connection.executemany(PUT_EVIDENCE, (_evidence_values(one) for one in evidence))
        connection.execute("COMMIT")

    def _retain(self, connection: sqlite3.Connection, wall: float) -> None:
        has_removed = False
        if self._aged_at is None or not 0 <= wall - self._aged_at < AGED_EVERY_S:
            oldest_at = wall - self._settings.keep_days * DAY_S
            for table in ("calls", "attempts", "scores", "evidence"):
                connection.execute(f"DELETE FROM {table} WHERE at < ?", (oldest_at,))  # noqa: S608 - our names
            connection.execute("DELETE FROM sums WHERE day < ?", (int(oldest_at // DAY_S),))
            self._aged_at, has_removed = wall, True
        for _ in range(CUTS_MAX):
            if _used_bytes(connection) <= self._settings.keep_mib * MIB:
                break
            for table in ("calls", "attempts"):
                _cut(connection, table)
            has_removed = True
        if has_removed:
            connection.execute("PRAGMA incremental_vacuum").fetchall()

    # --- the file ------------------------------------------------------------------------------

    def _guarded(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``act`` with a connection; a damaged file is replaced and ``act`` done once more."""
        try:
            try:
                return act(self._open())
            except sqlite3.DatabaseError as error:
                if not _is_damaged(error):
                    raise
                self._put_aside(error)
                return act(self._open())
        except (sqlite3.Error, OSError) as error:
            self._give_up()
            raise StoreError(_reason(error)) from error
        except StoreError:
            self._give_up()
            raise

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        # Made here for its mode: what calls cost is nobody else's business.
        opened = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            # A device or a pipe must be neither written to nor moved aside.
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise StoreError("it is no plain file; name another one")
        finally:
            os.close(opened)
        connection = sqlite3.connect(
            self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        _check(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        return connection

    def _give_up(self) -> None:
        """Close the connection, which ends a transaction that failed; the next use opens anew."""
        try:
            self.close()
        except sqlite3.Error:
            self._connection = None

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        self._give_up()
        aside = self.path.with_name(f"{self.path.name}.corrupt")
        log.warning("ledger damaged path=%s reason=%s moved_to=%s", self.path, error, aside)
        self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _check(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file; refuse one that is not ours to write."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not tables and not application:
        for statement in SCHEMA:
            connection.execute(statement)
    elif application != APPLICATION_ID:
        raise StoreError("the file is another program's database; name another one")
    elif version in UPGRADES:
        for statement in UPGRADES[version]:
            connection.execute(statement)
    elif version != VERSION:
        raise StoreError(f"the file has version {version}, this sidecar writes {VERSION}")


def _cut(connection: sqlite3.Connection, table: str) -> None:
    """Remove the oldest records of ``table``, one part in ``CUT_SHARE``."""
    first, last = connection.execute(f"SELECT min(number), max(number) FROM {table}").fetchone()  # noqa: S608 - our names
    if first is not None:
        until = first + (last - first) // CUT_SHARE + 1
        connection.execute(f"DELETE FROM {table} WHERE number < ?", (until,))  # noqa: S608 - our names


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _call_rows(events: Sequence[tuple[float, Kept]]) -> Iterator[tuple[object, ...]]:
    for offset_s, event in events:
        if isinstance(event, CallFinished | PassageFinished):
            yield _head_values(head_of(event, offset_s))


def _attempt_rows(events: Sequence[tuple[float, Kept]]) -> Iterator[tuple[object, ...]]:
    for offset_s, event in events:
        for attempt in attempts_of(event, offset_s):
            yield _attempt_values(attempt)


def _score_rows(events: Sequence[tuple[float, Kept]]) -> Iterator[tuple[object, ...]]:
    for offset_s, event in events:
        if isinstance(event, ScoreGiven):
            yield _score_values(replace(event, at=event.at + offset_s))


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE in DAMAGED


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
