"""What was learned, who is on trial and what is mirrored, for people and as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.metrics import Kind, Observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sidecar.domain import EndpointId, Route
    from sidecar.engine.lots import Learning, Lots
    from sidecar.engine.parts import Parts
    from sidecar.engine.shadow import Shadows
    from sidecar.metrics import Labels

    Point = tuple[Labels, float]
    Reading = Callable[[], Iterable[Point]]


def shown_of(parts: Parts, route: Route, now: float) -> dict[str, object]:
    """Return what a route's state has beside its tiers: nothing where it shares out nothing."""
    found: dict[str, object] = {}
    if route.adaptive is not None and parts.lots is not None:
        found["choice"] = _choice(parts, parts.lots, route, now)
    if route.canaries and parts.lots is not None:
        found["canaries"] = {
            name: _canary(parts, parts.lots, route, name, share, now)
            for name, share in route.canaries
        }
    if route.shadow is not None and parts.shadows is not None:
        found["shadow"] = _shadow(parts.shadows, route, now)
    return found


def _choice(parts: Parts, lots: Lots, route: Route, now: float) -> dict[str, object]:
    learning, terms = lots.learning.get(route.name), route.adaptive
    if learning is None or terms is None:
        return {}
    by_worth = learning.has_feedback
    return {
        "by": "worth" if by_worth else "configured order",
        "why": "feedback" if by_worth else "no feedback yet: nobody said how good an answer was",
        "leader": learning.leader if by_worth else None,
        "worth_usd": terms.worth_usd,
        "usd_per_second": terms.usd_per_s,
        "share": terms.share,
        "explored": learning.explored_count,
        "explored_usd": round(learning.explored_usd, 6),
        "not_afforded": learning.refused_count,
        "usd_per_day": terms.usd_per_day,
        "models": {name: _belief(parts, route, name, now) for name in route.endpoints()},
    }


def _belief(parts: Parts, route: Route, name: EndpointId, now: float) -> dict[str, object]:
    belief = parts.quality.posterior(route.name, name, now)
    return {
        "quality": round(belief.mean, 4),
        "interval": [round(belief.low, 4), round(belief.high, 4)],
        "scores": round(belief.n, 1),
    }


def _canary(
    parts: Parts, lots: Lots, route: Route, name: EndpointId, share: float, now: float
) -> dict[str, object]:
    rollback = lots.canaries.rollback(route.name, name)
    incumbent = lots.canaries.incumbent(route.name, lots.settled(route).endpoints(), now)
    found: dict[str, object] = {
        "share": share,
        "state": "on trial" if rollback is None else "rolled back",
        "health": _rounded(lots.canaries.health(route.name, name, now)),
        "quality": _belief(parts, route, name, now),
        "incumbent": incumbent,
    }
    if rollback is not None:
        found["rollback"] = {
            "reason": rollback.reason,
            "ago_s": round(max(0.0, now - rollback.at), 1),
            "incumbent": rollback.incumbent,
            "own": _rounded(rollback.own),
            "other": _rounded(rollback.other),
            "until": "its configuration changes, or an operator restores it",
        }
    return found


def _shadow(shadows: Shadows, route: Route, now: float) -> dict[str, object]:
    terms, mirrored = route.shadow, shadows.routes.get(route.name)
    if terms is None or mirrored is None:
        return {}
    return {
        "endpoint": terms.endpoint,
        "share": terms.share,
        "usd_per_day": terms.usd_per_day,
        "mirrored": mirrored.mirrored_count,
        "answered": mirrored.answered_count,
        "cost_usd": round(mirrored.cost_usd, 6),
        "paused_for_s": round(max(0.0, mirrored.paused_until - now), 1),
        "running": shadows.running,
        "skipped": dict(shadows.skipped),
    }


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(end, 4) for end in interval]


# --- metrics --------------------------------------------------------------------------------------


def observed(parts: Callable[[], Parts]) -> tuple[Observed, ...]:
    """Return what is learned, tried and mirrored as metrics: no series where nothing is shared."""
    counter, gauge = Kind.COUNTER, Kind.GAUGE

    def learned(read: Callable[[Learning], float]) -> Callable[[], Iterator[Point]]:
        def points() -> Iterator[Point]:
            lots = parts().lots
            for task, learning in () if lots is None else lots.learning.items():
                yield (task,), read(learning)

        return points

    def one(
        name: str, kind: Kind, unit: str, meaning: str, *labels: str, read: Reading
    ) -> Observed:
        return Observed(
            name=f"sidecar.{name}", kind=kind, unit=unit, meaning=meaning, labels=labels, read=read
        )

    return (
        one(
            *("canary_rolled_back", gauge, "", "Whether a model on trial was rolled back."),
            *("route", "endpoint"),
            read=lambda: _rolled_back(parts()),
        ),
        one(
            *("canary_rollbacks", counter, "{rollback}", "Rollbacks since the start."),
            read=lambda: () if (lots := parts().lots) is None else (((), lots.rollbacks_count),),
        ),
        one(
            *("explored_calls", counter, "{call}", "Calls sent to learn, not to the best known."),
            "route",
            read=learned(lambda learning: learning.explored_count),
        ),
        one(
            *("exploration_cost", counter, "USD", "What that cost above the best known."),
            "route",
            read=learned(lambda learning: learning.explored_usd),
        ),
        one(
            *("shadow_calls", counter, "{call}", "Copies of calls that were made for a shadow."),
            "route",
            read=lambda: _mirrored(parts()),
        ),
        one(
            *("shadow_skipped", counter, "{call}", "Copies that were not made, by reason."),
            "reason",
            read=lambda: _skipped(parts()),
        ),
    )


def _rolled_back(parts: Parts) -> Iterator[Point]:
    lots = parts.lots
    if lots is None:
        return
    for route in parts.catalogue.routes.values():
        for name, _ in route.canaries:
            yield (route.name, name), float(lots.canaries.is_stopped(route.name, name))


def _mirrored(parts: Parts) -> Iterator[Point]:
    if parts.shadows is not None:
        for name, mirrored in parts.shadows.routes.items():
            yield (name,), mirrored.mirrored_count


def _skipped(parts: Parts) -> Iterator[Point]:
    if parts.shadows is not None:
        for reason, count in parts.shadows.skipped.items():
            yield (reason,), count
