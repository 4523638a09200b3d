"""The report and its plot."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from bench.candidates import CANDIDATES, CONFIGS
from bench.page import NOTES, PAGE, PLOT, report_of_results
from bench.plot import Panel, drawn, shares


def test_the_page_is_what_the_results_say() -> None:
    """The committed page and plot are those of the committed results and notes."""
    report = report_of_results()
    assert PAGE.read_text(encoding="utf-8") == report.page(NOTES.read_text(encoding="utf-8"))
    assert PLOT.read_text(encoding="utf-8") == report.plot()


def test_equal_ratios_are_equal_distances() -> None:
    """The axis is logarithmic, the shortest bar is seen, the longest is the whole width."""
    assert shares([1.0, 10.0, 100.0]) == pytest.approx([0.05, 0.525, 1.0])
    assert shares([7.0]) == [0.05]
    assert shares([]) == []


def test_the_plot_is_a_drawing() -> None:
    """Every bar of every panel is drawn, and ours alone in its colour."""
    bars = [("a & b", 1.0), ("sidecar", 3.0)]
    panels = [Panel(title=f"panel {number}", bars=bars) for number in range(3)]
    root = ET.fromstring(drawn(panels, ours="sidecar"))
    space = "{http://www.w3.org/2000/svg}"
    colours = [bar.get("fill") for bar in root.findall(f"{space}rect")[1:]]
    assert len(colours) == 6
    assert colours[1::2] == ["#c2410c"] * 3
    assert len(root.findall(f"{space}text")) == 3 * (1 + 2 * len(bars))


def test_every_configuration_belongs_to_a_candidate() -> None:
    """No file of ``configs/`` is without a reader, and none is missing."""
    named = {name for one in CANDIDATES for name in one.configs}
    assert named == {path.name for path in CONFIGS.iterdir()}
