"""The sums for people, and as metrics.

Labels come from closed sets: routes and endpoints of the configuration and the few names in
brackets. The counters begin at 0 with the process, as Prometheus wants it; the days in the state
hold what the file held. Calls and attempts are counted in ``telemetry/counting.py``, by what became
of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.ledger.sums import DAY_S, SUM_FIELDS, Sums, day_text
from sidecar.metrics import Kind, Observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.ledger.ledger import Ledger
    from sidecar.metrics import Labels

DAYS_SHOWN = 7
ROWS_MAX = 500
COUNTERS = (
    ("cost", "USD", "cost_usd", "What all attempts cost, in US dollars."),
    ("estimated_cost", "USD", "estimated_usd", "The part that is an estimate."),
    ("wasted_cost", "USD", "wasted_usd", "The part that bought no answer."),
    (
        "estimated_attempts",
        "{attempt}",
        "estimated_attempts",
        "Attempts whose usage is an estimate.",
    ),
)
"""Name, unit, field of the sums, meaning."""
TOKENS = ("input", "output", "cached", "cache_write", "reasoning")


def shown(ledger: Ledger, wall: float) -> dict[str, object]:
    """Return the ledger's state and the sums of the last days, latest first."""
    first = int(wall // DAY_S) - DAYS_SHOWN + 1
    keys = sorted((key for key in ledger.days if key[0] >= first), key=lambda key: (-key[0], *key))
    has_file = ledger.settings.path is not None
    return {
        "store": "file" if has_file and ledger.problem is None else "memory",
        "path": ledger.settings.path,
        "problem": ledger.problem,
        "unsaved": ledger.unsaved_count,
        "lost": ledger.lost,
        "days": [_row(key, ledger.days[key]) for key in keys[:ROWS_MAX]],
    }


def observed(ledger: Ledger) -> tuple[Observed, ...]:
    """Return what the ledger shows as metrics."""

    def by_pair(field: str) -> Callable[[], Iterator[tuple[Labels, float]]]:
        return lambda: ((pair, getattr(sums, field)) for pair, sums in _totals(ledger))

    def tokens() -> Iterator[tuple[Labels, float]]:
        for pair, sums in _totals(ledger):
            for kind in TOKENS:
                yield (*pair, kind), getattr(sums, f"{kind}_tokens")

    counter, pairs = Kind.COUNTER, ("route", "endpoint")
    return (
        *[
            Observed(
                name=f"sidecar.{name}",
                kind=counter,
                unit=unit,
                meaning=meaning,
                labels=pairs,
                read=by_pair(field),
            )
            for name, unit, field, meaning in COUNTERS
        ],
        Observed(
            name="sidecar.tokens",
            kind=counter,
            unit="{token}",
            meaning="Tokens by kind; cached ones are input, reasoning is output.",
            labels=(*pairs, "kind"),
            read=tokens,
        ),
        Observed(
            name="sidecar.ledger.lost_records",
            kind=counter,
            unit="{record}",
            meaning="Records dropped before they were saved.",
            read=lambda: [((), ledger.lost)],
        ),
        Observed(
            name="sidecar.ledger.file_usable",
            kind=Kind.GAUGE,
            unit="{file}",
            meaning="Whether records can be saved; 1 without a file.",
            read=lambda: [((), int(ledger.problem is None))],
        ),
    )


def _totals(ledger: Ledger) -> list[tuple[tuple[str, str], Sums]]:
    return sorted(ledger.totals.items())


def _row(key: tuple[int, str, str], sums: Sums) -> dict[str, object]:
    day, route, endpoint = key
    share = sums.estimated_usd / sums.cost_usd if sums.cost_usd else 0.0
    return {
        "day": day_text(day),
        "route": route,
        "endpoint": endpoint,
        **{name: _rounded(getattr(sums, name)) for name in SUM_FIELDS},
        "estimated_share": round(share, 4),
    }


def _rounded(number: object) -> object:
    return round(number, 9) if isinstance(number, float) else number
