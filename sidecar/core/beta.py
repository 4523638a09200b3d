"""The Beta distribution: how much lies below a value, and below which value a share lies.

Written out, because the two libraries that have it weigh more in memory than the whole sidecar.
The share below is the continued fraction of Numerical Recipes 6.4 (DLMF 8.17.22) by the modified
method of Lentz; the value is found by halving, with Newton's steps where they stay inside.
Good to 1e-9 for parameters from 0.01 to a hundred thousand.
"""

from __future__ import annotations

from math import exp, lgamma, log, log1p

TERMS_MAX = 2000
"""Terms needed grow with the root of the parameters: 300 at a hundred thousand."""
STEPS_MAX = 200
"""Halvings alone need 60 for any double; Newton's steps make it about 8."""
CLOSE = 1e-12
_TINY = 1e-300


def share_below(value: float, alpha: float, beta: float) -> float:
    """Return the probability (0..1) that Beta(``alpha``, ``beta``) is below ``value``."""
    if value <= 0.0:
        return 0.0
    if value >= 1.0:
        return 1.0
    scale = exp(_log_density(value, alpha, beta) + log(value) + log1p(-value))
    # The fraction converges fast on the near side of the mean only.
    if value < (alpha + 1.0) / (alpha + beta + 2.0):
        return min(1.0, scale * _fraction(value, alpha, beta) / alpha)
    return max(0.0, 1.0 - scale * _fraction(1.0 - value, beta, alpha) / beta)


def value_at(share: float, alpha: float, beta: float) -> float:
    """Return the value (0..1) that Beta(``alpha``, ``beta``) is below with probability ``share``.

    ``value_at(0.025, 1, 1)`` is 0.025: under no evidence all values are as likely.
    """
    low, high = 0.0, 1.0
    value = alpha / (alpha + beta)
    for _ in range(STEPS_MAX):
        excess = share_below(value, alpha, beta) - share
        if excess < 0.0:
            low = value
        else:
            high = value
        if high - low < CLOSE:
            break
        step = value - _newton(excess, value, alpha, beta)
        last, value = value, step if low < step < high else (low + high) / 2.0
        if abs(value - last) < CLOSE:
            break
    return value


def _newton(excess: float, value: float, alpha: float, beta: float) -> float:
    """Return how far to go back; so far that it is refused where the density says nothing."""
    if not 0.0 < value < 1.0:
        return 2.0
    density = exp(min(700.0, _log_density(value, alpha, beta)))
    return excess / density if density > _TINY else 2.0


def _log_density(value: float, alpha: float, beta: float) -> float:
    constant = lgamma(alpha + beta) - lgamma(alpha) - lgamma(beta)
    return constant + (alpha - 1.0) * log(value) + (beta - 1.0) * log1p(-value)


def _fraction(value: float, alpha: float, beta: float) -> float:
    numerator = 1.0
    denominator = 1.0 / _kept_off_zero(1.0 - (alpha + beta) * value / (alpha + 1.0))
    result, change = denominator, 0.0
    for term in range(1, TERMS_MAX):
        for factor in _pair(term, value, alpha, beta):
            denominator = 1.0 / _kept_off_zero(1.0 + factor * denominator)
            numerator = _kept_off_zero(1.0 + factor / numerator)
            change = numerator * denominator
            result *= change
        if abs(change - 1.0) < CLOSE:
            break
    return result


def _pair(term: int, value: float, alpha: float, beta: float) -> tuple[float, float]:
    """Return the two coefficients that follow each other, the even and the odd one."""
    twice = alpha + 2.0 * term
    even = term * (beta - term) * value / ((twice - 1.0) * twice)
    odd = -(alpha + term) * (alpha + beta + term) * value / (twice * (twice + 1.0))
    return even, odd


def _kept_off_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY
