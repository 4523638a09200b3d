"""What attempts use, cost and may take: tokens, money, limits of time."""

from __future__ import annotations

from sidecar.value import value


@value
class Price:
    """US dollars per million tokens; ``cached_input_usd`` for those read from a cache."""

    input_usd: float
    output_usd: float
    cached_input_usd: float | None = None
    cache_write_usd: float | None = None


@value
class Usage:
    """Tokens of one attempt; input includes cached ones, output includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimated: bool = False


@value
class Timers:
    """Limits of one attempt, seconds. None: adaptive."""

    connect_s: float = 3.0
    first_content_s: float | None = None
    attempt_s: float | None = None
    stall_s: float | None = None
