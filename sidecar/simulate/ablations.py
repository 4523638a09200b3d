"""The engine with one idea taken out, to see what the idea is worth.

Most ideas go by a setting. Some have no switch, since nobody should want one: those are taken out
by replacing a method while a play lasts (``_Swapped``), here and nowhere else, and put back.

Each is played in a world made for it (``scenarios_of_ideas.py``) or in one of the usual ones, where
it may gain. Not played: fleet pooling (there is no fleet yet).
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import field, replace
from typing import TYPE_CHECKING

from sidecar.core import outcome
from sidecar.core.breaker import Breaker, BreakerSettings, BreakerState
from sidecar.core.hedging import HedgeSettings
from sidecar.core.life import Life
from sidecar.core.outcome import AccountEffect
from sidecar.core.panic import PanicRation
from sidecar.core.probing import ProbeSettings
from sidecar.core.ring import Cause, CountRing
from sidecar.core.routing import RoutingSettings
from sidecar.core.silence import Silence, Wait
from sidecar.domain import OutcomeClass
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.endpoint_health import HOST_SUCCESSES_TO_CLOSE, EndpointSettings, HealthSettings
from sidecar.engine.health import Health
from sidecar.engine.settings import EngineSettings
from sidecar.simulate.plays import Variant
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from sidecar.core.breaker import Permit
    from sidecar.engine.ticket import Ticket

HYSTRIX_WINDOW_S, HYSTRIX_REQUESTS_MIN, HYSTRIX_SHARE = 10.0, 20, 0.5
FIXED_OPEN_S = 60.0
WITHOUT_BOUND = 1e9


@value
class Ablation:
    """One idea taken out, in ``scenarios`` where it should tell; ``rates`` None: at all rates."""

    name: str
    title: str
    scenarios: tuple[str, ...]
    rates: tuple[float, ...] | None = None
    settings: EngineSettings = field(default_factory=EngineSettings)
    patch: Callable[[], AbstractContextManager[object]] = nullcontext

    def is_played(self, scenario: str, rate_per_s: float) -> bool:
        """Return whether the study plays it in this world."""
        return scenario in self.scenarios and (self.rates is None or rate_per_s in self.rates)

    def variant(self) -> Variant:
        """Return the design to play."""
        return Variant(settings=self.settings, patch=self.patch())


@contextmanager
def _swapped(owner: type, name: str, value: object) -> Iterator[None]:
    """Replace an attribute of a class; for the study alone."""
    original = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


# --- what has no setting ---------------------------------------------------------------------


def without_generations() -> AbstractContextManager[None]:
    """Let what older calls bring decide the trial of a half-open breaker, as most breakers do.

    While it is open, they still move nothing: pybreaker would refuse to hear them.
    """
    settle = Breaker.settle

    def any_generation(
        breaker: Breaker,
        permit: Permit,
        *,
        fail: float | None,
        now: float,
        retry_after_s: float | None = None,
        pushback: bool = False,
    ) -> bool:
        is_open = breaker.state(now) is BreakerState.OPEN
        if permit.generation != breaker.generation and not is_open:
            permit = replace(permit, generation=breaker.generation, is_trial=False)
            breaker._unsettled[permit.serial] = False  # noqa: SLF001 - the guard under test
        return settle(
            breaker, permit, fail=fail, now=now, retry_after_s=retry_after_s, pushback=pushback
        )

    return _swapped(Breaker, "settle", any_generation)


def with_raw_latency() -> AbstractContextManager[None]:
    """Take the time to a whole plain answer for the time to its first token."""
    first_content = Health.first_content

    def raw(health: Health, ticket: Ticket, now: float, *, made_tokens: int = 0) -> None:
        del made_tokens
        first_content(health, ticket, now)

    return _swapped(Health, "first_content", raw)


@contextmanager
def with_rate_as_failure() -> Iterator[None]:
    """Count a 429 as a failure of the endpoint and block no account."""
    table = outcome._TABLE  # noqa: SLF001 - the row under test
    row = table[OutcomeClass.RATE]
    table[OutcomeClass.RATE] = replace(row, endpoint_fail=1.0, account=AccountEffect.NONE)
    try:
        yield
    finally:
        table[OutcomeClass.RATE] = row


def with_time_window() -> AbstractContextManager[None]:
    """Trip as Hystrix does: half of at least 20 requests in the last 10 s failed."""

    def verdict(ring: CountRing, now: float) -> Cause | None:
        entries = ring._entries  # noqa: SLF001 - the rule under test
        recent = [fail for at, fail in entries if at > now - HYSTRIX_WINDOW_S]
        bad = sum(fail > 0.0 for fail in recent)
        is_bad = len(recent) >= HYSTRIX_REQUESTS_MIN and bad >= HYSTRIX_SHARE * len(recent)
        return Cause.SHARE if is_bad else None

    return _swapped(CountRing, "verdict", verdict)


def without_panic() -> AbstractContextManager[None]:
    """Refuse whenever every gate is shut."""

    def none(*_args: object) -> None:
        return None

    return _swapped(PanicRation, "choose", none)


def without_life() -> AbstractContextManager[None]:
    """Let no answer earn a try: shut is shut, but for the ration."""
    return _swapped(Life, "may_try", lambda *_: False)


def without_silence() -> AbstractContextManager[None]:
    """Learn of a call only when it ends."""

    def nothing(_silence: Silence, _waits: Iterable[Wait], _now: float) -> None:
        return None

    return _swapped(Silence, "look", nothing)


# --- what has one ------------------------------------------------------------------------------


def _breakers(settings: BreakerSettings) -> EngineSettings:
    host = replace(settings, trial_successes=HOST_SUCCESSES_TO_CLOSE)
    return EngineSettings(
        health=HealthSettings(endpoint=EndpointSettings(breaker=settings), host=host)
    )


_FIXED_OPEN = BreakerSettings(
    open_base_s=FIXED_OPEN_S, open_backoff_max_s=FIXED_OPEN_S, open_jitter=0.0
)
_ALWAYS_HEDGE = HedgeSettings(
    tokens_max=WITHOUT_BOUND, deposit_per_primary=WITHOUT_BOUND, floor_usd=WITHOUT_BOUND
)

ABLATIONS = (
    Ablation(
        name="no-suspicion",
        title="no suspicion probes",
        scenarios=("s500", "hang", "resets"),
        rates=(0.1,),
        settings=EngineSettings(probes=ProbeSettings(suspect_probes_max=0)),
    ),
    Ablation(
        name="no-generations",
        title="no generations",
        scenarios=("long-answers", "stragglers"),
        patch=without_generations,
    ),
    Ablation(
        name="raw-latency",
        title="raw latency",
        scenarios=("reports", "brownout"),
        patch=with_raw_latency,
    ),
    Ablation(
        name="rate-fails",
        title="429 is a failure",
        scenarios=("limit-hits", "rate429"),
        patch=with_rate_as_failure,
    ),
    Ablation(
        name="argmin",
        title="argmin, no softmax",
        scenarios=("rollout", "brownout"),
        settings=EngineSettings(routing=RoutingSettings(temperature=1e-6)),
    ),
    Ablation(
        name="fixed-open",
        title="open for 60 s, always",
        scenarios=("short-outages", "blip", "s500"),
        settings=_breakers(_FIXED_OPEN),
    ),
    Ablation(
        name="hedge-always",
        title="hedges without budget",
        scenarios=("hedge-storm", "slow-hour"),
        settings=EngineSettings(budgets=BudgetSettings(hedge=_ALWAYS_HEDGE)),
    ),
    Ablation(
        name="time-window",
        title="time window (Hystrix)",
        scenarios=("s500", "hang", "incident"),
        patch=with_time_window,
    ),
    Ablation(name="no-panic", title="no panic", scenarios=("all-down",), patch=without_panic),
    Ablation(
        name="no-life", title="no earned tries", scenarios=("half-alive",), patch=without_life
    ),
    Ablation(
        name="no-silence",
        title="no silence evidence",
        scenarios=("hang", "silent"),
        patch=without_silence,
    ),
    Ablation(
        name="no-slow-start",
        title="no slow start",
        scenarios=("maintenance", "cold-return"),
        settings=_breakers(BreakerSettings(slow_start_min=1.0)),
    ),
)
BY_NAME: Mapping[str, Ablation] = {ablation.name: ablation for ablation in ABLATIONS}
