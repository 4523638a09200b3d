"""How good a model's answers are on a route: what is configured, corrected by what was seen.

Two kinds of evidence are kept apart, since they say different things. *Scores* (feedback, grades)
say how good an answer is: they are counted as parts of successes, a Beta posterior whose prior is
the configured quality. *Faults* (empty, refused, cut off, not the JSON that was asked for) are
seen on every call, but their absence says nothing: a thousand answers without apparent fault must
not make a poor model a good one, nor the interval narrow. So the share of faulty answers is a
factor on the mean, at the same strength of evidence:

    quality = (1 - share of faults) x mean of scores

A model is named by its endpoint, ``provider/model``. All evidence fades: half of it counts after
``half_life_s``. A score between 0 and 1 counts as a part of a success, which makes the interval
wider than it must be, never narrower.

Worked example: configured 0.8 at strength 8 is Beta(6.4, 1.6); eight scores of 1 make it
Beta(14.4, 1.6), mean 0.9; should every tenth answer then be empty, 0.81.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log
from typing import TYPE_CHECKING

from sidecar.core.beta import value_at
from sidecar.core.tunable import Tunable
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from sidecar.domain import EndpointId, RouteName

    PriorOf = Callable[[RouteName, EndpointId], float]
    """The configured quality (0..1) of a model, named by its endpoint, on a route."""

MEAN_LEAST = 0.02
"""A quality of exactly 0 or 1 would be a certainty that no evidence can move."""
STRENGTH_LEAST = 0.1
"""Without any prior a single score would be a certainty."""
HALF_LIFE_S_LEAST = 1.0
TAIL = 0.025
"""Left out on either side: the interval holds 95 %."""


@value
class QualitySettings:
    """Numbers of the quality estimate.

    * ``half_life_s`` a week: models change behind their names, tasks with the callers' releases.
    * ``fault_half_life_s`` a day: faults come and go with a provider's state.
    * ``prior_strength`` 8: the configured quality counts as much as eight scores.
    * ``fault_doubt`` 20: so many answers without fault are assumed, for one fault proves little.
    * ``evidence_least`` 10: scores, or ``faults_least`` 3 faults, before calls go by the belief
      and not by the configured value: nobody shuts a model out by two bad words.
    * ``evidence_max`` 10,000: more makes an interval narrower than the truth is steady.
    * ``pairs_max`` 4096: of route and model; who was not heard of for the longest time goes.
    """

    half_life_s: float = 7 * 86_400.0
    fault_half_life_s: float = 86_400.0
    prior_strength: float = 8.0
    fault_doubt: float = 20.0
    evidence_least: float = 10.0
    faults_least: float = 3.0
    evidence_max: float = 10_000.0
    pairs_max: int = 4096


@value
class Posterior:
    """What is believed of a model's quality: Beta(``alpha``, ``beta``).

    ``n`` is the effective number of scores behind it, prior not counted, discount applied.
    """

    alpha: float
    beta: float
    n: float

    @property
    def mean(self) -> float:
        """Expected quality, 0..1."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval; computed each time it is asked for, tens of us."""
        return value_at(TAIL, self.alpha, self.beta)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return value_at(1.0 - TAIL, self.alpha, self.beta)

    def sample(self, rng: Random) -> float:
        """Draw a quality as likely as it is believed, for Thompson sampling; 2 us."""
        return rng.betavariate(self.alpha, self.beta)


@dataclass(slots=True)
class Evidence:
    """What one model showed on one route, as it counted at ``at``.

    ``scored`` of ``weight`` came from scores, ``faulty`` of ``judged`` answers had a fault.
    """

    scored: float
    weight: float
    faulty: float
    judged: float
    at: float


_DEFAULTS = QualitySettings()


class QualityBook(Tunable[QualitySettings]):
    """Evidence by (route, model); the only one who writes it. Times are ``now``, in seconds."""

    def __init__(self, prior_of: PriorOf, settings: QualitySettings = _DEFAULTS) -> None:
        self.prior_of = prior_of
        """Another one after a reload: the evidence stays."""
        self._settings = settings
        self._pairs: dict[tuple[RouteName, EndpointId], Evidence] = {}

    def observe(
        self, route: RouteName, model: EndpointId, score: float, weight: float, now: float
    ) -> None:
        """Count a score (0..1) that is worth ``weight`` answers, at least 0.

        Raises:
            ValueError: The score is not within 0..1, or the weight is not a finite number >= 0.
        """
        _check(score, weight)
        if weight == 0.0:
            return
        pair = self._touch(route, model, now)
        pair.scored += score * weight
        pair.weight += weight
        if pair.weight > self._settings.evidence_max:
            pair.scored *= self._settings.evidence_max / pair.weight
            pair.weight = self._settings.evidence_max

    def judge(
        self, route: RouteName, model: EndpointId, fault: float, now: float, *, count: int = 1
    ) -> None:
        """Count an answer that was looked at: 0 had no fault, 1 was of no use.

        ``count`` so many alike; 0: one that was counted before has a fault all the same.

        Raises:
            ValueError: The fault is not within 0..1.
        """
        _check(fault, 1.0)
        pair = self._touch(route, model, now)
        pair.faulty += fault * max(1, count)
        pair.judged += count

    def retract(
        self, route: RouteName, model: EndpointId, score: float, weight: float, ages: Ages
    ) -> None:
        """Take back what remains of a score that was counted earlier, for another takes its place.

        Raises:
            ValueError: As for ``observe``.
        """
        _check(score, weight)
        pair = self._pairs.get((route, model))
        if pair is None:
            return
        self._age(pair, ages.now)
        left = weight * self._kept(ages.now - ages.at, self._settings.half_life_s)
        pair.weight = max(0.0, pair.weight - left)
        pair.scored = min(pair.weight, max(0.0, pair.scored - score * left))

    def absolve(self, route: RouteName, model: EndpointId, fault: float, ages: Ages) -> None:
        """Take back what remains of a fault, for somebody says that the answer was good."""
        pair = self._pairs.get((route, model))
        if pair is None:
            return
        self._age(pair, ages.now)
        left = fault * self._kept(ages.now - ages.at, self._settings.fault_half_life_s)
        pair.faulty = max(0.0, pair.faulty - left)

    def posterior(self, route: RouteName, model: EndpointId, now: float) -> Posterior:
        """Return what is believed now; without evidence the configured quality at its strength."""
        prior = min(1.0 - MEAN_LEAST, max(MEAN_LEAST, self.prior_of(route, model)))
        total = max(STRENGTH_LEAST, self._settings.prior_strength)
        good, weight, faults = prior * total, 0.0, 0.0
        pair = self._pairs.get((route, model))
        if pair is not None:
            kept = self._kept(now - pair.at, self._settings.half_life_s)
            weight = pair.weight * kept
            good += pair.scored * kept
            total += weight
            faults = self._share_of_faults(pair, now)
        alpha = good * (1.0 - faults)
        return Posterior(alpha=alpha, beta=total - alpha, n=weight)

    def measured(self, route: RouteName, model: EndpointId, now: float) -> Posterior:
        """Return what evidence alone says, whatever was configured: for comparing models fairly.

        Its prior is that all qualities are as likely, worth two scores.
        """
        pair = self._pairs.get((route, model))
        if pair is None:
            return Posterior(alpha=1.0, beta=1.0, n=0.0)
        kept = self._kept(now - pair.at, self._settings.half_life_s)
        weight, total = pair.weight * kept, 2.0 + pair.weight * kept
        alpha = (1.0 + pair.scored * kept) * (1.0 - self._share_of_faults(pair, now))
        return Posterior(alpha=alpha, beta=total - alpha, n=weight)

    def share_of_faults(self, route: RouteName, model: EndpointId, now: float) -> float:
        """Return which share (0..1) of the answers had a fault, doubt given."""
        pair = self._pairs.get((route, model))
        return 0.0 if pair is None else self._share_of_faults(pair, now)

    def has_evidence(self, route: RouteName, model: EndpointId) -> bool:
        """Say whether anything was ever seen of it; else the configured value stands as it is."""
        return (route, model) in self._pairs

    def evidence(self, route: RouteName, model: EndpointId) -> Evidence | None:
        """Return what was seen of a model, as it counted at its ``at``; to be read, not changed."""
        return self._pairs.get((route, model))

    def export(self) -> Iterator[tuple[RouteName, EndpointId, Evidence]]:
        """Go through all evidence, who was heard of last at the end; to be read, not changed."""
        for (route, model), pair in self._pairs.items():
            yield route, model, pair

    def believed(self, now: float) -> dict[tuple[RouteName, EndpointId], float]:
        """Return the expected quality of those of whom enough was seen to go by it."""
        found = {}
        for (route, model), pair in self._pairs.items():
            belief = self.posterior(route, model, now)
            faults = pair.faulty * self._kept(now - pair.at, self._settings.fault_half_life_s)
            if belief.n >= self._settings.evidence_least or faults >= self._settings.faults_least:
                found[route, model] = belief.mean
        return found

    def restore(self, route: RouteName, model: EndpointId, evidence: Evidence, now: float) -> None:
        """Add kept evidence to what there is; its ``at`` may lie before this clock's zero."""
        pair = self._touch(route, model, now)
        self._age(evidence, now)
        pair.scored += evidence.scored
        pair.weight += evidence.weight
        pair.faulty += evidence.faulty
        pair.judged += evidence.judged

    def forget(self, route: RouteName, model: EndpointId) -> None:
        """Forget all evidence of a model on a route: it is another one now."""
        self._pairs.pop((route, model), None)

    def _touch(self, route: RouteName, model: EndpointId, now: float) -> Evidence:
        """Return the pair's evidence, aged to ``now``, as the one heard of last."""
        pair = self._pairs.pop((route, model), None)
        if pair is None:
            self._make_room()
            pair = Evidence(scored=0.0, weight=0.0, faulty=0.0, judged=0.0, at=now)
        else:
            self._age(pair, now)
        self._pairs[route, model] = pair
        return pair

    def _make_room(self) -> None:
        while len(self._pairs) >= self._settings.pairs_max:
            del self._pairs[next(iter(self._pairs))]

    def _age(self, pair: Evidence, now: float) -> None:
        kept = self._kept(now - pair.at, self._settings.half_life_s)
        pair.scored *= kept
        pair.weight *= kept
        kept = self._kept(now - pair.at, self._settings.fault_half_life_s)
        pair.faulty *= kept
        pair.judged *= kept
        pair.at = max(pair.at, now)

    def _share_of_faults(self, pair: Evidence, now: float) -> float:
        kept = self._kept(now - pair.at, self._settings.fault_half_life_s)
        doubt = max(STRENGTH_LEAST, self._settings.fault_doubt)
        # An answer has one fault at most, whatever was noticed of it later.
        return min(pair.faulty, pair.judged) * kept / (pair.judged * kept + doubt)

    @staticmethod
    def _kept(age_s: float, half_life_s: float) -> float:
        return exp(-max(0.0, age_s) * log(2.0) / max(HALF_LIFE_S_LEAST, half_life_s))


@value
class Ages:
    """When something was counted, and now."""

    at: float
    now: float


def _check(score: float, weight: float) -> None:
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"a score is a number from 0 to 1, not {score}")
    if not isfinite(weight) or weight < 0.0:
        raise ValueError(f"a weight is a finite number of at least 0, not {weight}")
