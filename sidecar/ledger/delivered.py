"""What models delivered on routes: answers, failures, times and money, summed up from attempts.

Counted are attempts that say something of the model: those that were cut by us or by the caller,
or refused for the caller's own fault, do not. Times are those of answers alone, to their last byte,
of the latest ones; the shares of both are rounded by nobody here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.domain import OutcomeClass

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from sidecar.ledger.records import AttemptRecord

ATTEMPTS_MAX = 200_000
"""Attempts looked at, the latest: a second of a thread's time."""
TIMES_MAX = 5000
SHADOWS = frozenset({"shadow"})
"""Kinds of attempts that answer nobody."""
_NOBODYS_FAULT = frozenset(
    one.value
    for one in (
        OutcomeClass.CANCEL,
        OutcomeClass.OUTRUN,
        OutcomeClass.CALLER,
        OutcomeClass.CALLER_SHORT,
        OutcomeClass.CONTEXT,
        OutcomeClass.UNFIT,
        OutcomeClass.LOCAL,
    )
)
_OK = OutcomeClass.OK.value
_FIELDS = (
    *("route", "endpoint", "kind", "outcome", "at", "duration_s"),
    *("input_tokens", "output_tokens", "cost_usd"),
)
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM attempts WHERE at >= ? ORDER BY number DESC LIMIT ?"  # noqa: S608 - our names

Row = tuple[str, str, str, str, float, float, int, int, float]


@dataclass(slots=True)
class Delivered:
    """Of one model on one route: ``answers`` and ``failures``, of them what the answers took.

    ``shadows`` of the answers were for nobody. ``times`` are seconds, the latest first; tokens and
    ``cost_usd`` are sums over answers. ``first_at`` and ``last_at``: seconds since the epoch.
    """

    answers: int = 0
    shadows: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0
    times: list[float] = field(default_factory=list)


def summed(rows: Iterable[Row]) -> dict[tuple[str, str], Delivered]:
    """Return what was delivered by route and endpoint; ``rows`` are the latest first."""
    found: dict[tuple[str, str], Delivered] = {}
    for route, endpoint, kind, outcome, at, duration_s, read, written, cost_usd in rows:
        if route.startswith("(") or outcome in _NOBODYS_FAULT:
            continue
        own = found.get((route, endpoint))
        if own is None:
            own = found[route, endpoint] = Delivered(last_at=at)
        own.first_at = at
        if outcome != _OK:
            own.failures += 1
            continue
        own.answers += 1
        own.shadows += kind in SHADOWS
        own.input_tokens += read
        own.output_tokens += written
        own.cost_usd += cost_usd
        if len(own.times) < TIMES_MAX:
            own.times.append(duration_s)
    return found


def row_of(attempt: AttemptRecord) -> Row:
    """Return of an attempt what is summed up."""
    return (
        attempt.route,
        attempt.endpoint,
        attempt.kind,
        attempt.outcome,
        attempt.at,
        attempt.duration_s,
        attempt.input_tokens,
        attempt.output_tokens,
        attempt.cost_usd,
    )


def read_delivered(
    connection: sqlite3.Connection, since_at: float
) -> dict[tuple[str, str], Delivered]:
    """Return what was delivered since ``since_at``, of the latest attempts in the file."""
    return summed(connection.execute(_SELECT, (since_at, ATTEMPTS_MAX)))
