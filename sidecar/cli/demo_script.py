"""The demo's play: what happens to which provider, and when, as shares of its duration.

Alpha is the provider everybody would choose first; the worst of the play happens to it. Beta has
trouble of its own once, so that the small model has to step in. The script is data: the screen
shows it, the providers follow it.
"""

from __future__ import annotations

from sidecar.upstream.simulated_faults import Fault, FaultKind
from sidecar.value import value


@value
class Stage:
    """One stage: ``share`` of the demo's duration, and the faults of each provider during it."""

    name: str
    share: float
    alpha: tuple[Fault, ...] = ()
    beta: tuple[Fault, ...] = ()


CALM = Stage(name="calm: everybody is well", share=0.12)
STAGES = (
    CALM,
    Stage(
        name="outage: alpha refuses connections",
        share=0.26,
        alpha=(Fault(kind=FaultKind.REFUSE),),
    ),
    Stage(name="recovery: alpha is back", share=0.12),
    Stage(
        name="brown-out: alpha answers eight times slower",
        share=0.16,
        alpha=(Fault(kind=FaultKind.SLOW_FIRST, factor=8.0),),
    ),
    Stage(
        name="429 storm: alpha limits everyone, beta is overloaded",
        share=0.16,
        alpha=(Fault(kind=FaultKind.STATUS, status=429, retry_after_s=4.0),),
        beta=(Fault(kind=FaultKind.STATUS, status=529, share=0.6),),
    ),
    Stage(name="recovery: everybody is well again", share=0.18),
)


def stage_at(elapsed_s: float, duration_s: float) -> Stage:
    """Return the stage at ``elapsed_s``; the last one goes on for ever."""
    begun = 0.0
    for stage in STAGES:
        begun += stage.share * duration_s
        if elapsed_s < begun:
            return stage
    return STAGES[-1]
