"""`python -m sidecar.simulate.learning --write docs/adaptive.md`: the study's figures and curves.

Writes the tables between the marks in that file and the curves beside it, same name, ``.svg``. The
same numbers each time: all chance is seeded.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.simulate.learning.play import TERMS, play
from sidecar.simulate.learning.plots import Line, Panel, drawn
from sidecar.simulate.learning.trials import DAYS as TRIAL_DAYS
from sidecar.simulate.learning.trials import TRIALS, median, verdicts
from sidecar.simulate.learning.worlds import worlds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.simulate.learning.play import Played
    from sidecar.simulate.learning.worlds import World

SEEDS, RUNS = 8, 40
QUICK_S = 86_400.0
BEGIN, END = "<!-- figures: made by `make learning` -->", "<!-- end of the figures -->"
LEGEND = (
    ("learned", "learned, half-life a day"),
    ("slow", "a week"),
    ("best", "best fixed model"),
    ("first", "first as configured"),
)


def main() -> None:
    """Play everything and write it."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.simulate.learning")
    parser.add_argument("--write", type=Path, required=True, help="the document with the marks")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="plays of each world")
    parser.add_argument("--runs", type=int, default=RUNS, help="trials of each newcomer")
    given = parser.parse_args()
    panels, rows = [], []
    for world in worlds():
        panel, row = _world(world, given.seeds)
        panels.append(panel)
        rows.append(row)
    text = given.write.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = "\n".join((*_regret_table(rows), "", *_trial_table(given.runs)))
    given.write.write_text(f"{head}{BEGIN}\n\n{made}\n\n{END}{tail}", encoding="utf-8")
    given.write.with_suffix(".svg").write_text(drawn(panels, LEGEND), encoding="utf-8")


def _world(world: World, seeds: int) -> tuple[Panel, str]:
    quick = [play(world, seed, half_life_s=QUICK_S) for seed in range(seeds)]
    slow = [play(world, seed) for seed in range(seeds)]
    learned, week = _mean(one.learned for one in quick), _mean(one.learned for one in slow)
    fixed = {arm.name: _mean(one.fixed[arm.name] for one in quick) for arm in world.arms}
    best = min(fixed, key=lambda name: fixed[name][-1])
    first = fixed[world.arms[0].name]
    panel = Panel(
        name=world.name,
        lines=(
            Line(kind="first", points=first),
            Line(kind="best", points=fixed[best]),
            Line(kind="slow", points=week),
            Line(kind="learned", points=learned),
        ),
        usd_max=_round_up(2.0 * max(learned[-1], week[-1], fixed[best][-1])),
    )
    worst = max(one.learned[-1] for one in quick)
    cells = (
        *(world.name, world.meaning, f"{learned[-1]:.2f} (at worst {worst:.2f})"),
        *(f"{week[-1]:.2f}", f"{best}: {fixed[best][-1]:.2f}", f"{first[-1]:.2f}"),
        *(f"{_tail(learned):.2f}", f"{_share(quick):.1%}, ${_extra(quick):.2f}"),
    )
    return panel, f"| {' | '.join(cells)} |"


def _mean(curves: Iterable[Sequence[float]]) -> tuple[float, ...]:
    return tuple(sum(points) / len(points) for points in zip(*curves, strict=True))


def _tail(curve: Sequence[float]) -> float:
    """Return the part of a regret that comes of the last third of the time."""
    return curve[-1] - curve[len(curve) * 2 // 3]


def _share(plays: Sequence[Played]) -> float:
    return sum(one.explored_share for one in plays) / len(plays)


def _extra(plays: Sequence[Played]) -> float:
    return sum(one.explored_usd for one in plays) / len(plays)


def _round_up(usd: float) -> float:
    return next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if step >= usd)


def _regret_table(rows: Sequence[str]) -> list[str]:
    columns = (
        *("world", "what happens", "learned, half-life a day", "a week", "best fixed"),
        *("first configured", "last third", "explored"),
    )
    return [
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *rows,
        "",
        f"US dollars of regret against the oracle over all calls, worth {TERMS.worth_usd:g}",
        f"and {TERMS.usd_per_s:g} a second, mean of the seeds; *last third*: what of it comes in",
        "the last four days; *explored*: share of calls sent elsewhere, and what that cost above",
        "the incumbent.",
    ]


def _trial_table(runs: int) -> list[str]:
    lines = [
        "| newcomer with a share of 5 % | rolled back | after, median | own calls until then |",
        "|---|---|---|---|",
    ]
    for trial in TRIALS:
        ended = [one for one in verdicts(trial, runs) if one.day is not None]
        day, calls = median(one.day or 0.0 for one in ended), median(one.calls for one in ended)
        after = "" if day is None else f"{day:.1f} days" if day >= 1 else f"{day * 24:.1f} hours"
        count = "" if calls is None else f"{calls:.0f}"
        lines.append(f"| {trial.name} | {len(ended)} of {runs} | {after} | {count} |")
    return [
        *lines,
        "",
        (
            f"In {TRIAL_DAYS} days of 2,000 calls, three answers in ten scored; the incumbent has a"
            " quality of 0.85 and fails 1 % of its attempts."
        ),
    ]


if __name__ == "__main__":
    main()
