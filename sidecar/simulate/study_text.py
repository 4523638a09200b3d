"""The study as a document: tables, and sentences that follow from the figures.

No sentence is written that the figures could contradict later: those that compare are made from
them, the rest says how it was measured.
"""

from __future__ import annotations

from math import inf
from statistics import median
from typing import TYPE_CHECKING

from sidecar.simulate.ablations import ABLATIONS
from sidecar.simulate.plays import ENGINE
from sidecar.simulate.policies import BASELINES
from sidecar.simulate.scenarios import BY_NAME
from sidecar.simulate.study_reading import compared, rate_label, readings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sidecar.simulate.metrics import Figures

    World = tuple[str, float]
    Table = Mapping[World, Mapping[str, Figures]]

HEAD = """\
# Resilience, measured

Made by `python -m sidecar.simulate.study --write docs/resilience.md`; do not edit. Simulated time,
real engine, simulated providers; seeds {seeds}, pooled. The same tree gives the same figures.

Provider A is the best, B its equal elsewhere, C small and cheap. Calls arrive at random, once a
second or six times a minute on average, half of them streams, with a deadline of 30 s. Every design
meets the same calls, faults and luck. The designs:

* **engine**: this sidecar with its default settings.
* **sdk**: a vendor's SDK at A with two retries. **list**: the same, then B, then C, each call anew.
* **cooldown**: failover, and 5 s of rest after more than half of at least 5 calls in the calendar
  minute failed. **breaker**: failover, and 60 s of rest after five failures in a row.
* The **oracle** knows every fault and who has room; goodput is measured against it. It does not
  wait for a provider to come back, so that a design whose callers happen to wait can exceed 1.

Every fault of the catalogue, one by one: at the end, with the words in [faults.md](faults.md).

What is counted is defined in `sidecar/simulate/metrics.py`, the designs in
`sidecar/simulate/policies.py`, where the faults' numbers come from in
`sidecar/simulate/incidents.py`.
"""


def document(table: Table, seeds: Sequence[int], faults: str = "") -> str:
    """Return the document of the study, with the table of the catalogue's page ``faults``."""
    parts = [HEAD.format(seeds=", ".join(map(str, seeds))), "## Reading\n", _bullets(table)]
    table, every = compared(table), table
    parts += ["## Goodput over the oracle's\n", _by_design(table, lambda one: f"{one.goodput:.3f}")]
    parts += ["## Avoidable failures that callers met\n", FAILED]
    parts += [_by_design(table, _failures, with_calls=True)]
    parts += ["## Requests a call\n", _by_design(table, lambda one: f"{one.amplification:.2f}")]
    parts += [
        "## Slowest first contents\n",
        "95 of 100 streams that began during the fault showed content within, seconds.\n",
        _by_design(table, lambda one: _number(one.first_quantile_s(0.95))),
    ]
    parts += [
        "## Time to detect\n",
        "Median (worst) of the seeds, seconds; never: it never got 5 % of the calls or less.\n",
        _by_design(table, lambda one: _times(one.detect_s)),
    ]
    parts += ["## The engine in detail\n", DETAIL, _details(table)]
    parts += ["## Without one idea\n", ABLATED, _ablated(every)]
    if faults:
        parts += ["## Every fault of the catalogue\n", CATALOGUE, _catalogue(faults)]
    return "\n".join(parts)


def _catalogue(faults: str) -> str:
    """Return the table of the fault catalogue's page, its links made to lead there."""
    lines = [line for line in faults.splitlines() if line.startswith(CATALOGUE_LINES)]
    return "\n".join(lines).replace("](#", "](faults.md#") + "\n"


CATALOGUE_LINES = ("| Row |", "| --- | --- | --- | --- | --- |", "| [")
CATALOGUE = """\
Made by `make faults`; what the columns mean and how each row is played: [faults.md](faults.md).
"""
FAILED = """\
Errors before first content / broken streams / answers cut off without anybody's notice, of so many
calls.
"""

DETAIL = """\
Recovery: end of the fault until A gets 80 % of what it got before, median (worst). After: share
of the calls after detection that went to A (of all calls where it was not detected). Wasted:
attempts that came to nothing. Small: answers of the small model. Money is a share of the oracle's
spend: all above it, then probes, hedges, and answers billed but not finished.
"""

ABLATED = """\
Each row pair: the engine, then the engine without the idea, in worlds where it should tell: some
are made for it (`sidecar/simulate/scenarios_of_ideas.py`), with pods, prompts and answers of their
own, and some with ten calls a second. Goodput can exceed 1: the oracle knows
faults, but not how slow a crowded provider is.
Small: answers of the small model.
"""


def _bullets(table: Table) -> str:
    return "".join(f"* {sentence}\n" for sentence in readings(table))


def _by_design(table: Table, cell: Callable[[Figures], str], *, with_calls: bool = False) -> str:
    designs = (ENGINE, *BASELINES)
    rows = [["Scenario", "Rate", *(["Calls"] if with_calls else []), *designs]]
    for world, found in table.items():
        calls = [str(found[ENGINE].calls)] if with_calls else []
        rows.append([*_world(world), *calls, *(cell(found[design]) for design in designs)])
    return _markdown(rows)


def _details(table: Table) -> str:
    rows = [
        [
            *("Scenario", "Rate", "Recovery s", "After", "Wasted", "Small", "p50 s", "p95 s"),
            *("Money", "Probes", "Hedges", "Unfinished", "State changes"),
        ]
    ]
    for world, found in table.items():
        one = found[ENGINE]
        rows.append(
            [
                *_world(world),
                _times(one.recover_s),
                "-" if one.sick_share is None or not one.detect_s else f"{one.sick_share:.1%}",
                str(one.failed),
                str(one.small),
                _number(one.first_quantile_s(0.5)),
                _number(one.first_quantile_s(0.95)),
                f"{one.overhead:+.1%}",
                *(f"{usd / one.oracle_usd:.2%}" for usd in (one.probe_usd, one.hedge_usd)),
                f"{one.lost_usd / one.oracle_usd:.2%}",
                str(one.changes),
            ]
        )
    return _markdown(rows)


def _ablated(table: Table) -> str:
    rows = [
        [
            *(
                "Without",
                "Scenario",
                "Rate",
                "Goodput",
                "Detect s",
                "Recovery s",
                "Requests a call",
            ),
            *("Money", "Probes and hedges", "p95 s", "Small", "State changes"),
        ]
    ]
    for ablation in ABLATIONS:
        for world, found in table.items():
            if ablation.name in found:
                rows.append(["(engine)", *_world(world), *_ablated_cells(found[ENGINE])])
                title = f"**{ablation.title}**"
                rows.append([title, *_world(world), *_ablated_cells(found[ablation.name])])
    return _markdown(rows)


def _ablated_cells(one: Figures) -> list[str]:
    return [
        f"{one.goodput:.3f}",
        _times(one.detect_s),
        _times(one.recover_s),
        f"{one.amplification:.2f}",
        f"{one.overhead:+.1%}",
        f"{(one.probe_usd + one.hedge_usd) / one.oracle_usd:.2%}",
        _number(one.first_quantile_s(0.95)),
        str(one.small),
        str(one.changes),
    ]


def _world(world: World) -> list[str]:
    name, rate_per_s = world
    return [BY_NAME[name].title, rate_label(rate_per_s)]


def _failures(one: Figures) -> str:
    return f"{one.errors}/{one.broken}/{one.cut}" if one.errors + one.broken + one.cut else "0"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _times(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle, worst = _time(median(values)), _time(max(values))
    return middle if middle == worst else f"{middle} ({worst})"


def _time(value: float) -> str:
    return "never" if value == inf else f"{value:.0f}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    rule = ["---"] * len(head)
    lines = [f"| {' | '.join(row)} |" for row in (head, rule, *body)]
    return "\n".join(lines) + "\n"
