"""The engine's settings of one world, within sane ranges; half of the worlds keep the defaults.

Blocks are shorter than in production, so that a world of a few minutes sees their ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.account import AccountSettings
from sidecar.core.amplification import AmplificationSettings
from sidecar.core.attempts import AttemptSettings
from sidecar.core.breaker import BreakerSettings
from sidecar.core.hedging import HedgeSettings
from sidecar.core.latency import LatencySettings
from sidecar.core.limit import LimitSettings
from sidecar.core.panic import PanicSettings
from sidecar.core.probing import ProbeSettings
from sidecar.core.spend import SpendSettings
from sidecar.core.throttle import ThrottleSettings
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.endpoint_health import EndpointSettings, HealthSettings
from sidecar.engine.pacer import PacerSettings
from sidecar.engine.settings import EngineSettings

if TYPE_CHECKING:
    import random

    from sidecar.domain import ProviderName
    from sidecar.simulate.swarm_fleet import ProviderOptions


def draw_settings(rng: random.Random, providers: tuple[ProviderOptions, ...]) -> EngineSettings:
    """Return the settings of a world."""
    is_plain = rng.random() < 0.5  # noqa: PLR2004 - a coin
    pacers = {
        one.name: PacerSettings(
            requests_per_minute=rng.choice((None, 90.0, 240.0)),
            tokens_per_minute=rng.choice((None, 60_000.0)),
        )
        for one in providers
        if rng.random() < 0.2  # noqa: PLR2004 - a chance
    }
    health = _draw_health(rng, pacers, is_plain=is_plain)
    if is_plain:
        return EngineSettings(health=health)
    return EngineSettings(
        health=health,
        attempts=AttemptSettings(
            attempts_max=rng.choice((1, 2, 3, 3, 4)), min_useful_s=rng.uniform(0.1, 0.5)
        ),
        probes=ProbeSettings(
            idle_first_s=rng.choice((5.0, 60.0)), suspect_probes_max=rng.choice((0, 3, 6))
        ),
        spend=SpendSettings(daily_usd=rng.choice((0.0, 0.002, 0.5))),
        budgets=BudgetSettings(
            hedge=HedgeSettings(
                wait_min_s=rng.choice((0.2, 1.0)),
                tokens_max=rng.choice((0.0, 2.0, 5.0)),
                deposit_per_primary=rng.choice((0.05, 0.5)),
                usd_share=rng.choice((0.0, 0.03, 0.2)),
                floor_usd=rng.choice((0.0, 0.0005, 0.05)),
            ),
            amplification=AmplificationSettings(
                attempts_per_request=rng.choice((1.1, 1.5)), free_extra=rng.choice((0, 3, 10))
            ),
        ),
        panic=PanicSettings(every_s=rng.uniform(1.0, 4.0)),
    )


def _draw_health(
    rng: random.Random, pacers: dict[ProviderName, PacerSettings], *, is_plain: bool
) -> HealthSettings:
    account = AccountSettings(
        rate_max_s=20.0, quota_s=rng.uniform(10.0, 40.0), auth_s=rng.uniform(10.0, 40.0)
    )
    gone_s = rng.uniform(5.0, 40.0)
    throttle = ThrottleSettings(window_s=rng.choice((20.0, 60.0)), slot_s=5.0)
    if is_plain:
        endpoint = EndpointSettings(gone_s=gone_s, throttle=throttle)
        return HealthSettings(endpoint=endpoint, account=account, pacers=pacers)
    stall_s = rng.uniform(3.0, 10.0)
    endpoint = EndpointSettings(
        breaker=BreakerSettings(
            run_weight_min=rng.choice((2.0, 5.0, 8.0)),
            trial_successes=rng.randint(1, 3),
            open_base_s=rng.uniform(1.0, 6.0),
            open_backoff_max_s=rng.uniform(8.0, 40.0),
            slow_start_s=rng.uniform(1.0, 30.0),
        ),
        limit=LimitSettings(limit_max=rng.choice((4.0, 16.0, 1024.0))),
        throttle=throttle,
        latency=LatencySettings(
            hang_min_s=rng.uniform(4.0, 8.0),
            hang_max_s=rng.uniform(10.0, 20.0),
            hang_unknown_s=rng.uniform(8.0, 15.0),
            stall_min_s=stall_s,
            stall_max_s=stall_s * 2.0,
        ),
        gone_s=gone_s,
    )
    host = BreakerSettings(trial_successes=1, open_backoff_max_s=rng.uniform(8.0, 40.0))
    return HealthSettings(endpoint=endpoint, host=host, account=account, pacers=pacers)
