"""How many tokens an answer will have: the mean of a route's recent answers, a fifth added.

Needed before the answer exists, to predict time and price. One estimate a route, since the task
decides the length far more than the model does. The mean forgets over half an hour and leans on a
prior of one answer. Beside it stands how far lengths scatter (lognormal), for the probability of
being in time; an answer that was cut counts as longer than what there was of it.
"""

from __future__ import annotations

from math import exp, log

from sidecar.core.forecast import ForecastSettings, Length, Spread
from sidecar.core.tunable import Tunable
from sidecar.value import value


@value
class OutputSettings:
    """Numbers of the answer-length estimate.

    * ``prior_tokens`` 256: a few paragraphs; worth one answer.
    * ``margin`` 1.2: too long a guess costs a little choice, too short a guess a deadline.
    * ``decay_s`` 1800: tasks change with the caller's releases, not by the minute.
    * ``sigma`` 0.8: scatter of lengths before any is known; ``memory`` 64: answers that it is
      learned from.
    """

    prior_tokens: float = 256.0
    margin: float = 1.2
    decay_s: float = 1800.0
    sigma: float = 0.8
    memory: float = 64.0


_DEFAULTS = OutputSettings()
LEARN_EVERY_S = 0.01
"""Of answers that come faster than this one each is measured for the scatter."""
KEPT_S = 0.25
"""The scatter is worked out anew after this long: it moves by a hundredth an answer."""
STRETCH_SIGMAS = 2.33
"""One answer in a hundred is longer than so many sigmas."""


class OutputModel(Tunable[OutputSettings]):
    """Answer length of one route. State: decayed sum and weight of observed lengths."""

    def __init__(self, settings: OutputSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._tokens = 0.0
        self._weight = 0.0
        self._at = 0.0
        self._spread = Spread(_spread_of(settings), mean=log(max(1.0, settings.prior_tokens)))
        self._learned_at = -1.0
        self._length: Length | None = None
        self._length_at = 0.0

    def adapt(self, settings: OutputSettings) -> None:
        """Go by ``settings`` from now on."""
        super().adapt(settings)
        self._spread.adapt(_spread_of(settings))

    def observe(self, tokens: int, now: float) -> None:
        """Record the output tokens of one complete answer."""
        decay = self._decay(now)
        self._tokens = self._tokens * decay + tokens
        self._weight = self._weight * decay + 1.0
        self._at = now
        if tokens > 0 and now - self._learned_at >= LEARN_EVERY_S:
            self._learned_at = now
            self._spread.add(log(tokens), now)

    def observe_cut(self, tokens: float, now: float, *, sigma: float = 0.0) -> None:
        """Record that an answer was cut that would have had more than ``tokens``; they are known
        but for ``sigma`` of their logarithm.
        """
        if tokens >= 1.0:
            self._spread.add_at_least(log(tokens), now, other_variance=sigma**2)

    def length(self, now: float) -> Length:
        """Return how long answers are at present, as a distribution."""
        if self._length is None or not 0.0 <= now - self._length_at < KEPT_S:
            mean, sigma = self._spread.predict(now)
            self._length_at = now
            self._length = Length(
                median=exp(mean),
                sigma=sigma,
                weight=self._spread.weight(now),
                stretch=exp(STRETCH_SIGMAS * sigma),
            )
        return self._length

    def predict(self, max_tokens: int | None, now: float) -> float:
        """Return the expected output tokens, at least 1, never more than ``max_tokens``."""
        decay = self._decay(now)
        seen = self._tokens * decay + self._settings.prior_tokens
        wanted = max(1.0, seen / (self._weight * decay + 1.0) * self._settings.margin)
        return wanted if max_tokens is None else min(float(max(1, max_tokens)), wanted)

    def _decay(self, now: float) -> float:
        return exp(-max(0.0, now - self._at) / self._settings.decay_s)


def _spread_of(settings: OutputSettings) -> ForecastSettings:
    return ForecastSettings(sigma=settings.sigma, memory=settings.memory, idle_s=settings.decay_s)
