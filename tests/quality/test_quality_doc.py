"""docs/quality.md agrees with the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import yaml

from sidecar.config.groups import key_of
from sidecar.config.schema import GraderEntry
from sidecar.core.quality import QualitySettings
from sidecar.durations import parse_duration
from sidecar.quality import grade_words, grading, hearing, showing, signals
from sidecar.server import feedback

DOC = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")


def test_the_settings_shown_are_all_with_their_defaults() -> None:
    """The page's section is the defaults."""
    text = next(one for one in re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL) if "doubt" in one)
    shown = yaml.safe_load(text)["defaults"]["quality"]
    shown |= {key: parse_duration(shown[key]) for key in ("half_life", "fault_half_life")}
    assert shown == {key_of(one.name): one.default for one in fields(QualitySettings)}


def test_the_faults_are_those_that_are_seen() -> None:
    """Each with its weight."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", DOC, re.MULTILINE))
    known = signals.FAULTS | {signals.REPEATED: signals.REPEATED_FAULT}
    assert {name: float(weight) for name, weight in rows.items()} == known


def test_the_bounds_are_those_that_hold() -> None:
    """Of comments, bodies, floods and questions; and what a grade weighs."""
    assert f"at most {feedback.COMMENT_CHARS_MAX} characters" in DOC
    assert f"more than {feedback.BODY_BYTES_MAX // 1024} KiB" in DOC
    assert f"{feedback.PER_S_MAX:g} a second, after a burst of {feedback.BURST_MAX:g}" in DOC
    assert f"the last {signals.QUESTIONS_MAX} questions" in DOC
    assert (
        f"feedback weighs {hearing.WEIGHTS['feedback']:g}, a grade {hearing.WEIGHTS['grade']:g}"
        in DOC
    )


def test_the_metrics_are_those_that_are_there() -> None:
    """Each gauge and counter is named."""
    for name, *_ in showing.GAUGES:
        assert f"`{name.replace('.', '_')}`" in DOC


def test_graders_are_as_the_page_says() -> None:
    """Defaults and bounds."""
    text = next(one for one in re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL) if "grader" in one)
    shown = yaml.safe_load(text)["routes"]["classify"]["grader"]
    made = GraderEntry(model="m", rubric="r")
    assert (shown["share"], shown["usd_per_day"]) == (made.share, made.usd_per_day)
    assert f"at most {grading.WAITING_MAX}, {grading.REQUEST_BYTES_MAX // 1024} KiB" in DOC
    assert f"and {grading.ANSWER_CHARS_MAX} characters" in DOC
    assert f"its last {grade_words.PROMPT_CHARS_MAX} characters" in DOC
