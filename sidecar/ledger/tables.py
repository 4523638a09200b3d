"""The tables of a ledger file, and SQL made from the records' own fields, so that no name is
listed twice.

The version is SQLite's ``user_version``; ``application_id`` says that the file is a ledger, so that
somebody else's database is never written to.
"""

from __future__ import annotations

from sidecar.ledger.records import ATTEMPT_FIELDS, EVIDENCE_FIELDS, HEAD_FIELDS, SCORE_FIELDS
from sidecar.ledger.sums import SUM_FIELDS

VERSION = 2
APPLICATION_ID = 0x51DECA70
KEY_FIELDS = ("day", "route", "endpoint")

SINCE_2 = (
    "CREATE INDEX calls_id ON calls (call_id)",
    """CREATE TABLE scores (
        at REAL NOT NULL, call_id TEXT PRIMARY KEY, route TEXT NOT NULL, endpoint TEXT NOT NULL,
        score REAL NOT NULL, source TEXT NOT NULL, comment TEXT) WITHOUT ROWID""",
    """CREATE TABLE evidence (
        route TEXT NOT NULL, endpoint TEXT NOT NULL, arm TEXT NOT NULL, scored REAL NOT NULL,
        weight REAL NOT NULL, faulty REAL NOT NULL, judged REAL NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (route, endpoint, arm)) WITHOUT ROWID""",
)
"""What version 2 has and version 1 had not."""

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
    *SINCE_2,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
    "COMMIT",
)


UPGRADES = {
    1: ("BEGIN IMMEDIATE", *SINCE_2, f"PRAGMA user_version = {VERSION}", "COMMIT"),
}
"""What makes a file of an earlier version one of this."""


def _insert(table: str, names: tuple[str, ...], verb: str = "INSERT") -> str:
    marks = ", ".join("?" for _ in names)
    return f"{verb} INTO {table} ({', '.join(names)}) VALUES ({marks})"


INSERT_CALL = _insert("calls", HEAD_FIELDS)
INSERT_ATTEMPT = _insert("attempts", ATTEMPT_FIELDS)
ADD_SUMS = f"{_insert('sums', (*KEY_FIELDS, *SUM_FIELDS))} ON CONFLICT DO UPDATE SET " + ", ".join(
    f"{name} = {name} + excluded.{name}" for name in SUM_FIELDS
)
PUT_SCORE = _insert("scores", SCORE_FIELDS, "INSERT OR REPLACE")
PUT_EVIDENCE = _insert("evidence", EVIDENCE_FIELDS, "INSERT OR REPLACE")
SELECT_SCORES = f"SELECT {', '.join(SCORE_FIELDS)} FROM scores"  # noqa: S608 - our names
SELECT_EVIDENCE = f"SELECT {', '.join(EVIDENCE_FIELDS)} FROM evidence"  # noqa: S608 - our names
SELECT_SUMS = f"SELECT {', '.join((*KEY_FIELDS, *SUM_FIELDS))} FROM sums"  # noqa: S608 - our names
SELECT_CALLS = f"SELECT number, {', '.join(HEAD_FIELDS)} FROM calls"  # noqa: S608 - our names
SELECT_ATTEMPTS = f"SELECT {', '.join(ATTEMPT_FIELDS)} FROM attempts"  # noqa: S608 - our names
