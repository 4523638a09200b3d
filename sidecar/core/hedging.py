"""When a second endpoint is asked while the first is still silent, which one, or why not.

Who it would be is asked when the time has come, since nineteen of twenty calls are answered before
and what was known at their start is old by then.

A hedge cuts the tail: it starts when the first attempt is later than 95 of 100 (Dean & Barroso,
"The Tail at Scale"), at another host, and the first content wins. The loser is often billed in
full, so calls that are dear, can wait, or must not run twice are never hedged. Hedges feed an
overload; so none while more than one endpoint of the route is not closed, and none to an endpoint
in doubt.

The trigger counts from the *typical* first content. The current one follows calls that still wait,
this one too: each time it was asked, the hedge would recede.

A wanted first token pulls the hedge forward to the last instant at which the alternative could
still meet it; never before ``wish_wait_min_s`` or the primary's own typical time, when most calls
would be hedged. A wish that no hedge can meet any more changes nothing.

The budget has no time to live (gRPC A6's shape), as one with a memory of seconds starves callers of
few calls a minute; running out of it suppresses the new hedge and nothing under way (failsafe-go
#141).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sidecar.core.trailing import TrailingSum
from sidecar.core.tunable import Tunable
from sidecar.domain import Priority
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.core.routing import EndpointView


@value
class HedgeSettings:
    """Numbers of the hedge.

    * ``wait_min_s`` 1: below it a hedge buys nothing a person notices; ``wish_wait_min_s`` 0.5 for
      callers that wished for a first token.
    * ``reliability_min`` 0.95: the alternative must rather be above it.
    * ``prompt_tokens_max`` 8000: the loser's prompt is paid for.
    * ``not_closed_max`` 1: with two endpoints in trouble, hedges are load where it hurts.
    * ``tokens_max`` 5, ``deposit_per_primary`` 0.05, ``withdraw_per_hedge`` 1: five percent of the
      calls and a burst of five.
    * ``usd_share`` 0.03 of the spend of the trailing ``window_s`` 3600, plus ``floor_usd`` 0.05;
      ``slot_s`` 60: the window moves by the minute.
    """

    wait_min_s: float = 1.0
    wish_wait_min_s: float = 0.5
    reliability_min: float = 0.95
    prompt_tokens_max: int = 8000
    not_closed_max: int = 1
    tokens_max: float = 5.0
    deposit_per_primary: float = 0.05
    withdraw_per_hedge: float = 1.0
    usd_share: float = 0.03
    floor_usd: float = 0.05
    window_s: float = 3600.0
    slot_s: float = 60.0


class HedgeBar(Enum):
    """Why there is no hedge. The first five are the call's and the route's, the last three the
    budget's, those between the best alternative's.
    """

    NOT_IDEMPOTENT = "not_idempotent"
    BATCH = "batch"
    LONG_PROMPT = "long_prompt"
    ROUTE_UNWELL = "route_unwell"
    NO_ALTERNATIVE = "no_alternative"
    SAME_HOST = "same_host"
    GATED = "gated"
    UNRELIABLE = "unreliable"
    SUSPECT = "suspect"
    SLUGGISH = "sluggish"
    NO_TIME = "no_time"
    PRICE_UNKNOWN = "price_unknown"
    TOKENS = "tokens"
    MONEY = "money"


@value
class HedgeFacts:
    """What the rule looks at.

    ``ttft_ratio_q95`` is the primary's 0.95 quantile of measured over predicted first content, at
    least 1. ``alternatives`` in rank order. ``not_closed``: endpoints of the route whose breaker is
    not closed. ``first_token_at``: when the caller wished for the first content. ``silent_s``:
    expected generation time of a plain answer, which shows nothing before it is whole; 0 for a
    stream.
    """

    primary: EndpointView
    ttft_ratio_q95: float
    started_at: float
    deadline_at: float
    alternatives: Sequence[EndpointView]
    not_closed: int
    is_idempotent: bool
    priority: Priority
    prompt_tokens: int
    first_token_at: float | None = None
    silent_s: float = 0.0


@value
class HedgePlan:
    """Ask ``view`` too at ``at`` if the primary is still silent; ``at`` may be past: at once."""

    at: float
    view: EndpointView


_DEFAULTS = HedgeSettings()


def hedge_at(
    facts: HedgeFacts, now: float, settings: HedgeSettings = _DEFAULTS
) -> HedgePlan | HedgeBar:
    """Return when to hedge with whom, or the first reason that forbids it; the budget is not asked.

    Worked example: typically 0.8 s, q95 of 2: at 1.6 s. Typically 0.2 s: at 1 s. The former with a
    wish of 1.5 s and an alternative that needs 0.6 s: at 0.9 s.
    """
    bar = _call_bar(facts, settings)
    if bar is not None:
        return bar
    first_bar = None
    for view in facts.alternatives:
        if view.endpoint.id == facts.primary.endpoint.id:
            continue
        at = facts.started_at + _wait_s(facts, view, settings)
        bar = _view_bar(facts, view, settings) or _time_bar(facts, view, max(now, at))
        if bar is None:
            return HedgePlan(at=at, view=view)
        first_bar = first_bar or bar
    return first_bar or HedgeBar.NO_ALTERNATIVE


def worth_considering_at(
    primary: EndpointView,
    ratio_q95: float,
    silent_s: float,
    started_at: float,
    *,
    has_wish: bool,
    settings: HedgeSettings = _DEFAULTS,
) -> float:
    """Return before when ``hedge_at`` would plan no hedge, whoever the alternatives are."""
    typical_s = primary.typical_ttft_s
    wait_s = max(settings.wait_min_s, typical_s * max(1.0, ratio_q95))
    if has_wish:
        wait_s = min(wait_s, max(settings.wish_wait_min_s - silent_s, typical_s))
    return started_at + wait_s + silent_s


def _call_bar(facts: HedgeFacts, settings: HedgeSettings) -> HedgeBar | None:
    if not facts.is_idempotent:
        return HedgeBar.NOT_IDEMPOTENT
    if facts.priority is Priority.BATCH:
        return HedgeBar.BATCH
    if facts.prompt_tokens > settings.prompt_tokens_max:
        return HedgeBar.LONG_PROMPT
    return HedgeBar.ROUTE_UNWELL if facts.not_closed > settings.not_closed_max else None


def _view_bar(facts: HedgeFacts, view: EndpointView, settings: HedgeSettings) -> HedgeBar | None:
    bars = (
        (HedgeBar.SAME_HOST, view.endpoint.host == facts.primary.endpoint.host),
        (HedgeBar.GATED, view.gate is not None),
        (HedgeBar.UNRELIABLE, view.reliability <= settings.reliability_min),
        (HedgeBar.SUSPECT, view.is_suspect),
        (HedgeBar.SLUGGISH, view.is_sluggish),
    )
    return next((bar for bar, holds in bars if holds), None)


def _time_bar(facts: HedgeFacts, view: EndpointView, at: float) -> HedgeBar | None:
    is_late = at + view.ttft_s + facts.silent_s > facts.deadline_at
    return HedgeBar.NO_TIME if is_late else None


def _wait_s(facts: HedgeFacts, view: EndpointView, settings: HedgeSettings) -> float:
    """How long the primary may be silent before ``view`` is asked."""
    typical_s = facts.primary.typical_ttft_s
    wait_s = max(settings.wait_min_s, typical_s * max(1.0, facts.ttft_ratio_q95)) + facts.silent_s
    if facts.first_token_at is None:
        return wait_s
    latest_s = facts.first_token_at - facts.started_at - view.ttft_s - facts.silent_s
    soonest_s = max(settings.wish_wait_min_s, typical_s + facts.silent_s)
    return min(wait_s, latest_s) if latest_s >= soonest_s else wait_s


class HedgeBudget(Tunable[HedgeSettings]):
    """How many hedges, and how dear. State: tokens (starts full) and two trailing sums."""

    def __init__(self, settings: HedgeSettings = _DEFAULTS) -> None:
        self._settings = settings
        self.tokens = settings.tokens_max
        self._spent = TrailingSum(settings.window_s, settings.slot_s)
        self._hedges = TrailingSum(settings.window_s, settings.slot_s)

    def deposit_primary(self) -> None:
        """Note a call's first attempt."""
        settings = self._settings
        self.tokens = min(settings.tokens_max, self.tokens + settings.deposit_per_primary)

    def withdraw(self) -> None:
        """Note that a hedge starts."""
        self.tokens = max(0.0, self.tokens - self._settings.withdraw_per_hedge)

    def spent(self, usd: float, now: float) -> None:
        """Record what any attempt cost, hedges too."""
        self._spent.add(usd, now)

    def hedge_spent(self, usd: float, now: float) -> None:
        """Record what a hedge cost: its estimate when it starts, so that hedges under way count,
        and at its end the difference, which may be negative.
        """
        self._hedges.add(usd, now)

    def bar(self, usd: float | None, now: float) -> HedgeBar | None:
        """Return why a hedge of ``usd`` may not start, None if it may; an unknown price never may.

        Worked example: $10 spent in the last hour allow $0.35 for hedges.
        """
        settings = self._settings
        if usd is None:
            return HedgeBar.PRICE_UNKNOWN
        if self.tokens < settings.withdraw_per_hedge:
            return HedgeBar.TOKENS
        allowed_usd = settings.usd_share * self._spent.total(now) + settings.floor_usd
        return HedgeBar.MONEY if self._hedges.total(now) + usd > allowed_usd else None

    def may_hedge(self, usd: float | None, now: float) -> bool:
        """Return whether a hedge of ``usd`` may start; reserves nothing."""
        return self.bar(usd, now) is None
