"""A what-if in words and numbers: the table on the terminal, and the JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sidecar.simulate.whatif.sheet import spelled
from sidecar.simulate.whatif.tally import HOUR_S, QUANTILES, Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.simulate.whatif.run import Answer, WhatIf

WORST_HOURS = 10
DAY_S = 86_400.0
ASSUMPTIONS = (
    "Outside of the listed incidents every request is answered: nothing else fails.",
    "In an incident each request fails by itself with its share, a repeated one too.",
    "Providers do not slow down or refuse under this load beyond their configured limits.",
    "A program with one provider repeats twice, after 0.5 and 1 s, and waits until the deadline.",
    "Available: answered whole, and within the route's deadline. Latency: until the whole answer.",
)


def as_json(found: WhatIf) -> str:
    """Return everything, as JSON; the same bytes for the same inputs and seed."""
    timeline = found.timeline
    return json.dumps(
        {
            "from": spelled(timeline.start_s),
            "to": spelled(timeline.end_s),
            "seed": found.seed,
            "incidents": len(found.incidents),
            "calls_per_s": round(_calls_per_s(found), 6),
            "played_s": round(timeline.played_s, 3),
            "assumptions": ASSUMPTIONS,
            "notes": found.notes,
            "designs": [_design(answer) for answer in found.answers],
        }
    )


def _design(answer: Answer) -> dict[str, object]:
    figures = answer.figures
    return {
        "name": answer.name,
        "kind": "sidecar" if answer.is_engine else "one provider",
        **_cell(figures.total),
        "availability_margin": round(figures.margin, 9),
        "probe_usd": round(figures.probe_usd, 6),
        "played_calls": figures.played_calls,
        "unplayed_calls": round(figures.unplayed, 1),
        "routes": {name: _cell(cell) for name, cell in figures.routes.items()},
        "hours": [
            {"hour": spelled(hour * HOUR_S), **_cell(cell)} for hour, cell in figures.hours.items()
        ],
    }


def _cell(cell: Cell) -> dict[str, object]:
    return {
        "calls": round(cell.calls, 1),
        "availability": round(cell.availability, 9),
        "degraded_share": round(cell.degraded_share, 9),
        "latency_s": {f"p{share * 100:.0f}": _seconds(cell, share) for share in QUANTILES},
        "cost_usd": round(cell.usd, 6),
    }


def _seconds(cell: Cell, share: float) -> float | None:
    found = cell.latency_s(share)
    return None if found is None else round(found, 3)


def as_text(found: WhatIf) -> str:
    """Return the tables: in all, by route, and the worst hours of each design."""
    parts = [headline(found), _table(HEADER, [_row(one.name, one) for one in found.answers])]
    for answer in found.answers:
        if len(answer.figures.routes) > 1:
            rows = [_cells(name, cell) for name, cell in answer.figures.routes.items()]
            parts.append(_table((f"{answer.name}, by route", *HEADER[1:]), rows))
    for answer in found.answers:
        worst = worst_hours(answer)
        if worst:
            rows = [_cells(spelled(hour * HOUR_S), cell) for hour, cell in worst]
            parts.append(_table((f"{answer.name}, worst hours", *HEADER[1:]), rows))
    notes = [f"* {note}" for note in (*found.notes, *ASSUMPTIONS)]
    return "\n\n".join([*parts, "\n".join(notes)])


HEADER = ("", "available", "failed", "degraded", "p50 s", "p95 s", "p99 s", "US dollars")


def headline(found: WhatIf) -> str:
    """Return period, load and method in one sentence."""
    timeline = found.timeline
    days = (timeline.end_s - timeline.start_s) / DAY_S
    played = timeline.played_s / (timeline.end_s - timeline.start_s)
    how = "all of it played" if not timeline.rests else f"{percent(played, 2)} of the time played"
    return (
        f"{spelled(timeline.start_s)} to {spelled(timeline.end_s)} ({days:g} days), "
        f"{_calls_per_s(found):.3g} calls a second, {len(found.incidents)} incidents, "
        f"seed {found.seed}; {how}"
    )


def _calls_per_s(found: WhatIf) -> float:
    calls = max(answer.figures.total.calls for answer in found.answers)
    return calls / (found.timeline.end_s - found.timeline.start_s)


def worst_hours(answer: Answer) -> list[tuple[int, Cell]]:
    """Return the hours with the most failed calls, the worst first."""
    hours = answer.figures.hours.items()
    failed = [(cell.calls - cell.good, -hour, cell) for hour, cell in hours]
    worst = sorted(failed, key=lambda one: one[:2], reverse=True)[:WORST_HOURS]
    return [(-hour, cell) for count, hour, cell in worst if count > 0]


def _row(name: str, answer: Answer) -> tuple[str, ...]:
    first, available, *rest = _cells(name, answer.figures.total)
    margin = answer.figures.margin
    shown = f"{available} ±{margin * 100:.4f}" if margin else available
    return first, shown, *rest


def _cells(name: str, cell: Cell) -> tuple[str, ...]:
    latencies = (cell.latency_s(share) for share in QUANTILES)
    return (
        name,
        percent(cell.availability, 4),
        f"{cell.calls - cell.good:,.0f}",
        percent(cell.degraded_share, 2),
        *("-" if one is None else f"{one:.2f}" for one in latencies),
        f"{cell.usd:,.2f}",
    )


def percent(share: float, digits: int) -> str:
    """Return ``99.9876 %``, cut and not rounded up to a hundred."""
    scale = 10.0 ** (digits + 2)
    shown = int(share * scale + 1e-6) / scale if share < 1.0 else 1.0
    return f"{shown * 100:.{digits}f} %"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header; the first column to the left, numbers to the right."""
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
