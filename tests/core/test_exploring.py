"""Batch calls that do for a paid probe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.core.exploring import explored
from sidecar.core.routing import Choice, EndpointView
from sidecar.domain import Route, RouteName
from sidecar.simulate.world import ALPHA, BETA, GAMMA, default_endpoints
from tests.core.views import healthy_view

ENDPOINTS = {endpoint.id: endpoint for endpoint in default_endpoints()}
ROUTE = Route(name=RouteName("pair"), tiers=((ALPHA, BETA), (GAMMA,)), within_s=30.0)


def choice_of(**changes: object) -> Choice:
    """Return alpha before beta before gamma, beta with ``changes``."""
    views = tuple(healthy_view(ENDPOINTS[name]) for name in (ALPHA, BETA, GAMMA))
    beta = healthy_view(ENDPOINTS[BETA], **changes)
    return Choice(ranked=(views[0], beta, views[2]), tier=0, rejected=(), soonest_opens_at=None)


def names(views: tuple[EndpointView, ...]) -> list[str]:
    """Return the order."""
    return [view.endpoint.id for view in views]


def test_the_idle_one_goes_first() -> None:
    """An equal that needs a look gets the call; the others keep their order behind it."""
    found = explored(choice_of(), ROUTE, {BETA: 0.0003})
    assert names(found.ranked) == [BETA, ALPHA, GAMMA]
    assert replace(found, ranked=()) == replace(choice_of(), ranked=())


@pytest.mark.parametrize(
    ("changes", "probe_usd"),
    [
        ({}, {}),
        ({}, {GAMMA: 0.0003}),
        ({}, {ALPHA: 0.0003}),
        ({"cost_usd": 0.0014}, {BETA: 0.0003}),
        ({"cost_usd": None}, {BETA: 0.0003}),
        ({"is_suspect": True}, {BETA: 0.0003}),
    ],
    ids=["nobody", "lesser tier", "winner itself", "dearer than a probe", "no price", "suspect"],
)
def test_the_winner_stays(changes: dict[str, object], probe_usd: dict[object, float]) -> None:
    """No look is worth a lesser model, a dearer answer, or a call at a doubtful endpoint."""
    choice = choice_of(**changes)
    assert explored(choice, ROUTE, probe_usd) is choice  # type: ignore[arg-type]  # ids are text


def test_a_winner_without_a_price_stays() -> None:
    """What the detour would cost must be known."""
    choice = choice_of()
    choice = replace(choice, ranked=(replace(choice.ranked[0], cost_usd=None), *choice.ranked[1:]))
    assert explored(choice, ROUTE, {BETA: 0.0003}) is choice


def test_nothing_to_choose_from() -> None:
    """A choice of nobody stays one."""
    choice = Choice(ranked=(), tier=None, rejected=(), soonest_opens_at=None)
    assert explored(choice, ROUTE, {BETA: 0.0003}) is choice
