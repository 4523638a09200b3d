"""What is known of a route's models, gathered for the advisor from ledger, beliefs and catalogue.

Without a catalogue (a ledger file alone) the routes are those that were called, with the model that
answered most as their first tier.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sidecar.core.cost import TOKENS_PER_PRICE
from sidecar.domain import EndpointId, Route, RouteName
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sidecar.catalogue import Catalogue
    from sidecar.core.quality import Posterior, QualityBook
    from sidecar.domain import Endpoint, Price
    from sidecar.ledger.delivered import Delivered

DAY_S = 86_400.0
PERIOD_S_MIN = 3600.0
"""Traffic of less than an hour says little of a day."""
GRADE_TOKENS, RUBRIC_TOKENS = 10, 150
"""What a grade and the words around its rubric take."""
CHARS_PER_TOKEN = 4


@value
class ModelSeen:
    """One model on one route. ``belief`` is from evidence alone, ``is_drawn``: of calls that it got
    by chance. Times and money are None where nothing was seen; ``is_guessed``: its price times the
    tokens of others. ``availability``: which share of attempts was answered.
    """

    endpoint: EndpointId
    belief: Posterior
    drawn: Posterior
    configured: float
    faults: float
    answers: int
    failures: int
    calls_per_day: float
    p50_s: float | None
    p95_s: float | None
    cost_usd: float | None
    is_guessed: bool

    @property
    def name(self) -> str:
        """The model's name in the configuration."""
        return self.endpoint.partition("/")[2] or self.endpoint

    @property
    def availability(self) -> float | None:
        """Which share of its attempts was answered; None: there were none."""
        tries = self.answers + self.failures
        return self.answers / tries if tries else None


@value
class RouteSeen:
    """One route: its tiers as configured, and its models in that order."""

    route: RouteName
    tiers: tuple[tuple[EndpointId, ...], ...]
    within_s: float
    models: tuple[ModelSeen, ...]
    grade_usd: float | None


@value
class Beliefs:
    """What is believed at ``now``: of all calls, and of those whose model was drawn."""

    book: QualityBook
    chance: QualityBook
    now: float


@value
class Sources:
    """Where everything is taken from; ``catalogue`` None: a ledger file alone."""

    catalogue: Catalogue | None
    delivery: Mapping[tuple[str, str], Delivered]
    beliefs: Beliefs

    def endpoint(self, name: EndpointId) -> Endpoint | None:
        """Return the endpoint as it is configured, None if it is not."""
        return None if self.catalogue is None else self.catalogue.endpoints.get(name)


def gather(sources: Sources) -> tuple[RouteSeen, ...]:
    """Return every task's route with what its models showed."""
    if sources.catalogue is not None:
        tasks = [route for route in sources.catalogue.routes.values() if route.is_task]
        return tuple(_seen(route, sources) for route in tasks)
    found = []
    for route in sorted({route for route, _ in sources.delivery}):
        own = {name: one for (of, name), one in sources.delivery.items() if of == route}
        order = sorted(own, key=lambda name: (-own[name].answers, name))
        tiers = tuple((EndpointId(name),) for name in order)
        found.append(_seen(Route(name=RouteName(route), tiers=tiers, within_s=math.inf), sources))
    return tuple(found)


def _seen(route: Route, sources: Sources) -> RouteSeen:
    own = {
        name: found
        for name in route.endpoints()
        if (found := sources.delivery.get((route.name, name))) is not None
    }
    typical = max(own.values(), key=lambda one: one.answers, default=None)
    period_s = _period_s(list(own.values()))
    models = []
    for name in route.endpoints():
        price = None if (known := sources.endpoint(name)) is None else known.price
        facts = _Facts(own=own.get(name), price=price, typical=typical, period_s=period_s)
        models.append(_model(route.name, name, sources.beliefs, facts))
    return RouteSeen(
        route=route.name,
        tiers=route.tiers,
        within_s=route.within_s,
        models=tuple(models),
        grade_usd=_grade_usd(route, typical, sources),
    )


@value
class _Facts:
    """What one model delivered, its price, and what stands in where it delivered nothing."""

    own: Delivered | None
    price: Price | None
    typical: Delivered | None
    period_s: float

    def cost_usd(self) -> tuple[float | None, bool]:
        """Return what an answer costs, None if that is not known; and whether it is a guess."""
        own, typical = self.own, self.typical
        if own is not None and own.answers and (own.cost_usd > 0.0 or self.price is not None):
            return own.cost_usd / own.answers, False
        if self.price is None or typical is None or not typical.answers:
            return None, False
        return _priced(self.price, typical, typical.input_tokens, typical.output_tokens), True


def _model(route: RouteName, name: EndpointId, beliefs: Beliefs, facts: _Facts) -> ModelSeen:
    own = facts.own
    cost_usd, is_guessed = facts.cost_usd()
    times = sorted(own.times) if own is not None else []
    return ModelSeen(
        endpoint=name,
        belief=beliefs.book.measured(route, name, beliefs.now),
        drawn=beliefs.chance.measured(route, name, beliefs.now),
        configured=beliefs.book.prior_of(route, name),
        faults=beliefs.book.share_of_faults(route, name, beliefs.now),
        answers=0 if own is None else own.answers,
        failures=0 if own is None else own.failures,
        calls_per_day=0.0 if own is None else (own.answers - own.shadows) * DAY_S / facts.period_s,
        p50_s=quantile(times, 0.5),
        p95_s=quantile(times, 0.95),
        cost_usd=cost_usd,
        is_guessed=is_guessed,
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which ``share`` of ``ordered`` lies, None of nothing."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _period_s(own: Sequence[Delivered]) -> float:
    if not own:
        return PERIOD_S_MIN
    first, last = min(one.first_at for one in own), max(one.last_at for one in own)
    return max(PERIOD_S_MIN, last - first)


def _priced(price: Price, typical: Delivered, read: float, written: float) -> float:
    """Return what one answer costs of which all together read and wrote so many tokens."""
    spent = read * price.input_usd + written * price.output_usd
    return spent / typical.answers / TOKENS_PER_PRICE


def _grade_usd(route: Route, typical: Delivered | None, sources: Sources) -> float | None:
    """Return what a grade of a typical answer costs, None without a grader or a price."""
    if route.grader is None or typical is None or not typical.answers:
        return None
    known = sources.endpoint(route.grader.model)
    if known is None or known.price is None:
        return None
    around = RUBRIC_TOKENS + len(route.grader.rubric) / CHARS_PER_TOKEN
    read = typical.input_tokens + typical.output_tokens + around * typical.answers
    return _priced(known.price, typical, read, GRADE_TOKENS * typical.answers)
