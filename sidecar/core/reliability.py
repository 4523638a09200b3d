"""How likely an endpoint answers, and what its last failure costs for a while.

``Reliability`` is a Beta posterior whose evidence decays towards its prior: an endpoint that failed
and is left alone drifts back to 0.98, so traffic tries it again; one that was never used is neither
trusted nor feared. The same class, fed with rate-limit refusals, is the availability.

``Penalty`` is linkerd's load biaser (``linkerd/proxy/balance``): a failure is booked as a latency,
at least 5 s or what the provider's Retry-After says, because an endpoint that fails fast would
otherwise look fast and draw the traffic it cannot serve.

Nothing here opens a gate: partial outages are routed around long before a breaker trips.
"""

from __future__ import annotations

from math import exp

from sidecar.core.tunable import Tunable
from sidecar.value import value


@value
class ReliabilitySettings:
    """Numbers of the decayed Beta posterior.

    * ``prior_ok`` 4.9, ``prior_fail`` 0.1 (weighted outcomes): 0.98, worth five outcomes; stronger
      priors hide an outage at low traffic, weaker ones let one failure halve an endpoint.
    * ``decay_s`` 300: an incident is forgotten in minutes, as incidents pass in minutes.
    """

    prior_ok: float = 4.9
    prior_fail: float = 0.1
    decay_s: float = 300.0


@value
class PenaltySettings:
    """Numbers of the failure penalty, seconds.

    * ``least_s`` 5: more than a healthy first token takes, so failing never looks cheap.
    * ``most_s`` 300: a provider that says "come back tomorrow" is its account block's business.
    * ``decay_s`` 10: half gone in 7 s; the reliability remembers longer.
    """

    least_s: float = 5.0
    most_s: float = 300.0
    decay_s: float = 10.0


SAME_TIME_S = 0.05
"""Successes this near the last sample are added as if at its time: their decay is nothing."""
_RELIABILITY = ReliabilitySettings()
_PENALTY = PenaltySettings()


class Reliability(Tunable[ReliabilitySettings]):
    """Success rate with decaying evidence. State: two masses above the prior, and their time."""

    def __init__(self, settings: ReliabilitySettings = _RELIABILITY) -> None:
        self._settings = settings
        self._ok = 0.0
        self._fail = 0.0
        self._at: float | None = None

    def record(self, ok: bool, weight: float, now: float) -> None:
        """Add one outcome; ``weight`` 1 for live traffic, less for weaker evidence."""
        if ok and self._at is not None and now - self._at < SAME_TIME_S:
            self._ok += weight
            return
        decay = self._decay(now)
        self._ok = self._ok * decay + (weight if ok else 0.0)
        self._fail = self._fail * decay + (0.0 if ok else weight)
        self._at = now if self._at is None else max(self._at, now)

    def value(self, now: float) -> float:
        """Return the expected success rate, 0..1; four plain failures: 4.9 / (5 + 4) = 0.54."""
        decay = self._decay(now)
        ok = self._settings.prior_ok + self._ok * decay
        return ok / (ok + self._settings.prior_fail + self._fail * decay)

    def evidence(self, now: float) -> float:
        """Return the weight of outcomes still remembered, 0 without any."""
        return (self._ok + self._fail) * self._decay(now)

    def _decay(self, now: float) -> float:
        if self._at is None:
            return 1.0
        return exp(-max(0.0, now - self._at) / self._settings.decay_s)


class Penalty(Tunable[PenaltySettings]):
    """Latency that failures add for a while. State: the last injected value and its time."""

    def __init__(self, settings: PenaltySettings = _PENALTY) -> None:
        self._settings = settings
        self._injected_s = 0.0
        self._at = 0.0

    def inject(self, seconds: float, now: float) -> None:
        """Book a failure: ``seconds`` is the provider's Retry-After, 0 if it said none."""
        settings = self._settings
        wanted_s = min(settings.most_s, max(settings.least_s, seconds))
        self._injected_s = max(self.value_s(now), wanted_s)
        self._at = now

    def value_s(self, now: float) -> float:
        """Return the seconds added to the endpoint's latency now."""
        if self._injected_s == 0.0:
            return 0.0
        return self._injected_s * exp(-max(0.0, now - self._at) / self._settings.decay_s)
