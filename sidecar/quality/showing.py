"""What is believed of models, for people and for Prometheus.

Labels are routes and endpoints of the configuration, in bounded number, as those of the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.quality import QualityBook
    from sidecar.domain import EndpointId, RouteName
    from sidecar.quality.hearing import Hearing

PAIRS_SHOWN = 500
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
GAUGES = (
    ("sidecar_quality", "mean", "Expected quality of a model on a route, 0 to 1."),
    ("sidecar_quality_low", "low", "Lower end of its 95 % interval."),
    ("sidecar_quality_high", "high", "Upper end of its 95 % interval."),
    ("sidecar_quality_evidence", "n", "Scores behind it, fading with time."),
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


def exposition(hearing: Hearing, now: float) -> str:
    """Return the same in Prometheus's text format."""
    return "".join(f"{line}\n" for line in _lines(hearing, now))


def _lines(hearing: Hearing, now: float) -> Iterator[str]:
    pairs = [(route, endpoint) for route, endpoint, _ in hearing.book.export()][:PAIRS_SHOWN]
    beliefs = {pair: belief_of(hearing.book, *pair, now) for pair in sorted(pairs)}
    for name, field, meaning in GAUGES:
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} gauge"
        for (route, endpoint), belief in beliefs.items():
            yield f"{name}{{{_labels(route, endpoint)}}} {belief[field]}"
    yield "# HELP sidecar_answer_faults_total Faults seen on answers, by kind."
    yield "# TYPE sidecar_answer_faults_total counter"
    for (on, by, kind), count in sorted(hearing.faults.items()):
        yield f'sidecar_answer_faults_total{{{_labels(on, by)},kind="{kind}"}} {count}'
    yield "# HELP sidecar_scores_total Feedback and grades, by what became of them."
    yield "# TYPE sidecar_scores_total counter"
    for result, count in sorted(hearing.heard.items()):
        yield f'sidecar_scores_total{{result="{result}"}} {count}'


def _labels(route: str, endpoint: str) -> str:
    return f'route="{route.translate(_ESCAPES)}",endpoint="{endpoint.translate(_ESCAPES)}"'
