"""What chance decides of a call before anybody is asked: explore, be a newcomer's trial, neither.

Only calls of routes that say ``choose: adaptive`` or have a model with a ``share`` come here. The
lot is drawn once a call, before the choices of a moment ago are looked at: a call that nothing was
drawn for may begin as the one before it did, one that something was drawn for is chosen for by
itself.

The router ranks a route without its newcomers, whom nobody else is to be compared with. A newcomer
is put in front for the calls that drew it, and behind everybody for all others: only where none of
the others takes the call is it asked out of turn, for an answer is better than none. Who was rolled
back is not asked at all.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sidecar.core import adaptive
from sidecar.core.canary import CanaryBook, CanarySettings
from sidecar.core.eligibility import rejection
from sidecar.core.probing import ProbeWhy
from sidecar.core.spend import SpendGate, SpendSettings
from sidecar.domain import Gate
from sidecar.engine.sharing import Exploration, Lot
from sidecar.events import CanaryRestored, CanaryRolledBack

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from sidecar.catalogue import Catalogue
    from sidecar.core.canary import Pair
    from sidecar.core.quality import Posterior, QualityBook
    from sidecar.core.routing import Choice, EndpointView, RoutingSettings
    from sidecar.domain import Call, Endpoint, EndpointId, Outcome, Route, RouteName
    from sidecar.engine.sharing import Asked
    from sidecar.events import Observer
    from sidecar.shares import Adaptive

JUDGE_S = 2.0
"""How often newcomers are compared, half a millisecond each: scores come at any time; an attempt
that fails asks at once.
"""


@dataclass(slots=True, kw_only=True)
class Learning:
    """How one adaptive route fares. ``leader``: whom its last call would have asked."""

    money: SpendGate
    leader: EndpointId | None = None
    has_feedback: bool = False
    explored_count: int = 0
    explored_usd: float = 0.0
    refused_count: int = 0


class Lots:
    """Draws the lots and keeps what becomes of them. Owns the canaries' book and what each adaptive
    route spends on exploring; ``quality`` is read alone.
    """

    def __init__(self, quality: QualityBook, settings: CanarySettings, observer: Observer) -> None:
        self.canaries = CanaryBook(settings)
        self.learning: dict[RouteName, Learning] = {}
        self.rollbacks_count = 0
        self._quality = quality
        self._observer = observer
        self._settled: dict[RouteName, tuple[Route, Route]] = {}
        self._routes: tuple[Route, ...] = ()
        self._judged_at: float | None = None
        self.is_aside = False

    def twin(self) -> Lots:
        """Return who arranges as this one would where nothing was drawn, and remembers for
        itself.
        """
        twin = copy(self)
        twin.learning = {name: copy(one) for name, one in self.learning.items()}
        twin.is_aside = True
        return twin

    # --- configuration -------------------------------------------------------------------------

    def configured(self, catalogue: Catalogue, now: float | None) -> None:
        """Go by the routes of ``catalogue``; ``now`` None: these are the first."""
        routes = [route for route in catalogue.routes.values() if route.has_lots]
        self._routes = tuple([route for route in routes if route.canaries])
        self._settled = {route.name: (route, _without(route)) for route in self._routes}
        for gone in self.learning.keys() - {route.name for route in routes if route.adaptive}:
            del self.learning[gone]
        for route in routes:
            if route.adaptive is not None:
                self._money(route.name, route.adaptive)
        identities = {
            (route.name, name): _identity(catalogue.endpoints[name], route, share)
            for route in self._routes
            for name, share in route.canaries
        }
        for pair in self.canaries.configured(identities):
            self._restored(pair, now, "config")

    def _money(self, name: RouteName, terms: Adaptive) -> None:
        settings = SpendSettings(daily_usd=terms.usd_per_day)
        known = self.learning.get(name)
        if known is None:
            self.learning[name] = Learning(money=SpendGate(settings))
        else:
            known.money.adapt(settings)

    # --- drawing -------------------------------------------------------------------------------

    def draw(self, call: Call, rng: random.Random) -> Lot:
        """Draw for a call that begins; one draw decides of newcomers, another of exploring."""
        route = call.route
        if self.is_aside:
            return Lot()
        if route.canaries:
            left = rng.random()
            for name, share in route.canaries:
                left -= share
                if left < 0.0:
                    if self.canaries.is_stopped(route.name, name):
                        break
                    return Lot(canary=name)
        terms = route.adaptive
        if terms is None or not adaptive.may_explore(call):
            return Lot()
        return Lot(explores=rng.random() < terms.share)

    def settled(self, route: Route) -> Route:
        """Return ``route`` without those on trial."""
        if not route.canaries:
            return route
        known, settled = self._settled.get(route.name, (None, route))
        return settled if known is route else _without(route)  # a call that outlives a reload

    # --- arranging -----------------------------------------------------------------------------

    def arranged(self, choice: Choice, asked: Asked, settings: RoutingSettings) -> Choice:
        """Return the router's ``choice`` among the settled models in the order of the lot."""
        route = asked.route
        if route.adaptive is not None and choice.ranked:
            choice = self._by_worth(choice, asked, route.adaptive)
        return self._with_canaries(choice, asked, settings) if route.canaries else choice

    def _by_worth(self, choice: Choice, asked: Asked, terms: Adaptive) -> Choice:
        name, lot, now = asked.route.name, asked.lot, asked.now
        learning = self.learning.get(name)
        if learning is None:  # the route of a call that outlived a reload
            return choice
        beliefs = self._beliefs(name, choice.ranked, now)
        learning.has_feedback = adaptive.has_feedback(beliefs)
        if not learning.has_feedback:
            return choice
        ranking = adaptive.ranked(
            choice.ranked,
            beliefs,
            terms,
            remaining_s=asked.needs.remaining_s,
            previous=learning.leader,
        )
        views = ranking.views
        if not asked.needs.excluded:
            learning.leader = ranking.incumbent.endpoint.id
            if lot.explores and lot.exploration is None:
                chosen = adaptive.drawn(ranking, beliefs, terms, asked.rng)
                lot.exploration = _afforded(learning, chosen, ranking.incumbent, now)
        if lot.exploration is not None:
            views = _led_by(lot.exploration.endpoint, views)
        is_led = lot.exploration is not None and views[0].endpoint.id == lot.exploration.endpoint
        return replace(
            choice,
            ranked=views,
            is_drawn=lot.exploration is not None,
            drawn="explore" if is_led else None,
        )

    def _beliefs(
        self, route: RouteName, views: Iterable[EndpointView], now: float
    ) -> dict[EndpointId, Posterior]:
        posterior = self._quality.posterior
        return {view.endpoint.id: posterior(route, view.endpoint.id, now) for view in views}

    def _with_canaries(self, choice: Choice, asked: Asked, settings: RoutingSettings) -> Choice:
        lot, needs = asked.lot, asked.needs
        if not needs.excluded:
            lot.has_rival = bool(choice.ranked)
        rejected = list(choice.rejected)
        able: dict[EndpointId, EndpointView] = {}
        for name, _ in asked.route.canaries:
            if self.canaries.is_stopped(asked.route.name, name):
                rejected.append((name, Gate.ROLLED_BACK))
            elif name == lot.canary or not choice.ranked:
                view = asked.look(name)
                gate = rejection(view, needs, settings)
                if gate is None:
                    able[name] = view
                else:
                    rejected.append((name, gate))
        first = None if lot.canary is None else able.get(lot.canary)
        if first is not None and first.total_s > needs.remaining_s and choice.ranked:
            able.clear()  # only it was looked at, and it would be late where another is not
        return replace(
            choice,
            ranked=(*_led_by(lot.canary, able.values()), *choice.ranked),
            rejected=tuple(rejected),
            is_drawn=choice.is_drawn or bool(able),
            drawn="canary" if lot.canary in able else choice.drawn,
        )

    # --- what came of it -----------------------------------------------------------------------

    def ended(self, route: Route, lot: Lot | None, outcome: Outcome) -> None:
        """Note an attempt of a call of ``route``."""
        money = None if lot is None else lot.exploration
        if money is not None and not money.is_settled and money.endpoint == outcome.endpoint:
            money.is_settled = True
            learning = self.learning.get(route.name)
            extra_usd = max(0.0, outcome.cost_usd - money.incumbent_usd)
            if learning is not None:
                learning.money.spent(extra_usd - money.reserved_usd, outcome.ended_at)
                learning.explored_usd += extra_usd - money.reserved_usd
        if not route.canaries or _is_out_of_turn(route, lot, outcome.endpoint):
            return
        if self.canaries.observe(route.name, outcome):
            self._judge(route, outcome.ended_at, outcome.endpoint)

    def flawed(self, route: Route, endpoint: EndpointId, fault: float, now: float) -> None:
        """Note that an answer which seemed well was of no use by ``fault`` (0..1)."""
        if route.canaries and fault > 0.0:
            self.canaries.flawed(route.name, endpoint, fault, now)
            self._judge(route, now, endpoint)

    def tick(self, now: float) -> None:
        """Compare all newcomers, every two seconds."""
        if not self._routes or (self._judged_at is not None and now < self._judged_at + JUDGE_S):
            return
        self._judged_at = now
        for route in self._routes:
            for name, _ in route.canaries:
                self._judge(route, now, name)

    def _judge(self, route: Route, now: float, endpoint: EndpointId) -> None:
        if all(endpoint != name for name, _ in route.canaries):
            return
        rollback = self.canaries.judge(
            route.name,
            endpoint,
            self.settled(route).endpoints(),
            lambda name: self._quality.posterior(route.name, name, now),
            now,
        )
        if rollback is not None:
            self.rollbacks_count += 1
            self._observer.on_event(
                CanaryRolledBack(
                    at=now,
                    route=route.name,
                    endpoint=endpoint,
                    incumbent=rollback.incumbent,
                    reason=rollback.reason,
                    own=rollback.own,
                    other=rollback.other,
                )
            )

    # --- operators -----------------------------------------------------------------------------

    def restore(self, endpoint: EndpointId, now: float) -> None:
        """Put a model on trial again wherever it was rolled back, with a clean slate."""
        for route in self._routes:
            if self.canaries.is_stopped(route.name, endpoint):
                self.canaries.restore(route.name, endpoint)
                self._restored((route.name, endpoint), now, "operator")

    def _restored(self, pair: Pair, now: float | None, reason: str) -> None:
        """Forget what was held against a model: it is another one now, or it was no fault of its
        own.
        """
        if now is None:
            return
        route, endpoint = pair
        self._quality.forget(route, endpoint)
        event = CanaryRestored(at=now, route=route, endpoint=endpoint, reason=reason)
        self._observer.on_event(event)


def _afforded(
    learning: Learning, chosen: EndpointView, incumbent: EndpointView, now: float
) -> Exploration | None:
    """Set the money for exploring aside; None if there is none, or nothing to explore."""
    if chosen is incumbent:
        return None
    extra_usd = adaptive.extra_usd(chosen, incumbent)
    if extra_usd is None or not learning.money.may_spend(extra_usd, ProbeWhy.OPEN, now):
        learning.refused_count += 1
        return None
    learning.money.spent(extra_usd, now)
    learning.explored_count += 1
    learning.explored_usd += extra_usd
    return Exploration(
        endpoint=chosen.endpoint.id,
        incumbent_usd=incumbent.cost_usd or 0.0,
        reserved_usd=extra_usd,
    )


def _is_out_of_turn(route: Route, lot: Lot | None, endpoint: EndpointId) -> bool:
    """Return whether a newcomer was asked where nobody else could be: in an outage it gets more
    than its share of the failures so, and they are no fair sample.
    """
    is_drawn = lot is not None and lot.canary == endpoint and lot.has_rival
    return not is_drawn and any(endpoint == name for name, _ in route.canaries)


def _led_by(name: EndpointId | None, views: Iterable[EndpointView]) -> tuple[EndpointView, ...]:
    return tuple(sorted(views, key=lambda view: view.endpoint.id != name))


def _without(route: Route) -> Route:
    """Return ``route`` without its newcomers; a tier of theirs alone stays, empty, in its place."""
    on_trial = {name for name, _ in route.canaries}
    tiers = tuple(tuple(name for name in tier if name not in on_trial) for tier in route.tiers)
    return replace(route, tiers=tiers, canaries=())


def _identity(endpoint: Endpoint, route: Route, share: float) -> str:
    """Return what a model on trial is configured as: another one is another trial."""
    return repr(
        (
            *(endpoint.upstream_model, endpoint.host, endpoint.format.value, endpoint.quality),
            *(endpoint.price, endpoint.timers, endpoint.context_tokens, share),
            route.prompts.get(endpoint.id),
        )
    )
