"""How soon a bad newcomer is rolled back, and how often a good one by mistake.

The production verdict (``core/canary.py``) over made-up attempts and scores; it is asked after
every score and every failure, as the engine does, for a month.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sidecar.core.canary import CanaryBook
from sidecar.core.quality import QualityBook
from sidecar.domain import EndpointId, Outcome, OutcomeClass, RouteName
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY_S = 86_400.0
DAYS = 30
CALLS_PER_DAY = 2000
SHARE = 0.05
FEEDBACK = 0.3
ROUTE = RouteName("task")
OLD, NEW = EndpointId("p/old"), EndpointId("p/new")


@value
class Trial:
    """A newcomer beside an incumbent: quality and share of good attempts of each, 0..1."""

    name: str
    quality: tuple[float, float] = (0.85, 0.85)
    health: tuple[float, float] = (0.99, 0.99)


TRIALS = (
    Trial(name="as good as the incumbent"),
    Trial(name="better: quality 0.92", quality=(0.85, 0.92)),
    Trial(name="a little worse: quality 0.80", quality=(0.85, 0.80)),
    Trial(name="worse: quality 0.70", quality=(0.85, 0.70)),
    Trial(name="much worse: quality 0.50", quality=(0.85, 0.50)),
    Trial(name="fails 5 % of its attempts", health=(0.99, 0.95)),
    Trial(name="fails 20 %", health=(0.99, 0.80)),
    Trial(name="fails all", health=(0.99, 0.0)),
)


@value
class Verdict:
    """One trial's end: on which day (None: it stayed) and after how many calls of its own."""

    day: float | None
    calls: int


def verdicts(trial: Trial, runs: int) -> list[Verdict]:
    """Return how ``runs`` trials ended, the seeds counted up."""
    return [_run(trial, seed) for seed in range(runs)]


def median(numbers: Iterable[float]) -> float | None:
    """Return the middle one, None of nothing."""
    ordered = sorted(numbers)
    return ordered[len(ordered) // 2] if ordered else None


def _run(trial: Trial, seed: int) -> Verdict:
    rng = random.Random(seed)
    book, quality = CanaryBook(), QualityBook(lambda _, __: 0.7)
    own = 0
    for number in range(DAYS * CALLS_PER_DAY):
        now = number * DAY_S / CALLS_PER_DAY
        is_new = rng.random() < SHARE
        name = NEW if is_new else OLD
        own += is_new
        is_good = rng.random() < trial.health[is_new]
        is_asked = book.observe(ROUTE, _outcome(name, now, is_good=is_good)) and is_new
        if is_good and rng.random() < FEEDBACK:
            score = float(rng.random() < trial.quality[is_new])
            quality.observe(ROUTE, name, score, 1.0, now)
            is_asked = is_asked or is_new
        if is_asked and _is_judged_bad(book, quality, now):
            return Verdict(day=now / DAY_S, calls=own)
    return Verdict(day=None, calls=own)


def _is_judged_bad(book: CanaryBook, quality: QualityBook, now: float) -> bool:
    belief = {name: quality.posterior(ROUTE, name, now) for name in (OLD, NEW)}
    return book.judge(ROUTE, NEW, (OLD,), belief.__getitem__, now) is not None


def _outcome(name: EndpointId, now: float, *, is_good: bool) -> Outcome:
    return Outcome(
        cls=OutcomeClass.OK if is_good else OutcomeClass.S5,
        endpoint=name,
        message="",
        started_at=now,
        ended_at=now,
    )
