"""Batch calls instead of paid probes of idle endpoints.

An idle fallback is looked at now and then, and some of these looks cost money. A batch call that
comes shortly before can go there instead: it waits for nobody, and its answer is wanted anyway.
Only among equals, to an endpoint of the tier that would have been chosen from, and only where it
costs no more than the winner and the probe together: a long answer at a dearer model would pay for
a thousand probes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.core.routing import Choice
    from sidecar.domain import EndpointId, Route


def explored(choice: Choice, route: Route, probe_usd: Mapping[EndpointId, float]) -> Choice:
    """Return ``choice`` with an endpoint that needs a look first, unchanged if none does.

    ``probe_usd``: what the paid probe that is near would cost, of endpoints that need one. Whose
    price is not known is not asked.
    """
    if choice.tier is None:
        return choice
    winner = choice.ranked[0]
    for view in choice.ranked[1:]:
        name = view.endpoint.id
        if name not in route.tiers[choice.tier] or name not in probe_usd:
            continue
        if winner.cost_usd is None or view.cost_usd is None or view.is_suspect:
            continue
        if view.cost_usd <= winner.cost_usd + probe_usd[name]:
            others = (other for other in choice.ranked if other is not view)
            return replace(choice, ranked=(view, *others))
    return choice
