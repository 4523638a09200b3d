"""How many tokens an answer will have: the mean of a route's recent answers, a fifth added.

Needed before the answer exists, to predict time and price. One estimate a route, since the task
decides the length far more than the model does. The mean forgets over half an hour and leans on a
prior of one answer.
"""

from __future__ import annotations

from math import exp

from sidecar.core.tunable import Tunable
from sidecar.value import value


@value
class OutputSettings:
    """Numbers of the answer-length estimate.

    * ``prior_tokens`` 256: a few paragraphs; worth one answer.
    * ``margin`` 1.2: too long a guess costs a little choice, too short a guess a deadline.
    * ``decay_s`` 1800: tasks change with the caller's releases, not by the minute.
    """

    prior_tokens: float = 256.0
    margin: float = 1.2
    decay_s: float = 1800.0


_DEFAULTS = OutputSettings()


class OutputModel(Tunable[OutputSettings]):
    """Answer length of one route. State: decayed sum and weight of observed lengths."""

    def __init__(self, settings: OutputSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._tokens = 0.0
        self._weight = 0.0
        self._at = 0.0

    def observe(self, tokens: int, now: float) -> None:
        """Record the output tokens of one complete answer."""
        decay = self._decay(now)
        self._tokens = self._tokens * decay + tokens
        self._weight = self._weight * decay + 1.0
        self._at = now

    def predict(self, max_tokens: int | None, now: float) -> float:
        """Return the expected output tokens, at least 1, never more than ``max_tokens``."""
        decay = self._decay(now)
        seen = self._tokens * decay + self._settings.prior_tokens
        wanted = max(1.0, seen / (self._weight * decay + 1.0) * self._settings.margin)
        return wanted if max_tokens is None else min(float(max(1, max_tokens)), wanted)

    def _decay(self, now: float) -> float:
        return exp(-max(0.0, now - self._at) / self._settings.decay_s)
