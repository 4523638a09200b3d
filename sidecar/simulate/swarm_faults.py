"""The faults of one world: which kinds exist at all, then where, when and how each strikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.upstream.simulated_faults import BREAKING_KINDS, DISTURBING_KINDS, Fault, FaultKind

if TYPE_CHECKING:
    import random

    from sidecar.domain import ProviderName
    from sidecar.simulate.swarm_fleet import ProviderOptions

FAULTS_MAX = 12
STATUS_SHARE = 0.5
STATUSES: tuple[tuple[int, float | None, str | None], ...] = (
    (500, None, None),
    (502, None, None),
    (503, None, None),
    (503, 15.0, None),
    (529, None, None),
    (429, 6.0, None),
    (429, 25.0, None),
    (429, None, None),
    (429, None, "insufficient_quota"),
    (402, None, None),
    (401, None, None),
    (403, None, None),
    (404, None, None),
    (400, None, None),
)
"""Status, Retry-After and error code of an error answer."""


def draw_faults(
    rng: random.Random, providers: tuple[ProviderOptions, ...], until_s: float
) -> tuple[tuple[ProviderName, Fault], ...]:
    """Return faults within ``[0, until_s)``, of a drawn subset of the kinds."""
    kind_share = rng.choice((0.15, 0.4, 0.8))
    kinds = [kind for kind in FaultKind if rng.random() < kind_share]
    if rng.random() < STATUS_SHARE:
        # Error answers are the most common faults, and of many sorts.
        kinds += [FaultKind.STATUS] * max(1, len(kinds) // 2)
    if not kinds:
        return ()
    return tuple(
        _draw_fault(rng, rng.choice(kinds), rng.choice(providers), until_s)
        for _ in range(rng.randint(1, FAULTS_MAX))
    )


def _draw_fault(
    rng: random.Random, kind: FaultKind, provider: ProviderOptions, until_s: float
) -> tuple[ProviderName, Fault]:
    start_s = rng.choice((0.0, rng.uniform(0.0, until_s * 0.9)))
    length_s = rng.choice((3.0, 15.0, 40.0, until_s))
    status, retry_after_s, code = rng.choice(STATUSES)
    models = [endpoint.upstream_model for endpoint in provider.endpoints]
    is_broken = kind in BREAKING_KINDS
    fault = Fault(
        kind=kind,
        start_s=start_s,
        end_s=min(until_s, start_s + length_s),
        share=rng.choice((1.0, 1.0, 0.5, 0.2)),
        model=rng.choice((None, None, *models)),
        hits_models=rng.random() < 0.3,  # noqa: PLR2004 - a chance
        status=status if kind is FaultKind.STATUS else rng.choice((500, 529)),
        retry_after_s=retry_after_s if kind is FaultKind.STATUS else None,
        error_code=code if kind is FaultKind.STATUS else None,
        delay_s=rng.choice((0.0, 0.0, 2.0)),
        factor=rng.uniform(2.0, 20.0) if kind in DISTURBING_KINDS else 1.0,
        after_tokens=rng.choice((0, 1, 5)) if is_broken else 0,
        prompt_tokens_max=rng.choice((20, 200)),
        is_framed=rng.random() < 0.5,  # noqa: PLR2004 - a coin
    )
    return provider.name, fault
