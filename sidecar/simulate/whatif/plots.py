"""Plots of the page as SVG text: bars, a strip of time, a scale of latencies.

Widths are units of the drawing; the page scales it. Colours are classes of the page's style.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from sidecar.simulate.whatif.sheet import spelled
from sidecar.simulate.whatif.tally import HOUR_S, Cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sidecar.simulate.whatif.timeline import Timeline

WIDTH, NAMES, LINE = 900, 230, 26
CELLS_MAX = 400
HOURS_OF_CELLS = (1, 2, 3, 6, 12, 24, 48, 168)
SHADES = (0.0001, 0.001, 0.01, 0.1)
"""Shares of failed calls at which a cell of the strip grows darker."""
PLOT = WIDTH - NAMES - 110


def bars(rows: Sequence[tuple[str, float, bool]], unit: str) -> str:
    """Return a bar a row; ``unit`` is ``share`` or ``usd``. A row's third: it is the engine's."""
    most = max((number for _, number, _ in rows), default=0.0) or 1.0
    lines = []
    for place, (name, number, is_best) in enumerate(rows):
        y = place * LINE
        width = max(1.0, PLOT * number / most)
        shown = f"{number * 100:.4f} %" if unit == "share" else f"{number:,.2f}"
        kind = "best" if is_best else "other"
        lines += [
            _text(0, y + 17, _short(name)),
            f'<rect class="{kind}" x="{NAMES}" y="{y + 5}" width="{width:.1f}" height="16"/>',
            _text(NAMES + width + 6, y + 17, shown),
        ]
    return _svg(lines, len(rows) * LINE)


def latencies(rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """Return the quantiles of each row on one scale, by logarithm."""
    every = [one for _, some in rows for one in some if one is not None]
    if not every:
        return "<p>No call was answered.</p>"
    low, high = math.log(min(every) / 1.2), math.log(max(every) * 1.2)
    lines = []
    for place, (name, some) in enumerate(rows):
        y = place * LINE * 1.4 + 18
        found = [(NAMES + PLOT * (math.log(one) - low) / (high - low), one) for one in some if one]
        lines.append(_text(0, y + 4, _short(name)))
        if found:
            first, last = found[0][0], found[-1][0]
            lines.append(
                f'<line class="rule" x1="{first:.1f}" x2="{last:.1f}" y1="{y}" y2="{y}" '
                'stroke-width="3"/>'
            )
        for x, one in found:
            lines += [
                f'<circle class="mark" cx="{x:.1f}" cy="{y}" r="5"/>',
                f'<text class="dim" x="{x:.1f}" y="{y - 8}" text-anchor="middle">{one:.2f}</text>',
            ]
    return _svg(lines, round(len(rows) * LINE * 1.4 + 10))


def strip(name: str, hours: Mapping[int, Cell], timeline: Timeline) -> str:
    """Return the period as a row of cells, each as dark as calls failed in it."""
    first = int(timeline.start_s // HOUR_S)
    count = max(1, math.ceil(timeline.end_s / HOUR_S) - first)
    step = next((one for one in HOURS_OF_CELLS if count / one <= CELLS_MAX), HOURS_OF_CELLS[-1])
    cells = [Cell() for _ in range(math.ceil(count / step))]
    for hour, cell in hours.items():
        into = cells[(hour - first) // step]
        into.calls, into.good = into.calls + cell.calls, into.good + cell.good
    width = (WIDTH - NAMES) / len(cells)
    lines = [_text(0, 19, _short(name))]
    for place, cell in enumerate(cells):
        failed = 1.0 - cell.availability
        title = (
            f"{spelled((first + place * step) * HOUR_S)}: {failed * 100:.4g} % of {cell.calls:,.0f}"
        )
        lines.append(
            f'<rect {_shade(failed)} x="{NAMES + place * width:.2f}" y="4" width="{width:.2f}" '
            f'height="22"><title>{title}</title></rect>'
        )
    return _svg(lines, 30)


def legend() -> str:
    """Return what the shades of a strip mean."""
    lines, x = [], float(NAMES)
    shown = ("none", f"up to {SHADES[0] * 100:g} %", *(f"above {one * 100:g} %" for one in SHADES))
    for share, name in zip((0.0, 0.00005, *(one * 1.01 for one in SHADES)), shown, strict=True):
        lines += [
            f'<rect {_shade(share)} x="{x}" y="4" width="14" height="14"/>',
            f'<text class="dim" x="{x + 19}" y="16">{name}</text>',
        ]
        x += 108
    return _svg(lines, 24)


def _shade(failed: float) -> str:
    if failed <= 0.0:
        return 'class="well"'
    darkness = 0.15 + 0.85 * sum(failed > one for one in SHADES) / len(SHADES)
    return f'class="bad" opacity="{darkness:.2f}"'


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"…{name[-31:]}"  # noqa: PLR2004 - what fits


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y}">{escape(text)}</text>'


def _svg(lines: Sequence[str], height: int) -> str:
    body = "\n".join(lines)
    return f'<figure><svg viewBox="0 0 {WIDTH} {height}" role="img">\n{body}\n</svg></figure>'
