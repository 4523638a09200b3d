"""The three guards of extra work: every attempt is entered in each of them once."""

from __future__ import annotations

import pytest

from sidecar.core.amplification import AmplificationSettings
from sidecar.core.hedging import HedgeSettings
from sidecar.core.waste import WasteSettings
from sidecar.domain import EndpointId, Outcome, OutcomeClass
from sidecar.engine.budgets import HEDGE, Budgets, BudgetSettings


def budgets(**hedge: float) -> Budgets:
    """Return budgets without floors, so that every dollar counts."""
    numbers = {"floor_usd": 0.0, "usd_share": 0.1, **hedge}
    return Budgets(
        BudgetSettings(
            hedge=HedgeSettings(**numbers),  # type: ignore[arg-type] # all of them are floats
            amplification=AmplificationSettings(),
            waste=WasteSettings(floor_usd=0.0, share=0.1),
        )
    )


def outcome(cls: OutcomeClass, cost_usd: float) -> Outcome:
    """Return an outcome at 1.0."""
    return Outcome(
        cls=cls,
        endpoint=EndpointId("a/m"),
        message="",
        started_at=0.0,
        ended_at=1.0,
        cost_usd=cost_usd,
    )


def test_a_first_attempt_earns_and_a_hedge_spends() -> None:
    """Twenty calls earn one hedge; a failover costs none."""
    own = budgets()
    for _ in range(5):
        own.started(HEDGE, 0.0, 0.0)
    assert own.hedge.tokens == 0.0
    own.started("failover", 0.0, 0.0)
    assert own.hedge.tokens == 0.0
    for _ in range(20):
        own.started("first", 0.0, 0.0)
    assert own.hedge.tokens == pytest.approx(1.0)


def test_a_hedge_under_way_reserves_its_estimate() -> None:
    """Before it ends its estimate counts, afterwards its cost."""
    own = budgets()
    own.ended("first", 1.0, outcome(OutcomeClass.OK, 1.0))
    assert own.hedge.may_hedge(0.1, 1.0)
    own.started(HEDGE, 0.1, 1.0)
    assert not own.hedge.may_hedge(0.01, 1.0)
    own.ended(HEDGE, 0.1, outcome(OutcomeClass.CANCEL, 0.02))
    assert own.hedge.may_hedge(0.08, 1.0)
    assert not own.hedge.may_hedge(0.09, 1.0)


def test_money_for_nothing_is_wasted_money() -> None:
    """What an attempt cost that did not end well is lost; what answers cost is not."""
    own = budgets()
    own.ended("first", 1.0, outcome(OutcomeClass.OK, 1.0))
    assert own.waste.left_usd(1.0) == pytest.approx(0.1)
    own.ended("failover", 0.5, outcome(OutcomeClass.RESET_MID, 0.05))
    assert own.waste.left_usd(1.0) == pytest.approx(0.1 * 1.05 - 0.05)


def test_every_repetition_amplifies() -> None:
    """Failovers, retries and hedges count as extra attempts, first ones as calls."""
    own = Budgets(BudgetSettings(amplification=AmplificationSettings(free_extra=3)))
    own.started("first", None, 0.0)
    for kind in ("failover", "retry", HEDGE):
        assert own.amplification.may_extra(0.0, is_interactive=False)
        own.started(kind, None, 0.0)
    assert not own.amplification.may_extra(0.0, is_interactive=False)
