"""Hedging: rarely, late, elsewhere, cheaply, or not at all for a stated reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.hedging import (
    HedgeBar,
    HedgeBudget,
    HedgeFacts,
    HedgePlan,
    HedgeSettings,
    hedge_at,
)
from sidecar.domain import (
    Endpoint,
    EndpointId,
    Gate,
    HostName,
    ModelName,
    Priority,
    ProviderName,
    WireFormat,
)
from tests.core.views import healthy_view

if TYPE_CHECKING:
    from sidecar.core.routing import EndpointView

EPSILON = 1e-9


def view(name: str, *, host: str | None = None, **changes: object) -> EndpointView:
    """A healthy endpoint ``name/m`` at a host of its own, but for ``changes``."""
    endpoint = Endpoint(
        id=EndpointId(f"{name}/m"),
        provider=ProviderName(name),
        model=ModelName("m"),
        upstream_model="m",
        format=WireFormat.OPENAI_CHAT,
        host=HostName(f"https://{host or name}.test:443"),
    )
    return healthy_view(endpoint, **({"ttft_s": 0.6, "typical_ttft_s": 0.8} | changes))


def facts(**changes: object) -> HedgeFacts:
    """An attempt at ``a`` from 100.0, which may be hedged with ``b``, but for ``changes``."""
    plain = HedgeFacts(
        primary=view("a"),
        ttft_ratio_q95=2.0,
        started_at=100.0,
        deadline_at=130.0,
        alternatives=(view("b"),),
        not_closed=0,
        is_idempotent=True,
        priority=Priority.INTERACTIVE,
        prompt_tokens=500,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # each test names real fields


@pytest.mark.parametrize(
    ("changes", "wait_s"),
    [
        ({}, 1.6),
        ({"primary": view("a", typical_ttft_s=0.2)}, 1.0),
        ({"ttft_ratio_q95": 0.5, "primary": view("a", typical_ttft_s=3.0)}, 3.0),
        # What is slow just now, perhaps for this very call, does not put the hedge off.
        ({"primary": view("a", ttft_s=9.0)}, 1.6),
        # A plain answer is silent while it is made.
        ({"silent_s": 4.0}, 5.6),
        # A wish pulls the hedge to the last instant at which it can help,
        ({"first_token_at": 101.5}, 0.9),
        # never further back than the ordinary rule,
        ({"first_token_at": 109.0}, 1.6),
        # nor before the primary's usual time,
        ({"first_token_at": 101.3}, 1.6),
        # nor before half a second,
        ({"first_token_at": 101.05, "primary": view("a", typical_ttft_s=0.2)}, 1.0),
        ({"first_token_at": 101.11, "primary": view("a", typical_ttft_s=0.2)}, 0.51),
        # and a wish in the past changes nothing.
        ({"first_token_at": 90.0}, 1.6),
    ],
)
def test_waits_for_the_slowest_twentieth(changes: dict[str, object], wait_s: float) -> None:
    """A hedge starts at the quantile of the typical first content, sooner only by a wish."""
    plan = hedge_at(facts(**changes), 100.0)
    assert isinstance(plan, HedgePlan)
    assert plan.at == pytest.approx(100.0 + wait_s)
    assert plan.view.endpoint.id == "b/m"


@pytest.mark.parametrize(
    ("changes", "bar"),
    [
        ({"is_idempotent": False}, HedgeBar.NOT_IDEMPOTENT),
        ({"priority": Priority.BATCH}, HedgeBar.BATCH),
        ({"prompt_tokens": 8001}, HedgeBar.LONG_PROMPT),
        ({"not_closed": 2}, HedgeBar.ROUTE_UNWELL),
        ({"alternatives": ()}, HedgeBar.NO_ALTERNATIVE),
        ({"alternatives": (view("a"),)}, HedgeBar.NO_ALTERNATIVE),
        ({"alternatives": (view("b", host="a"),)}, HedgeBar.SAME_HOST),
        ({"alternatives": (view("b", gate=Gate.CONCURRENCY),)}, HedgeBar.GATED),
        ({"alternatives": (view("b", reliability=0.95),)}, HedgeBar.UNRELIABLE),
        ({"alternatives": (view("b", is_suspect=True),)}, HedgeBar.SUSPECT),
        ({"alternatives": (view("b", is_sluggish=True),)}, HedgeBar.SLUGGISH),
        ({"deadline_at": 102.1}, HedgeBar.NO_TIME),
        ({"deadline_at": 106.1, "silent_s": 2.0}, HedgeBar.NO_TIME),
        ({"is_idempotent": False, "alternatives": ()}, HedgeBar.NOT_IDEMPOTENT),
        ({"alternatives": (view("b", is_suspect=True), view("c", host="a"))}, HedgeBar.SUSPECT),
    ],
)
def test_the_first_reason_forbids(changes: dict[str, object], bar: HedgeBar) -> None:
    """Each condition alone forbids a hedge, and telemetry hears the first, of the best ranked."""
    assert hedge_at(facts(**changes), 100.0) is bar


@pytest.mark.parametrize(
    "changes",
    [{"prompt_tokens": 8000}, {"not_closed": 1}, {"deadline_at": 102.2 + EPSILON}],
)
def test_bounds_are_inclusive(changes: dict[str, object]) -> None:
    """At each bound a hedge may still be."""
    assert isinstance(hedge_at(facts(**changes), 100.0), HedgePlan)


def test_the_next_in_rank_stands_in() -> None:
    """An unfit alternative is passed over for the next one."""
    ranked = (view("a"), view("b", host="a"), view("c", is_suspect=True), view("d"), view("e"))
    plan = hedge_at(facts(alternatives=ranked), 100.0)
    assert isinstance(plan, HedgePlan)
    assert plan.view.endpoint.id == "d/m"


def test_asked_late_needs_time_from_now() -> None:
    """An instant that has passed means at once, if the alternative still fits from now."""
    plan = hedge_at(facts(), 129.3)
    assert isinstance(plan, HedgePlan)
    assert plan.at == pytest.approx(101.6)
    assert hedge_at(facts(), 129.5) is HedgeBar.NO_TIME


def test_five_tokens_and_one_in_twenty() -> None:
    """A burst of five hedges, then one for twenty calls."""
    budget = HedgeBudget()
    for _ in range(5):
        assert budget.may_hedge(0.0, 0.0)
        budget.withdraw()
    assert budget.bar(0.0, 0.0) is HedgeBar.TOKENS
    for _ in range(19):
        budget.deposit_primary()
    assert not budget.may_hedge(0.0, 1e6)
    budget.deposit_primary()
    budget.deposit_primary()
    assert budget.may_hedge(0.0, 1e6)


@pytest.mark.parametrize(
    ("spent_usd", "hedges_usd", "usd", "bar"),
    [
        (0.0, 0.0, 0.0499, None),
        (0.0, 0.0, 0.0501, HedgeBar.MONEY),
        (10.0, 0.30, 0.0499, None),
        (10.0, 0.30, 0.0501, HedgeBar.MONEY),
        (10.0, 0.0, None, HedgeBar.PRICE_UNKNOWN),
    ],
)
def test_three_percent_of_the_spend(
    spent_usd: float, hedges_usd: float, usd: float | None, bar: HedgeBar | None
) -> None:
    """Hedges cost at most three percent of the hour's spend and five cents; unknown is too dear."""
    budget = HedgeBudget()
    budget.spent(spent_usd, 0.0)
    budget.hedge_spent(hedges_usd, 0.0)
    assert budget.bar(usd, 1.0) is bar
    assert budget.may_hedge(usd, 1.0) is (bar is None)


def test_hedges_under_way_count() -> None:
    """An estimate recorded at the start is corrected at the end."""
    budget = HedgeBudget()
    budget.hedge_spent(0.05, 0.0)
    assert not budget.may_hedge(0.01, 1.0)
    budget.hedge_spent(-0.04, 2.0)
    assert budget.may_hedge(0.04 - EPSILON, 2.0)


def test_an_hour_forgives() -> None:
    """What hedges cost is forgotten after an hour, as is the spend that earned it."""
    budget = HedgeBudget()
    budget.spent(100.0, 0.0)
    budget.hedge_spent(2.0, 0.0)
    assert budget.may_hedge(1.0, 3600.0)
    assert budget.may_hedge(0.04, 3660.0)
    assert not budget.may_hedge(1.0, 3660.0)


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 900), st.floats(0.0, 0.5)), max_size=120))
def test_never_more_than_both_budgets_allow(calls: list[tuple[int, float]]) -> None:
    """If every call wants a hedge, their number and their price stay in proportion."""
    budget, numbers = HedgeBudget(), HedgeSettings()
    now = 0.0
    hedges: list[tuple[float, float]] = []
    spent: list[tuple[float, float]] = []
    for count, (wait_s, usd) in enumerate(calls, start=1):
        now += wait_s
        budget.deposit_primary()
        budget.spent(usd, now)
        spent.append((now, usd))
        if not budget.may_hedge(usd, now):
            continue
        budget.withdraw()
        budget.hedge_spent(usd, now)
        hedges.append((now, usd))
        assert len(hedges) <= 5 + 0.05 * count + EPSILON
        since = now - numbers.window_s
        hour_usd = sum(usd for at, usd in hedges if at > since)
        earned_usd = sum(usd for at, usd in spent if at > since - numbers.slot_s - 1.0)
        assert hour_usd <= numbers.usd_share * earned_usd + numbers.floor_usd + EPSILON
