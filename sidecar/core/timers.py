"""The limits of one attempt: how long it may connect, stay silent, stall, and live.

One rule matters: an attempt leaves room for the next best endpoint. Silence is
tolerated up to the endpoint's hang budget, or less if the deadline would then allow no second
attempt; but an attempt too short to succeed helps nobody, so where there is no room for two, one
gets it all.

An attempt cut before the hang budget says nothing about the provider (``is_short``): blaming it let
five calls with one-second budgets open shared breakers (Instawork/llm-proxy #52). A limit set in
the configuration replaces the adaptive one, and then it is the operator who says what a hang is.

Instants inward, never timeouts: ``first_content_at`` and ``end_at`` are on the caller's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import Timers

ROOM_FACTOR = 1.5
"""With less than half as much again as it usually needs, an attempt is not worth shortening."""
SPARE_SHARE = 0.1
"""The next endpoint's total is a mean, and half of its answers take longer: as much again is kept
for it, up to this share of what is left and as far as this attempt can do without.
"""
CONNECT_SHARE = 1 / 3
"""Three failed connects must fit before the deadline."""
OUTPUT_FACTOR = 3.0
"""A plain answer shows nothing until it is whole; its length is a guess, so thrice is waited."""
CLAMP_SHARE = 0.9
"""A clamped answer shall be written in this part of the time: its pace is only a mean."""
CLAMP_TOKENS_MIN = 16
"""An answer clamped to fewer tokens than this is not worth having."""
STALL_MOST_S = 30.0
"""The widest stall limit there is; callers that know the stream's pace pass their own."""


@value
class AttemptLimits:
    """``is_short``: silence until ``first_content_at`` is less than a hang, and nobody's fault."""

    connect_s: float
    first_content_at: float
    stall_s: float
    end_at: float
    is_short: bool


def attempt_limits(  # noqa: PLR0913 - the rule's inputs; a struct would only move the list
    *,
    now: float,
    deadline_at: float,
    timers: Timers,
    hang_s: float,
    ttft_s: float,
    output_s: float,
    is_stream: bool,
    next_total_s: float | None,
    stall_s: float = STALL_MOST_S,
) -> AttemptLimits:
    """Return the limits of an attempt that starts now.

    Args:
        now: start of the attempt.
        deadline_at: when the call must have its answer.
        timers: the endpoint's configured limits; None means adaptive.
        hang_s: the endpoint's hang budget for this prompt.
        ttft_s: expected time to first content.
        output_s: expected generation time.
        is_stream: whether content arrives as it is made.
        next_total_s: predicted total of the next best endpoint, None if there is none.
        stall_s: the adaptive stall limit.

    Ten seconds left, hang budget 30 s, a first token after 1 s, the next endpoint needs 4 s: silent
    for 5 s, 1 s being spared for a slow answer. Were the next to need 9 s: all ten.
    """
    remaining_s = max(0.0, deadline_at - now)
    silent_s = 0.0 if is_stream else output_s
    patience_s = hang_s if timers.first_content_s is None else timers.first_content_s
    patience_s += OUTPUT_FACTOR * silent_s
    end_at = max(now, deadline_at)
    if timers.attempt_s is not None:
        end_at = min(end_at, now + timers.attempt_s)
        patience_s = min(patience_s, timers.attempt_s)
    allowed_s = min(patience_s, remaining_s)
    if next_total_s is not None:
        room_s = remaining_s - next_total_s
        least_s = ROOM_FACTOR * (ttft_s + silent_s)
        if room_s >= least_s:
            spare_s = min(next_total_s, SPARE_SHARE * remaining_s)
            allowed_s = min(patience_s, max(room_s - spare_s, least_s))
    return AttemptLimits(
        connect_s=min(timers.connect_s, remaining_s * CONNECT_SHARE),
        first_content_at=now + allowed_s,
        stall_s=stall_s if timers.stall_s is None else timers.stall_s,
        end_at=end_at,
        is_short=allowed_s < patience_s,
    )
