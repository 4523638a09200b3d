"""Which endpoints of a route a call must not use, whatever their health: unable, or too poor.

What a call needs is read off its body before anybody is asked (``RequestFacts``); who is known to
lack it would only answer 400, or worse, ignore it. A route that does not permit ``smaller`` never
leaves the class of its first tier; a call that says how good the model must be, and means it, is
never answered by a worse one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.tiers import CLASS_MARGIN
from sidecar.domain import Gate, Rung

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.domain import Call, Endpoint, EndpointId, Route

UNABLE = frozenset({Gate.UNSUPPORTED, Gate.CONTEXT_TOO_SMALL, Gate.OUTPUT_TOO_SMALL})


def is_smaller(own: float, best_tier: Iterable[float]) -> bool:
    """Return whether a model of quality ``own`` is of a lower class than every one of the best."""
    return own < min(best_tier) - CLASS_MARGIN


def unfitness(endpoint: Endpoint, call: Call, least: float) -> Gate | None:
    """Return why ``endpoint`` cannot serve the call, or not as well as ``least``; None if it can.

    ``least`` is ``least_quality`` of the call, worked out once.
    """
    gate = _inability(endpoint, call)
    if gate is None and least > 0.0 and endpoint.quality.of(call.route.name) < least:
        return Gate.QUALITY
    return gate


def lack(endpoint: Endpoint, call: Call, gate: Gate | None) -> str:
    """Return in words what ``endpoint`` lacks that a gate of ``UNABLE`` keeps from the call."""
    if gate is Gate.OUTPUT_TOO_SMALL:
        asked = call.facts.max_tokens
        return f"writes at most {endpoint.abilities.output_tokens_max} tokens (asked: {asked})"
    if gate is Gate.CONTEXT_TOO_SMALL:
        room = endpoint.context_tokens
        known = "refused as long a prompt" if room is None else f"has a context of {room} tokens"
        return f"{known} (needed: about {call.facts.prompt_tokens})"
    missing = endpoint.abilities.missing(call.facts.all_needs())
    names = [ability.value for ability in missing] or list(call.facts.untranslatable)
    return f"lacks {', '.join(names) or call.format.value}"


def _inability(endpoint: Endpoint, call: Call) -> Gate | None:
    """Return why ``endpoint`` could not serve the call even at its best."""
    abilities = endpoint.abilities
    if abilities.cannot and abilities.missing(call.facts.all_needs()):
        return Gate.UNSUPPORTED
    longest, asked = abilities.output_tokens_max, call.facts.max_tokens
    is_longer = longest is not None and asked is not None and asked > longest
    return Gate.OUTPUT_TOO_SMALL if is_longer and Rung.CLAMP not in call.route.rungs else None


def wished_quality(call: Call) -> float:
    """Return the quality that the call wishes for but does not insist on, 0 if there is none."""
    wishes = call.constraints
    return 0.0 if wishes.quality is None or wishes.is_quality_hard else wishes.quality


def least_quality(call: Call, endpoints: Mapping[EndpointId, Endpoint]) -> float:
    """Return how good an endpoint must be for the call, 0..1."""
    wishes = call.constraints
    least = wishes.quality if wishes.quality is not None and wishes.is_quality_hard else 0.0
    return max(least, class_floor(call.route, endpoints))


def class_floor(route: Route, endpoints: Mapping[EndpointId, Endpoint]) -> float:
    """Return how good an endpoint must be for any call of ``route``, 0..1."""
    if Rung.SMALLER in route.rungs:
        return 0.0
    best = min(endpoints[name].quality.of(route.name) for name in route.tiers[0])
    return max(0.0, best - CLASS_MARGIN)
