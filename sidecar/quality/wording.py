"""Advice in words: one sentence with the figures it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.quality.advice import Pair

CENT_USD = 0.01
SURELY = 0.999
"""A few thousand draws tell no more."""


def change_text(kind: str, pair: Pair, route: str, per_day_usd: float | None, sure: float) -> str:
    """Return why one model should be asked before another."""
    own, first, gap = pair.candidate, pair.first, pair.gap
    interval = f"95 % interval {gap.low:+.2f} to {gap.high:+.2f}, n = {pair.scores}"
    if kind == "better":
        said = f"{gap.mean:.2f} better than `{first.name}` ({interval})"
    else:
        said = f"{_standing(gap.low, gap.mean)} `{first.name}` ({interval})"
    parts = [f"{route}: `{own.name}` is {said}"]
    if own.cost_usd is not None and first.cost_usd:
        about = "about " if own.is_guessed or first.is_guessed else ""
        parts.append(f" at {about}{_percent(own.cost_usd / first.cost_usd)} of the cost")
    if own.p95_s is not None and first.p95_s is not None:
        parts.append(f", p95 {own.p95_s:.2f} s instead of {first.p95_s:.2f} s")
    parts.append(": move it first")
    if per_day_usd is not None and abs(per_day_usd) >= CENT_USD:
        verb = "saves" if per_day_usd > 0 else "costs"
        more = "" if per_day_usd > 0 else " more"
        parts.append(f"; {verb} {usd(abs(per_day_usd))}/day{more}")
    drawn = "calls drawn by chance" if pair.basis == "chance" else "calls as they came"
    shown = f"{sure:.1%}" if sure < SURELY else f"more than {SURELY:.1%}"
    return f"{''.join(parts)}. {shown} sure, from {drawn}."


def missing_text(
    pair: Pair,
    route: str,
    needed: tuple[int, int],
    spent_usd: float,
    could_usd: float | None,
) -> str:
    """Return what is not known of a model that promises something."""
    own, first = pair.candidate, pair.first
    wanted = [
        f"{count} more scores of `{name}`"
        for name, count in ((own.name, needed[0]), (first.name, needed[1]))
        if count
    ]
    could = ""
    if could_usd is not None and could_usd >= CENT_USD:
        could = f", which would save {usd(could_usd)}/day"
    elif could_usd is None:
        could = " (a price is not known)"
    cost = "" if own.cost_usd is None else f"; finding out costs {usd(spent_usd)}"
    return (
        f"{route}: whether `{own.name}` is as good as `{first.name}`{could}, needs about"
        f" {' and '.join(wanted)}{cost}."
    )


def _standing(low: float, mean: float) -> str:
    if low >= 0.0:
        return f"{mean:.2f} better than"
    return f"within {-low:.2f} of"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"  # noqa: PLR2004 - one per cent


def usd(amount: float) -> str:
    """Return an amount as people write it: $31, $1.20, less than $0.01."""
    if amount >= 10.0:  # noqa: PLR2004 - from here on cents are noise
        return f"${amount:,.0f}"
    return f"${amount:.2f}" if amount >= CENT_USD else f"less than ${CENT_USD}"
