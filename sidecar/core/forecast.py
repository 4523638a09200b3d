"""How likely an endpoint is to answer in time: its latency as a distribution, for one call.

    T = (F + N * gap) * e^z

``F`` is the usual time to first content for a prompt of this length, ``gap`` the usual time between
tokens (both ``core/latency.py``), ``N`` the length of the answer: lognormal for the route
(``core/output.py``), cut at what the call allows. What these do not explain is ``z``, normal, with
mean and variance learned as moving averages of the logarithm of measured over expected: one for
first contents, one for the pace of streams, one for whole answers. A stream's ``z`` is
mixed of the first two by their shares of the time.

Its uncertainty is a part of the answer. Few samples widen it, so does an hour without any; waits
that were cut short count as what they are, lower bounds: an average of those that came in time
would call every endpoint punctual. Current slowness (the level of ``core/latency.py``, which sees
waiting calls too and rises within three samples) overrides the mean where it is more than scatter.
"""

from __future__ import annotations

from math import erfc, exp, log, pi, sqrt

from sidecar.core.tunable import Tunable
from sidecar.value import value

ROOT_2 = sqrt(2.0)
SIGMA_LEAST = 0.1
"""No provider is more regular than this; it also keeps the divisions finite."""
SURE_SIGMAS = 2.5
"""So far out nobody looks closer: a call with so much time is in time."""
LEVEL_SIGMAS = 1.5
"""The level follows the worse of recent samples: so much above the mean is mere scatter."""
LENGTH_SIGMA = 0.5
"""What the length of an answer may have to do with that it was cut."""
FIRST_SHARE = 0.8
"""So much of the way to the first measurement the mean goes at once."""
OFF_MAX, OFF_SIGMAS = 1.0, 3.0
"""One absurd sample moves nothing further than either of these."""
_CELLS = (
    (-2.33, 0.02),
    (-1.55, 0.08),
    (-0.95, 0.15),
    (-0.32, 0.25),
    (0.32, 0.25),
    (0.95, 0.15),
    (1.55, 0.08),
    (2.33, 0.02),
)
"""The standard normal in eight cells: middle and share of each."""
_HALVINGS = 24
FAR_OUT = 1e-12
"""Beyond so little of the normal its mean is taken from the asymptote."""


@value
class ForecastSettings:
    """Numbers of the spread of latencies.

    * ``sigma`` 0.5: of the logarithm, before anything is known; a usual API has 0.2 to 0.6.
    * ``memory`` 16 samples: scatter needs a dozen, and drift shall show within one.
    * ``idle_s`` 600: what was learned weighs a third after this long without a sample.
    """

    sigma: float = 0.5
    memory: float = 16.0
    idle_s: float = 600.0


_DEFAULTS = ForecastSettings()


class Spread(Tunable[ForecastSettings]):
    """Moving mean and variance of a logarithm; starts as one sample at ``mean``."""

    __slots__ = ("_at", "_mean", "_settings", "_variance", "_weight")

    def __init__(self, settings: ForecastSettings = _DEFAULTS, *, mean: float = 0.0) -> None:
        self._settings = settings
        self._mean = mean
        self._variance = settings.sigma**2
        self._weight = 1.0
        self._at = 0.0

    def weight(self, now: float) -> float:
        """Return how many samples it is worth, the prior's one included."""
        idle_s = max(0.0, now - self._at)
        return 1.0 + (self._weight - 1.0) * exp(-idle_s / self._settings.idle_s)

    def add(self, log_ratio: float, now: float) -> None:
        """Record one measurement."""
        self._move(log_ratio - self._mean, 0.0, now)

    def add_at_least(self, log_ratio: float, now: float, *, other_variance: float = 0.0) -> None:
        """Record that a measurement would have been more than ``log_ratio``.

        What it would have been is drawn from what is known: the mean and variance of the part of
        the normal beyond (Tobit). ``other_variance`` shares the blame: of another normal in the sum
        that was cut.
        """
        total = self._variance + other_variance
        beyond = (log_ratio - self._mean) / sqrt(max(total, SIGMA_LEAST**2))
        hazard = _hazard(beyond)
        share = self._variance / max(total, SIGMA_LEAST**2)
        off = sqrt(share * self._variance) * hazard
        left = self._variance * (1.0 - share * hazard * (hazard - beyond))
        self._move(off, max(0.0, left), now)

    def predict(self, now: float) -> tuple[float, float]:
        """Return mean and sigma of the next measurement; the fewer samples, the wider."""
        weight, settings = self.weight(now), self._settings
        ignorance = (settings.sigma / weight) ** 2
        return self._mean, max(SIGMA_LEAST, sqrt(self._variance * (1 + 1 / weight) + ignorance))

    def _move(self, off: float, own_variance: float, now: float) -> None:
        weight = self.weight(now)
        share = 1.0 / (weight + 1.0)
        if self._weight > 1.0:
            most = max(OFF_MAX, OFF_SIGMAS * sqrt(self._variance))
            off = min(most, max(-most, off))
            self._mean += share * off
            self._variance += share * ((1.0 - share) * off * off + own_variance - self._variance)
        else:
            # How far the first one is from the prior says where it is, and nothing of the scatter.
            self._mean += FIRST_SHARE * off
        self._weight = min(self._settings.memory, weight + 1.0)
        self._at = max(self._at, now)


@value
class Outlook:
    """The unexplained part of an endpoint's latencies at a moment: (mean, sigma) of each ``z``.

    ``level`` is how much slower than usual it is now beyond scatter, a logarithm, 0 or more.
    ``stretch``: nearly nothing takes more times the expected than this. ``weight``: samples known.
    """

    first: tuple[float, float]
    pace: tuple[float, float]
    whole: tuple[float, float]
    level: float
    stretch: float
    weight: float


class Forecast(Tunable[ForecastSettings]):
    """What is known of one endpoint's scatter. Owns the three spreads."""

    def __init__(self, settings: ForecastSettings = _DEFAULTS) -> None:
        self._settings = settings
        self.first = Spread(settings)
        self.pace = Spread(settings)
        self.whole = Spread(settings)

    def adapt(self, settings: ForecastSettings) -> None:
        """Go by ``settings`` from now on."""
        super().adapt(settings)
        for spread in (self.first, self.pace, self.whole):
            spread.adapt(settings)

    def observe(self, of: Spread, measured_s: float, expected_s: float, now: float) -> None:
        """Record that what was expected to take ``expected_s`` took ``measured_s``."""
        if measured_s > 0.0 and expected_s > 0.0:
            of.add(log(measured_s / expected_s), now)

    def began(
        self, first_s: float, usual_s: float, now: float, *, whole_s: float, output_s: float
    ) -> None:
        """Record a first content after ``first_s`` that usually takes ``usual_s``; a plain answer
        came whole after ``whole_s``, of which ``output_s`` were expected for its writing.
        """
        self.observe(self.first, first_s, usual_s, now)
        if output_s > 0.0:
            self.observe(self.whole, whole_s, usual_s + output_s, now)

    def cut(self, waited_s: float, first_s: float, output_s: float, now: float) -> None:
        """Record that an answer would have taken more than ``waited_s``; ``first_s`` was usual for
        its first content, ``output_s`` for the writing of a plain one.
        """
        expected_s = first_s + output_s
        if waited_s > 0.0 and expected_s > 0.0:
            of = self.whole if output_s > 0.0 else self.first
            sigma = LENGTH_SIGMA * output_s / expected_s
            of.add_at_least(log(waited_s / expected_s), now, other_variance=sigma**2)

    def outlook(self, now: float, level: float) -> Outlook:
        """Return the outlook at ``now``; ``level`` as ``LatencyModel`` has it."""
        first, pace, whole = (one.predict(now) for one in (self.first, self.pace, self.whole))
        # Not the scatter as such, which a slowness widens: that would hide what it is a sign of.
        scatter = LEVEL_SIGMAS * min(first[1], self._settings.sigma)
        beyond = sqrt(max(0.0, level * abs(level) - scatter * scatter))
        highest = max(first[0], pace[0], whole[0], beyond)
        widest = max(first[1], pace[1], whole[1])
        return Outlook(
            first=first,
            pace=pace,
            whole=whole,
            level=beyond,
            stretch=exp(highest + SURE_SIGMAS * widest),
            weight=max(self.first.weight(now), self.whole.weight(now)),
        )


@value
class Length:
    """How many tokens answers have: the median, the sigma of the logarithm, how many are known.

    ``stretch``: nearly no answer is longer than this times the median.
    """

    median: float
    sigma: float
    weight: float
    stretch: float


@value
class Question:
    """What one call asks of one endpoint: usual seconds to its first content, seconds a token, the
    length of the answer and its bound.
    """

    first_s: float
    gap_s: float
    length: Length
    tokens_max: int | None
    is_stream: bool

    def in_time(self, outlook: Outlook, within_s: float, *, is_usual: bool = False) -> float:
        """Return the probability that the whole answer is there within ``within_s``.

        ``is_usual``: leave out how slow the endpoint is at the moment.

        First content after 1 s, 200 tokens at 20 ms for sure, sigma 0.3: of 5 s it needs 5, 0.5; of
        8 s it has them in P(z < ln 1.6) = 0.94.
        """
        if within_s <= 0.0:
            return 0.0
        chance = 0.0
        for middle, share in _CELLS:
            tokens = self.length.median * exp(self.length.sigma * middle)
            if self.tokens_max is not None:
                tokens = min(tokens, self.tokens_max)
            chance += share * self._in_time(outlook, tokens, within_s, is_usual=is_usual)
        return chance

    def first_in_time(self, outlook: Outlook, within_s: float) -> float:
        """Return the probability of content within ``within_s``; a plain answer is all content."""
        if within_s <= 0.0:
            return 0.0
        if not self.is_stream:
            return self.in_time(outlook, within_s)
        mean, sigma = outlook.first
        slowest = max(mean, outlook.level + min(mean, 0.0))
        return _below(log(within_s / self.first_s), slowest, sigma)

    def needs_s(self, outlook: Outlook, share: float) -> float:
        """Return within how many seconds ``share`` of such calls end in an ordinary hour."""
        low_s, high_s = 0.0, self.first_s + self.length.median * self.gap_s
        while self.in_time(outlook, high_s, is_usual=True) < share:
            low_s, high_s = high_s, 2.0 * high_s
        for _ in range(_HALVINGS):
            middle_s = (low_s + high_s) / 2.0
            if self.in_time(outlook, middle_s, is_usual=True) < share:
                low_s = middle_s
            else:
                high_s = middle_s
        return high_s

    def _in_time(
        self, outlook: Outlook, tokens: float, within_s: float, *, is_usual: bool
    ) -> float:
        """Return the probability for an answer of ``tokens``."""
        expected_s = self.first_s + tokens * self.gap_s
        waiting = self.first_s / expected_s
        if self.is_stream:
            first, pace = outlook.first, outlook.pace
            mean = waiting * first[0] + (1.0 - waiting) * pace[0]
            sigma = sqrt((waiting * first[1]) ** 2 + ((1.0 - waiting) * pace[1]) ** 2)
        else:
            mean, sigma = outlook.whole
        if is_usual:
            mean = min(mean, 0.0)
        elif outlook.level > 0.0:
            slow = log(1.0 + waiting * (exp(outlook.level) - 1.0))
            mean = max(mean, slow + min(mean, 0.0))
        return _below(log(within_s / expected_s), mean, sigma)


def _below(log_ratio: float, mean: float, sigma: float) -> float:
    """Return the share of a normal below ``log_ratio``."""
    return 0.5 * erfc((mean - log_ratio) / (sigma * ROOT_2))


def _hazard(beyond: float) -> float:
    """Return the mean of the standard normal above ``beyond`` (the inverse Mills ratio)."""
    above = 0.5 * erfc(beyond / ROOT_2)
    if above < FAR_OUT:
        return beyond + 1.0 / beyond
    return exp(-0.5 * beyond * beyond) / sqrt(2.0 * pi) / above
