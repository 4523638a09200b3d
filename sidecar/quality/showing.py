"""What is believed of models, for people and as metrics.

Labels are routes and endpoints of the configuration, in bounded number, as those of the ledger.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.metrics import Kind, Observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.core.quality import QualityBook
    from sidecar.domain import EndpointId, RouteName
    from sidecar.metrics import Labels
    from sidecar.quality.hearing import Hearing

PAIRS_SHOWN = 500
GAUGES = (
    ("sidecar.quality", "", "mean", "Expected quality of a model on a route, 0 to 1."),
    ("sidecar.quality_low", "", "low", "Lower end of its 95 % interval."),
    ("sidecar.quality_high", "", "high", "Upper end of its 95 % interval."),
    ("sidecar.quality_evidence", "{score}", "n", "Scores behind it, fading with time."),
)


def shown(hearing: Hearing, now: float) -> dict[str, object]:
    """Return what was learned, and how much of what was heard."""
    rows = [
        {"route": route, "endpoint": endpoint, **belief_of(hearing.book, route, endpoint, now)}
        for route, endpoint, _ in sorted(hearing.book.export(), key=lambda one: one[:2])
    ]
    return {"models": rows[:PAIRS_SHOWN], "heard": dict(hearing.heard)}


def belief_of(
    book: QualityBook, route: RouteName, endpoint: EndpointId, now: float
) -> dict[str, float]:
    """Return what is believed of one model on one route."""
    belief = book.posterior(route, endpoint, now)
    return {
        "mean": round(belief.mean, 4),
        "low": round(belief.low, 4),
        "high": round(belief.high, 4),
        "n": round(belief.n, 2),
        "configured": book.prior_of(route, endpoint),
        "faults": round(book.share_of_faults(route, endpoint, now), 4),
    }


def observed(hearing: Hearing) -> tuple[Observed, ...]:
    """Return the same as metrics."""

    def beliefs(field: str) -> Callable[[], Iterator[tuple[Labels, float]]]:
        def read() -> Iterator[tuple[Labels, float]]:
            now = clock.now()
            for route, endpoint, _ in islice(hearing.book.export(), PAIRS_SHOWN):
                yield (route, endpoint), belief_of(hearing.book, route, endpoint, now)[field]

        return read

    return (
        *[
            Observed(
                name=name,
                kind=Kind.GAUGE,
                unit=unit,
                meaning=meaning,
                labels=("route", "endpoint"),
                read=beliefs(field),
            )
            for name, unit, field, meaning in GAUGES
        ],
        Observed(
            name="sidecar.answer_faults",
            kind=Kind.COUNTER,
            unit="{fault}",
            meaning="Faults seen on answers, by kind.",
            labels=("route", "endpoint", "kind"),
            read=lambda: iter(hearing.faults.items()),
        ),
        Observed(
            name="sidecar.scores",
            kind=Kind.COUNTER,
            unit="{score}",
            meaning="Feedback and grades, by what became of them.",
            labels=("result",),
            read=lambda: (((result,), count) for result, count in hearing.heard.items()),
        ),
    )
