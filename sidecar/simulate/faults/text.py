"""The fault catalogue as a document: the table of figures, then each row in words.

What compares is made from the figures; the rest says how they came about.
"""

from __future__ import annotations

from math import inf
from statistics import median
from typing import TYPE_CHECKING

from sidecar.simulate.faults.rows import BY_NUMBER, ROWS
from sidecar.simulate.faults.stagings import BY_NUMBER as STAGINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sidecar.simulate.faults.figures import RowFigures
    from sidecar.simulate.faults.row import Row

    World = tuple[int, float]
    Table = Mapping[World, RowFigures]

GOODPUT_MIN, AMPLIFICATION_MAX, OVERHEAD_MAX = 0.99, 1.3, 0.05
COLUMNS = (
    *("Row", "Fault", "Rate", "Calls", "Goodput", "Detect s", "Recover s", "Wasted"),
    *("Requests a call", "Extra cost", "Errors", "Broken"),
)
HEAD = """\
# The fault catalogue, measured

Made by `python -m sidecar.simulate.faults --write docs/faults.md` (`make faults`); do not edit.
Simulated time, real engine with its default settings (row 41 apart), simulated providers; seeds
{seeds}, pooled. The same tree gives the same figures. The engine beside what people do without it:
[resilience.md](resilience.md).

Provider A is the best, B its equal elsewhere, C small and cheap. Where a row says nothing else they
are three tiers, calls arrive at random, once a second or six times a minute on average (the lower
rate where it tells something), half of them streams, with a deadline of 30 s. First a minute in
which A and B become known, then one or three minutes of calm, the fault (2 min at 1/s, 10 min at
6/min, a fifth more or less by the seed), and the return. Rows with the name of a scenario of the
comparison study are that scenario.

## Figures
"""
DEFINITIONS = """\
* **The oracle** answers the same calls in the same world. It knows every fault, whom it concerns
  and until when, who has room and how fast each model is (not how long an answer will be). It asks
  nobody who would fail the call or be late; prefers the better tier though it be slow; waits for
  room where someone is well but full, people before batch jobs; and passes on a refusal that the
  request deserves. It does not wait for a provider to come back: where nobody can serve, an error
  at once is right. What befalls the sidecar itself (a restart, a lost network, a stalled loop)
  befalls the oracle too.
* **Calls**: those that began during the fault (row 28: or within a minute after it, row 35: half a
  minute); all figures but times and cost are theirs. A program that repeats a call makes one call.
* **Goodput**: good answers over the oracle's. Good: whole, in time, not empty, known to be so.
* **Detect**: from the start of the fault until the sick provider gets at most 5 % of the next 20
  calls, and, where a breaker keeps them away, until it is open.
* **Recover**: from the end of the fault until it gets 80 % of its former share of ten calls. Among
  equals (route of two first tiers) nothing obliges traffic to return: "never" is no failure there.
* Both are median (worst) of the seeds in seconds; never: not within the play.
* **Wasted**: attempts that came to no good answer (failed, outrun by a hedge, cut because the
  caller left, or answered too late), as a share of the calls.
* **Requests a call**: attempts of every kind over calls; probes are apart.
* **Extra cost**: what providers billed from the end of the warm-up to the end of the play, probes
  included, over the oracle's bill for the same time. Negative: the small model answered
  more, or fewer calls were answered.
* **Errors**: calls that ended in an error before their first content though the oracle's succeeded.
* **Broken**: such calls that ended after their first content, by an error event or cut off unseen.
"""


def document(table: Table, seeds: Sequence[int]) -> str:
    """Return the catalogue with its figures."""
    parts = [HEAD.format(seeds=", ".join(map(str, seeds))), _figures(table)]
    parts += ["What the columns mean:\n", DEFINITIONS]
    parts += ["Where a column has no meaning it has a dash:\n", _bullets(_dashes(table))]
    parts += ["## Reading\n", _bullets(_readings(table)), "## The rows\n", ROWS_HEAD]
    parts += [_row(row) for row in ROWS]
    return "\n".join(parts)


ROWS_HEAD = """\
What is correct, how the row is played for the table, and the tests that show the behaviour; the
tests cite rows by their numbers.
"""


def _figures(table: Table) -> str:
    rows = [list(COLUMNS), ["---"] * len(COLUMNS)]
    for (number, rate_per_s), one in table.items():
        staging, figures = STAGINGS[number], one.figures
        rows.append(
            [
                f"[{number}](#{_anchor(BY_NUMBER[number])})",
                BY_NUMBER[number].fault,
                _rate(rate_per_s),
                str(figures.calls),
                f"{figures.goodput:.3f}",
                "-" if staging.no_detection else _times(figures.detect_s),
                "-" if staging.no_recovery else _times(figures.recover_s),
                f"{one.wasted:.1%}",
                f"{one.amplification:.2f}",
                f"{figures.overhead:+.1%}",
                str(figures.errors),
                str(figures.broken + figures.cut),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _dashes(table: Table) -> Iterator[str]:
    """Yield why there are dashes, the rows with the same reason together."""
    numbers = dict.fromkeys(number for number, _ in table)
    reasons: dict[tuple[str, str], list[str]] = {}
    for number in numbers:
        staging = STAGINGS[number]
        detect, recover = staging.no_detection, staging.no_recovery
        if detect is not None and detect == recover:
            reasons.setdefault(("detect and recover", detect), []).append(str(number))
            continue
        if detect is not None:
            reasons.setdefault(("detect", detect), []).append(str(number))
        if recover is not None:
            reasons.setdefault(("recover", recover), []).append(str(number))
    for (column, reason), rows in reasons.items():
        yield f"{column}, {'row' if len(rows) == 1 else 'rows'} {', '.join(rows)}: {reason}."


def _readings(table: Table) -> Iterator[str]:
    calls = sum(one.figures.calls for one in table.values())
    errors = sum(one.figures.errors for one in table.values())
    broken = sum(one.figures.broken + one.figures.cut for one in table.values())
    yield (
        f"Of {calls} calls {errors} failed before first content and {broken} after it where the"
        " oracle's did not."
    )
    yield _where(
        table,
        f"Goodput below {GOODPUT_MIN}",
        lambda one: one.figures.goodput < GOODPUT_MIN,
        lambda one: f"{one.figures.goodput:.3f}",
    )
    yield _where(
        table,
        "Errors before first content",
        lambda one: one.figures.errors > 0,
        lambda one: str(one.figures.errors),
    )
    yield _where(
        table,
        f"More than {AMPLIFICATION_MAX} requests a call",
        lambda one: one.amplification > AMPLIFICATION_MAX,
        lambda one: f"{one.amplification:.2f}",
    )
    yield _where(
        table,
        f"Extra cost above {OVERHEAD_MAX:.0%}",
        lambda one: one.figures.overhead > OVERHEAD_MAX,
        lambda one: f"{one.figures.overhead:+.0%}",
    )


def _where(
    table: Table, what: str, holds: Callable[[RowFigures], bool], cell: Callable[[RowFigures], str]
) -> str:
    found = [
        f"{number} at {_rate(rate_per_s)} ({cell(one)})"
        for (number, rate_per_s), one in table.items()
        if holds(one)
    ]
    return f"{what}: {'rows ' + ', '.join(found) if found else 'nowhere'}."


def _row(row: Row) -> str:
    tests = ", ".join(_link(test) for test in row.tests)
    return (
        f"### {_title(row)}\n\n"
        f"* Correct: {row.correct}\n* Played: {row.measured}\n* Tests: {tests}\n"
    )


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name}](../{path})"


def _title(row: Row) -> str:
    return f"{row.number}. {row.fault}"


def _anchor(row: Row) -> str:
    """Return what a renderer of Markdown makes of the title: letters, digits, hyphens."""
    kept = [letter for letter in _title(row).lower() if letter.isalnum() or letter in " -_"]
    return "".join(kept).replace(" ", "-")


def _bullets(sentences: Iterator[str]) -> str:
    return "".join(f"* {sentence}\n" for sentence in sentences)


def _rate(rate_per_s: float) -> str:
    return "1/s" if rate_per_s == 1.0 else f"{rate_per_s * 60:.0f}/min"


def _times(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle, worst = _time(median(values)), _time(max(values))
    return middle if middle == worst else f"{middle} ({worst})"


def _time(value: float) -> str:
    return "never" if value == inf else f"{value:.0f}"
