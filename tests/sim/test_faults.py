"""The fault catalogue: fifty-one rows, each shown by a test that exists and played by a staging.

A few rows are played here, with one seed, to hold the measurement itself: the oracle is good, the
figures are laid to the right calls, and the same seed gives the same.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.simulate.faults.play import perform
from sidecar.simulate.faults.rows import BY_NUMBER, ROWS
from sidecar.simulate.faults.run import Job, jobs_of, play, run
from sidecar.simulate.faults.stagings import BY_NUMBER as STAGINGS
from sidecar.simulate.faults.stagings import STAGINGS as ALL_STAGINGS
from sidecar.simulate.faults.text import document
from sidecar.simulate.metrics import NEVER_S

if TYPE_CHECKING:
    from sidecar.simulate.faults.figures import RowFigures

ROOT = Path(__file__).parent.parent.parent
NUMBERS = list(range(1, 52))
SEED = 1


@cache
def functions_of(path: str) -> dict[str, str]:
    """Return the functions of a test file with the first words of their docstrings."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.name: ast.get_docstring(node) or ""
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@cache
def figures(number: int, rate_per_s: float = 1.0) -> RowFigures:
    """Return the figures of one play, made once."""
    return play(Job(number=number, rate_per_s=rate_per_s, seed=SEED))


def numbers_cited(docstring: str) -> set[int]:
    """Return the rows that a docstring opens with: ``Rows 10 and 12: …``, ``Rows 5 to 7 …``."""
    opening = re.match(r"Rows? [\d, toand]+", docstring)
    if opening is None:
        return set()
    cited = {int(number) for number in re.findall(r"\d+", opening[0])}
    for first, last in re.findall(r"(\d+) to (\d+)", opening[0]):
        cited |= set(range(int(first), int(last) + 1))
    return cited


def test_the_catalogue_has_fifty_one_rows() -> None:
    """Every row is there once, in order, with words for each question and a staging."""
    assert [row.number for row in ROWS] == NUMBERS
    assert [staging.number for staging in ALL_STAGINGS] == NUMBERS
    assert len({row.fault for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert row.correct.endswith(".")
        assert row.measured.endswith(".")
        assert 1.0 in STAGINGS[row.number].scenario.rates or row.number == 50


@pytest.mark.parametrize("number", NUMBERS)
def test_every_row_is_shown_by_tests_that_exist(number: int) -> None:
    """Each row names tests that are there, the first of them one that cites its number."""
    tests = BY_NUMBER[number].tests
    assert tests
    for test in tests:
        path, _, name = test.partition("::")
        assert name in functions_of(path), test
    path, _, name = tests[0].partition("::")
    assert number in numbers_cited(functions_of(path)[name])


def test_every_test_that_cites_a_row_is_in_the_catalogue() -> None:
    """No scenario test speaks of a row that does not name it."""
    missing = []
    for file in sorted((ROOT / "tests" / "scenarios").glob("test_*.py")):
        path = str(file.relative_to(ROOT))
        missing += [
            f"{number}: {path}::{name}"
            for name, docstring in functions_of(path).items()
            for number in numbers_cited(docstring)
            if f"{path}::{name}" not in BY_NUMBER[number].tests
        ]
    assert missing == []


@pytest.mark.parametrize("number", [3, 9, 19, 22, 34, 42, 46])
def test_the_oracle_is_good(number: int) -> None:
    """Where somebody is well no call of the oracle fails, but for those that a restart takes."""
    played = perform(STAGINGS[number], 1.0, SEED, is_oracle=True)
    during = [one for one in played.calls if played.fault_at <= one.started_at < played.fault_until]
    bad = [one for one in during if not one.is_good]
    assert len(during) > 50
    assert len(bad) <= (5 if number == 46 else 0)
    if number == 46:
        assert bad, "the oracle's callers meet the restart too"


@pytest.mark.parametrize("number", [3, 22, 24])
def test_a_fault_is_met_and_left(number: int) -> None:
    """Stagings of the catalogue's own are detected as faults and are not free."""
    found = figures(number)
    assert 0.0 < found.wasted < 0.2
    assert len(found.figures.detect_s) == 1
    assert found.figures.detect_s[0] < NEVER_S
    assert found.figures.errors == 0


def test_a_refusal_that_is_deserved_is_an_answer() -> None:
    """Row 34: a malformed request's 400 counts as good, for the engine and for the oracle."""
    found = figures(34)
    assert found.figures.goodput == 1.0
    assert found.figures.oracle_good == found.figures.calls
    assert found.amplification <= 1.1


def test_what_was_broken_is_not_called_an_error() -> None:
    """Row 22: streams that break after content are told apart from errors before it."""
    found = figures(22).figures
    assert found.broken > 0
    assert found.goodput < 1.0


def test_a_pod_without_network_is_no_failure_of_providers() -> None:
    """Row 31: a third of the calls fails, for the oracle too; nobody else's does."""
    found = figures(31).figures
    assert found.goodput == 1.0
    assert 0.5 <= found.good / found.calls <= 0.8


def test_a_play_is_fixed_by_its_seed() -> None:
    """The same world played again gives the same figures; another seed another world."""
    assert play(Job(number=24, rate_per_s=1.0, seed=SEED)) == figures(24)
    assert play(Job(number=24, rate_per_s=1.0, seed=SEED + 1)) != figures(24)


def test_the_document_is_made_from_the_figures() -> None:
    """Played rows are in the table, and all fifty-one are in words, with links to their tests."""
    table = run(jobs_of([42], [SEED]), processes=1)
    text = document(table, [SEED])
    assert set(table) == {(42, 1.0), (42, 0.1)}
    assert len(re.findall(r"^\| \[42\]", text, re.MULTILINE)) == 2
    assert re.findall(r"^### (\d+)\. ", text, re.MULTILINE) == [str(number) for number in NUMBERS]
    for row in ROWS:
        for test in row.tests:
            assert test.partition("::")[2] in text


def test_the_committed_document_has_every_row() -> None:
    """docs/faults.md has figures for each row and rate, and its links lead somewhere."""
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| \[(\d+)\]\(#([^)]+)\) \| [^|]+ \| (\S+) \|", text, re.MULTILINE)
    wanted = [
        (str(staging.number), "1/s" if rate_per_s == 1.0 else "6/min")
        for staging in ALL_STAGINGS
        for rate_per_s in staging.scenario.rates
    ]
    assert [(number, rate) for number, _, rate in shown] == wanted
    for line in re.findall(r"^\| \[.*", text, re.MULTILINE):
        number, *_, detect, recover = re.split(r" \| ", line)[:7]
        staging = STAGINGS[int(re.findall(r"\d+", number)[0])]
        assert (detect == "-") == (staging.no_detection is not None), line
        assert (recover == "-") == (staging.no_recovery is not None), line
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    assert len(links) > 90
