"""What the demo shows: a live screen or, with ``--plain``, a line a second; at the end a summary.

Everything is read from the admin plane's state and the callers' tallies, so the screen cannot
flatter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sidecar.cli.demo_script import STAGES
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.cli.demo_callers import Callers, Tally

WIDTH = 100
BREAKER_STYLES = {"closed": "green", "open": "bold red", "half_open": "yellow"}
GOOD_SCORE, FAIR_SCORE = 80.0, 40.0


@value
class Moment:
    """One look at the demo: the stage, the sidecar's state, both tallies."""

    elapsed_s: float
    duration_s: float
    stage: str
    endpoints: Mapping[str, Mapping[str, object]]
    callers: Callers
    shares: Mapping[str, float]
    now: float


def screen(moment: Moment) -> Group:
    """Return the live screen."""
    head = Text.assemble(
        ("sidecar demo  ", "bold"),
        f"{moment.elapsed_s:5.1f} of {moment.duration_s:g} s   ",
        (moment.stage, "bold cyan"),
        "\n",
        *_script(moment.stage),
    )
    table = Table(expand=True, title="endpoints, as the sidecar sees them", title_justify="left")
    table.add_column("endpoint")
    for name in ("score", "breaker", "first token", "traffic", "gate"):
        table.add_column(name, justify="right")
    for name, row in moment.endpoints.items():
        table.add_row(name, *_cells(row, moment.shares.get(name, 0.0)))
    callers = Table(expand=True, title="callers", title_justify="left")
    callers.add_column("through")
    for name in ("calls", "answered", "degraded", "errors", "last 5 s", "all"):
        callers.add_column(name, justify="right")
    callers.add_row("the sidecar", *_tally(moment.callers.sidecar, moment.now))
    callers.add_row("alpha alone (3 attempts)", *_tally(moment.callers.control, moment.now))
    return Group(Panel(head), table, callers)


def line(moment: Moment) -> str:
    """Return one line of text for logs."""
    parts = [
        f"{name.partition('/')[0]} score={row['score']:.0f} {row['breaker']}"
        f" {row['ttft_ms']:.0f}ms {moment.shares.get(name, 0.0):.0%}"
        for name, row in moment.endpoints.items()
    ]
    sidecar, control = moment.callers.sidecar, moment.callers.control
    rates = f"sidecar {_percent(sidecar.recent_rate(moment.now))}"
    rates += f" control {_percent(control.recent_rate(moment.now))}"
    return f"{moment.elapsed_s:5.1f}s | {moment.stage} | {' | '.join(parts)} | {rates}"


def summary(result: Mapping[str, object], callers: Callers, *, console: Console) -> None:
    """Print the result."""
    table = Table(title="summary", title_justify="left")
    for name in ("", "calls", "answered", "degraded", "errors", "answered %"):
        table.add_column(name, justify="left" if not name else "right")
    for label, tally in (
        ("through the sidecar", callers.sidecar),
        ("tied to alpha alone, 3 attempts", callers.control),
    ):
        table.add_row(
            label,
            str(tally.calls),
            str(tally.answered),
            str(tally.degraded),
            str(tally.errors),
            _percent(tally.rate(), digits=2),
        )
    console.print(table)
    by_endpoint = ", ".join(
        f"{name} {count}" for name, count in sorted(callers.answers_by_endpoint.items())
    )
    console.print(f"answered by: {by_endpoint or 'nobody'}")
    console.print(f"probes: {result['probes']}")
    if callers.failures:
        console.print(f"errors by reason: {callers.failures}")


def _script(current: str) -> list[tuple[str, str]]:
    """Return the play's stages in order, the current one marked."""
    return [
        (f" {stage.name.partition(':')[0]} ", "reverse" if stage.name == current else "dim")
        for stage in STAGES
    ]


def _cells(row: Mapping[str, object], share: float) -> tuple[Text, ...]:
    score = _number(row["score"])
    style = "green" if score >= GOOD_SCORE else "yellow" if score >= FAIR_SCORE else "red"
    breaker = str(row["breaker"])
    reopens = row["reopens_in_s"]
    state = breaker if reopens is None else f"{breaker} {_number(reopens):.0f}s"
    return (
        Text(f"{score:.0f}", style),
        Text(state, BREAKER_STYLES.get(breaker, "magenta")),
        Text(f"{_number(row['ttft_ms']):.0f} ms"),
        Text(f"{share:.0%}"),
        Text(str(row["gate"] or "-")),
    )


def _tally(tally: Tally, now: float) -> tuple[str, ...]:
    return (
        str(tally.calls),
        str(tally.answered),
        str(tally.degraded),
        str(tally.errors),
        _percent(tally.recent_rate(now)),
        _percent(tally.rate(), digits=1),
    )


def _percent(rate: float | None, *, digits: int = 0) -> str:
    return "-" if rate is None else f"{100 * rate:.{digits}f} %"


def _number(value: object) -> float:
    assert isinstance(value, (int, float)), "the state's figures are numbers"
    return float(value)
