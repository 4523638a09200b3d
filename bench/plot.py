"""The plot of the report: panels of bars on a logarithmic axis, as SVG written by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 900
PANEL_WIDTH = 430
LABEL_WIDTH = 110
VALUE_WIDTH = 60
BAR_HEIGHT = 16
ROW_HEIGHT = 22
HEAD_HEIGHT = 34
OURS_COLOUR, OTHER_COLOUR = "#c2410c", "#94a3b8"
STYLE = "text{font:12px sans-serif;fill:#1e293b}.title{font-weight:bold}rect.back{fill:#ffffff}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Bars of one measure: names and positive values, in the order shown."""

    title: str
    bars: Sequence[tuple[str, float]]


def shares(values: Sequence[float]) -> list[float]:
    """Return how long each bar is, 0.05 to 1: equal ratios are equal distances."""
    if not values:
        return []
    lowest, highest = math.log(min(values)), math.log(max(values))
    span = (highest - lowest) or 1.0
    return [0.05 + 0.95 * (math.log(value) - lowest) / span for value in values]


def drawn(panels: Sequence[Panel], *, ours: str) -> str:
    """Return the SVG: two panels a row; ``ours`` is the name whose bars stand out."""
    parts, top = [], 0
    for left, right in zip(panels[::2], [*panels[1::2], None], strict=False):
        pair = [panel for panel in (left, right) if panel is not None]
        for column, panel in enumerate(pair):
            parts.append(_panel(panel, column * (WIDTH - PANEL_WIDTH), top, ours))
        top += HEAD_HEIGHT + ROW_HEIGHT * max(len(panel.bars) for panel in pair)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}">'
    back = f'<rect class="back" width="{WIDTH}" height="{top}"/>'
    return "\n".join((head, f"<style>{STYLE}</style>", back, *parts, "</svg>", ""))


def _text(value: float) -> str:
    """Return three digits at least, and no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _panel(panel: Panel, x: int, y: int, ours: str) -> str:
    lines = [f'<text class="title" x="{x}" y="{y + 20}">{escape(panel.title)}</text>']
    room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
    lengths = shares([value for _, value in panel.bars])
    for row, ((name, value), share) in enumerate(zip(panel.bars, lengths, strict=True)):
        at = y + HEAD_HEIGHT + row * ROW_HEIGHT
        length = room * share
        size = f'width="{length:.1f}" height="{BAR_HEIGHT}"'
        colour = OURS_COLOUR if name == ours else OTHER_COLOUR
        lines += [
            f'<text x="{x}" y="{at + 12}">{escape(name)}</text>',
            f'<rect x="{x + LABEL_WIDTH}" y="{at}" {size} fill="{colour}"/>',
            f'<text x="{x + LABEL_WIDTH + length + 6:.1f}" y="{at + 12}">{_text(value)}</text>',
        ]
    return "\n".join(lines)
