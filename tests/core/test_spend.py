"""The probe budget: hard over any day, and kept for what matters most."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.probing import ProbeWhy
from sidecar.core.spend import DAY_S, SpendGate, SpendSettings

EPSILON_USD = 1e-9


def test_classes_may_fill_the_bucket_to_different_heights() -> None:
    """Idle probes stop at half the bucket, suspicion at four fifths, recoveries at the brim."""
    gate = SpendGate(SpendSettings(daily_usd=2.0))
    for why, allowed_usd in ((ProbeWhy.IDLE, 0.5), (ProbeWhy.SUSPECT, 0.8), (ProbeWhy.OPEN, 1.0)):
        assert gate.may_spend(allowed_usd - EPSILON_USD, why, 0.0)
        assert not gate.may_spend(allowed_usd + EPSILON_USD, why, 0.0)


def test_idle_cannot_starve_open() -> None:
    """After idle probes took all they may, there is still money for an open breaker."""
    gate = SpendGate()
    while gate.may_spend(0.001, ProbeWhy.IDLE, 0.0):
        gate.spent(0.001, 0.0)
    assert gate.may_spend(0.1, ProbeWhy.OPEN, 0.0)
    assert gate.may_spend(0.05, ProbeWhy.SUSPECT, 0.0)


def test_bucket_refills_over_the_day() -> None:
    """Half the budget comes back in a day, evenly, never beyond the brim."""
    gate = SpendGate(SpendSettings(daily_usd=2.0))
    gate.spent(1.0, 0.0)
    assert not gate.may_spend(0.01, ProbeWhy.OPEN, 0.0)
    assert gate.may_spend(0.5 - EPSILON_USD, ProbeWhy.OPEN, DAY_S / 2)
    assert not gate.may_spend(0.5 + EPSILON_USD, ProbeWhy.OPEN, DAY_S / 2)
    assert not gate.may_spend(1.0 + EPSILON_USD, ProbeWhy.OPEN, 100 * DAY_S)


def test_overspending_is_paid_back() -> None:
    """A probe that cost more than was allowed delays the next ones."""
    gate = SpendGate(SpendSettings(daily_usd=2.0))
    gate.spent(1.5, 0.0)
    assert not gate.may_spend(0.01, ProbeWhy.OPEN, DAY_S / 2)
    assert gate.may_spend(0.01, ProbeWhy.OPEN, DAY_S)


def test_what_costs_nothing_always_fits() -> None:
    """A server of our own is probed even when the budget is gone."""
    gate = SpendGate()
    gate.spent(100.0, 0.0)
    assert gate.may_spend(0.0, ProbeWhy.IDLE, 0.0)


@settings(max_examples=60, derandomize=True)
@given(
    st.lists(
        st.tuples(st.floats(0.0, DAY_S / 4), st.floats(0.0, 0.2), st.sampled_from(list(ProbeWhy))),
        max_size=60,
    )
)
def test_no_24_hours_cost_more_than_the_budget(
    probes: list[tuple[float, float, ProbeWhy]],
) -> None:
    """However the probes fall, any window of a day stays within the daily budget."""
    gate = SpendGate()
    now = 0.0
    spent: list[tuple[float, float]] = []
    for wait_s, usd, why in probes:
        now += wait_s
        if gate.may_spend(usd, why, now):
            gate.spent(usd, now)
            spent.append((now, usd))
        day_usd = sum(usd for at, usd in spent if at >= now - DAY_S)
        assert day_usd <= SpendSettings().daily_usd + EPSILON_USD
