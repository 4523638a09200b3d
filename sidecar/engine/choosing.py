"""What one call may choose from, asked anew before each attempt.

Gathers the views of its route's endpoints and hands them to the router; keeps what this call has
found out by itself: endpoints too poor for it, and gates that shut between choice and attempt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.attempts import PANIC, Start
from sidecar.core.exploring import explored
from sidecar.core.panic import EARNED
from sidecar.core.routing import CallNeeds
from sidecar.domain import Gate, Priority
from sidecar.engine.fitness import least_quality, wished_quality
from sidecar.engine.sharing import Asked
from sidecar.engine.views import Sight

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.core.routing import Choice, EndpointView, RoutingSettings
    from sidecar.domain import Call, EndpointId, Outcome
    from sidecar.engine.parts import Parts

REPEATED = ("retry", "failover", PANIC)
"""Kinds of attempts that multiply load, but for a first one past a gate."""
ESTIMATE_LEAST = 0.7
"""A prompt may have so many of the tokens it was estimated at: where nobody else is left, who might
have room is asked, and judges.
"""


class Chooser:
    """Chooses for one call. ``choice`` is that of the last question."""

    def __init__(self, parts: Parts, call: Call, budget_left: Callable[[], float | None]) -> None:
        self.refused: dict[EndpointId, Gate] = {}
        self.choice: Choice | None = None
        self._parts = parts
        self._call = call
        self._budget_left = budget_left
        self._least = least_quality(call, parts.catalogue.endpoints)
        self._wished = wished_quality(call)
        self.has_overflowed = False  # then nobody is asked who refused as long a prompt before
        self._space = _space_of(parts, call)
        self.is_desperate = False  # at the last question nobody was left but by way of exceptions
        self._has_panicked = False
        self._sight: Sight | None = None
        self._lots = parts.lots if call.route.has_lots else None
        self._lot = None if self._lots is None else self._lots.draw(call, parts.rng)

    @property
    def has_lot(self) -> bool:
        """Whether something was drawn for the call, so that it is chosen for by itself."""
        return self._lot is not None and not self._lot.is_blank

    def ended(self, outcome: Outcome) -> None:
        """Note an attempt of the call, where lots were drawn."""
        if self._lots is not None:
            self._lots.ended(self._call.route, self._lot, outcome)

    @property
    def routing(self) -> RoutingSettings:
        """The numbers of the choice."""
        return self._parts.settings.routing

    def needs_s(self, view: EndpointView, share: float) -> float:
        """Return within how many seconds ``share`` of such calls end at an endpoint of ``views``,
        at a usual hour.
        """
        assert self._sight is not None, "its views were looked at"
        return self._sight.needs_s(view.endpoint.id, share)

    @property
    def views(self) -> tuple[EndpointView, ...]:
        """The views of all endpoints of the route, as of the last question."""
        if self._sight is None:
            self._sight = self._looking(loop_now(), may_try=False, may_overflow=False)
        return self._sight.all()

    def choose(self, excluded: Mapping[EndpointId, Gate], *, enough: int | None = None) -> Choice:
        """Rank the endpoints, or the ``enough`` best; only where none is left may the call be a
        breaker's trial.
        """
        is_batch = self._call.constraints.priority is Priority.BATCH
        is_usual = self._lot is None or (self._lot.is_blank and self._call.route.adaptive is None)
        may_explore = is_batch and is_usual and not (self.refused or excluded or self._wished)
        excluded = {**self.refused, **excluded}
        choice = self._rank(excluded, may_try=False, enough=None if may_explore else enough)
        self.is_desperate = not choice.ranked
        if self.is_desperate:
            choice = self._rank(excluded, may_try=True, enough=enough)
        elif may_explore:
            choice = self._explored(choice)
        self.choice = choice
        return choice

    def equals(self, primary: EndpointView) -> tuple[EndpointView, ...]:
        """Return, best first, who could answer beside ``primary`` without a degradation.

        One call in twenty is hedged where all is well, and none of them asked for a lesser model.
        """
        route = self._call.route
        tried: dict[EndpointId, Gate] = {**self.refused, primary.endpoint.id: Gate.TRIED}
        ranked = self._rank(tried, may_try=False, enough=None).ranked
        endpoints = self._parts.catalogue.endpoints
        best = [endpoints[name].quality.of(route.name) for name in route.tiers[0]]
        own = primary.endpoint.quality.of(route.name)
        least = max(min(own, *best), min(own, self._wished))
        # Whom a call was not drawn for is no second opinion either.
        on_trial = {name for name, _ in route.canaries}
        others = [one for one in ranked if one.endpoint.id not in on_trial]
        return tuple([one for one in others if one.endpoint.quality.of(route.name) >= least])

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
        """Return a rationed trial past shut gates, so that a recovery is noticed at once."""
        if self.choice is None or self._has_panicked:
            return None
        now, endpoints = loop_now(), self._parts.health.endpoints
        stopped = [name for name, gate in self.choice.rejected if gate is Gate.ROLLED_BACK]
        views = [one for one in self.views if one.endpoint.id not in stopped]
        untold = [one for one in views if not endpoints[one.endpoint.id].life.is_told(now)]
        chosen = self._parts.panic.choose(untold, now, self.choice.rejected)
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

    def may_retry(self, endpoint_id: EndpointId) -> bool:
        """Return whether the call may ask an endpoint again: it is known to answer now and then, or
        it is all that the route has, and its host has retry tokens left.
        """
        health = self._parts.health
        if health.endpoints[endpoint_id].life.may_try(loop_now()):
            return True
        return len(self._call.route.endpoints()) == 1 and health.may_retry(endpoint_id)

    def past(self) -> tuple[EndpointView, ...]:
        """Return who may be tried past its gate, since it answers now and then; best first."""
        if self.choice is None:
            return ()
        now, endpoints = loop_now(), self._parts.health.endpoints
        names = {
            name
            for name, gate in self.choice.rejected
            if endpoints[name].life.may_try(now) and self._is_guess(name, gate, now)
        }
        if not names:
            return ()
        alive = [view for view in self.views if view.endpoint.id in names]
        return tuple(sorted(alive, key=lambda view: -view.reliability))

    def _is_guess(self, name: EndpointId, gate: Gate, now: float) -> bool:
        """Return whether a gate is shut by our own guess: also for a 429 that names no time."""
        if gate is not Gate.ACCOUNT_RATE:
            return gate in EARNED
        own, accounts = self._parts.health.endpoints[name], self._parts.health.accounts
        is_full = own.fullness(now) is not None
        return accounts[own.endpoint.provider].is_guess(now) and not is_full

    def paid(self, start: Start) -> Start:
        """Use the earned try that ``start`` needs if it goes past a gate."""
        if start.kind == PANIC:
            self._parts.health.endpoints[start.endpoint_id].life.take()
        return start

    def _rank(
        self, excluded: Mapping[EndpointId, Gate], *, may_try: bool, enough: int | None
    ) -> Choice:
        parts, call = self._parts, self._call
        now = loop_now()
        may_overflow = may_try and not self.has_overflowed
        sight = self._sight = self._looking(now, may_try=may_try, may_overflow=may_overflow)
        tokens = call.facts.prompt_tokens
        route, lots = call.route, self._lots
        needs = CallNeeds(
            route=route if lots is None else lots.settled(route),
            remaining_s=call.deadline_at - now,
            budget_usd=self._budget_left(),
            format=call.format,
            untranslatable=call.facts.untranslatable,
            priority=call.constraints.priority,
            prompt_tokens=math.floor(tokens * ESTIMATE_LEAST) if may_overflow else tokens,
            excluded=excluded,
            space=self._space,
            quality=self._wished,
        )
        if lots is None or self._lot is None:
            return parts.router.choose(sight.look, needs, now, parts.rng, enough=enough)
        choice = parts.router.choose(sight.look, needs, now, parts.rng)
        asked = Asked(
            route=route, lot=self._lot, look=sight.look, needs=needs, now=now, rng=parts.rng
        )
        return lots.arranged(choice, asked, parts.settings.routing)

    def _looking(self, now: float, *, may_try: bool, may_overflow: bool) -> Sight:
        return Sight(
            self._parts,
            self._call,
            now,
            least=self._least,
            may_try=may_try,
            may_overflow=may_overflow,
        )


def _space_of(parts: Parts, call: Call) -> str | None:
    """Return the space of the route's first endpoint that makes vectors, None for other calls.

    The first one and not the best of the moment: a caller compares today's vectors with last
    year's, so that a route must mean the same space whatever its endpoints go through.
    """
    if not call.facts.inputs_count:
        return None
    endpoints = (parts.catalogue.endpoints[name] for name in call.route.endpoints())
    return next((one.space for one in endpoints if one.format_for(call.format) is not None), None)
