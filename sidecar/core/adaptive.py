"""Whom to ask first where the answers' quality is known: what an answer is worth, net of its price.

One scale, US dollars: an answer of quality 1 is worth ``worth_usd``, what it costs and how long it
takes are taken off. The mean decides for most calls (*exploiting*). A share of them is left to a
draw (*exploring*): Thompson sampling, each model's quality drawn as likely as it is believed, so
that a model is asked as often as it may be the best one, and the less the surer that is. Beliefs
are of discounted evidence (``core/quality.py``), so they widen again where nobody looks.

Two things keep the draw awake when the world moves. Beliefs are never taken for surer than
``SURENESS_MAX`` scores make them; and one exploring call in ten goes to any of the others, for a
model that once was poor by far would not be drawn in years.

A draw is for the eligible alone: the router has sorted out by constraints and gates before. Of
those, who is suspect, sluggish, freshly recovered or too late by prediction does not lead while
another can. Without a single score the configured order stands: then there is nothing to learn from
and a draw would be plain chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.weighing import burdened_s
from sidecar.domain import Priority
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from sidecar.core.quality import Posterior
    from sidecar.core.routing import EndpointView
    from sidecar.domain import Call, EndpointId
    from sidecar.shares import Adaptive

    Beliefs = Mapping[EndpointId, Posterior]

SCORES_LEAST = 1.0
"""So many scores, discounted and all models together, are feedback."""
SURENESS_MAX = 300.0
"""At 0.8 a belief is never surer than +-0.023: what differs by a few points is compared for ever,
which costs as little as the points are worth.
"""
ANY_SHARE = 0.1
"""The part of the exploring calls that goes to any other model, whatever is believed of it."""
HOLD = 0.01
"""Who leads stays in front while nobody is better by this part of ``worth_usd``: a provider's
prompt cache is worth more than that.
"""


@value
class Ranking:
    """Whom to ask, the best first, and what each is worth for this call, US dollars.

    ``sound_count``: so many at the front may lead.
    """

    views: tuple[EndpointView, ...]
    worth_usd: Mapping[EndpointId, float]
    sound_count: int

    @property
    def incumbent(self) -> EndpointView:
        """The one who is asked unless the call explores."""
        return self.views[0]


def may_explore(call: Call) -> bool:
    """Return whether a call may be sent elsewhere than to the best: not if somebody waits for it
    and says what must hold.

    A route's own limit and budget bind all its calls, and are kept by choosing among who can.
    """
    wishes, usual = call.constraints, call.route.constraints
    if wishes.priority is Priority.BATCH:
        return True
    is_demanding = wishes.is_quality_hard and (
        not usual.is_quality_hard or wishes.quality != usual.quality
    )
    is_bound = wishes.within_s is not None or is_demanding
    return not is_bound and wishes.budget_usd in (None, usual.budget_usd)


def has_feedback(beliefs: Beliefs) -> bool:
    """Return whether anybody ever said how good an answer was, not too long ago."""
    return sum([belief.n for belief in beliefs.values()]) >= SCORES_LEAST


def worth_usd(view: EndpointView, quality: float, terms: Adaptive, unknown_usd: float) -> float:
    """Return what an answer of ``quality`` (0..1) is worth net of its price and its time.

    ``unknown_usd`` stands for a price that is not known. A call that fails is asked again
    elsewhere, later: it is counted as if its quality were lost.

    Example: quality 0.8 at a worth of 0.02, surely, for 0.004 USD in 2 s: 0.016 - 0.004 - 0.002.
    """
    chance = view.reliability * view.availability
    usd = unknown_usd if view.cost_usd is None else view.cost_usd
    return (
        terms.worth_usd * quality * chance
        - usd
        - terms.usd_per_s * (burdened_s(view) + view.penalty_s)
    )


def ranked(
    views: Sequence[EndpointView],
    beliefs: Beliefs,
    terms: Adaptive,
    *,
    remaining_s: float,
    previous: EndpointId | None,
) -> Ranking:
    """Return ``views``, which must not be empty, by what their answers are worth; equals stay as
    they came, and ``previous`` stays in front while hardly anybody is better.
    """
    unknown_usd = _dearest_usd(views)
    worth = {
        view.endpoint.id: worth_usd(view, beliefs[view.endpoint.id].mean, terms, unknown_usd)
        for view in views
    }
    hold_usd = HOLD * terms.worth_usd

    def key(view: EndpointView) -> tuple[bool, float]:
        name = view.endpoint.id
        kept_usd = hold_usd if name == previous else 0.0
        return not _is_sound(view, remaining_s), -worth[name] - kept_usd

    return Ranking(
        views=tuple(sorted(views, key=key)),
        worth_usd=worth,
        sound_count=sum([_is_sound(view, remaining_s) for view in views]),
    )


def drawn(ranking: Ranking, beliefs: Beliefs, terms: Adaptive, rng: Random) -> EndpointView:
    """Return whom an exploring call goes to, which may be the incumbent."""
    sound = ranking.views[: ranking.sound_count]
    if len(sound) <= 1:
        return ranking.incumbent
    if rng.random() < ANY_SHARE:
        return sound[1 + int(rng.random() * (len(sound) - 1))]
    unknown_usd = _dearest_usd(ranking.views)
    samples = [
        worth_usd(view, _sample(beliefs[view.endpoint.id], rng), terms, unknown_usd)
        for view in sound
    ]
    return sound[max(range(len(sound)), key=samples.__getitem__)]


def extra_usd(view: EndpointView, incumbent: EndpointView) -> float | None:
    """Return what asking ``view`` costs above the incumbent, None if that cannot be known."""
    if view.cost_usd is None:
        return None
    return max(0.0, view.cost_usd - (incumbent.cost_usd or 0.0))


def _sample(belief: Posterior, rng: Random) -> float:
    sureness = belief.alpha + belief.beta
    scale = min(1.0, SURENESS_MAX / sureness)
    return rng.betavariate(belief.alpha * scale, belief.beta * scale)


def _is_sound(view: EndpointView, remaining_s: float) -> bool:
    is_well = not (view.is_suspect or view.is_sluggish) and view.slow_start >= 1.0
    return is_well and view.total_s <= remaining_s


def _dearest_usd(views: Sequence[EndpointView]) -> float:
    """Not knowing a price must not make a model the cheapest."""
    return max([view.cost_usd for view in views if view.cost_usd is not None], default=0.0)
