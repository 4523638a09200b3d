"""How long an endpoint takes: to its first content, between tokens, and when it counts as hung.

Time to first content is modelled as ``a + b * prompt_tokens`` by exponentially weighted least
squares, so that long prompts do not look like a slow endpoint. What the model
cannot explain is a ratio; its fast, asymmetric average ``g`` (log domain: up in seconds, down in
half a minute, as in Peak-EWMA) says how slow the endpoint is *now*. Calls that still wait count
too, as censored samples: a hanging endpoint completes nothing and would otherwise look healthy
until its calls end.

Beyond the references, ``g`` fades when nothing is measured: traffic leaves a slow endpoint, and a
level remembered for ever could not be lived down.

Quantiles come from the last hundred samples: enough for a bound that is clamped anyway, cheap to
keep sorted.
"""

from __future__ import annotations

from collections import deque
from math import ceil, exp, log

from sidecar.core.pace import WritingPace
from sidecar.core.tunable import Tunable
from sidecar.core.window import Window
from sidecar.value import value


@value
class LatencySettings:
    """Numbers of the latency model.

    * ``trend_s`` 1800: memory of the least squares; providers drift over hours.
    * ``prior_ttft_s`` 1, ``prior_ttft_reasoning_s`` 5: first content before anything is known,
      worth ``prior_weight`` 0.5 samples, so that the first measurement already outweighs it.
    * ``token_s`` 0.0002: fallback for ``b``, seconds a prompt token; ``slope_spread_tokens`` 1000:
      prompt sizes must spread this far for one sample to weigh as much as the fallback.
    * ``ratio_min`` 0.2, ``ratio_max`` 8: one sample moves ``g`` no further.
    * ``level_up_s`` 5, ``level_up_min`` 0.3, ``level_down_s`` 30: believe slowness at once,
      recovery gradually. The least weight of a sample upwards holds for samples at least
      ``level_sparse_s`` 1 apart: at twelve a second, ordinary scatter alone would hold ``g`` at the
      worst of it, and a busy endpoint would look slower than an idle one.
    * ``level_idle_s`` 300: ``g`` fades at the pace at which reliability forgets.
    * ``gap_prior_s`` 0.02, ``gap_decay_s`` 60: seconds between tokens.
    * ``window_max`` 100: samples kept for quantiles; ``quantile`` 0.99.
    * ``hang_factor`` 3 times the quantile, within ``hang_min_s`` 8 and ``hang_max_s`` 60;
      ``hang_unknown_s`` 15 without a sample, less with each of the first ``hang_samples_min`` 30;
      all times ``hang_reasoning_factor`` 3 for models that think. Not 30 s
      until 30 samples are in: with deadlines of 30 s nothing that hangs from the
      start would ever count as hanging (149 of 149 calls went to such an endpoint).
    * ``stall_factor`` 30 times the quantile of token gaps, within ``stall_min_s`` 10 and
      ``stall_max_s`` 30.
    * ``late_quantile`` 0.95, of at least ``late_samples_min`` 10: what is late for a wait.
    * ``cut_factor`` 1.25 for each wait in a row that was cut short, at half of the usual time or
      later (``cut_share_min``): a caller who leaves at once says nothing.
    * suspect: beyond ``suspect_ratio`` 3 times the usual it is nobody's hedge, nor kept out of
      habit.
    * sluggish: ``sluggish_share`` 0.6 of the last ``sluggish_window`` 8 samples over
      ``sluggish_ratio`` 4 times the model and over ``sluggish_ttft_s`` 5; samples older than
      ``sluggish_age_s`` 600 no longer count.
    """

    trend_s: float = 1800.0
    prior_ttft_s: float = 1.0
    prior_ttft_reasoning_s: float = 5.0
    prior_weight: float = 0.5
    token_s: float = 0.0002
    slope_spread_tokens: float = 1000.0
    ratio_min: float = 0.2
    ratio_max: float = 8.0
    level_up_s: float = 5.0
    level_up_min: float = 0.3
    level_sparse_s: float = 1.0
    level_down_s: float = 30.0
    level_idle_s: float = 300.0
    gap_prior_s: float = 0.02
    gap_decay_s: float = 60.0
    window_max: int = 100
    quantile: float = 0.99
    hang_factor: float = 3.0
    hang_min_s: float = 8.0
    hang_max_s: float = 60.0
    hang_unknown_s: float = 15.0
    hang_samples_min: int = 30
    hang_reasoning_factor: float = 3.0
    stall_factor: float = 30.0
    stall_min_s: float = 10.0
    stall_max_s: float = 30.0
    late_quantile: float = 0.95
    late_samples_min: int = 10
    cut_factor: float = 1.25
    cut_share_min: float = 0.5
    suspect_ratio: float = 3.0
    sluggish_share: float = 0.6
    sluggish_window: int = 8
    sluggish_ratio: float = 4.0
    sluggish_ttft_s: float = 5.0
    sluggish_age_s: float = 600.0


_DEFAULTS = LatencySettings()
LATE_OUTPUT = 3.0
"""Before enough plain answers are known, one is late after three times its expected writing."""
_TTFT_LEAST_S = 0.001
"""The model never predicts nothing: ratios divide by it."""


class LatencyModel(Tunable[LatencySettings]):
    """Latency of one endpoint. Owns the trend, the level ``g``, the token gap, bounded windows."""

    def __init__(
        self, settings: LatencySettings = _DEFAULTS, *, is_reasoning: bool = False
    ) -> None:
        self._settings = settings
        self._is_reasoning = is_reasoning
        self._trend = _Trend(
            settings, settings.prior_ttft_reasoning_s if is_reasoning else settings.prior_ttft_s
        )
        self._level = 0.0
        self._level_at: float | None = None
        self._gap_s = settings.gap_prior_s
        self._gap_at: float | None = None
        self._writing = WritingPace()
        self._ratios = Window(settings.window_max, settings.quantile)
        self._plain_ratios = Window(settings.window_max, settings.late_quantile)
        self._gaps = Window(settings.window_max, settings.quantile)
        self._recent: deque[tuple[float, bool]] = deque(maxlen=settings.sluggish_window)
        self._cuts = 0  # waits cut short since the last answer
        self._suspect_level = log(settings.suspect_ratio)
        self._sluggish_min = ceil(settings.sluggish_share * settings.sluggish_window)
        self.samples = 0

    def adapt(self, settings: LatencySettings) -> None:
        """Go by ``settings`` from now on; the windows keep their lengths, the prior its weight."""
        super().adapt(settings)
        self._trend.adapt(settings)
        self._suspect_level = log(settings.suspect_ratio)
        self._sluggish_min = ceil(settings.sluggish_share * (self._recent.maxlen or 0))

    def observe_first_content(
        self, prompt_tokens: int, ttft_s: float, now: float, *, weight: float = 1.0
    ) -> None:
        """Record one time to first content; ``weight`` below 1 for weaker evidence."""
        settings = self._settings
        self._trend.add(prompt_tokens, ttft_s, weight, now)
        # The ratio is taken after the update: the first samples must not both move the model and
        # look like outliers against the prior it just left.
        ratio = ttft_s / self.typical_ttft_s(prompt_tokens)
        self._move_level(self._clamped_log(ratio), weight, now)
        self._ratios.add(ratio)
        is_slow = ratio > settings.sluggish_ratio and ttft_s > settings.sluggish_ttft_s
        self._recent.append((now, is_slow))
        self._cuts = 0
        self.samples += 1

    def observe_waiting(self, prompt_tokens: int, elapsed_s: float, now: float) -> None:
        """Record that a call waited ``elapsed_s`` without content: the level is at least that."""
        waited = self._clamped_log(elapsed_s / self.typical_ttft_s(prompt_tokens))
        if waited > self.level(now):
            self._level = waited
            self._level_at = now

    def observe_gap(self, itl_s: float, now: float) -> None:
        """Record the mean seconds between tokens of one stream."""
        share = 1.0
        if self._gap_at is not None:
            share = 1.0 - exp(-max(0.0, now - self._gap_at) / self._settings.gap_decay_s)
        self._gap_s += share * (itl_s - self._gap_s)
        self._gap_at = now
        self._gaps.add(itl_s)

    def observe_written(self, tokens: int, waited_s: float) -> None:
        """Record a plain answer of ``tokens``; its pace counts until a stream shows its own."""
        self._writing.add(tokens, waited_s)
        if self._gap_at is None:
            self._gap_s = self._writing.gap_s(self._settings.gap_prior_s)

    def ttft_s(self, prompt_tokens: int, now: float) -> float:
        """Return the time to first content expected now, seconds."""
        return self.typical_ttft_s(prompt_tokens) * exp(self.level(now))

    def typical_ttft_s(self, prompt_tokens: int) -> float:
        """Return the time to first content of an ordinary hour, seconds."""
        return self._trend.predict_s(prompt_tokens)

    def itl_s(self, now: float) -> float:  # noqa: ARG002 - as the others
        """Return the expected seconds between tokens: of streams, else of plain answers."""
        return self._gap_s

    def level(self, now: float) -> float:
        """Return ``g``: the natural log of how many times slower than usual the endpoint is now."""
        if self._level_at is None:
            return 0.0
        idle_s = now - self._level_at
        if idle_s <= 0.0:
            return self._level
        return self._level * exp(-idle_s / self._settings.level_idle_s)

    def is_suspect(self, now: float) -> bool:
        """Return whether the endpoint is now so slow that something may be wrong with it."""
        return self.level(now) > self._suspect_level

    def hang_s(self, prompt_tokens: int, now: float) -> float:  # noqa: ARG002 - as the others
        """Return how long a call may show no content before the endpoint is to blame, seconds.

        With a typical 1 s and a worst hundredth at twice that: 3 * 2 * 1 = 6, raised to 8.
        """
        settings = self._settings
        # A prompt so long that even the fallback slope needs more is not a hang.
        worst = self._ratios.quantile() if self.samples else 1.0
        wanted_s = settings.hang_factor * worst * self.typical_ttft_s(prompt_tokens)
        least_s = settings.hang_min_s
        if self.samples < settings.hang_samples_min:
            # Each sample takes away some of the patience that ignorance asks for.
            unknown = 1.0 - self.samples / settings.hang_samples_min
            least_s += unknown * (settings.hang_unknown_s - settings.hang_min_s)
        hang_s = min(settings.hang_max_s, max(least_s, wanted_s))
        return hang_s * settings.hang_reasoning_factor if self._is_reasoning else hang_s

    def stall_s(self, now: float) -> float:  # noqa: ARG002 - as the others
        """Return how long a running stream may bring no content, seconds."""
        settings = self._settings
        gap_s = self._gaps.quantile() if self._gap_at is not None else settings.gap_prior_s
        return min(settings.stall_max_s, max(settings.stall_min_s, settings.stall_factor * gap_s))

    def ratio_quantile(self, share: float) -> float:
        """Return the quantile of measured over predicted first content, at least 1."""
        return max(1.0, self._ratios.at(share)) if self.samples else 1.0

    def observe_cut(self, prompt_tokens: int, elapsed_s: float, now: float) -> None:
        """Record that a wait of ``elapsed_s`` was cut short: it would have lasted longer.

        Taken at its word, an endpoint too slow for one deadline would look as if it just met the
        next one, again and again; so each cut in a row, with no answer between, says more.
        """
        settings = self._settings
        if elapsed_s < settings.cut_share_min * self.typical_ttft_s(prompt_tokens):
            return
        self._cuts += 1
        factor = min(settings.ratio_max, settings.cut_factor**self._cuts)
        self.observe_waiting(prompt_tokens, factor * elapsed_s, now)

    def observe_plain(self, prompt_tokens: int, output_s: float, waited_s: float) -> None:
        """Record how long a plain answer took whose writing was expected to take ``output_s``."""
        self._plain_ratios.add(waited_s / (self.typical_ttft_s(prompt_tokens) + output_s))

    def late_s(self, prompt_tokens: int, now: float, *, output_s: float = 0.0) -> float:
        """Return what one wait in twenty for the first content exceeds, seconds, were the endpoint
        as slow as lately; of a plain answer, whose writing is expected to take ``output_s``.

        Calls that still wait have no say: a silence must not look usual because it lasts.
        """
        settings = self._settings
        ratios = self._plain_ratios if output_s > 0.0 else self._ratios
        if len(ratios) < settings.late_samples_min:
            return self.hang_s(prompt_tokens, now) / settings.hang_factor + LATE_OUTPUT * output_s
        worst = max(1.0, ratios.at(settings.late_quantile), ratios.last_most())
        return worst * (self.typical_ttft_s(prompt_tokens) + output_s)

    def is_sluggish(self, now: float) -> bool:
        """Return whether most recent answers began far later than usual (soft ejection)."""
        oldest_at = now - self._settings.sluggish_age_s
        slow = 0
        for at, is_slow in self._recent:
            if is_slow and at >= oldest_at:
                slow += 1
        return slow >= self._sluggish_min

    def _clamped_log(self, ratio: float) -> float:
        settings = self._settings
        ratio = max(ratio, settings.ratio_min)
        return log(min(settings.ratio_max, ratio))

    def _move_level(self, target: float, weight: float, now: float) -> None:
        settings = self._settings
        current = self.level(now)
        elapsed_s = None if self._level_at is None else max(0.0, now - self._level_at)
        if elapsed_s is None:
            share = 1.0
        elif target > current:
            sparse = settings.level_up_min * min(1.0, elapsed_s / settings.level_sparse_s)
            share = max(sparse, 1.0 - exp(-elapsed_s / settings.level_up_s))
        else:
            share = 1.0 - exp(-elapsed_s / settings.level_down_s)
        self._level = current + min(1.0, share * weight) * (target - current)
        self._level_at = now


class _Trend(Tunable[LatencySettings]):
    """Exponentially weighted least squares of seconds over tokens, shrunk towards a prior."""

    def __init__(self, settings: LatencySettings, prior_s: float) -> None:
        self._settings = settings
        self._prior_s = prior_s
        self._at: float | None = None
        self._weight = 0.0
        self._x = self._y = self._xx = self._xy = 0.0
        self._line: tuple[float, float] | None = None  # intercept and slope, until the next sample

    def add(self, tokens: int, seconds: float, weight: float, now: float) -> None:
        if self._at is not None:
            decay = exp(-max(0.0, now - self._at) / self._settings.trend_s)
            self._weight *= decay
            self._x *= decay
            self._y *= decay
            self._xx *= decay
            self._xy *= decay
        self._at = now
        self._weight += weight
        self._x += weight * tokens
        self._y += weight * seconds
        self._xx += weight * tokens * tokens
        self._xy += weight * tokens * seconds
        self._line = None

    def predict_s(self, tokens: int) -> float:
        intercept_s, slope_s = self._line or self._fit()
        seconds = intercept_s + slope_s * tokens
        return max(_TTFT_LEAST_S, seconds)

    def _fit(self) -> tuple[float, float]:
        """Ridge on the slope, half a sample of prior on the intercept; neither goes below zero."""
        settings = self._settings
        slope_s = settings.token_s
        if self._weight > 0.0:
            spread = max(0.0, self._xx - self._x * self._x / self._weight)
            together = self._xy - self._x * self._y / self._weight
            ridge = settings.slope_spread_tokens**2
            slope_s = max(0.0, (together + ridge * slope_s) / (spread + ridge))
        rest_s = self._y - slope_s * self._x + settings.prior_weight * self._prior_s
        intercept_s = max(0.0, rest_s / (self._weight + settings.prior_weight))
        self._line = (intercept_s, slope_s)
        return self._line
