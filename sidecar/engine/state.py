"""The engine's state as plain data, for operators: every endpoint's score with its parts, gates and
traffic. Holds no key, no prompt and no answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.score import Score, score
from sidecar.domain import Gate
from sidecar.engine.spending import shown

if TYPE_CHECKING:
    from sidecar.core.score import Score
    from sidecar.domain import EndpointId, Route
    from sidecar.engine.endpoint_health import EndpointHealth
    from sidecar.engine.engine import Engine

PROMPT_TOKENS_SHOWN = 500
OUTPUT_TOKENS_SHOWN = 256
"""The latency score is for a prompt and an answer of these lengths."""
SCORE_MAX = 100.0


def snapshot(engine: Engine, now: float) -> dict[str, object]:
    """Return the state; instants are given as seconds from now, since the clock is ours alone."""
    health = engine.health
    return {
        "generation": engine.catalogue.generation,
        "endpoints": {name: _endpoint(engine, name, now) for name in health.endpoints},
        "hosts": {
            name: {
                "breaker": breaker.state(now).value,
                "reopens_in_s": _in_s(breaker.reopens_at(now), now),
            }
            for name, breaker in health.hosts.items()
        },
        "accounts": {
            name: {
                "block": None if (gate := account.gate(now)) is None else gate.value,
                "blocked_for_s": _in_s(account.blocked_until(now), now),
            }
            for name, account in health.accounts.items()
        },
        "routes": {
            name: {
                "tiers": route.tiers,
                "within_s": route.within_s,
                "is_task": route.is_task,
                **_shared(engine, route, now),
            }
            for name, route in engine.catalogue.routes.items()
        },
        "egress_suspect": health.egress.is_suspect(now),
        "loop_lag_s": round(health.lag.lag_s(now), 3),
        "shedding": engine.ladder.is_shedding(now),
        "waiting": len(health.room),
        "probes": {
            "count": engine.prober.probes_count,
            "spent_usd": round(engine.prober.spent_usd, 6),
        },
        "spend_caps": shown(engine.budgets.caps),
    }


def _shared(engine: Engine, route: Route, now: float) -> dict[str, object]:
    """Return what a route has learned, whom it tries and what it mirrors."""
    if not route.has_lots and route.shadow is None:
        return {}
    from sidecar.engine.lots_shown import shown_of  # noqa: PLC0415 - few configurations need it

    return shown_of(engine.parts, route, now)


def score_of(engine: Engine, name: EndpointId, now: float) -> Score:
    """Return an endpoint's score with its parts."""
    own = engine.health.endpoints[name]
    gate = engine.health.gate(own.endpoint, now)
    return score(
        reliability=own.reliability.value(now),
        level=own.latency.level(now),
        headroom=min(
            1.0 - own.limit.inflight / own.limit_value,
            engine.health.account_limits[own.endpoint.provider].headroom(now),
        ),
        is_blocked=gate not in (None, Gate.CONCURRENCY),  # being full is what headroom says
        samples=own.latency.samples,
        age_s=_age_s(own, now),
    )


def _age_s(own: EndpointHealth, now: float) -> float | None:
    return None if own.last_sample_at is None else now - own.last_sample_at


def _endpoint(engine: Engine, name: EndpointId, now: float) -> dict[str, object]:
    own = engine.health.endpoints[name]
    gate = engine.health.gate(own.endpoint, now)
    scored, age_s = score_of(engine, name, now), _age_s(own, now)
    ttft_s = own.latency.ttft_s(PROMPT_TOKENS_SHOWN, now)
    completion_s = ttft_s + OUTPUT_TOKENS_SHOWN * own.latency.itl_s(now)
    return {
        "score": round(scored.value, 1),
        "confidence": round(scored.confidence, 3),
        "age_s": None if age_s is None else round(age_s, 1),
        "reliability": round(scored.reliability, 4),
        "latency_factor": round(scored.latency_factor, 3),
        "headroom": round(scored.headroom, 3),
        "ttft_ms": round(ttft_s * 1000, 1),
        "completion_ms": round(completion_s * 1000, 1),
        "breaker": own.breaker.state(now).value,
        "reopens_in_s": _in_s(engine.health.opens_at(own.endpoint, now), now),
        "gate": None if gate is None else gate.value,
        "is_suspect": own.breaker.is_suspect(now),
        "last_cause": own.last_cause or None,
        **_traffic(own, now),
    }


def _traffic(own: EndpointHealth, now: float) -> dict[str, object]:
    return {
        "in_flight": own.limit.inflight,
        "limit": round(own.limit_value, 1),
        "rate_per_s": round(own.rate_per_s(now), 3),
        "attempts": own.attempts_count,
        "answered": own.answered_count,
    }


def _in_s(at: float | None, now: float) -> float | None:
    return None if at is None else round(max(0.0, at - now), 1)
