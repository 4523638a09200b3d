"""What was learned, who is on trial and what is mirrored, for people and for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.domain import EndpointId, Route
    from sidecar.engine.lots import Lots
    from sidecar.engine.parts import Parts
    from sidecar.engine.shadow import Shadows

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


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


def exposition(parts: Parts) -> str:
    """Return the counters and gauges in Prometheus's text format, empty where nothing is shared."""
    return "".join(f"{line}\n" for line in (*_lots_lines(parts), *_shadow_lines(parts)))


def _lots_lines(parts: Parts) -> Iterator[str]:
    lots = parts.lots
    if lots is None:
        return
    yield "# HELP sidecar_canary_rolled_back Whether a model on trial was rolled back."
    yield "# TYPE sidecar_canary_rolled_back gauge"
    for route in parts.catalogue.routes.values():
        for name, _ in route.canaries:
            labels = f'route="{_safe(route.name)}",endpoint="{_safe(name)}"'
            stopped = int(lots.canaries.is_stopped(route.name, name))
            yield f"sidecar_canary_rolled_back{{{labels}}} {stopped}"
    yield "# HELP sidecar_canary_rollbacks_total Rollbacks since the start."
    yield "# TYPE sidecar_canary_rollbacks_total counter"
    yield f"sidecar_canary_rollbacks_total {lots.rollbacks_count}"
    yield "# HELP sidecar_explored_calls_total Calls that asked another model than the best known."
    yield "# TYPE sidecar_explored_calls_total counter"
    for task, learning in sorted(lots.learning.items()):
        yield f'sidecar_explored_calls_total{{route="{_safe(task)}"}} {learning.explored_count}'
    yield "# HELP sidecar_exploration_cost_usd What that cost above the best known, US dollars."
    yield "# TYPE sidecar_exploration_cost_usd gauge"
    for task, learning in sorted(lots.learning.items()):
        yield f'sidecar_exploration_cost_usd{{route="{_safe(task)}"}} {learning.explored_usd}'


def _shadow_lines(parts: Parts) -> Iterator[str]:
    shadows = parts.shadows
    if shadows is None:
        return
    yield "# HELP sidecar_shadow_calls_total Copies of calls that were made for a shadow."
    yield "# TYPE sidecar_shadow_calls_total counter"
    for name, mirrored in sorted(shadows.routes.items()):
        yield f'sidecar_shadow_calls_total{{route="{_safe(name)}"}} {mirrored.mirrored_count}'
    yield "# HELP sidecar_shadow_skipped_total Copies that were not made, by reason."
    yield "# TYPE sidecar_shadow_skipped_total counter"
    for reason, count in sorted(shadows.skipped.items()):
        yield f'sidecar_shadow_skipped_total{{reason="{reason}"}} {count}'


def _safe(name: str) -> str:
    return name.translate(_ESCAPES)
