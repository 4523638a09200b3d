"""What an answer is worth, who leads, and who is drawn: tables and properties."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.adaptive import (
    ANY_SHARE,
    drawn,
    extra_usd,
    has_feedback,
    may_explore,
    ranked,
    worth_usd,
)
from sidecar.core.quality import Posterior
from sidecar.domain import (
    Call,
    CallId,
    Constraints,
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    Priority,
    ProviderName,
    RequestFacts,
    Route,
    RouteName,
    WireFormat,
)
from sidecar.shares import Adaptive
from tests.core.views import healthy_view

if TYPE_CHECKING:
    from sidecar.core.routing import EndpointView

TERMS = Adaptive()
A, B, C = EndpointId("p/a"), EndpointId("p/b"), EndpointId("p/c")


def view(name: EndpointId, **changes: object) -> EndpointView:
    """Return a healthy model, but for ``changes``."""
    endpoint = Endpoint(
        id=name,
        provider=ProviderName("p"),
        model=ModelName(name),
        upstream_model=name,
        format=WireFormat.OPENAI_CHAT,
        host=HostName("https://p.test:443"),
    )
    return healthy_view(endpoint, **{"reliability": 1.0, "availability": 1.0, **changes})


def belief(mean: float, n: float = 100.0) -> Posterior:
    """Return a belief of so many scores."""
    return Posterior(alpha=mean * n, beta=(1.0 - mean) * n, n=n)


BELIEFS = {A: belief(0.9), B: belief(0.8), C: belief(0.3)}


def test_worth_of_an_answer() -> None:
    """Quality, money and time are brought to dollars as the docstring's example says."""
    one = view(A, cost_usd=0.004, total_s=2.0, reliability=1.0)
    assert worth_usd(one, 0.8, TERMS, 0.0) == pytest.approx(0.01)
    unknown = replace(one, cost_usd=None)
    assert worth_usd(unknown, 0.8, TERMS, 0.02) == pytest.approx(0.016 - 0.02 - 0.002)


@given(
    st.floats(0.0, 1.0),
    st.floats(0.0, 0.1),
    st.floats(0.0, 0.1),
    st.floats(0.1, 60),
    st.floats(0, 60),
)
def test_worse_is_never_worth_more(
    quality: float, cost: float, more: float, total_s: float, longer_s: float
) -> None:
    """Dearer, slower, less reliable or poorer never raises the worth, all else equal."""
    one = view(A, cost_usd=cost, total_s=total_s, reliability=0.9)
    usual = worth_usd(one, quality, TERMS, 0.0)
    for other in (
        replace(one, cost_usd=cost + more),
        replace(one, total_s=total_s + longer_s),
        replace(one, reliability=0.5),
    ):
        assert worth_usd(other, quality, TERMS, 0.0) <= usual
    assert worth_usd(one, quality / 2, TERMS, 0.0) <= usual


def test_the_best_worth_leads_but_only_if_it_is_sound() -> None:
    """Suspect, sluggish, fresh or late models follow those that are sound."""
    views = [view(name, cost_usd=0.001, total_s=2.0) for name in (C, B, A)]

    def order(*views: object) -> list[EndpointId]:
        found = ranked(views, BELIEFS, TERMS, remaining_s=10.0, previous=None)  # type: ignore[arg-type]
        return [one.endpoint.id for one in found.views]

    assert order(*views) == [A, B, C]
    for flaw in (
        {"is_suspect": True},
        {"is_sluggish": True},
        {"slow_start": 0.5},
        {"total_s": 11.0},
    ):
        assert order(*views[:2], replace(views[2], **flaw)) == [B, C, A]


def test_who_leads_stays_while_hardly_anybody_is_better() -> None:
    """A provider's prompt cache is not given up for a crumb, but for a piece."""
    views = [view(name, cost_usd=0.001, total_s=2.0) for name in (A, B)]
    close = {A: belief(0.805), B: belief(0.8)}
    far = {A: belief(0.85), B: belief(0.8)}
    for beliefs, leader in ((close, B), (far, A)):
        found = ranked(views, beliefs, TERMS, remaining_s=10.0, previous=B)
        assert found.incumbent.endpoint.id == leader


def test_the_draw_follows_belief_and_forgets_nobody() -> None:
    """Models are drawn as likely as they may be the best; each gets a part of the exploring."""
    views = [view(name, cost_usd=0.001, total_s=2.0) for name in (A, B, C)]
    ranking = ranked(views, BELIEFS, TERMS, remaining_s=10.0, previous=None)
    rng = random.Random(1)
    count = Counter(drawn(ranking, BELIEFS, TERMS, rng).endpoint.id for _ in range(4000))
    assert count[A] > count[B] > count[C]
    assert count[C] / 4000 == pytest.approx(ANY_SHARE / 2, abs=0.015)
    sure = {A: belief(0.9, 1e6), B: belief(0.88, 1e6)}
    ranking = ranked(views[:2], sure, TERMS, remaining_s=10.0, previous=None)
    count = Counter(drawn(ranking, sure, TERMS, rng).endpoint.id for _ in range(1000))
    assert count[B] > 2 * ANY_SHARE * 1000  # a belief is never taken for that sure


def test_the_unsound_are_not_drawn() -> None:
    """A call does not explore where it would likely fail."""
    views = [view(A, total_s=2.0), replace(view(B, total_s=2.0), is_suspect=True)]
    ranking = ranked(views, BELIEFS, TERMS, remaining_s=10.0, previous=None)
    rng = random.Random(1)
    assert {drawn(ranking, BELIEFS, TERMS, rng).endpoint.id for _ in range(200)} == {A}


def test_extra_cost() -> None:
    """What is cheaper costs nothing more; what has no price cannot be afforded."""
    cheap, dear = view(A, cost_usd=0.001), view(B, cost_usd=0.004)
    assert extra_usd(dear, cheap) == pytest.approx(0.003)
    assert extra_usd(cheap, dear) == 0.0
    assert extra_usd(replace(dear, cost_usd=None), cheap) is None


def test_feedback_is_a_score() -> None:
    """Beliefs without scores are the configuration's, however strong."""
    assert not has_feedback({A: Posterior(alpha=80, beta=20, n=0.0)})
    assert has_feedback({A: Posterior(alpha=8, beta=2, n=0.0), B: belief(0.5, 1.0)})


@pytest.mark.parametrize(
    ("wishes", "may"),
    [
        (Constraints(), True),
        (Constraints(budget_usd=0.5), True),  # the route's own
        (Constraints(first_token_s=1.0), True),
        (Constraints(quality=0.8), True),
        (Constraints(budget_usd=0.1), False),
        (Constraints(within_s=5.0), False),
        (Constraints(quality=0.8, is_quality_hard=True), False),
        (Constraints(within_s=5.0, priority=Priority.BATCH), True),
    ],
)
def test_who_may_explore(wishes: Constraints, *, may: bool) -> None:
    """Who waits for an answer under a hard constraint of its own gets the best, always."""
    route = Route(name=RouteName("r"), tiers=((A, B),), budget_usd=0.5, adaptive=TERMS)
    call = Call(
        id=CallId("c"),
        arrived_at=0.0,
        deadline_at=9.0,
        format=WireFormat.OPENAI_CHAT,
        route=route,
        body=b"",
        facts=RequestFacts(model="r", is_stream=False, prompt_tokens=5),
        constraints=wishes,
    )
    assert may_explore(call) is may
