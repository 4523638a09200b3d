"""Reading a ledger file: by the sidecar that writes it, or by `sidecar calls` beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sidecar.ledger.records import (
    ATTEMPT_FIELDS,
    EVIDENCE_FIELDS,
    HEAD_FIELDS,
    SCORE_FIELDS,
    AttemptRecord,
    CallHead,
    EvidenceRow,
    Remembered,
    ScoreGiven,
    record_of,
)
from sidecar.ledger.sums import SUM_FIELDS, Sums
from sidecar.ledger.tables import (
    APPLICATION_ID,
    SELECT_ATTEMPTS,
    SELECT_CALLS,
    SELECT_EVIDENCE,
    SELECT_SCORES,
    SELECT_SUMS,
    UPGRADES,
    VERSION,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Any, TypeVar

    from sidecar.ledger.records import CallQuery, CallRecord
    from sidecar.ledger.sums import Key

    T = TypeVar("T")

IDS_PER_QUESTION = 500
"""SQLite takes at least 999 values in one statement."""
_BOOLEANS = ("is_failed", "is_degraded", "is_estimated")
_COUNTS = tuple(name for name in SUM_FIELDS if not name.endswith("_usd"))


class NotALedgerError(Exception):
    """The file cannot be read as a ledger; the message says why."""


def read_file(path: Path, query: CallQuery) -> list[CallRecord]:
    """Return the calls in the file at ``path`` that ``query`` asks for, newest first.

    Raises:
        NotALedgerError: there is no such file, or it is something else.
    """
    return look_into(path, lambda found, _: read_calls(found, query))


def look_into(path: Path, act: Callable[[sqlite3.Connection, int], T]) -> T:
    """Return what ``act`` reads in the file at ``path``, whose version it is told.

    Raises:
        NotALedgerError: there is no such file, or it is something else.
    """
    if not path.is_file():
        raise NotALedgerError("there is no such file")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as found:
            (application,) = found.execute("PRAGMA application_id").fetchone()
            (version,) = found.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION_ID:
                raise NotALedgerError("it is no ledger")
            if version != VERSION and version not in UPGRADES:
                raise NotALedgerError(f"it has version {version}, this program reads {VERSION}")
            return act(found, version)
    except sqlite3.Error as error:
        raise NotALedgerError(f"it cannot be read ({error})") from error


def read_calls(connection: sqlite3.Connection, query: CallQuery) -> list[CallRecord]:
    """Return the calls that ``query`` asks for, newest first, with their attempts."""
    wanted: list[tuple[str, object]] = []
    if query.route is not None:
        wanted.append(("route = ?", query.route))
    if query.since_at is not None:
        wanted.append(("at >= ?", query.since_at))
    if query.is_failed_only:
        wanted.append(("is_failed = ?", 1))
    if query.before is not None:
        wanted.append(("number < ?", query.before))
    where = " AND ".join(text for text, _ in wanted) or "1"
    rows = connection.execute(
        f"{SELECT_CALLS} WHERE {where} ORDER BY number DESC LIMIT ?",
        (*(given for _, given in wanted), query.limit),
    ).fetchall()
    heads = [(int(number), CallHead(**_named(HEAD_FIELDS, rest))) for number, *rest in rows]
    attempts = _attempts(connection, [head.call_id for _, head in heads])
    return [
        record_of(number, head, tuple(attempts.get(head.call_id, ()))) for number, head in heads
    ]


def read_remembered(connection: sqlite3.Connection, call_id: str) -> Remembered | None:
    """Return the call of this id and the last score it was given, None if there is none."""
    row = connection.execute(f"{SELECT_CALLS} WHERE call_id = ? LIMIT 1", (call_id,)).fetchone()
    if row is None:
        return None
    given = connection.execute(f"{SELECT_SCORES} WHERE call_id = ?", (call_id,)).fetchone()
    kinds = connection.execute("SELECT kind FROM attempts WHERE call_id = ?", (call_id,))
    return Remembered(
        head=CallHead(**_named(HEAD_FIELDS, row[1:])),
        given=None if given is None else ScoreGiven(**_named(SCORE_FIELDS, given)),
        kinds=frozenset(kind for (kind,) in kinds),
    )


def read_evidence(connection: sqlite3.Connection) -> list[EvidenceRow]:
    """Return all evidence in the file, that of longest ago first."""
    return [
        EvidenceRow(**_named(EVIDENCE_FIELDS, row))
        for row in connection.execute(f"{SELECT_EVIDENCE} ORDER BY at")
    ]


def read_sums(connection: sqlite3.Connection) -> dict[Key, Sums]:
    """Return all sums in the file."""
    found: dict[Key, Sums] = {}
    for day, route, endpoint, *counted in connection.execute(SELECT_SUMS):
        sums = found[day, route, endpoint] = Sums(*counted)
        for name in _COUNTS:
            setattr(sums, name, int(getattr(sums, name)))
    return found


def _attempts(
    connection: sqlite3.Connection, call_ids: list[str]
) -> dict[str | None, list[AttemptRecord]]:
    found: dict[str | None, list[AttemptRecord]] = {}
    for some in _slices(call_ids):
        marks = ", ".join("?" for _ in some)
        for row in connection.execute(
            f"{SELECT_ATTEMPTS} WHERE call_id IN ({marks}) ORDER BY number", some
        ):
            attempt = AttemptRecord(**_named(ATTEMPT_FIELDS, row))
            found.setdefault(attempt.call_id, []).append(attempt)
    return found


def _slices(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), IDS_PER_QUESTION):
        yield ids[start : start + IDS_PER_QUESTION]


def _named(names: tuple[str, ...], row: Iterable[object]) -> dict[str, Any]:
    named = dict(zip(names, row, strict=True))
    for name in _BOOLEANS:
        if name in named:
            named[name] = bool(named[name])
    return named
