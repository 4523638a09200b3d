"""Prices from the maintained list, read by a short-lived process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sidecar.config import prices
from sidecar.config.prices import Listed, doubt, look_up
from sidecar.domain import Price

if TYPE_CHECKING:
    import pytest

OPENAI = ("https://api.openai.com/v1", "gpt-4o-mini")
UNKNOWN = ("https://api.openai.com/v1", "no-such-model")
INSIDE = ("http://127.0.0.1:8000/v1", "gpt-4o-mini")


def test_public_models_are_priced_and_the_list_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public model has a price, unknown ones and those inside have none."""
    monkeypatch.setattr(prices, "_known", {})
    found = look_up([OPENAI, UNKNOWN, INSIDE])
    assert list(found) == [OPENAI]
    price = found[OPENAI].price()
    assert price is not None
    assert 0 < price.input_usd < price.output_usd
    assert "genai_prices" not in sys.modules


def test_what_was_found_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload starts no process for models already known, found or not."""
    monkeypatch.setattr(prices, "_known", {OPENAI: Listed(context_tokens=5), UNKNOWN: None})
    monkeypatch.setattr(prices, "sys", None)  # starting a process would need sys.executable
    assert look_up([OPENAI, UNKNOWN, INSIDE]) == {OPENAI: Listed(context_tokens=5)}


def test_a_list_that_cannot_be_read_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that fails costs the prices, never the start."""
    monkeypatch.setattr(prices, "_known", {})
    monkeypatch.setattr(prices, "_CHILD", "raise SystemExit(1)")
    assert look_up([OPENAI]) == {}


def test_doubt_asks_the_list_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was remembered is read anew after a doubt; a list that fails then changes nothing."""
    old = Listed(context_tokens=5)
    monkeypatch.setattr(prices, "_known", {OPENAI: old})
    monkeypatch.setattr(prices, "_doubted", set())
    doubt()
    with monkeypatch.context() as broken:
        broken.setattr(prices, "_CHILD", "raise SystemExit(1)")
        assert look_up([OPENAI]) == {OPENAI: old}
    assert look_up([OPENAI]) == {OPENAI: old}
    doubt()
    found = look_up([OPENAI])[OPENAI]
    assert found.price() is not None
    assert look_up([OPENAI]) == {OPENAI: found}


def test_half_a_price_is_none() -> None:
    """A model listed with one direction only has no price: no budget can be kept."""
    assert Listed(input_usd=1.0).price() is None
    assert Listed(input_usd=1.0, output_usd=0.0).price() == Price(input_usd=1.0, output_usd=0.0)
