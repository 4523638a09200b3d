"""One model of a simulated provider, as numbers."""

from __future__ import annotations

from sidecar.value import value


@value
class SimulatedModel:
    """One model: how fast it answers, how long, at which price.

    ``ttft_s`` is the median time to the first token (lognormal), ``itl_s`` the gap between tokens,
    ``output_tokens`` the median length; ``ttft_sigma`` and ``output_sigma`` the sigmas of the
    logarithms: 0 is constant, 0.5 a usual API. Prices are US dollars per million tokens.
    ``chunk_tokens`` go into one event. Of every second prompt ``cached_share`` is read from a
    cache, at ``cached_input_usd``; ``reasoning_tokens`` are thought, unseen, before the first.
    """

    ttft_s: float = 0.0
    ttft_sigma: float = 0.0
    itl_s: float = 0.0
    output_tokens: int = 12
    output_sigma: float = 0.0
    input_usd: float = 1.0
    output_usd: float = 4.0
    context_tokens: int | None = None
    chunk_tokens: int = 1
    cached_share: float = 0.0
    cached_input_usd: float | None = None
    reasoning_tokens: int = 0
