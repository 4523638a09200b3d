"""Worlds to learn in: models whose quality, price and speed are known to us and not to the choice.

Each is a function of time, so that an oracle knows at any instant whom to ask. The numbers are of
the size of real ones: an answer of a large model costs a cent, of a small one a tenth of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

    At = Callable[[float], float]
    """A number as a function of the day."""

DAYS = 12.0


@value
class Arm:
    """One model. ``configured`` is the quality that the configuration says, ``from_day`` when it
    comes; ``cost_usd`` and ``total_s`` are of one answer.
    """

    name: str
    configured: float
    quality: At
    cost_usd: At
    total_s: float
    from_day: float = 0.0


@value
class World:
    """Some models, and how callers tell of their answers: a share of them, after a while."""

    name: str
    meaning: str
    arms: tuple[Arm, ...]
    feedback_share: float = 0.3
    delay_s: float = 300.0


def worlds() -> tuple[World, ...]:
    """Return the worlds of the study."""
    return (*_still_ones(), *_changing_ones())


def _still_ones() -> tuple[World, ...]:
    return (
        World(
            name="stationary",
            meaning="Nothing changes; the configured qualities are wrong.",
            arms=(
                _arm("large", 0.9, _flat(0.86), 0.010, 4.0),
                _arm("medium", 0.7, _flat(0.84), 0.004, 2.5),
                _arm("small", 0.6, _flat(0.55), 0.001, 1.5),
            ),
        ),
        World(
            name="cheap as good",
            meaning="The small model is as good as the large one, for a tenth of the price.",
            arms=(
                _arm("large", 0.9, _flat(0.85), 0.010, 4.0),
                _arm("small", 0.6, _flat(0.85), 0.001, 1.5),
            ),
        ),
    )


def _changing_ones() -> tuple[World, ...]:
    return (
        World(
            name="drift",
            meaning="The best model sinks for days, another rises above it.",
            arms=(
                _arm("large", 0.9, _line(0.92, 0.55, 3.0, 7.0), 0.004, 3.0),
                _arm("medium", 0.8, _line(0.60, 0.85, 4.0, 8.0), 0.003, 2.5),
                _arm("small", 0.6, _flat(0.55), 0.001, 1.5),
            ),
        ),
        World(
            name="price",
            meaning="The model in front triples its price on day 6.",
            arms=(
                _arm("large", 0.9, _flat(0.90), _step(0.004, 0.012, 6.0), 3.0),
                _arm("medium", 0.8, _flat(0.80), 0.004, 2.5),
                _arm("small", 0.6, _flat(0.55), 0.001, 1.5),
            ),
        ),
        World(
            name="newcomer",
            meaning="On day 4 a model comes that is better than its configuration says.",
            arms=(
                _arm("large", 0.9, _flat(0.82), 0.008, 4.0),
                _arm("small", 0.6, _flat(0.55), 0.001, 1.5),
                _arm("new", 0.7, _flat(0.90), 0.003, 2.0, from_day=4.0),
            ),
        ),
        World(
            name="sparse and late",
            meaning="One answer in ten is scored, some hours later; the leader breaks on day 6.",
            arms=(
                _arm("large", 0.9, _step(0.90, 0.50, 6.0), 0.003, 2.5),
                _arm("medium", 0.7, _flat(0.80), 0.002, 2.5),
                _arm("small", 0.6, _flat(0.55), 0.001, 1.5),
            ),
            feedback_share=0.1,
            delay_s=3 * 3600.0,
        ),
    )


def _arm(
    name: str,
    configured: float,
    quality: At,
    cost_usd: float | At,
    total_s: float,
    from_day: float = 0.0,
) -> Arm:
    cost = cost_usd if callable(cost_usd) else _flat(cost_usd)
    return Arm(
        name=name,
        configured=configured,
        quality=quality,
        cost_usd=cost,
        total_s=total_s,
        from_day=from_day,
    )


def _flat(level: float) -> At:
    return lambda _: level


def _step(before: float, after: float, day: float) -> At:
    return lambda now: after if now >= day else before


def _line(before: float, after: float, start: float, end: float) -> At:
    def at(day: float) -> float:
        share = min(1.0, max(0.0, (day - start) / (end - start)))
        return before + (after - before) * share

    return at
