"""Weights: worse never gets more, and nothing ever gets less than nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.routing import CallNeeds, EndpointView, RoutingSettings
from sidecar.core.weighing import costs_of, second_best_s, weights_of
from sidecar.domain import (
    Capacity,
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    Priority,
    ProviderName,
    Route,
    RouteName,
    WireFormat,
)
from tests.core.views import healthy_view

SETTINGS = RoutingSettings()
ENDPOINT = Endpoint(
    id=EndpointId("a/m"),
    provider=ProviderName("a"),
    model=ModelName("m"),
    upstream_model="m",
    format=WireFormat.OPENAI_CHAT,
    host=HostName("https://a.test:443"),
)
VIEW = healthy_view(ENDPOINT, availability=1.0)


def needs(*, priority: Priority = Priority.INTERACTIVE, remaining_s: float = 60.0) -> CallNeeds:
    """A call without constraints."""
    return CallNeeds(
        route=Route(name=RouteName("route"), tiers=((EndpointId("a/m"),),)),
        remaining_s=remaining_s,
        budget_usd=None,
        format=WireFormat.OPENAI_CHAT,
        untranslatable=(),
        priority=priority,
        excluded={},
    )


def weights(*views: EndpointView, call: CallNeeds | None = None) -> tuple[float, ...]:
    """Weigh ``views`` as one tier."""
    call = call or needs()
    costs = costs_of(views, call, second_best_s(views), SETTINGS)
    return weights_of(views, costs, call.priority, SETTINGS)


def test_cost_is_the_sum_the_specification_names() -> None:
    """3 s of 10, a tenth of a cent, 2 % risk of 3 s more, a 5 s penalty: worked out by hand."""
    view = replace(VIEW, penalty_s=5.0, utilisation=0.9)
    (cost,) = costs_of((view,), needs(), 3.0, SETTINGS)
    assert cost == pytest.approx(0.3 + 0.2 * 0.1 + 2 * 0.02 * 1.3 + 0.5 * 0.25 + 0.5)


def test_time_counts_by_what_is_left() -> None:
    """A call with one second left cares ten times more for a second than one with plenty."""
    slow = replace(VIEW, total_s=4.0)
    calm = costs_of((VIEW, slow), needs(), 3.0, SETTINGS)
    hasty = costs_of((VIEW, slow), needs(remaining_s=1.0), 0.3, SETTINGS)
    assert calm[1] - calm[0] == pytest.approx(0.1)
    assert hasty[1] - hasty[0] == pytest.approx(1.0)


def test_unknown_price_is_taken_for_the_dearest() -> None:
    """Not knowing a price makes an endpoint as dear as the dearest, never cheap."""
    dear, unknown = replace(VIEW, cost_usd=0.05), replace(VIEW, cost_usd=None)
    costs = costs_of((VIEW, dear, unknown), needs(), 3.0, SETTINGS)
    assert costs[2] == costs[1] > costs[0]


def test_only_a_server_of_our_own_slows_under_our_load() -> None:
    """Load over half the limit counts against dedicated capacity, not against a public API."""
    dedicated = replace(VIEW, endpoint=replace(ENDPOINT, capacity=Capacity.DEDICATED))
    for utilisation, factor in ((0.2, 1.0), (0.5, 1.0), (0.75, 1.5)):
        views = (
            replace(VIEW, utilisation=utilisation),
            replace(dedicated, utilisation=utilisation),
        )
        shared_cost, own_cost = costs_of(views, needs(), 3.0, SETTINGS)
        assert own_cost - shared_cost == pytest.approx(0.3 * (factor - 1.0))


def test_sluggish_loses_only_against_one_twice_as_fast() -> None:
    """Soft ejection needs an alternative twice as fast; it never ejects the only one."""
    sluggish = replace(VIEW, is_sluggish=True, total_s=6.0)
    plain = replace(sluggish, is_sluggish=False)
    fast, middling = replace(VIEW, total_s=3.0), replace(VIEW, total_s=3.5)
    assert weights(sluggish) == (1.0,)
    assert weights(sluggish, middling) == weights(plain, middling)
    assert weights(sluggish, fast)[0] == pytest.approx(0.05 * weights(plain, fast)[0])


def test_batch_explores_a_little() -> None:
    """A hopeless endpoint gets a hundredth of batch traffic, and none of interactive."""
    hopeless = replace(VIEW, total_s=500.0)
    interactive = weights(VIEW, hopeless)
    batch = weights(VIEW, hopeless, call=needs(priority=Priority.BATCH))
    assert interactive[1] < 1e-9
    assert batch[1] / sum(batch) == pytest.approx(0.01, rel=0.02)


def test_second_best_is_what_remains_after_a_failure() -> None:
    """Nothing follows a single endpoint; of several, the second fastest does."""
    assert second_best_s([VIEW]) is None
    assert second_best_s([replace(VIEW, total_s=total) for total in (5.0, 3.0, 4.0)]) == 4.0


any_view = st.builds(
    replace,
    st.just(VIEW),
    total_s=st.floats(0.05, 200.0),
    reliability=st.floats(0.01, 0.99),
    availability=st.floats(0.01, 0.99),
    penalty_s=st.floats(0.0, 300.0),
    slow_start=st.floats(0.1, 1.0),
    utilisation=st.floats(0.0, 1.0),
    is_sluggish=st.booleans(),
    cost_usd=st.none() | st.floats(0.0, 1.0),
)


@settings(max_examples=150, derandomize=True)
@given(any_view, any_view, st.data(), st.sampled_from(Priority), st.floats(0.0, 200.0))
def test_worse_endpoint_never_gets_more_weight(
    view: EndpointView,
    other: EndpointView,
    data: st.DataObject,
    priority: Priority,
    remaining_s: float,
) -> None:
    """Of two endpoints alike but for what is worse in one of them, that one never weighs more."""
    share, more = data.draw(st.floats(0.0, 1.0)), data.draw(st.floats(0.0, 50.0))
    worse = data.draw(
        st.sampled_from(
            [
                replace(view, total_s=view.total_s + more),
                replace(view, reliability=view.reliability * share),
                replace(view, availability=view.availability * share),
                replace(view, penalty_s=view.penalty_s + more),
                replace(view, slow_start=max(0.1, view.slow_start * share)),
                replace(view, utilisation=min(1.0, view.utilisation + share)),
                replace(view, is_sluggish=True),
                replace(view, cost_usd=None if view.cost_usd is None else view.cost_usd + more),
            ]
        )
    )
    call = needs(priority=priority, remaining_s=remaining_s)
    found = weights(view, worse, other, call=call)
    assert found[1] <= found[0] * (1 + 1e-9)
    assert max(found) > 0.0
