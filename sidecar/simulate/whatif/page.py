"""A what-if as one HTML file: no script, no other file, no other host; light or dark as the reader
likes it.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from sidecar.simulate.whatif.plots import bars, latencies, legend, strip
from sidecar.simulate.whatif.report import (
    ASSUMPTIONS,
    headline,
    percent,
    worst_hours,
)
from sidecar.simulate.whatif.sheet import spelled
from sidecar.simulate.whatif.tally import HOUR_S, QUANTILES, Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.simulate.whatif.run import Answer, WhatIf

STYLE = """
:root { color-scheme: light dark; --ink: #1c2530; --dim: #5d6b7a; --paper: #fbfbf9; --rule: #d9dee3;
  --best: #1f7a5c; --other: #8a6d3b; --bad: #b3362b; --well: #dcebe4; --mark: #2c5f9e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --dim: #9aa7b4; --paper: #14181d;
  --rule: #333c46; --best: #57c39b; --other: #c9a768; --bad: #ef6b5e; --well: #1f332b;
  --mark: #7fb0ea; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; }
p, li { color: var(--dim); max-width: 52rem; } figure { margin: 0; overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--rule); }
th { color: var(--dim); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
svg .dim { fill: var(--dim); } svg .rule { stroke: var(--rule); } svg .best { fill: var(--best); }
svg .other { fill: var(--other); } svg .well { fill: var(--well); } svg .bad { fill: var(--bad); }
svg .mark { fill: var(--mark); }
"""
HEADER = ("available", "failed calls", "degraded", "p50 s", "p95 s", "p99 s", "US dollars")


def as_html(found: WhatIf) -> str:
    """Return the page."""
    answers = found.answers
    parts = [
        "<h1>What if</h1>",
        f"<p>{escape(headline(found))}</p>",
        _table("", [(one.name, one.figures.total) for one in answers]),
        "<h2>Failed calls, share of all</h2>",
        bars([(one.name, _failed(one.figures.total), one.is_engine) for one in answers], "share"),
        "<h2>When calls failed</h2>",
        legend(),
        *(strip(one.name, one.figures.hours, found.timeline) for one in answers),
        "<h2>Time to the whole answer: p50, p95, p99</h2>",
        latencies([(one.name, _quantiles(one.figures.total)) for one in answers]),
        "<h2>Cost, US dollars</h2>",
        bars([(one.name, one.figures.total.usd, one.is_engine) for one in answers], "usd"),
        "<h2>By route</h2>",
        *(_table(one.name, list(one.figures.routes.items())) for one in answers),
        "<h2>Worst hours</h2>",
        *(_worst(one) for one in answers),
        "<h2>Read along</h2>",
        "<ul>",
        *(f"<li>{escape(note)}</li>" for note in (*found.notes, *ASSUMPTIONS)),
        "</ul>",
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<title>sidecar simulate</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _failed(cell: Cell) -> float:
    return 1.0 - cell.availability


def _quantiles(cell: Cell) -> tuple[float | None, ...]:
    return tuple(cell.latency_s(share) for share in QUANTILES)


def _worst(answer: Answer) -> str:
    rows = [(spelled(hour * HOUR_S), cell) for hour, cell in worst_hours(answer)]
    if not rows:
        return f"<p>{escape(answer.name)}: no call failed.</p>"
    return _table(answer.name, rows)


def _table(title: str, rows: Sequence[tuple[str, Cell]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in (title, *HEADER))
    lines = [f"<tr>{head}</tr>"]
    for name, cell in rows:
        cells = (
            name,
            percent(cell.availability, 4),
            f"{cell.calls - cell.good:,.0f}",
            percent(cell.degraded_share, 2),
            *("-" if one is None else f"{one:.2f}" for one in _quantiles(cell)),
            f"{cell.usd:,.2f}",
        )
        lines.append("<tr>" + "".join(f"<td>{escape(one)}</td>" for one in cells) + "</tr>")
    return "<figure><table>\n" + "\n".join(lines) + "\n</table></figure>"
