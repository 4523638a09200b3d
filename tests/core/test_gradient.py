"""The gradient limit: grows while nothing queues, shrinks when it does, settles at the knee."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.gradient import Change, GradientLimit, GradientSettings


def feed(
    limit: GradientLimit, *, inflight: float, ttft_s: float, began_at: float, rate: float = 40.0
) -> float:
    """Feed samples at ``rate`` a second until a step ends; return when it did."""
    now = began_at
    if limit._step.began_at is None:
        limit.observe(int(inflight), ttft_s, now)
    step = limit._step
    while limit._step is step:
        now += 1.0 / rate
        limit.observe(int(inflight), ttft_s, now)
    return now


def test_grows_while_nothing_queues() -> None:
    """A full limit with a steady first content grows by one a step."""
    limit, now = GradientLimit(), 0.0
    for _ in range(3):
        now = feed(limit, inflight=limit.value, ttft_s=0.5, began_at=now)
        assert limit.change is Change.GROWN
    assert limit.value == 11.0


def test_large_limits_take_larger_steps() -> None:
    """A step is the decimal logarithm of the limit."""
    limit = GradientLimit(GradientSettings(limit_initial=100.0))
    feed(limit, inflight=100, ttft_s=0.5, began_at=0.0)
    assert limit.value == 102.0


def test_shrinks_when_calls_queue() -> None:
    """Once first contents take five times as long, the limit falls step by step."""
    limit = GradientLimit(GradientSettings(limit_initial=20.0))
    now = feed(limit, inflight=10, ttft_s=0.5, began_at=0.0)
    for _ in range(5):
        now = feed(limit, inflight=limit.value, ttft_s=2.5, began_at=now)
    assert limit.change is Change.QUEUE
    # The median of five steps lets the first two pass.
    assert limit.value < 18.5


def test_between_the_thresholds_it_holds() -> None:
    """Between three and six queued calls per log10 nothing moves."""
    limit = GradientLimit(GradientSettings(limit_initial=10.0, base_up=0.0, steps_min=99))
    now = feed(limit, inflight=1, ttft_s=0.5, began_at=0.0)
    limit.value = 10.0
    for _ in range(8):
        now = feed(limit, inflight=10, ttft_s=0.8, began_at=now)
    # ceil(10 * (1 - 0.5 / 0.8)) = 4.
    assert limit.change is Change.STEADY


def test_an_unused_limit_does_not_grow_and_follows_its_use() -> None:
    """Use far below the limit proves nothing, and the limit stays within five times the use."""
    limit = GradientLimit(GradientSettings(limit_initial=50.0))
    now = feed(limit, inflight=20, ttft_s=0.5, began_at=0.0)
    assert limit.change is Change.UNUSED
    assert limit.value == 50.0
    feed(limit, inflight=4, ttft_s=0.5, began_at=now)
    assert limit.value == 20.0


def test_sparse_samples_teach_nothing() -> None:
    """Thirty samples that took longer than thirty seconds move nothing."""
    limit, now = GradientLimit(), 0.0
    for _ in range(10):
        now = feed(limit, inflight=8, ttft_s=0.5, began_at=now, rate=0.9)
    assert limit.change is Change.NONE
    assert limit.value == 8.0


def test_a_lasting_change_becomes_the_base() -> None:
    """A server that is slower for good is believed in the end, instead of starved."""
    limit, now = GradientLimit(), 0.0
    for _ in range(10):
        now = feed(limit, inflight=limit.value, ttft_s=0.2, began_at=now)
    fallen = limit.value
    for _ in range(150):
        now = feed(limit, inflight=limit.value, ttft_s=1.0, began_at=now)
    assert limit.value > fallen


@pytest.mark.parametrize(
    ("per_step", "change"),
    [
        # More calls, less throughput.
        (lambda step: (1.0 - 0.01 * step, 0.5 + 0.001 * step), Change.THROUGHPUT_FALLS),
        # More calls, hardly related throughput, more waiting.
        (lambda step: (1.0 + 0.1 * (step % 2), 0.5 + 0.001 * step), Change.THROUGHPUT_WEAK),
        # More calls, the same throughput to a percent, more waiting.
        (lambda step: (1.0 + 0.001 * step, 0.5 + 0.001 * step), Change.THROUGHPUT_STEADY),
        # More calls, more throughput in proportion: no reason to stop, though waiting rises a bit.
        (lambda step: (1.0 + 0.1 * step, 0.5 + 0.001 * step), Change.GROWN),
        # More calls, the same throughput, no more waiting.
        (lambda step: (1.0 + 0.001 * step, 0.5), Change.GROWN),
    ],
)
def test_guards_stop_the_drift(per_step: object, change: Change) -> None:
    """Growth that brings no throughput, or only waiting, is taken back before Vegas sees it."""
    assert callable(per_step)
    limit, now = GradientLimit(), 0.0
    for step in range(8):
        throughput, ttft_s = per_step(step)
        assert limit.change in (Change.NONE, Change.GROWN)
        now = feed(limit, inflight=limit.value, ttft_s=ttft_s, began_at=now, rate=40 * throughput)
    assert limit.change is change


def test_nothing_is_cut_while_use_comes_down() -> None:
    """The past that asks for a cut is dealt with: one overload is not paid for twice."""
    limit, now = GradientLimit(), 0.0
    for step in range(8):
        limit.value = 40.0 - step
        now = feed(limit, inflight=40 - step, ttft_s=0.5, began_at=now, rate=40.0 + step)
    assert limit.change is Change.STEADY


@settings(max_examples=60, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.floats(0.0, 100.0), st.floats(0.0, 0.5)),
        min_size=60,
        max_size=400,
    )
)
def test_stays_within_bounds(samples: list[tuple[int, float, float]]) -> None:
    """Whatever is measured, even nothing at all, the limit stays between its bounds."""
    limit, now = GradientLimit(GradientSettings(limit_max=64.0, samples_min=5)), 0.0
    for inflight, ttft_s, wait_s in samples:
        now += wait_s
        limit.observe(inflight, ttft_s, now)
        assert 1.0 <= limit.value <= 64.0


@dataclass
class Server:
    """A closed loop: two hundred callers, ``places`` served at once, the rest in its queue."""

    limit: GradientLimit
    places: int
    rng: random.Random
    fixed: float | None = None
    crowding: bool = False
    now: float = 0.0
    inflight: int = 0
    served: int = 0
    callers: int = 200
    queue: deque[float] = field(default_factory=deque)
    events: list[tuple[float, int, float]] = field(default_factory=list)
    serial: int = 0

    def run(self, until: float) -> float:
        """Run on and return the calls done a second."""
        began_at, done = self.now, 0
        while True:
            while self.inflight < (self.fixed or self.limit.value) and self.callers > 0:
                self.callers -= 1
                self.inflight += 1
                self.queue.append(self.now)
            while self.queue and len(self.events) < self.places:
                self._serve(self.queue.popleft())
            if self.events[0][0] > until:
                return done / (until - began_at)
            self.now, _, sent_at = heapq.heappop(self.events)
            self.limit.observe(self.inflight, self.now - sent_at, self.now)
            self.inflight -= 1
            self.callers += 1
            done += 1

    def _serve(self, sent_at: float) -> None:
        service_s = 0.5 * (0.5 + self.rng.expovariate(2.0))
        if self.crowding:
            service_s *= max(1.0, self.inflight / self.places) ** 0.5
        self.serial += 1
        heapq.heappush(self.events, (self.now + service_s, self.serial, sent_at))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("places", [10, 30])
def test_settles_at_the_knee(places: int, seed: int) -> None:
    """Nine tenths of the best goodput, with a limit near the places there are, and no drift."""
    server = Server(GradientLimit(), places, random.Random(seed))
    server.run(100.0)
    for until in (200.0, 300.0):
        goodput = server.run(until)
        assert goodput >= 0.88 * 2.0 * places
        assert server.limit.value <= 2.0 * places


def test_keeps_a_server_from_thrashing() -> None:
    """Where crowding slows everybody, the limit beats letting all calls in by far."""
    limited = Server(GradientLimit(), 10, random.Random(5), crowding=True)
    free = Server(GradientLimit(), 10, random.Random(5), fixed=inf, crowding=True)
    limited.run(50.0)
    free.run(50.0)
    assert limited.run(200.0) > 3.0 * free.run(200.0)


def test_without_guards_it_drifts() -> None:
    """The guards are what holds the limit: Vegas alone goes to twice the knee and more."""
    server = Server(GradientLimit(GradientSettings(steps_min=99)), 10, random.Random(1))
    server.run(200.0)
    assert server.limit.value > 20.0
