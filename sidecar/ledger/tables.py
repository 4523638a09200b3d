"""The tables of a ledger file, and SQL made from the records' own fields, so that no name is
listed twice.

The version is SQLite's ``user_version``; ``application_id`` says that the file is a ledger, so that
somebody else's database is never written to.
"""

from __future__ import annotations

from sidecar.ledger.records import ATTEMPT_FIELDS, HEAD_FIELDS
from sidecar.ledger.sums import SUM_FIELDS

VERSION = 1
APPLICATION_ID = 0x51DECA70
KEY_FIELDS = ("day", "route", "endpoint")

SCHEMA = (
    # Has an effect only before the first table: pages of what was removed go back to the disk.
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "BEGIN IMMEDIATE",
    """CREATE TABLE calls (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        call_id TEXT NOT NULL, at REAL NOT NULL, route TEXT NOT NULL, endpoint TEXT,
        result TEXT NOT NULL, is_failed INTEGER NOT NULL, is_degraded INTEGER NOT NULL,
        duration_s REAL NOT NULL)""",
    "CREATE INDEX calls_at ON calls (at)",
    """CREATE TABLE attempts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        call_id TEXT, at REAL NOT NULL, kind TEXT NOT NULL, route TEXT NOT NULL,
        endpoint TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, status INTEGER,
        duration_s REAL NOT NULL, first_content_s REAL, input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
        is_estimated INTEGER NOT NULL, cost_usd REAL NOT NULL)""",
    "CREATE INDEX attempts_call ON attempts (call_id)",
    "CREATE INDEX attempts_at ON attempts (at)",
    f"""CREATE TABLE sums (
        day INTEGER NOT NULL, route TEXT NOT NULL, endpoint TEXT NOT NULL,
        {", ".join(f"{name} REAL NOT NULL" for name in SUM_FIELDS)},
        PRIMARY KEY (day, route, endpoint)) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
    "COMMIT",
)


def _insert(table: str, names: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in names)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - our names


INSERT_CALL = _insert("calls", HEAD_FIELDS)
INSERT_ATTEMPT = _insert("attempts", ATTEMPT_FIELDS)
ADD_SUMS = f"{_insert('sums', (*KEY_FIELDS, *SUM_FIELDS))} ON CONFLICT DO UPDATE SET " + ", ".join(
    f"{name} = {name} + excluded.{name}" for name in SUM_FIELDS
)
SELECT_SUMS = f"SELECT {', '.join((*KEY_FIELDS, *SUM_FIELDS))} FROM sums"  # noqa: S608 - our names
SELECT_CALLS = f"SELECT number, {', '.join(HEAD_FIELDS)} FROM calls"  # noqa: S608 - our names
SELECT_ATTEMPTS = f"SELECT {', '.join(ATTEMPT_FIELDS)} FROM attempts"  # noqa: S608 - our names
