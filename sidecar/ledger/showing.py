"""The sums for people and for Prometheus.

Labels come from closed sets: routes and endpoints of the configuration and the few names in
brackets. The counters begin at 0 with the process, as Prometheus wants it; the days in the state
hold what the file held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.ledger.sums import DAY_S, SUM_FIELDS, Sums, day_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.ledger.ledger import Ledger

DAYS_SHOWN = 7
ROWS_MAX = 500
COUNTERS = (
    ("sidecar_calls_total", "calls", "Calls that ended, by who answered."),
    ("sidecar_failed_calls_total", "failed_calls", "Calls that ended with an error."),
    ("sidecar_degraded_calls_total", "degraded_calls", "Calls with a lesser answer."),
    ("sidecar_attempts_total", "attempts", "Attempts at providers, probes included."),
    (
        "sidecar_estimated_attempts_total",
        "estimated_attempts",
        "Attempts whose usage is an estimate.",
    ),
    ("sidecar_cost_usd_total", "cost_usd", "What all attempts cost, in US dollars."),
    ("sidecar_estimated_cost_usd_total", "estimated_usd", "The part that is an estimate."),
    ("sidecar_wasted_cost_usd_total", "wasted_usd", "The part that bought no answer."),
)
TOKENS = ("input", "output", "cached", "cache_write", "reasoning")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


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


def exposition(ledger: Ledger) -> str:
    """Return the counters in Prometheus's text format."""
    return "".join(f"{line}\n" for line in _lines(ledger))


def _lines(ledger: Ledger) -> Iterator[str]:
    totals = sorted(ledger.totals.items())
    for name, field, meaning in COUNTERS:
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} counter"
        for (route, endpoint), sums in totals:
            yield f"{name}{{{_labels(route, endpoint)}}} {getattr(sums, field)}"
    yield "# HELP sidecar_tokens_total Tokens by kind; cached ones are input, reasoning is output."
    yield "# TYPE sidecar_tokens_total counter"
    for (route, endpoint), sums in totals:
        for kind in TOKENS:
            labels = f'{_labels(route, endpoint)},kind="{kind}"'
            yield f"sidecar_tokens_total{{{labels}}} {getattr(sums, f'{kind}_tokens')}"
    yield "# HELP sidecar_ledger_lost_records_total Records dropped before they were saved."
    yield "# TYPE sidecar_ledger_lost_records_total counter"
    yield f"sidecar_ledger_lost_records_total {ledger.lost}"
    yield "# HELP sidecar_ledger_file_usable Whether records can be saved; 1 without a file."
    yield "# TYPE sidecar_ledger_file_usable gauge"
    yield f"sidecar_ledger_file_usable {int(ledger.problem is None)}"


def _labels(route: str, endpoint: str) -> str:
    return f'route="{route.translate(_ESCAPES)}",endpoint="{endpoint.translate(_ESCAPES)}"'


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
