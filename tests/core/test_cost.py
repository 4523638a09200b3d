"""Costs: what providers charge, and None where nobody knows."""

from __future__ import annotations

import pytest

from sidecar.core.cost import cost_usd, predicted_cost_usd
from sidecar.domain import Price, Usage

PRICE = Price(input_usd=3.0, output_usd=15.0, cached_input_usd=0.3)


def test_unknown_price_is_none_not_zero() -> None:
    """A model without a price must not look free."""
    assert cost_usd(None, Usage(input_tokens=10)) is None
    assert predicted_cost_usd(None, 10, 10) is None


def test_cached_tokens_are_a_part_of_the_input_at_their_own_price() -> None:
    """1000 in, 600 of them cached, 100 out, as in the docstring."""
    usage = Usage(input_tokens=1000, cached_tokens=600, output_tokens=100)
    assert cost_usd(PRICE, usage) == pytest.approx(0.00288)


def test_cached_tokens_without_a_price_cost_as_input() -> None:
    """No discount is assumed that the price list does not give."""
    price = Price(input_usd=3.0, output_usd=15.0)
    cached = Usage(input_tokens=1000, cached_tokens=600)
    assert cost_usd(price, cached) == cost_usd(price, Usage(input_tokens=1000))


def test_cache_writes_cost_a_quarter_more_unless_priced() -> None:
    """Writing the cache is 1.25 times the input price, or what the list says."""
    usage = Usage(input_tokens=1000, cache_write_tokens=1000)
    assert cost_usd(PRICE, usage) == pytest.approx(0.00375)
    priced = Price(input_usd=3.0, output_usd=15.0, cache_write_usd=6.0)
    assert cost_usd(priced, usage) == pytest.approx(0.006)


def test_inconsistent_usage_never_earns_money() -> None:
    """More cached than input tokens are charged as cached ones, with nothing subtracted."""
    usage = Usage(input_tokens=10, cached_tokens=1_000_000)
    assert cost_usd(PRICE, usage) == pytest.approx(0.3)


def test_prediction_assumes_nothing_cached() -> None:
    """A budget is kept with the full price of the prompt."""
    assert predicted_cost_usd(PRICE, 1000, 100) == pytest.approx(0.0045)
