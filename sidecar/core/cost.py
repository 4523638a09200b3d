"""What an attempt cost, and what a call will cost: US dollars from a price list and token counts.

An unknown price is None, never 0: a budget cannot be kept with it. Cached prompt tokens are a part
of the input tokens at their own price; without one they are charged as ordinary input, since
guessing a discount would understate the bill. Writing a cache costs a quarter more than reading
plainly where the list is silent, as the providers that charge for it do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.domain import Price, Usage

TOKENS_PER_PRICE = 1_000_000
CACHE_WRITE_FACTOR = 1.25
"""Anthropic's five-minute cache; other providers write for free and report no written tokens."""


def cost_usd(price: Price | None, usage: Usage) -> float | None:
    """Return what ``usage`` cost, None if the price is unknown.

    At $3 in, $0.30 cached, $15 out: 1000 tokens in, 600 of them cached, 100 out:
    (400 * 3 + 600 * 0.3 + 100 * 15) / 1e6 = $0.00288.
    """
    if price is None:
        return None
    cached_usd = price.input_usd if price.cached_input_usd is None else price.cached_input_usd
    write_usd = price.cache_write_usd
    if write_usd is None:
        write_usd = price.input_usd * CACHE_WRITE_FACTOR
    # A provider that reports more cached than input tokens must not earn us money.
    plain_tokens = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
    total = (
        plain_tokens * price.input_usd
        + usage.cached_tokens * cached_usd
        + usage.cache_write_tokens * write_usd
        + usage.output_tokens * price.output_usd
    )
    return total / TOKENS_PER_PRICE


def predicted_cost_usd(
    price: Price | None, prompt_tokens: float, output_tokens: float
) -> float | None:
    """Return what a call will cost if nothing is cached, None if the price is unknown."""
    if price is None:
        return None
    total = prompt_tokens * price.input_usd + output_tokens * price.output_usd
    return total / TOKENS_PER_PRICE
