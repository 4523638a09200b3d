"""The fleet of one world and its routes: providers, hosts, accounts, models, prices, tiers.

Hosts and upstreams may be shared by providers, as behind a gateway or an aggregator; the models of
one provider always share its account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import (
    Capacity,
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    OnBreak,
    Price,
    ProviderName,
    Quality,
    Route,
    RouteName,
    Rung,
    Timers,
    WireFormat,
)
from sidecar.upstream.simulated import SimulatedLimits, SimulatedModel
from sidecar.value import value

if TYPE_CHECKING:
    import random

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
STATIC = '{"label": "unknown"}'
RUNGS = (Rung.SMALLER, Rung.CLAMP, Rung.STALE, Rung.STATIC)
ALONE_S = 40.0
"""What a healed endpoint gets for one short answer."""


@value
class ProviderOptions:
    """One simulated provider; ``models`` has a behaviour for each of ``endpoints``."""

    name: ProviderName
    format: WireFormat
    endpoints: tuple[Endpoint, ...]
    models: tuple[SimulatedModel, ...]
    limits: SimulatedLimits
    has_key: bool
    is_cancel_ignored: bool


def alone(endpoint: EndpointId) -> RouteName:
    """Return the name of the route that has only ``endpoint``."""
    return RouteName(f"alone-{endpoint}")


def draw_fleet(rng: random.Random) -> tuple[ProviderOptions, ...]:
    """Return two to five providers of one to three models each."""
    names = NAMES[: rng.randint(2, len(NAMES))]
    shares_hosts = rng.random() < 0.3  # noqa: PLR2004 - a chance
    shares_upstreams = rng.random() < 0.3  # noqa: PLR2004 - a chance
    providers = []
    for name in names:
        host = rng.choice(names[:2]) if shares_hosts else name
        upstream = rng.choice(names) if shares_upstreams else None
        providers.append(_draw_provider(rng, ProviderName(name), HostName(host), upstream))
    return tuple(providers)


def _draw_provider(
    rng: random.Random, name: ProviderName, host: HostName, upstream: str | None
) -> ProviderOptions:
    format_ = rng.choice((WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES))
    endpoints, models = [], []
    for number in range(rng.choice((1, 1, 2, 3))):
        behaviour = _draw_model(rng, is_reasoning=rng.random() < 0.2)  # noqa: PLR2004 - a chance
        models.append(behaviour)
        endpoints.append(
            Endpoint(
                id=EndpointId(f"{name}/m{number}"),
                provider=name,
                model=ModelName(f"m{number}"),
                upstream_model=f"m{number}",
                format=format_,
                host=HostName(f"http://{host}.test:80"),
                capacity=rng.choice((Capacity.SHARED, Capacity.SHARED, Capacity.DEDICATED)),
                quality=Quality(default=rng.choice((0.5, 0.7, 0.9))),
                price=_draw_price(rng, behaviour),
                timers=_draw_timers(rng),
                is_reasoning=behaviour.ttft_s >= 2.0,  # noqa: PLR2004 - as drawn below
                supports_prefill=rng.random() < 0.5,  # noqa: PLR2004 - a coin
                upstream=upstream,
            )
        )
    return ProviderOptions(
        name=name,
        format=format_,
        endpoints=tuple(endpoints),
        models=tuple(models),
        limits=SimulatedLimits(
            requests_per_minute=rng.choice((None, None, None, 120, 300)),
            requests_at_once=rng.choice((None, None, None, 8, 20)),
        ),
        has_key=rng.random() < 0.7,  # noqa: PLR2004 - a chance
        is_cancel_ignored=rng.random() < 0.2,  # noqa: PLR2004 - a chance
    )


def _draw_model(rng: random.Random, *, is_reasoning: bool) -> SimulatedModel:
    input_usd = rng.choice((0.15, 1.0, 3.0))
    return SimulatedModel(
        ttft_s=rng.uniform(2.0, 4.0) if is_reasoning else rng.uniform(0.05, 0.8),
        ttft_sigma=rng.choice((0.0, 0.15, 0.3)) if is_reasoning else rng.choice((0.0, 0.25, 0.6)),
        itl_s=rng.uniform(0.005, 0.04),
        output_tokens=rng.choice((3, 8, 20)),
        output_sigma=rng.choice((0.0, 0.4)),
        input_usd=input_usd,
        output_usd=input_usd * 5.0,
    )


def _draw_price(rng: random.Random, model: SimulatedModel) -> Price | None:
    if rng.random() < 0.1:  # noqa: PLR2004 - a chance
        return None
    return Price(input_usd=model.input_usd, output_usd=model.output_usd)


def _draw_timers(rng: random.Random) -> Timers:
    if rng.random() < 0.7:  # noqa: PLR2004 - a chance
        return Timers()
    return Timers(
        connect_s=rng.uniform(0.5, 3.0),
        first_content_s=rng.choice((None, rng.uniform(15.0, 20.0))),
        stall_s=rng.choice((None, rng.uniform(3.0, 10.0))),
    )


def draw_routes(rng: random.Random, providers: tuple[ProviderOptions, ...]) -> tuple[Route, ...]:
    """Return one to three tasks over several endpoints, and a route for each endpoint alone."""
    endpoints = [endpoint.id for one in providers for endpoint in one.endpoints]
    tasks = [_draw_route(rng, f"task{number}", endpoints) for number in range(rng.randint(1, 3))]
    lone = [
        Route(name=alone(name), tiers=((name,),), within_s=ALONE_S, rungs=(), is_task=False)
        for name in endpoints
    ]
    return (*tasks, *lone)


def _draw_route(rng: random.Random, name: str, endpoints: list[EndpointId]) -> Route:
    chosen = rng.sample(endpoints, k=rng.randint(min(2, len(endpoints)), min(len(endpoints), 5)))
    tiers: list[tuple[EndpointId, ...]] = []
    while chosen:
        size = rng.randint(1, len(chosen))
        tiers.append(tuple(chosen[:size]))
        chosen = chosen[size:]
    return Route(
        name=RouteName(name),
        tiers=tuple(tiers),
        within_s=rng.choice((4.0, 15.0, 30.0, 60.0)),
        budget_usd=rng.choice((None, None, None, 0.01, 0.0005)),
        static=rng.choice((None, None, STATIC)),
        rungs=tuple(rung for rung in RUNGS if rng.random() < 0.5),  # noqa: PLR2004 - a coin
        stale_s_max=rng.choice((5.0, 3600.0)),
        may_hedge=rng.random() < 0.7,  # noqa: PLR2004 - a chance
        on_break=rng.choice(tuple(OnBreak)),
        attempts_max=rng.choice((1, 2, 3, 3, 4)),
    )
