"""The waste budget: a tenth of the hour's spend, and free failures are free."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.waste import WasteBudget, WasteSettings

EPSILON_USD = 1e-9


@pytest.mark.parametrize(
    ("spent_usd", "wasted_usd", "asked_usd", "allowed"),
    [
        (0.0, 0.0, 0.0999, True),
        (0.0, 0.0, 0.1001, False),
        (5.0, 0.45, 0.1499, True),
        (5.0, 0.45, 0.1501, False),
        (5.0, 9.0, 0.0001, False),
        (5.0, 9.0, 0.0, True),
    ],
)
def test_a_tenth_of_the_spend_and_a_floor(
    spent_usd: float, wasted_usd: float, asked_usd: float, *, allowed: bool
) -> None:
    """Ten percent and ten cents may be lost; what costs nothing always may."""
    budget = WasteBudget()
    budget.spent(spent_usd, 0.0)
    budget.wasted(wasted_usd, 0.0)
    assert budget.may_waste(asked_usd, 1.0) is allowed


def test_an_hour_forgives() -> None:
    """Waste leaves the window with the spend that earned it."""
    budget = WasteBudget()
    budget.spent(1.0, 0.0)
    budget.wasted(0.5, 0.0)
    assert not budget.may_waste(0.05, 3000.0)
    assert budget.left_usd(3000.0) == pytest.approx(-0.3)
    assert budget.may_waste(0.05, 3700.0)
    assert budget.left_usd(3700.0) == pytest.approx(0.1)


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0.0, 1.0)), max_size=60))
def test_waste_of_an_hour_stays_in_proportion(steps: list[tuple[int, float]]) -> None:
    """Whatever is asked, an hour's allowed waste is within the share of what was then spent."""
    budget = WasteBudget()
    numbers = WasteSettings()
    now = 0.0
    spent: list[tuple[float, float]] = []
    wasted: list[tuple[float, float]] = []
    for wait_s, usd in steps:
        now += wait_s
        budget.spent(usd, now)
        spent.append((now, usd))
        if budget.may_waste(usd / 2, now):
            budget.wasted(usd / 2, now)
            wasted.append((now, usd / 2))
            since = now - numbers.window_s
            hour_usd = sum(usd for at, usd in wasted if at > since)
            earned_usd = sum(usd for at, usd in spent if at > since - numbers.slot_s - 1.0)
            assert hour_usd <= numbers.share * earned_usd + numbers.floor_usd + EPSILON_USD
