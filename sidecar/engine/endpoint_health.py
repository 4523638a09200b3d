"""Everything known of one endpoint: its gates, estimators and calls in flight; and of one host and
one account.

Plain holders: each field has its own deciding class in ``core``. They exist so that ``health.py``,
the only writer, reads as verbs on nouns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import field
from math import inf
from typing import TYPE_CHECKING

from sidecar.core.account import AccountSettings
from sidecar.core.breaker import Breaker, BreakerSettings
from sidecar.core.context import ContextBound
from sidecar.core.contract import ContractSettings
from sidecar.core.forecast import Forecast, ForecastSettings
from sidecar.core.gradient import GradientLimit, GradientSettings
from sidecar.core.headroom import Headroom, HeadroomSettings
from sidecar.core.latency import LatencyModel, LatencySettings
from sidecar.core.life import Life, LifeSettings
from sidecar.core.limit import ConcurrencyLimit, LimitSettings, Started
from sidecar.core.local_faults import EgressSettings, LagSettings
from sidecar.core.metering import TokenMeter
from sidecar.core.outcome import AccountEffect, LimiterEffect
from sidecar.core.queueing import QueueSettings
from sidecar.core.reliability import Penalty, PenaltySettings, Reliability, ReliabilitySettings
from sidecar.core.retry_tokens import RetryTokenSettings
from sidecar.core.silence import Silence, SilenceSettings, Wait
from sidecar.core.throttle import OverloadThrottle, ThrottleSettings
from sidecar.domain import Capacity, Gate, OutcomeClass
from sidecar.value import value

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from sidecar.core.local_faults import LagMonitor
    from sidecar.core.outcome import Effects
    from sidecar.domain import Endpoint, EndpointId, Outcome, ProviderName
    from sidecar.engine.account_limits import AccountLimits
    from sidecar.engine.pacer import Pacer, PacerSettings
    from sidecar.engine.standing import Standing
    from sidecar.engine.ticket import Ticket
    from sidecar.events import BreakerChanged

RATE_WINDOW_S = 60.0
RATE_SAMPLES_MAX = 4096
STATING = (503, 529)
"""With these a Retry-After says when the provider will be back."""
STALE_RELIABILITY_WEIGHT = 0.25
"""A verdict from before the last state change still says a little about reliability."""
CENSORED = (
    *(OutcomeClass.HANG, OutcomeClass.CALLER_SHORT),
    *(OutcomeClass.OUTRUN, OutcomeClass.CANCEL),
)
"""Waiting that was cut short says that the first content takes at least as long."""
SILENT_FACTOR = 3.0
"""A plain answer may take three times its predicted writing time before it is a hang."""
LEARN_EVERY_S = 0.01
"""Of answers that come faster than this one each is measured: a hundred a second tell enough."""
HOST_SUCCESSES_TO_CLOSE = 1
"""One answered connection proves a host; its endpoints still have breakers of their own."""


@value
class EndpointSettings:
    """The thresholds of one endpoint."""

    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    limit: LimitSettings = field(default_factory=LimitSettings)
    gradient: GradientSettings = field(default_factory=GradientSettings)
    headroom: HeadroomSettings = field(default_factory=HeadroomSettings)
    throttle: ThrottleSettings = field(default_factory=ThrottleSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    forecast: ForecastSettings = field(default_factory=ForecastSettings)
    silence: SilenceSettings = field(default_factory=SilenceSettings)
    reliability: ReliabilitySettings = field(default_factory=ReliabilitySettings)
    penalty: PenaltySettings = field(default_factory=PenaltySettings)
    life: LifeSettings = field(default_factory=LifeSettings)
    gone_s: float = 300.0


@value
class HealthSettings:
    """Thresholds of all endpoints (``by_endpoint`` overrides ``endpoint``), hosts and accounts."""

    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    by_endpoint: Mapping[EndpointId, EndpointSettings] = field(default_factory=dict)
    host: BreakerSettings = field(
        default_factory=lambda: BreakerSettings(trial_successes=HOST_SUCCESSES_TO_CLOSE)
    )
    account: AccountSettings = field(default_factory=AccountSettings)
    retry_tokens: RetryTokenSettings = field(default_factory=RetryTokenSettings)
    pacers: Mapping[ProviderName, PacerSettings] = field(default_factory=dict)
    contract: ContractSettings = field(default_factory=ContractSettings)
    egress: EgressSettings = field(default_factory=EgressSettings)
    lag: LagSettings = field(default_factory=LagSettings)
    queue: QueueSettings = field(default_factory=QueueSettings)


class EndpointHealth:
    """One endpoint's gates, estimators and calls in flight; its account's limits and pacer are
    shared.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        settings: EndpointSettings,
        rng: random.Random,
        on_change: Callable[[BreakerChanged], None],
        *,
        account_limits: AccountLimits,
        pacer: Pacer | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.account_limits = account_limits
        self.pacer = pacer
        self.standing: Standing | None = None  # the last one worked out
        self.settings = settings
        self.breaker = Breaker(endpoint.id, settings.breaker, rng, on_change)
        self.limit = ConcurrencyLimit(settings.limit)
        is_dedicated = endpoint.capacity is Capacity.DEDICATED
        self.gradient = GradientLimit(settings.gradient) if is_dedicated else None
        self.headroom = Headroom(settings.headroom)
        self.throttle = OverloadThrottle(settings.throttle, rng)
        self.latency = LatencyModel(settings.latency, is_reasoning=endpoint.is_reasoning)
        self.forecast = Forecast(settings.forecast)
        self.silence = Silence(settings.silence)
        self.reliability = Reliability(settings.reliability)
        self.availability = Reliability(settings.reliability)
        self.penalty = Penalty(settings.penalty)
        self.life = Life(settings.life)
        self.context = ContextBound()
        self.meter = TokenMeter()
        self.in_flight: dict[int, Ticket] = {}
        self.gone_until: float | None = None
        self.is_probed = False  # the prober makes the breaker's trials, live traffic need not
        self.idle_probe_usd: float | None = None  # the price of a paid look at it that is near
        self.last_sample_at: float | None = None
        self.last_cause = ""  # class of the last failure
        self.attempts_count = 0
        self.answered_count = 0
        self._learned_at = -inf
        self._starts: deque[float] = deque(maxlen=RATE_SAMPLES_MAX)

    def adopt(
        self,
        endpoint: Endpoint,
        settings: EndpointSettings,
        *,
        account_limits: AccountLimits,
        pacer: Pacer | None,
    ) -> None:
        """Be ``endpoint`` as a new configuration has it, under its thresholds; forget nothing."""
        self.endpoint, self.settings = endpoint, settings
        self.account_limits, self.pacer = account_limits, pacer
        self.standing = None
        if endpoint.capacity is not Capacity.DEDICATED:
            self.gradient = None
        elif self.gradient is None:
            self.gradient = GradientLimit(settings.gradient)
        self.breaker.adapt(settings.breaker)
        self.limit.adapt(settings.limit)
        self.throttle.adapt(settings.throttle)
        self.latency.adapt(settings.latency)
        self.forecast.adapt(settings.forecast)
        self.silence.adapt(settings.silence)
        self.reliability.adapt(settings.reliability)
        self.availability.adapt(settings.reliability)
        self.penalty.adapt(settings.penalty)
        self.life.adapt(settings.life)

    @property
    def limit_value(self) -> float:
        """How many attempts may be under way: by overloads and, where it shows, by queueing."""
        if self.gradient is None:
            return self.limit.value
        return min(self.limit.value, self.gradient.value)

    def fullness(self, now: float) -> Gate | None:
        """Return whose limit has no room for one more attempt, None if there is room."""
        if self.limit.inflight >= self.limit_value:
            return Gate.CONCURRENCY
        return Gate.ACCOUNT_RATE if self.account_limits.wait_s(now) > 0.0 else None

    def utilisation(self, now: float) -> float:
        """Return how much of its limits it uses, 0..1: its own, and its account's."""
        in_use = self.limit.inflight / self.limit_value
        account = 1.0 - self.account_limits.headroom(now)
        return min(1.0, max(account, in_use))

    def may_spill(self, now: float) -> bool:
        """Return whether a call whose route prefers another endpoint may start here."""
        return self.headroom.may_spill(self.limit_value, self.limit.cut_at, now)

    def note_start(self, ticket: Ticket) -> None:
        """Count an attempt in; a probe is none of the traffic."""
        self.in_flight[id(ticket)] = ticket
        if not ticket.is_probe:
            self.attempts_count += 1
            self._starts.append(ticket.admitted_at)
            self.headroom.start(ticket.admitted_at, is_spilled=ticket.is_spilled)

    def note_end(self, ticket: Ticket, now: float) -> None:
        """Count an attempt out, and give its place back."""
        del self.in_flight[id(ticket)]
        if not ticket.is_probe:
            self.limit.release()
            self.headroom.end(now, is_spilled=ticket.is_spilled)

    def settle_limit(self, ticket: Ticket, effect: Effects, now: float) -> None:
        """Move the limit; after ``note_end``."""
        if effect.limiter is LimiterEffect.GROW:
            self.limit.grow()
        elif effect.limiter is LimiterEffect.CUT:
            one = Started(at=ticket.admitted_at, level=ticket.level, number=ticket.number)
            self.limit.refuse(one, now, is_rate=effect.account is AccountEffect.RATE)

    def rate_per_s(self, now: float) -> float:
        """Return live attempts a second over the last minute."""
        while self._starts and self._starts[0] < now - RATE_WINDOW_S:
            self._starts.popleft()
        return len(self._starts) / RATE_WINDOW_S

    def note_life(self, ticket: Ticket, outcome: Outcome, effect: Effects) -> None:
        """Let answers of an endpoint that fails earn tries past its gate; failures cost them."""
        now, is_past = outcome.ended_at, ticket.permit is None
        is_rate = outcome.cls is OutcomeClass.RATE
        if effect.endpoint_fail == 0.0:
            self.life.answered(now, began_at=ticket.admitted_at, is_usual=ticket.is_usual)
        elif is_rate or effect.endpoint_fail is not None:
            states_when = is_rate or outcome.status in STATING
            stated_s = outcome.retry_after_s if states_when else None
            self.life.failed(now, is_paid=is_past, stated_s=stated_s)

    def watch(self, lag: LagMonitor, now: float) -> bool:
        """Learn from the calls that wait; return whether it fell silent, or ceased to be."""
        waits = []
        for ticket in self.in_flight.values():
            if ticket.first_content_at is None and ticket.sent_at is not None:
                waited_s = lag.blame_s(now - ticket.sent_at, now)
                silence_s = waited_s - ticket.silent_s
                if silence_s > 0:
                    self.latency.observe_waiting(ticket.prompt_tokens, silence_s, now)
                waits.append(self.wait_of(ticket, waited_s, now))
        was_silent = self.silence.is_silent
        self.silence.look(waits, now)
        return self.silence.is_silent is not was_silent

    def wait_of(self, ticket: Ticket, waited_s: float, now: float) -> Wait:
        """Return what ``ticket`` is to the silence detector, ``waited_s`` after it was sent."""
        output_s = ticket.silent_s / SILENT_FACTOR
        usual_s = self.latency.late_s(ticket.prompt_tokens, now, output_s=output_s)
        return Wait(began_at=now - waited_s, usual_s=usual_s)

    def learn_first_content(self, ticket: Ticket, now: float, *, made_tokens: int) -> None:
        """Learn from when the first content came; ``made_tokens`` came with it at once."""
        self.last_sample_at = now
        if ticket.sent_at is None:
            return
        self.silence.answered(ticket.sent_at, now)
        waited_s = now - ticket.sent_at
        if self.gradient is not None:
            self.gradient.observe(self.limit.inflight, waited_s, now)
        if now - self._learned_at < LEARN_EVERY_S:
            return
        self._learned_at = now
        if ticket.silent_s > 0.0:
            output_s = ticket.silent_s / SILENT_FACTOR
            self.latency.observe_plain(ticket.prompt_tokens, output_s, waited_s)
        latency, whole_s = self.latency, waited_s
        if made_tokens > 0:
            latency.observe_written(made_tokens, waited_s)
            # Writing a plain answer is not waiting; but it cannot all have been writing either.
            waited_s = max(waited_s / 2, waited_s - made_tokens * latency.itl_s(now))
        latency.observe_first_content(ticket.prompt_tokens, waited_s, now, weight=ticket.weight)
        usual_s = latency.typical_ttft_s(ticket.prompt_tokens)
        written_s = made_tokens * latency.itl_s(now)
        self.forecast.began(waited_s, usual_s, now, whole_s=whole_s, output_s=written_s)

    def learn_gap(self, gap_s: float, now: float) -> None:
        """Learn from the mean time between the tokens of a finished stream."""
        self.latency.observe_gap(gap_s, now)
        self.forecast.observe(self.forecast.pace, gap_s, self.latency.itl_s(now), now)

    def learn(self, ticket: Ticket, outcome: Outcome, effect: Effects, *, is_current: bool) -> None:
        """Learn from how an attempt ended; one of an older generation counts little."""
        now = outcome.ended_at
        weight = ticket.weight if is_current else ticket.weight * STALE_RELIABILITY_WEIGHT
        if outcome.cls is OutcomeClass.CONTEXT:
            self.context.refused(ticket.prompt_tokens, now)
        elif outcome.cls is OutcomeClass.OK:
            self.context.accepted(ticket.prompt_tokens)
        if effect.endpoint_fail is not None:
            is_ok = effect.endpoint_fail == 0.0
            share = 1.0 if is_ok else effect.endpoint_fail
            self.reliability.record(is_ok, weight * share, now)
            self.last_sample_at = now
            if is_ok:
                self.availability.record(ok=True, weight=weight, now=now)
                self.answered_count += 1 if ticket.weight == 1.0 else 0
            else:
                self.last_cause = outcome.cls.value
                self.penalty.inject(outcome.retry_after_s or 0.0, now)
        elif outcome.cls is OutcomeClass.RATE:
            # A fast 429 must not make the endpoint look fast: it pays the penalty instead.
            self.availability.record(ok=False, weight=weight, now=now)
            self.penalty.inject(outcome.retry_after_s or 0.0, now)
        is_censored = outcome.cls in CENSORED
        if is_censored and ticket.first_content_at is None and ticket.sent_at is not None:
            waited_s = now - ticket.sent_at
            self.silence.gave_up(self.wait_of(ticket, waited_s, now), now)
            output_s = ticket.silent_s / SILENT_FACTOR
            self.latency.observe_cut(ticket.prompt_tokens, waited_s - output_s, now)
            if outcome.cls is not OutcomeClass.HANG:
                usual_s = self.latency.typical_ttft_s(ticket.prompt_tokens)
                self.forecast.cut(waited_s, usual_s, output_s, now)
