"""What one world of the swarm is made of, drawn from its seed alone, and how it is printed.

Swarm testing (Groce et al., "Swarm Testing", ISSTA 2012): a world that has a bit of everything
shows less than many worlds that each lack something, since features mask each other. So which kinds
of faults, callers and limits exist at all is drawn first, then how much of each. After
TigerBeetle's ``vopr.zig``, which prints its seed and every option before anything runs.
"""

from __future__ import annotations

import random
from dataclasses import fields
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.simulate.swarm_faults import draw_faults
from sidecar.simulate.swarm_fleet import draw_fleet, draw_routes
from sidecar.simulate.swarm_settings import draw_settings
from sidecar.upstream.simulated_limits import RATE_WINDOW_S
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import EndpointId, ProviderName, Route
    from sidecar.engine.settings import EngineSettings
    from sidecar.simulate.swarm_fleet import ProviderOptions
    from sidecar.upstream.simulated_faults import Fault

FAULTY_S = (40.0, 120.0)
SETTLE_S = 75.0
"""What began before the heal may hang as long as the longest patience of a model that thinks."""


class ActKind(Enum):
    """What happens to a world beside its faults."""

    KEY_ROTATED = "key_rotated"  # the provider takes another key from now on
    KEY_DELIVERED = "key_delivered"  # and the sidecar has it
    CLOCK_JUMP = "clock_jump"  # the machine was suspended
    ISOLATE = "isolate"
    RESTORE = "restore"


@value
class Act:
    """One thing that happens at ``at_s``; ``jump_s`` is for a clock jump."""

    at_s: float
    kind: ActKind
    provider: ProviderName | None = None
    endpoint: EndpointId | None = None
    jump_s: float = 0.0


@value
class CallerOptions:
    """Who calls, and how. ``*_share`` are chances 0..1 of one call."""

    rate_per_s: float
    stream_share: float
    anthropic_share: float
    batch_share: float
    constrained_share: float
    short_share: float
    hang_up_share: float
    slow_reader_share: float
    slow_read_s: float
    long_prompt_share: float
    burst_chance: float
    burst_size: int


@value
class SwarmOptions:
    """One world. ``recovery_s`` bounds the time from the heal to full service."""

    seed: int
    providers: tuple[ProviderOptions, ...]
    routes: tuple[Route, ...]
    settings: EngineSettings
    callers: CallerOptions
    faults: tuple[tuple[ProviderName, Fault], ...]
    acts: tuple[Act, ...]
    faulty_s: float
    recovery_s: float

    def lines(self) -> list[str]:
        """Return every option, one a line."""
        said = [f"seed={self.seed} faulty_s={self.faulty_s:.1f} recovery_s={self.recovery_s:.1f}"]
        said += [f"provider {one}" for one in self.providers]
        said += [f"route {one}" for one in self.routes]
        said += [
            f"settings.{one.name} {getattr(self.settings, one.name)}"
            for one in fields(self.settings)
        ]
        said.append(f"callers {self.callers}")
        said += [f"fault {name} {fault}" for name, fault in self.faults]
        return said + [f"act {act}" for act in self.acts]


def draw_options(seed: int) -> SwarmOptions:
    """Return the world of ``seed``; the same in every process."""
    rng = random.Random(f"swarm/{seed}")
    faulty_s = rng.uniform(*FAULTY_S)
    providers = draw_fleet(rng)
    settings = draw_settings(rng, providers)
    faults = draw_faults(rng, providers, faulty_s)
    acts = _draw_acts(rng, providers, faulty_s)
    return SwarmOptions(
        seed=seed,
        providers=providers,
        routes=draw_routes(rng, providers),
        settings=settings,
        callers=_draw_callers(rng),
        faults=faults,
        acts=acts,
        faulty_s=faulty_s,
        recovery_s=_longest_block_s(settings, providers, faults) + SETTLE_S,
    )


def _draw_callers(rng: random.Random) -> CallerOptions:
    def share(most: float) -> float:
        return rng.uniform(0.0, most) if rng.random() < 0.5 else 0.0  # noqa: PLR2004 - a coin

    return CallerOptions(
        rate_per_s=rng.choice((0.3, 1.0, 2.0, 4.0)),
        stream_share=rng.choice((0.0, 0.3, 0.7, 1.0)),
        anthropic_share=rng.choice((0.0, 0.5, 1.0)),
        batch_share=share(0.6),
        constrained_share=share(0.5),
        short_share=share(0.4),
        hang_up_share=share(0.3),
        slow_reader_share=share(0.4),
        slow_read_s=rng.uniform(0.01, 1.0),
        long_prompt_share=share(0.3),
        burst_chance=share(0.05),
        burst_size=rng.choice((5, 15, 40)),
    )


def _draw_acts(
    rng: random.Random, providers: tuple[ProviderOptions, ...], faulty_s: float
) -> tuple[Act, ...]:
    acts: list[Act] = []
    if rng.random() < 0.3:  # noqa: PLR2004 - a chance
        keyed = [one.name for one in providers if one.has_key]
        for name in rng.sample(keyed, k=min(len(keyed), rng.randint(1, 2))):
            at_s = rng.uniform(0.0, faulty_s * 0.8)
            acts.append(Act(at_s=at_s, kind=ActKind.KEY_ROTATED, provider=name))
            late_s = rng.choice((0.0, rng.uniform(0.0, 30.0)))
            acts.append(Act(at_s=at_s + late_s, kind=ActKind.KEY_DELIVERED, provider=name))
    if rng.random() < 0.25:  # noqa: PLR2004 - a chance
        at_s = rng.uniform(0.0, faulty_s)
        jump_s = rng.choice((0.5, 5.0, 60.0, 3600.0))
        acts.append(Act(at_s=at_s, kind=ActKind.CLOCK_JUMP, jump_s=jump_s))
    if rng.random() < 0.2:  # noqa: PLR2004 - a chance
        endpoint = rng.choice([model.id for one in providers for model in one.endpoints])
        at_s = rng.uniform(0.0, faulty_s * 0.8)
        acts.append(Act(at_s=at_s, kind=ActKind.ISOLATE, endpoint=endpoint))
        until_s = at_s + rng.uniform(0.1, 20.0)
        acts.append(Act(at_s=until_s, kind=ActKind.RESTORE, endpoint=endpoint))
    return tuple(sorted(acts, key=lambda act: act.at_s))


def _longest_block_s(
    settings: EngineSettings,
    providers: tuple[ProviderOptions, ...],
    faults: tuple[tuple[ProviderName, Fault], ...],
) -> float:
    """Return the longest time for which anything the sidecar learnt may keep an endpoint out."""
    stated = [fault.retry_after_s or 0.0 for _, fault in faults]
    if any(one.limits.requests_per_minute is not None for one in providers):
        stated.append(RATE_WINDOW_S)
    health = settings.health
    account = health.account
    opens = (health.endpoint.breaker, health.host)
    return max(
        *(one.open_backoff_max_s * (1.0 + one.open_jitter) for one in opens),
        max(stated, default=0.0) * (1.0 + account.jitter),
        account.quota_s,
        account.auth_s,
        account.rate_max_s * (1.0 + account.jitter),
        health.endpoint.gone_s,
        health.endpoint.throttle.window_s,
    )
