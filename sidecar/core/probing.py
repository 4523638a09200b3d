"""When an endpoint deserves a probe, of which kind, and why.

Live traffic is the best probe and free. A paid micro-completion is worth its price in two places:
when an open breaker is due, so that no caller is the guinea pig, and after the first hard failure
on a quiet endpoint, where traffic alone would need minutes to show an outage. An idle fallback is
looked at rarely and mostly for free.

A free probe (listing models) shows that the host answers and the credential holds, not that the
model works: it never closes a breaker, it only precedes the paid one where connecting was the
trouble. A blocked account is left alone, it said when to come back.

Pure arithmetic on a frozen view: the prober asks every tick and acts when ``due_at`` has come.
Jitter is a factor the prober draws once after each probe (``draw_jitter``): drawn anew at each
tick, the earliest would win.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sidecar.core.breaker import BreakerState
from sidecar.domain import OutcomeClass
from sidecar.value import value

if TYPE_CHECKING:
    import random

    from sidecar.domain import EndpointId


class ProbeKind(Enum):
    """FREE lists models; PAID asks for a few tokens."""

    FREE = "free"
    PAID = "paid"


class ProbeWhy(Enum):
    """In order of worth."""

    OPEN = "open"
    SUSPECT = "suspect"
    IDLE = "idle"


@value
class ProbeSettings:
    """Numbers of the probe scheduler.

    * ``open_every_s`` 5: between probes of a breaker that is due but could not be tried (the free
      probe failed).
    * ``trial_every_s`` 0.5: between the successes that a half-open breaker needs.
    * ``suspect_first_s`` 0.5, ``suspect_every_s`` 2, ``suspect_probes_max`` 6,
      ``suspect_ok_enough`` 2: an outage shows within 12 s at six calls a minute instead of 49; two
      answers clear a suspicion.
    * ``suspect_rate_max`` 0.5 calls a second: busier endpoints are soon found out by their traffic.
    * ``idle_first_s`` 60, ``idle_most_s`` 900: doubling with each good probe.
    * ``idle_paid_every`` 4: every fourth idle probe costs money; without a free probe, the only
      ones made.
    * ``jitter`` 0.2: so that a fleet does not probe in step.
    """

    open_every_s: float = 5.0
    trial_every_s: float = 0.5
    suspect_first_s: float = 0.5
    suspect_every_s: float = 2.0
    suspect_probes_max: int = 6
    suspect_ok_enough: int = 2
    suspect_rate_max: float = 0.5
    idle_first_s: float = 60.0
    idle_most_s: float = 900.0
    idle_paid_every: int = 4
    jitter: float = 0.2


@value
class ProbeView:
    """What the prober knows of one endpoint.

    ``cause`` is the ``OutcomeClass`` value of the last failure. ``last_sample_at`` is the last
    outcome of live traffic. ``free_probe_ok``: a free probe passed since the breaker last opened.
    ``has_free_probe``: the provider has a path that costs nothing. ``is_wanted``: among the first
    two of a route used within the hour. ``is_urgent``: it failed twice in a row, or fell silent
    and traffic keeps away: a busy one is asked too. The ``suspect_`` counts are of this
    suspicion. ``jitter`` is a factor around 1.
    """

    endpoint: EndpointId
    state: BreakerState
    cause: str = ""
    reopens_at: float | None = None
    is_suspect: bool = False
    is_urgent: bool = False
    rate_per_s: float = 0.0
    last_sample_at: float | None = None
    last_probe_at: float | None = None
    idle_ok_count: int = 0
    suspect_probe_count: int = 0
    suspect_ok_count: int = 0
    is_probe_in_flight: bool = False
    is_account_blocked: bool = False
    is_wanted: bool = False
    free_probe_ok: bool = False
    has_free_probe: bool = True
    jitter: float = 1.0


@value
class ProbeNeed:
    """A probe to be made at ``due_at``, which may be past or to come."""

    kind: ProbeKind
    why: ProbeWhy
    due_at: float


def probe_need(view: ProbeView, settings: ProbeSettings, now: float) -> ProbeNeed | None:
    """Return the next probe that ``view`` calls for, None if none."""
    if view.is_probe_in_flight or view.is_account_blocked:
        return None
    match view.state:
        case BreakerState.OPEN:
            return _open_need(view, settings, now)
        case BreakerState.HALF_OPEN:
            due_at = _after(view.last_probe_at, settings.trial_every_s, now)
            return ProbeNeed(kind=ProbeKind.PAID, why=ProbeWhy.OPEN, due_at=due_at)
        case BreakerState.CLOSED:
            return _suspect_need(view, settings, now) or _idle_need(view, settings, now)
        case BreakerState.ISOLATED:
            return None


def draw_jitter(settings: ProbeSettings, rng: random.Random) -> float:
    """Return a factor for the next probe's delay, 0.8 to 1.2."""
    return rng.uniform(1.0 - settings.jitter, 1.0 + settings.jitter)


def _open_need(view: ProbeView, settings: ProbeSettings, now: float) -> ProbeNeed:
    reopens_at = now if view.reopens_at is None else view.reopens_at
    is_unreached = view.cause == OutcomeClass.CONNECT.value and not view.free_probe_ok
    if not (is_unreached and view.has_free_probe):
        # No jitter: the open period already has its own.
        return ProbeNeed(kind=ProbeKind.PAID, why=ProbeWhy.OPEN, due_at=reopens_at)
    due_at = reopens_at
    if view.last_probe_at is not None:
        due_at = max(reopens_at, view.last_probe_at + settings.open_every_s * view.jitter)
    return ProbeNeed(kind=ProbeKind.FREE, why=ProbeWhy.OPEN, due_at=due_at)


def _suspect_need(view: ProbeView, settings: ProbeSettings, now: float) -> ProbeNeed | None:
    is_settled = (
        not view.is_suspect
        or (view.rate_per_s >= settings.suspect_rate_max and not view.is_urgent)
        or view.suspect_probe_count >= settings.suspect_probes_max
        or view.suspect_ok_count >= settings.suspect_ok_enough
    )
    if is_settled:
        return None
    if view.suspect_probe_count == 0:
        due_at = _after(view.last_sample_at, settings.suspect_first_s * view.jitter, now)
    else:
        due_at = _after(view.last_probe_at, settings.suspect_every_s * view.jitter, now)
    return ProbeNeed(kind=ProbeKind.PAID, why=ProbeWhy.SUSPECT, due_at=due_at)


def _idle_need(view: ProbeView, settings: ProbeSettings, now: float) -> ProbeNeed | None:
    if not view.is_wanted:
        return None
    wait_s = settings.idle_first_s
    for _ in range(view.idle_ok_count):
        wait_s *= 2
        if wait_s >= settings.idle_most_s:
            break
    wait_s = min(wait_s, settings.idle_most_s) * view.jitter
    is_paid_turn = (view.idle_ok_count + 1) % settings.idle_paid_every == 0
    if not view.has_free_probe:
        wait_s *= settings.idle_paid_every
    kind = ProbeKind.PAID if is_paid_turn or not view.has_free_probe else ProbeKind.FREE
    seen = [at for at in (view.last_sample_at, view.last_probe_at) if at is not None]
    due_at = _after(max(seen, default=None), wait_s, now)
    return ProbeNeed(kind=kind, why=ProbeWhy.IDLE, due_at=due_at)


def _after(at: float | None, wait_s: float, now: float) -> float:
    """What never happened was long ago: due now."""
    return now if at is None else at + wait_s
