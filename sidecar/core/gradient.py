"""How many calls a server of our own bears: TCP Vegas on the time to first content.

Queueing shows in the first content long before anything is refused; the total only tells how long
answers are. Vegas estimates the calls that queue, ``q = L * (1 - base / now)``, and keeps that
small: below ``alpha`` the limit grows, above ``beta`` it shrinks. Left alone it drifts upward,
since the base learns the queue it helps to build. Three guards of failsafe-go's adaptive limiter
stop that: while the limit is in full use, more calls that do not bring more throughput, or bring
only waiting, take the limit down. The growth is bounded by what is really in use.

Two changes to failsafe-go's guards. Nothing is cut while use is already coming down, as the past
that asks for it is dealt with. And throughput counts as steady only in proportion to how much use
varied: between 9 and 11 calls a server that is not full varies little, too. In a simulated queue
the two raise the goodput from some 85 to 95 percent of the best at the same limit.

Only for dedicated endpoints with enough samples: public ones hardly slow under our load, and at a
call a second nothing here converges. Explicit signs of overload stay with
``core/limit.py``; the lower of the two limits holds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from math import ceil, log10, sqrt
from statistics import fmean, median, pstdev

from sidecar.value import value


@value
class GradientSettings:
    """Numbers of the limit.

    * ``limit_initial`` 8, ``limit_min`` 1, ``limit_max`` 256 calls under way.
    * a step needs ``samples_min`` 30 samples and lasts ``step_min_s`` 1 to ``step_max_s`` 30: what
      took longer is too sparse and teaches nothing.
    * ``median_of`` 5 steps smooth the time to first content: one odd step moves nothing.
    * ``base_down`` 0.3, ``base_up`` 0.02: share of a step that the base follows; quickly to
      faster, over fifty steps to slower, as the server may have changed for good.
    * ``alpha`` 3, ``beta`` 6, times log10 of the limit: Vegas's thresholds; one log10, at least 1,
      is a step of the limit.
    * ``busy_share`` 0.8 of the limit in use is full use; a limit not in use proves nothing.
    * ``use_factor`` 5: the limit stays within five times what is in use.
    * guards look at ``steps_max`` 20 steps, at least ``steps_min`` 8: throughput falling with use
      (correlation below 0), or hardly rising (``throughput_weak`` 0.3), or steady (coefficient of
      variation below ``throughput_steady`` 0.2 and below ``use_ratio`` 0.3 of that of the use), the
      latter two while waiting rises with use (``wait_strong`` 0.5).
    """

    limit_initial: float = 8.0
    limit_min: float = 1.0
    limit_max: float = 256.0
    samples_min: int = 30
    step_min_s: float = 1.0
    step_max_s: float = 30.0
    median_of: int = 5
    base_down: float = 0.3
    base_up: float = 0.02
    alpha: float = 3.0
    beta: float = 6.0
    busy_share: float = 0.8
    use_factor: float = 5.0
    steps_max: int = 20
    steps_min: int = 8
    throughput_weak: float = 0.3
    throughput_steady: float = 0.2
    use_ratio: float = 0.3
    wait_strong: float = 0.5


class Change(Enum):
    """What the last step did to the limit, and why; for telemetry."""

    NONE = "none"
    GROWN = "grown"
    UNUSED = "unused"
    STEADY = "steady"
    QUEUE = "cut_queue"
    THROUGHPUT_FALLS = "cut_throughput_falls"
    THROUGHPUT_WEAK = "cut_throughput_weak"
    THROUGHPUT_STEADY = "cut_throughput_steady"


_CUTS = frozenset(
    {
        Change.QUEUE,
        Change.THROUGHPUT_FALLS,
        Change.THROUGHPUT_WEAK,
        Change.THROUGHPUT_STEADY,
    }
)
_DEFAULTS = GradientSettings()
_TINY = 1e-9
"""Relative difference that is rounding, not variation."""


class GradientLimit:
    """The limit of one endpoint, ``value``. State: the step under way, recent steps, the base."""

    def __init__(self, settings: GradientSettings = _DEFAULTS) -> None:
        self._settings = settings
        self.value = settings.limit_initial
        self.change = Change.NONE
        self._step = _Step()
        self._recent: deque[float] = deque(maxlen=settings.median_of)
        self._history: deque[tuple[float, float, float]] = deque(maxlen=settings.steps_max)
        self._base_s: float | None = None

    def observe(self, inflight: int, ttft_s: float, now: float) -> None:
        """Record a first content: ``inflight`` calls under way with it, after ``ttft_s``.

        Where prompts differ in length, ``ttft_s`` is better the ratio to what the prompt explains.
        """
        settings = self._settings
        step = self._step
        if step.began_at is not None and now - step.began_at > settings.step_max_s:
            step = self._step = _Step()
        if step.began_at is None:
            # What began the step is its clock, not its content: a rate needs intervals.
            step.began_at = now
            return
        step.inflights.append(float(inflight))
        step.waits_s.append(ttft_s)
        elapsed_s = now - step.began_at
        if len(step.waits_s) >= settings.samples_min and elapsed_s >= settings.step_min_s:
            self._step = _Step(began_at=now)
            self._learn(step, len(step.waits_s) / elapsed_s)

    def _learn(self, step: _Step, throughput: float) -> None:
        """Move the limit by one finished step, ``throughput`` in calls a second."""
        settings = self._settings
        self._recent.append(median(step.waits_s))
        wait_s = median(self._recent)
        base_s = self._follow(wait_s)
        self._history.append((fmean(step.inflights), throughput, wait_s))
        used = max(step.inflights)
        is_busy = used >= settings.busy_share * self.value
        queue = ceil(self.value * (1.0 - base_s / wait_s)) if wait_s > 0.0 else 0
        self.change = self._verdict(queue, is_busy=is_busy)
        size = max(1.0, log10(self.value))
        if self.change in _CUTS:
            self.value -= size
        elif self.change is Change.GROWN:
            self.value += size
        most = min(settings.limit_max, max(settings.limit_min, settings.use_factor * used))
        self.value = min(most, max(settings.limit_min, self.value))

    def _follow(self, wait_s: float) -> float:
        base_s = wait_s if self._base_s is None else self._base_s
        share = self._settings.base_down if wait_s < base_s else self._settings.base_up
        self._base_s = base_s + share * (wait_s - base_s)
        return self._base_s

    def _verdict(self, queue: int, *, is_busy: bool) -> Change:
        settings = self._settings
        unit = max(1.0, log10(self.value))
        if queue > settings.beta * unit:
            return Change.QUEUE
        if not is_busy:
            return Change.UNUSED
        guard = self._guard()
        if guard is not None:
            return guard
        return Change.GROWN if queue < settings.alpha * unit else Change.STEADY

    def _guard(self) -> Change | None:
        """What the recent steps say against growing, None if nothing."""
        settings = self._settings
        if len(self._history) < settings.steps_min:
            return None
        inflights, throughputs, waits_s = zip(*self._history, strict=True)
        half = len(inflights) // 2
        if fmean(inflights[half:]) < (1.0 - _TINY) * fmean(inflights[:half]):
            # Already coming down: what the past says of being higher up is dealt with.
            return Change.STEADY
        gain = _correlation(inflights, throughputs)
        wait_gain = _correlation(inflights, waits_s)
        if gain is not None and gain < 0.0:
            return Change.THROUGHPUT_FALLS
        if gain is None or wait_gain is None or wait_gain <= settings.wait_strong:
            return None
        if gain < settings.throughput_weak:
            return Change.THROUGHPUT_WEAK
        spread = pstdev(throughputs) / fmean(throughputs)
        in_use = pstdev(inflights) / fmean(inflights)
        is_steady = spread < min(settings.throughput_steady, settings.use_ratio * in_use)
        return Change.THROUGHPUT_STEADY if is_steady else None


@dataclass(slots=True, kw_only=True)
class _Step:
    """Samples of the step under way; at most as many as arrive in ``step_min_s``, or 30."""

    began_at: float | None = None
    inflights: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)


def _correlation(xs: tuple[float, ...], ys: tuple[float, ...]) -> float | None:
    """Pearson's, -1..1; None where one of them does not vary."""
    mean_x, mean_y = fmean(xs), fmean(ys)
    spread_x = sqrt(sum((x - mean_x) ** 2 for x in xs))
    spread_y = sqrt(sum((y - mean_y) ** 2 for y in ys))
    if spread_x <= _TINY * abs(mean_x) or spread_y <= _TINY * abs(mean_y):
        return None
    together = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return together / (spread_x * spread_y)
