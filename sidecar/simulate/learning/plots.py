"""Regret curves as one SVG: a panel a world, dollars over days, learning beside what is fixed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from sidecar.simulate.learning.worlds import DAYS
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence

PANEL_WIDTH, PANEL_HEIGHT = 300, 190
LEFT, TOP, RIGHT, BOTTOM = 46, 30, 24, 26
COLUMNS = 3
LEGEND_HEIGHT = 34
STYLE = """
text { font: 11px sans-serif; fill: #444 } .name { font-weight: bold; font-size: 12px }
.axis { stroke: #999 } .grid { stroke: #999; opacity: .25 }
polyline { fill: none; stroke-width: 1.8 }
.learned { stroke: #0b6e99 } .slow { stroke: #0b6e99; stroke-dasharray: 5 3 }
.best { stroke: #c2571a } .first { stroke: #888 }
@media (prefers-color-scheme: dark) {
text { fill: #bbb } .learned, .slow { stroke: #5ab4dc } .best { stroke: #f0925a } }
"""


@value
class Line:
    """One curve: its class in the style, and its points at equal distances, from day 0."""

    kind: str
    points: tuple[float, ...]


@value
class Panel:
    """One world's curves. ``usd_max`` bounds the scale: what leaves it is far off anyway."""

    name: str
    lines: tuple[Line, ...]
    usd_max: float


def drawn(panels: Sequence[Panel], legend: Sequence[tuple[str, str]]) -> str:
    """Return all panels and what the kinds of lines mean, as an SVG document."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH, rows * PANEL_HEIGHT + LEGEND_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<style>{STYLE}</style>",
    ]
    for number, panel in enumerate(panels):
        x, y = number % COLUMNS * PANEL_WIDTH, number // COLUMNS * PANEL_HEIGHT
        parts += [f'<g transform="translate({x},{y})">', *_panel(panel), "</g>"]
    parts += [
        f'<g transform="translate({LEFT},{height - 12})">',
        *_legend(legend),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(panel: Panel) -> list[str]:
    width, height = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM
    bottom = TOP + height
    lines = [
        f'<text class="name" x="{LEFT}" y="{TOP - 10}">{escape(panel.name)}</text>',
        f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{bottom}"/>',
        f'<line class="axis" x1="{LEFT}" x2="{LEFT + width}" y1="{bottom}" y2="{bottom}"/>',
    ]
    for share in (0.5, 1.0):
        y, told = bottom - height * share, f"${panel.usd_max * share:g}"
        lines += [
            f'<line class="grid" x1="{LEFT}" x2="{LEFT + width}" y1="{y:g}" y2="{y:g}"/>',
            f'<text x="{LEFT - 4}" y="{y + 4:g}" text-anchor="end">{told}</text>',
        ]
    for day in (0, int(DAYS / 2), int(DAYS)):
        x = LEFT + width * day / DAYS
        lines.append(f'<text x="{x:g}" y="{bottom + 15}" text-anchor="middle">day {day}</text>')
    for line in panel.lines:
        step = width / len(line.points)
        shown = [(float(LEFT), float(bottom))]
        for number, usd in enumerate(line.points, 1):
            if usd > panel.usd_max:
                break
            shown.append((LEFT + number * step, bottom - height * usd / panel.usd_max))
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shown)
        lines.append(f'<polyline class="{line.kind}" points="{points}"/>')
    return lines


def _legend(legend: Sequence[tuple[str, str]]) -> list[str]:
    lines, x = [], 0
    for kind, meaning in legend:
        lines += [
            f'<polyline class="{kind}" points="{x},-4 {x + 26},-4"/>',
            f'<text x="{x + 32}" y="0">{escape(meaning)}</text>',
        ]
        x += 60 + 6 * len(meaning)
    return lines
