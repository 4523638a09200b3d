"""What one call may choose from, asked anew before each attempt.

Gathers the views of its route's endpoints and hands them to the router; keeps what this call has
found out by itself: endpoints too poor for it, and gates that shut between choice and attempt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.attempts import Start
from sidecar.core.exploring import explored
from sidecar.core.routing import CallNeeds
from sidecar.domain import Priority
from sidecar.engine.fitness import unfit
from sidecar.engine.views import view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.core.routing import Choice, EndpointView
    from sidecar.domain import Call, EndpointId, Gate
    from sidecar.engine.parts import Parts

PANIC = "panic"
ESTIMATE_LEAST = 0.7
"""A prompt may have so many of the tokens it was estimated at: where nobody else is left, who might
have room is asked, and judges.
"""


class Chooser:
    """Chooses for one call. ``views`` and ``choice`` are those of the last question."""

    def __init__(self, parts: Parts, call: Call, budget_left: Callable[[], float | None]) -> None:
        self.refused: dict[EndpointId, Gate] = {}
        self.views: tuple[EndpointView, ...] = ()
        self.choice: Choice | None = None
        self._parts = parts
        self._call = call
        self._budget_left = budget_left
        self._unfit = unfit(parts.catalogue, call)
        self.has_overflowed = False  # then nobody is asked who refused as long a prompt before
        self._space = _space_of(parts, call)
        self._has_panicked = False

    def choose(self, excluded: Mapping[EndpointId, Gate]) -> Choice:
        """Rank the endpoints; only where none is left may the call be a breaker's trial."""
        may_explore = not (self.refused or excluded)
        excluded = {**self._unfit, **self.refused, **excluded}
        choice = self._rank(excluded, may_try=False)
        if not choice.ranked:
            choice = self._rank(excluded, may_try=True)
        elif may_explore and self._call.constraints.priority is Priority.BATCH:
            choice = self._explored(choice)
        self.choice = choice
        return choice

    def _explored(self, choice: Choice) -> Choice:
        """Let a batch call be the look at an idle endpoint; one at a time is enough."""
        own = [self._parts.health.endpoints[view.endpoint.id] for view in choice.ranked]
        near = {one.endpoint.id: one.idle_probe_usd for one in own if not one.in_flight}
        probe_usd = {name: usd for name, usd in near.items() if usd is not None}
        return explored(choice, self._call.route, probe_usd)

    def rejected(self) -> dict[EndpointId, Gate]:
        """Return who was out at the last question, and why."""
        return {} if self.choice is None else dict(self.choice.rejected)

    def panic(self) -> Start | None:
        """Return a rationed trial past shut breakers, so that a recovery is noticed at once."""
        if self.choice is None or self._has_panicked:
            return None
        chosen = self._parts.panic.choose(self.views, loop_now(), self.choice.rejected)
        if chosen is None:
            return None
        self._has_panicked = True
        return Start(
            endpoint_id=chosen.endpoint.id,
            kind=PANIC,
            needs_fresh_connection=False,
            view=chosen,
            next_view=None,
        )

    def _rank(self, excluded: Mapping[EndpointId, Gate], *, may_try: bool) -> Choice:
        parts, call = self._parts, self._call
        now = loop_now()
        output = parts.output_model(call.route.name)
        may_overflow = may_try and not self.has_overflowed
        self.views = tuple(
            view(
                parts.catalogue.endpoints[name],
                call,
                parts.health,
                output,
                now,
                may_try=may_try,
                may_overflow=may_overflow,
            )
            for name in call.route.endpoints()
        )
        tokens = call.facts.prompt_tokens * (ESTIMATE_LEAST if may_overflow else 1.0)
        needs = CallNeeds(
            route=call.route,
            remaining_s=call.deadline_at - now,
            budget_usd=self._budget_left(),
            format=call.format,
            untranslatable=call.facts.untranslatable,
            priority=call.constraints.priority,
            prompt_tokens=math.floor(tokens),
            excluded=excluded,
            space=self._space,
        )
        return parts.router.choose(self.views, needs, now, parts.rng)


def _space_of(parts: Parts, call: Call) -> str | None:
    """Return the space of the route's first endpoint that makes vectors, None for other calls.

    The first one and not the best of the moment: a caller compares today's vectors with last
    year's, so that a route must mean the same space whatever its endpoints go through.
    """
    if not call.facts.inputs_count:
        return None
    endpoints = (parts.catalogue.endpoints[name] for name in call.route.endpoints())
    return next((one.space for one in endpoints if one.format_for(call.format) is not None), None)
