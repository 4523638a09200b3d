"""Which endpoints of a route a call must not use, whatever their health: too poor for it.

A route that does not permit ``smaller`` never leaves the class of its first tier; a call that says
how good the model must be, and means it, is never answered by a worse one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import Gate, Rung

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.catalogue import Catalogue
    from sidecar.domain import Call, Endpoint, EndpointId

CLASS_MARGIN = 0.05
"""Qualities this near each other are one class: the figures are judgements, not measurements."""


def is_smaller(own: float, best_tier: Iterable[float]) -> bool:
    """Return whether a model of quality ``own`` is of a lower class than every one of the best."""
    return own < min(best_tier) - CLASS_MARGIN


def unfit(catalogue: Catalogue, call: Call) -> dict[EndpointId, Gate]:
    """Return the endpoints of the call's route that are not good enough for it."""
    route, endpoints = call.route, catalogue.endpoints
    least = least_quality(call, endpoints)
    return {
        name: Gate.QUALITY
        for name in route.endpoints()
        if endpoints[name].quality.of(route.name) < least
    }


def least_quality(call: Call, endpoints: Mapping[EndpointId, Endpoint]) -> float:
    """Return how good an endpoint must be for the call, 0..1."""
    route, wishes = call.route, call.constraints
    least = wishes.quality if wishes.quality is not None and wishes.is_quality_hard else 0.0
    if Rung.SMALLER in route.rungs:
        return least
    best = min(endpoints[name].quality.of(route.name) for name in route.tiers[0])
    return max(least, best - CLASS_MARGIN)
