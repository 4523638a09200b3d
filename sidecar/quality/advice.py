"""Advice: what each model delivered on each route, and which change of the tiers it supports.

The advice is a plain value (dicts, lists, texts and numbers), the same for the terminal, for
``GET /api/v1/advice`` and for a page. A change is proposed only where the evidence carries it: both
models scored often enough, the candidate not worse by more than ``margin`` with 95 % probability,
as available, within the route's deadline; and then cheaper, faster, or better. Else it says what is
missing, and what finding out would cost.

Who answered which call was mostly chosen, not drawn: a model that only stands in gets its calls in
outages, the one asked first gets all others. So scores of calls whose model was drawn are preferred
where there are enough, and whatever rests on others says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sidecar.ledger.records import GRADE
from sidecar.quality.compare import SURE, difference, scores_needed
from sidecar.quality.hearing import WEIGHTS
from sidecar.quality.wording import change_text, missing_text
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.core.quality import Posterior
    from sidecar.domain import EndpointId
    from sidecar.quality.compare import Difference
    from sidecar.quality.seen import ModelSeen, RouteSeen

HOPELESS = 0.02
"""Below this probability of being good enough, looking closer is not worth proposing."""
CHANCE, OBSERVED = "chance", "observed"
CAVEATS = (
    "Models were chosen for calls, not drawn, unless a comparison says `chance`.",
    "So some may have had the easier calls, or those of an outage.",
    "Calls that nobody scored may differ from those that callers, graders and faults speak of.",
    "Money is that of the period looked at, per day; prices and traffic change.",
)


@value
class AdviceSettings:
    """When a change is proposed.

    * ``margin`` 0.02: two answers in a hundred that are worse are a price worth naming.
    * ``scores_least`` 30: of each model; fewer say little, whatever the interval.
    * ``cheaper`` 0.9, ``faster`` 0.7: at most this share of the cost, or of the p95, is a gain.
    * ``availability`` 0.02: so much less often answered is as good.
    """

    margin: float = 0.02
    scores_least: float = 30.0
    cheaper: float = 0.9
    faster: float = 0.7
    availability: float = 0.02


_DEFAULTS = AdviceSettings()


@value
class Pair:
    """A candidate beside the model that is asked first, and how their qualities compare."""

    candidate: ModelSeen
    first: ModelSeen
    basis: str
    beliefs: tuple[Posterior, Posterior]
    gap: Difference

    @property
    def scores(self) -> int:
        """How many scores the comparison rests on."""
        return round(self.beliefs[0].n + self.beliefs[1].n)

    def saved_usd(self) -> float | None:
        """Return what an answer less costs by the candidate, None if a cost is not known."""
        own, first = self.candidate.cost_usd, self.first.cost_usd
        return None if own is None or first is None else first - own


def advise(seen: Sequence[RouteSeen], settings: AdviceSettings = _DEFAULTS) -> dict[str, object]:
    """Return the advice about all routes; pure, some 10 ms for each pair of models."""
    routes = [_route(one, settings) for one in seen]
    return {
        "margin": settings.margin,
        "routes": routes,
        "changes": [change for route in routes for change in _listed(route, "changes")],
        "caveats": list(CAVEATS),
    }


def _listed(route: dict[str, object], name: str) -> list[object]:
    found = route[name]
    return found if isinstance(found, list) else []


def _route(seen: RouteSeen, settings: AdviceSettings) -> dict[str, object]:
    first = first_of(seen)
    changes: list[tuple[float, dict[str, object]]] = []
    missing: list[dict[str, object]] = []
    for one in seen.models:
        if first is None or one is first:
            continue
        pair = pair_of(one, first, settings)
        kind = kind_of(pair, seen, settings)
        if kind is not None:
            changes.append((_worth(pair), _change(kind, pair, seen)))
        elif (lacks := _missing(pair, seen, settings)) is not None:
            missing.append(lacks)
    changes.sort(key=lambda one: -one[0])
    return {
        "route": seen.route,
        "tiers": [[_name(one) for one in tier] for tier in seen.tiers],
        "first": None if first is None else first.name,
        "calls_per_day": round(sum(one.calls_per_day for one in seen.models), 1),
        "models": [_model(one) for one in seen.models],
        # One model can be asked first: the best change, and what else would do.
        "changes": [change for _, change in changes[:1]],
        "alternatives": [change for _, change in changes[1:]],
        "missing": missing,
    }


def first_of(seen: RouteSeen) -> ModelSeen | None:
    """Return the model of the first tier that answered most; None: it has none."""
    best = seen.tiers[0] if seen.tiers else ()
    tier = [one for one in seen.models if one.endpoint in best]
    return max(tier, key=lambda one: one.answers, default=None)


def pair_of(candidate: ModelSeen, first: ModelSeen, settings: AdviceSettings) -> Pair:
    """Compare two models by drawn calls if there are enough scores of them, else by all."""
    is_drawn = min(candidate.drawn.n, first.drawn.n) >= settings.scores_least
    beliefs = (candidate.drawn, first.drawn) if is_drawn else (candidate.belief, first.belief)
    return Pair(
        candidate=candidate,
        first=first,
        basis=CHANCE if is_drawn else OBSERVED,
        beliefs=beliefs,
        gap=difference(*beliefs, settings.margin),
    )


def kind_of(pair: Pair, seen: RouteSeen, settings: AdviceSettings) -> str | None:
    """Return what is to be gained by asking the candidate first; None: nothing is shown."""
    own, first = pair.candidate, pair.first
    if min(belief.n for belief in pair.beliefs) < settings.scores_least:
        return None
    if not _is_as_available(own, first, settings) or own.p95_s is None:
        return None
    if own.p95_s > seen.within_s:
        return None
    if pair.gap.not_worse >= SURE:
        saved_usd = pair.saved_usd()
        if saved_usd and saved_usd >= (1.0 - settings.cheaper) * (first.cost_usd or 0.0):
            return "cheaper"
        is_faster = first.p95_s is not None and own.p95_s <= settings.faster * first.p95_s
        if is_faster and (pair.saved_usd() or 0.0) >= 0.0:
            return "faster"
    is_better = pair.gap.better >= SURE and pair.gap.mean >= settings.margin
    return "better" if is_better else None


def _is_as_available(own: ModelSeen, first: ModelSeen, settings: AdviceSettings) -> bool:
    if own.availability is None:
        return False
    return first.availability is None or own.availability >= first.availability - (
        settings.availability
    )


def moved_first(
    tiers: Sequence[Sequence[EndpointId]], endpoint: EndpointId
) -> tuple[tuple[EndpointId, ...], ...]:
    """Return the tiers with ``endpoint`` alone in the first."""
    rest = [tuple(one for one in tier if one != endpoint) for tier in tiers]
    return ((endpoint,), *(tier for tier in rest if tier))


def _worth(pair: Pair) -> float:
    """Return by what changes are ordered: money first, a better model before none."""
    return (pair.saved_usd() or 0.0) * pair.first.calls_per_day


def _change(kind: str, pair: Pair, seen: RouteSeen) -> dict[str, object]:
    saved_usd = pair.saved_usd()
    per_day_usd = None if saved_usd is None else saved_usd * pair.first.calls_per_day
    sure = pair.gap.better if kind == "better" else pair.gap.not_worse
    return {
        "route": seen.route,
        "kind": kind,
        "model": pair.candidate.name,
        "over": pair.first.name,
        "text": change_text(kind, pair, seen.route, per_day_usd, sure),
        "sure": round(sure, 3),
        "basis": pair.basis,
        "scores": pair.scores,
        "difference": {
            "mean": round(pair.gap.mean, 4),
            "low": round(pair.gap.low, 4),
            "high": round(pair.gap.high, 4),
        },
        "saves_usd_per_day": _rounded(per_day_usd),
        "tiers": [
            [_name(one) for one in tier]
            for tier in moved_first(seen.tiers, pair.candidate.endpoint)
        ],
    }


def _missing(pair: Pair, seen: RouteSeen, settings: AdviceSettings) -> dict[str, object] | None:
    """Return what would have to be known of a candidate that promises something, None of others."""
    own, first = pair.candidate, pair.first
    saved_usd = pair.saved_usd()
    is_cheaper = saved_usd is not None and saved_usd > (1.0 - settings.cheaper) * (
        first.cost_usd or 0.0
    )
    if not (is_cheaper or own.configured >= first.configured) or pair.gap.not_worse < HOPELESS:
        return None
    needed = scores_needed(*pair.beliefs, settings.margin)
    least = math.ceil(settings.scores_least)
    of_own, of_first = (
        max(0, max(count, least) - round(belief.n))
        for count, belief in zip(needed, pair.beliefs, strict=True)
    )
    if not of_own and not of_first:
        return None  # settled as far as scores go; it lacks availability, or time
    grades = (of_own + of_first) / WEIGHTS[GRADE]
    grades_usd = None if seen.grade_usd is None else seen.grade_usd * grades
    answers_usd = None if own.cost_usd is None else own.cost_usd * of_own
    spent = [usd for usd in (grades_usd, answers_usd) if usd is not None]
    lacks: dict[str, object] = {
        "route": seen.route,
        "model": own.name,
        "over": first.name,
        "scores_needed": {own.name: of_own, first.name: of_first},
        "cost_usd": _rounded(sum(spent)) if answers_usd is not None else None,
        "graded_usd": _rounded(grades_usd),
        "not_worse": round(pair.gap.not_worse, 3),
    }
    could_usd = None if saved_usd is None else saved_usd * first.calls_per_day
    return {
        **lacks,
        "text": missing_text(pair, seen.route, (of_own, of_first), sum(spent), could_usd),
    }


def _model(one: ModelSeen) -> dict[str, object]:
    has_scores = one.belief.n > 0.0 or one.faults > 0.0
    belief = one.belief
    return {
        "model": one.name,
        "endpoint": one.endpoint,
        "quality": {
            "mean": round(belief.mean if has_scores else one.configured, 4),
            "low": round(belief.low, 4) if has_scores else None,
            "high": round(belief.high, 4) if has_scores else None,
            "n": round(belief.n, 1),
            "n_chance": round(one.drawn.n, 1),
            "configured": one.configured,
            "faults": round(one.faults, 4),
        },
        "p50_s": _rounded(one.p50_s),
        "p95_s": _rounded(one.p95_s),
        "cost_usd": _rounded(one.cost_usd),
        "cost_is_guessed": one.is_guessed,
        "availability": _rounded(one.availability),
        "answers": one.answers,
        "attempts": one.answers + one.failures,
        "calls_per_day": round(one.calls_per_day, 1),
    }


def _name(endpoint: EndpointId) -> str:
    return endpoint.partition("/")[2] or endpoint


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)
