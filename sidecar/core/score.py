"""One number a human can read off an endpoint: 0 (do not use) to 100 (as good as it gets).

``100 * reliability² * latency * headroom``: reliability is squared because one
lost call hurts more than one slow one; latency loses a third for every doubling; headroom matters
only when nearly gone. For screens, dashboards and ties: routing weighs the parts itself and never
reads this number.

The confidence says how much the number is worth: a perfect score from no sample is a guess.
"""

from __future__ import annotations

from math import exp, log

from sidecar.value import value

DOUBLINGS_TO_ZERO = 3.0
"""Eight times slower than usual is as good as down."""
HEADROOM_ENOUGH = 0.2
"""A fifth of the rate limit left is plenty: below that calls begin to be refused."""
SAMPLES_HALF = 5.0
"""As many as the reliability's prior weighs: the score is then half measured, half assumed."""
CONFIDENCE_DECAY_S = 600.0
"""Samples older than ten minutes have left the breaker's ring as well."""


@value
class Score:
    """``value`` 0..100 and its parts, 0..1; ``age_s`` since the last sample, None without any."""

    value: float
    reliability: float
    latency_factor: float
    headroom: float
    confidence: float
    age_s: float | None


def score(
    *,
    reliability: float,
    level: float,
    headroom: float,
    is_blocked: bool,
    samples: float,
    age_s: float | None,
) -> Score:
    """Return the health score.

    Args:
        reliability: expected success rate, 0..1.
        level: natural log of the current slowness (``LatencyModel.level``).
        headroom: least free share of the account's and endpoint's limits, 0..1.
        is_blocked: some gate is shut: the value is then 0 whatever the parts say.
        samples: how many outcomes are behind the estimates.
        age_s: seconds since the last of them.

    Reliability 0.98, usual speed, enough headroom: 100 * 0.98² = 96.
    """
    latency_factor = _unit(1.0 - max(0.0, level / log(2.0)) / DOUBLINGS_TO_ZERO)
    free = _unit(headroom / HEADROOM_ENOUGH)
    value = 0.0 if is_blocked else 100.0 * reliability**2 * latency_factor * free
    confidence = 0.0
    if age_s is not None:
        confidence = samples / (samples + SAMPLES_HALF) * exp(-max(0.0, age_s) / CONFIDENCE_DECAY_S)
    return Score(
        value=value,
        reliability=reliability,
        latency_factor=latency_factor,
        headroom=free,
        confidence=confidence,
        age_s=age_s,
    )


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
