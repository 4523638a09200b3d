"""docs/ledger.md agrees with the code."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import yaml

from sidecar.cli.main import _parser
from sidecar.ledger.ledger import BUFFER_MAX, GOODBYE_S, RETRY_S, SERIES_MAX, UNSAVED_MAX, Ledger
from sidecar.ledger.records import CallQuery
from sidecar.ledger.settings import LedgerSettings
from sidecar.ledger.showing import observed
from sidecar.metrics import prometheus_name
from tests.ledger.events import attempt, call, outcome

DOC = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")


def first_cells(header: str) -> list[str]:
    """Return what stands in backticks in the first column of the table with this header."""
    _, _, rest = DOC.partition(f"\n| {header} |")
    table = rest.partition("\n\n")[0].splitlines()[2:]
    return [name for row in table for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def told() -> Ledger:
    """Return a ledger that knows one call."""
    ledger = Ledger(LedgerSettings())
    ledger.on_event(attempt("c1", outcome()))
    ledger.on_event(call("c1"))
    ledger.absorb(0.0, 0.0)
    return ledger


def test_the_settings_shown_are_all_with_their_defaults() -> None:
    """The page's configuration is the defaults, but for the path."""
    (text,) = re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)
    shown = yaml.safe_load(text)["ledger"]
    assert shown | {"path": None} == asdict(LedgerSettings())


def test_the_options_are_those_of_the_command() -> None:
    """Every option of `sidecar calls` is explained, and no other."""
    (commands,) = (action for action in _parser()._actions if action.dest == "command")
    assert commands.choices is not None
    options = commands.choices["calls"]._option_string_actions  # type: ignore[index]  # it is a dict
    shown = {name.partition(" ")[0] for name in first_cells("option")}
    assert shown == {name for name in options if name.startswith("--")} - {"--help"}


def test_the_fields_are_those_of_a_call() -> None:
    """Every field of a call and of an attempt is named."""
    (record,) = told()._memory.calls(CallQuery())
    shown = first_cells("call")
    assert sorted(shown) == sorted(asdict(record))
    (row,) = (line for line in DOC.splitlines() if line.startswith("| `attempts` |"))
    named = set(re.findall(r"`(\w+)`", row)) - {"attempts"}
    fields = {name for name in asdict(record)["attempts"][0] if not name.endswith("_tokens")}
    assert named == fields - {"call_id"}


def test_the_metrics_are_those_of_the_exposition() -> None:
    """Every metric is listed."""
    shown = observed(told())
    assert sorted(first_cells("metric")) == sorted(
        prometheus_name(one.name, one.unit, one.kind) for one in shown
    )


def test_the_bounds_are_those_of_the_code() -> None:
    """What the page says of bounds and times holds."""
    assert f"up to {UNSAVED_MAX:,} records" in DOC
    assert UNSAVED_MAX == BUFFER_MAX
    assert f"beyond {SERIES_MAX} pairs" in DOC
    assert "tried again every five seconds" in DOC
    assert (RETRY_S, GOODBYE_S) == (5.0, 2.0)
    assert "within two seconds" in DOC
