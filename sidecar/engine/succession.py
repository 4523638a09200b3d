"""From one configuration to the next while calls are under way: who stays who it was?

A reload makes a new generation of parts (``parts.py``) beside the old one. A call belongs to the
generation that it began with, wholly: its routes, endpoints and health registry stay where it finds
them, and go when the last such call is over, since nobody else holds them. What both generations
know alike, they share: an endpoint that stays keeps its health, and what an old call still learns
of it counts for all.

An endpoint stays if its id, its provider (kind and base URL) and the provider's name for the model
do, and the format it is asked in; an account, if its provider does. Price, quality, limits and
timers may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.engine.endpoint_health import EndpointHealth
from sidecar.engine.pacer import Pacer
from sidecar.value import value

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from sidecar.catalogue import Catalogue
    from sidecar.domain import Endpoint, EndpointId, ProviderName
    from sidecar.engine.account_limits import AccountLimits
    from sidecar.engine.endpoint_health import HealthSettings
    from sidecar.engine.health import Health
    from sidecar.events import BreakerChanged


@value
class Legacy:
    """What a new health registry takes over: the one before, and who of it stays."""

    health: Health
    endpoints: frozenset[EndpointId]
    providers: frozenset[ProviderName]


def legacy_of(health: Health, before: Catalogue, after: Catalogue) -> Legacy:
    """Return who stays who it was between two configurations; of the others all is forgotten."""
    known = {one.provider for one in before.endpoints.values()} | set(before.providers)
    providers = frozenset(name for name in known if _who(before, name) == _who(after, name))
    endpoints = frozenset(
        name
        for name, one in before.endpoints.items()
        if one.provider in providers and _is_same(one, after.endpoints.get(name))
    )
    for name in before.endpoints.keys() - endpoints:
        health.contract.forget(name)
    return Legacy(health=health, endpoints=endpoints, providers=providers)


def health_of(  # noqa: PLR0913 - what an endpoint's health is made of
    endpoint: Endpoint,
    settings: HealthSettings,
    rng: random.Random,
    on_change: Callable[[BreakerChanged], None],
    *,
    account_limits: AccountLimits,
    pacer: Pacer | None,
    legacy: Legacy | None,
) -> EndpointHealth:
    """Return what is known of ``endpoint``, under its thresholds of now; or that nothing is."""
    own = settings.by_endpoint.get(endpoint.id, settings.endpoint)
    if legacy is None or endpoint.id not in legacy.endpoints:
        return EndpointHealth(
            endpoint, own, rng, on_change, account_limits=account_limits, pacer=pacer
        )
    known = legacy.health.endpoints[endpoint.id]
    known.adopt(endpoint, own, account_limits=account_limits, pacer=pacer)
    return known


def pacers_of(settings: HealthSettings, legacy: Legacy | None) -> dict[ProviderName, Pacer]:
    """Return the pacers; one whose account and limits stay goes on counting."""
    before = {} if legacy is None else legacy.health.pacers
    pacers = {}
    for name, pace in settings.pacers.items():
        known = before.get(name)
        is_same = legacy is not None and name in legacy.providers
        pacers[name] = (
            known if known is not None and is_same and known.settings == pace else Pacer(pace)
        )
    return pacers


def _who(catalogue: Catalogue, provider: ProviderName) -> tuple[str, str] | None:
    reach = catalogue.providers.get(provider)
    return None if reach is None else (reach.kind, reach.base_url)


def _is_same(one: Endpoint, other: Endpoint | None) -> bool:
    return other is not None and (one.provider, one.host, one.upstream_model, one.format) == (
        other.provider,
        other.host,
        other.upstream_model,
        other.format,
    )
