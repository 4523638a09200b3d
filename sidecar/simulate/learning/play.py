"""Lets the production decision live in a world, call by call, beside those who know more.

What decides is what decides in the engine: ``engine/lots.py`` over ``core/adaptive.py`` and
``core/quality.py``; made up are the views of the models and the callers who score. Regret is what a
choice is worth less than the oracle's at that instant, in expectation, US dollars: luck of single
answers is no regret.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.catalogue import Catalogue
from sidecar.core.canary import CanarySettings
from sidecar.core.quality import QualityBook, QualitySettings
from sidecar.core.routing import CallNeeds, Choice, EndpointView, RoutingSettings
from sidecar.domain import (
    Call,
    CallId,
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    Outcome,
    OutcomeClass,
    Priority,
    ProviderName,
    RequestFacts,
    Route,
    RouteName,
    WireFormat,
)
from sidecar.engine.lots import Lots
from sidecar.engine.sharing import Asked
from sidecar.shares import Adaptive
from sidecar.simulate.learning.worlds import DAYS

if TYPE_CHECKING:
    from sidecar.engine.sharing import Lot
    from sidecar.events import Event
    from sidecar.simulate.learning.worlds import Arm, World

DAY_S = 86_400.0
CALLS_PER_DAY = 2000
POINTS = 120
TERMS = Adaptive()
ROUTE = RouteName("task")


@dataclass(slots=True)
class Played:
    """One play: cumulative regret against the oracle at ``POINTS`` instants, US dollars.

    ``learned`` is that of learning, ``fixed`` that of each model alone. ``asked``: whom learning
    asked between two instants, shares. ``explored_usd``: what exploring cost above the incumbent.
    """

    learned: list[float] = field(default_factory=list)
    fixed: dict[str, list[float]] = field(default_factory=dict)
    explored_share: float = 0.0
    explored_usd: float = 0.0
    asked: dict[str, list[float]] = field(default_factory=dict)


class _Deaf:
    def on_event(self, event: Event) -> None:
        """Take no note."""


def play(world: World, seed: int, *, half_life_s: float = QualitySettings().half_life_s) -> Played:
    """Return how learning fared in ``world``; half of a score counts after ``half_life_s``."""
    return _Play(world, seed, half_life_s).run()


class _Play:
    def __init__(self, world: World, seed: int, half_life_s: float) -> None:
        self._world, self._terms = world, TERMS
        self._chance, self._rng = random.Random(seed), random.Random(seed + 1)
        self._ids = {arm.name: EndpointId(f"p/{arm.name}") for arm in world.arms}
        self._endpoints = {self._ids[arm.name]: _endpoint(arm) for arm in world.arms}
        priors = {self._ids[arm.name]: arm.configured for arm in world.arms}
        self._book = QualityBook(
            lambda _, name: priors[name], QualitySettings(half_life_s=half_life_s)
        )
        self._lots = Lots(self._book, CanarySettings(), _Deaf())
        self._route = self._configured(world.arms[:1])
        self._late: list[tuple[float, int, EndpointId, float]] = []
        self._present: tuple[Arm, ...] = ()

    def _configured(self, arms: tuple[Arm, ...]) -> Route:
        """Put the models that there are into the configuration, as a reload would."""
        tiers = tuple((self._ids[arm.name],) for arm in arms)
        route = Route(name=ROUTE, tiers=tiers, adaptive=self._terms)
        self._lots.configured(Catalogue(endpoints=self._endpoints, routes={ROUTE: route}), None)
        return route

    def run(self) -> Played:
        calls = int(DAYS * CALLS_PER_DAY)
        played = Played(fixed={arm.name: [] for arm in self._world.arms})
        played.asked = {arm.name: [] for arm in self._world.arms}
        learned, explored = 0.0, 0
        fixed = dict.fromkeys(played.fixed, 0.0)
        asked = dict.fromkeys(played.fixed, 0)
        for number in range(calls):
            now = (number + self._chance.random()) * DAY_S / CALLS_PER_DAY
            worth = self._worth(now / DAY_S)
            best = max(worth.values())
            arm, lot = self._ask(number, now)
            explored += lot.exploration is not None
            learned += best - worth[arm.name]
            asked[arm.name] += 1
            for name in fixed:
                # A model that is not there yet: its callers have the first one meanwhile.
                fixed[name] += best - worth.get(name, worth[self._world.arms[0].name])
            if (number + 1) % (calls // POINTS) == 0:
                played.learned.append(learned)
                for name, regret in fixed.items():
                    played.fixed[name].append(regret)
                    played.asked[name].append(asked[name] / (calls // POINTS))
                asked = dict.fromkeys(asked, 0)
        played.explored_share = explored / calls
        played.explored_usd = self._lots.learning[ROUTE].explored_usd
        return played

    def _worth(self, day: float) -> dict[str, float]:
        terms = self._terms
        return {
            arm.name: terms.worth_usd * arm.quality(day)
            - arm.cost_usd(day)
            - terms.usd_per_s * arm.total_s
            for arm in self._world.arms
            if arm.from_day <= day
        }

    def _ask(self, number: int, now: float) -> tuple[Arm, Lot]:
        """Let one call choose, and its caller score, maybe, some time later."""
        day = now / DAY_S
        present = tuple(arm for arm in self._world.arms if arm.from_day <= day)
        if present != self._present:
            self._present, self._route = present, self._configured(present)
        while self._late and self._late[0][0] <= now:
            at, _, name, score = heapq.heappop(self._late)
            self._book.observe(ROUTE, name, score, 1.0, at)
        views = tuple(_view(self._endpoints[self._ids[a.name]], a, day) for a in present)
        call = _call(self._route, now)
        lot = self._lots.draw(call, self._rng)
        choice = self._lots.arranged(_choice(views), self._asked(lot, views, now), _ROUTING)
        chosen = choice.ranked[0].endpoint.id
        arm = next(arm for arm in present if self._ids[arm.name] == chosen)
        self._lots.ended(self._route, lot, _outcome(chosen, arm.cost_usd(day), now))
        if self._chance.random() < self._world.feedback_share:
            score = float(self._chance.random() < arm.quality(day))
            due_at = now + self._chance.expovariate(1.0 / self._world.delay_s)
            heapq.heappush(self._late, (due_at, number, chosen, score))
        return arm, lot

    def _asked(self, lot: Lot, views: tuple[EndpointView, ...], now: float) -> Asked:
        by_id = {view.endpoint.id: view for view in views}
        return Asked(
            route=self._route,
            lot=lot,
            look=by_id.__getitem__,
            needs=_needs(self._route),
            now=now,
            rng=self._rng,
        )


_ROUTING = RoutingSettings()
_FACTS = RequestFacts(model=ROUTE, is_stream=False, prompt_tokens=500)


def _call(route: Route, now: float) -> Call:
    return Call(
        id=CallId("call"),
        arrived_at=now,
        deadline_at=now + route.within_s,
        format=WireFormat.OPENAI_CHAT,
        route=route,
        body=b"",
        facts=_FACTS,
    )


def _needs(route: Route) -> CallNeeds:
    return CallNeeds(
        route=route,
        remaining_s=route.within_s,
        budget_usd=None,
        format=WireFormat.OPENAI_CHAT,
        untranslatable=(),
        priority=Priority.INTERACTIVE,
        excluded={},
    )


def _choice(views: tuple[EndpointView, ...]) -> Choice:
    return Choice(ranked=views, tier=0, rejected=(), soonest_opens_at=None)


def _outcome(endpoint: EndpointId, cost_usd: float, now: float) -> Outcome:
    return Outcome(
        cls=OutcomeClass.OK,
        endpoint=endpoint,
        message="ok",
        started_at=now,
        ended_at=now,
        cost_usd=cost_usd,
    )


def _endpoint(arm: Arm) -> Endpoint:
    return Endpoint(
        id=EndpointId(f"p/{arm.name}"),
        provider=ProviderName("p"),
        model=ModelName(arm.name),
        upstream_model=arm.name,
        format=WireFormat.OPENAI_CHAT,
        host=HostName("https://p.test:443"),
    )


def _view(endpoint: Endpoint, arm: Arm, day: float) -> EndpointView:
    return EndpointView(
        endpoint=endpoint,
        gate=None,
        opens_at=None,
        ttft_s=arm.total_s / 4,
        itl_s=0.02,
        total_s=arm.total_s,
        typical_ttft_s=arm.total_s / 4,
        reliability=1.0,
        availability=1.0,
        penalty_s=0.0,
        slow_start=1.0,
        utilisation=0.0,
        is_sluggish=False,
        is_suspect=False,
        cost_usd=arm.cost_usd(day),
        output_tokens=200.0,
    )
