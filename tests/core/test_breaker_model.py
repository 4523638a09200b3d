"""The breaker against a naive model of it: lists, no pybreaker, everything recomputed."""

from __future__ import annotations

import random
from math import ceil
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.core.breaker import Breaker, BreakerSettings, BreakerState, Permit
from sidecar.domain import Gate

if TYPE_CHECKING:
    from sidecar.events import BreakerChanged

LEASE_S = 10.0
FAILS = st.sampled_from([None, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0])
GAPS = st.sampled_from([0.0, 0.1, 1.0, 5.0, 10.0, 70.0, 400.0])
PICK = st.integers(0, 1000)


class Model:
    """What the breaker should be, said as plainly as possible."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.state = BreakerState.CLOSED
        self.generation = 0
        self.reopens_at = 0.0
        self.failed_trials = 0
        self.closed_at: float | None = None
        self.outcomes: list[tuple[float, float, bool]] = []
        self.last_serial = 0
        self.run_serial = 0
        self.out: set[int] = set()
        self.trial_successes: list[int] = []
        self.place: tuple[int, float] | None = None

    def move(self, state: BreakerState) -> None:
        """Enter ``state``: a new generation in which no trial is under way."""
        self.state = state
        self.generation += 1
        self.trial_successes = []
        self.place = None
        self.out = set()

    def open(self, now: float, open_s: float | None = None) -> None:
        """Open, by default for 5 s doubled by each failed trial that is not forgotten yet."""
        self.failed_trials = self.failed_trials_at(now)
        self.closed_at = None
        wanted = min(120.0, 5.0 * 2.0**self.failed_trials) if open_s is None else open_s
        self.reopens_at = now + wanted
        self.move(BreakerState.OPEN)

    def failed_trials_at(self, now: float) -> int:
        """Return k for an opening now: one less a minute closed, one more within the first."""
        if self.closed_at is None:
            return self.failed_trials
        minutes = int((now - self.closed_at) // 60.0)
        return max(0, self.failed_trials - minutes) if minutes else self.failed_trials + 1

    def close(self, now: float) -> None:
        """Close with a clean ring."""
        self.outcomes = []
        self.closed_at = now
        self.move(BreakerState.CLOSED)

    def is_bad(self, now: float) -> bool:
        """Apply both rules of the ring to the whole history."""
        run = self.run()
        is_long = sum(fail for _, fail in run) >= max(5, ceil(self.size / 10))
        is_spread = bool(run) and run[-1][0] - run[0][0] >= 0.5
        window = [fail for at, fail, _ in self.outcomes[-self.size :] if now - at <= 600.0]
        count = len(window)
        return (is_long and is_spread) or (count >= 5 and sum(window) >= max(4, ceil(count / 2)))

    def run(self) -> list[tuple[float, float]]:
        """Return the failures that no success ended."""
        run: list[tuple[float, float]] = []
        last_at = 0.0
        for at, fail, ends_run in self.outcomes:
            if at - last_at > 600.0:
                run = []
            last_at = at
            if fail > 0.0:
                run = [*run, (at, fail)]
            elif ends_run:
                run = []
        return run

    def record(self, serial: int, fail: float, now: float) -> None:
        """Add an outcome; a success of before the run ends it only if a later call still waits."""
        run = self.run()
        if fail > 0.0 and not run:
            self.run_serial = self.last_serial
        is_later_out = any(one > self.run_serial for one in self.out)
        self.outcomes.append((now, fail, serial > self.run_serial or is_later_out))

    def outcome(self, serial: int, fail: float, now: float) -> None:
        """Take an outcome of the current generation."""
        if self.state is BreakerState.CLOSED:
            self.record(serial, fail, now)
            if fail > 0.0 and self.is_bad(now):
                self.open(now)
        elif fail > 0.0:
            self.failed_trials += 1
            self.open(now)
        elif serial not in self.trial_successes:
            self.trial_successes.append(serial)
            if len(self.trial_successes) >= 2:
                self.close(now)

    def refusal(self, now: float) -> Gate | None:
        """Say who is let in."""
        match self.state:
            case BreakerState.ISOLATED:
                return Gate.ISOLATED
            case BreakerState.OPEN:
                return Gate.BREAKER_OPEN if now < self.reopens_at else None
            case BreakerState.HALF_OPEN:
                is_taken = self.place is not None and now < self.place[1]
                return Gate.BREAKER_TRIAL_TAKEN if is_taken else None
            case BreakerState.CLOSED:
                return None


class BreakerMachine(RuleBasedStateMachine):
    """Drives both and compares them after every step."""

    @initialize(size=st.sampled_from([10, 60]))
    def start(self, size: int) -> None:
        """Begin closed at time 0.0."""
        self.now = 0.0
        self.model = Model(size)
        self.permits: list[Permit] = []
        self.changes: list[BreakerChanged] = []
        config = BreakerSettings(ring_min=size, ring_max=size, open_jitter=0.0)
        self.breaker = Breaker("a/m", config, random.Random(0), self.changes.append)

    def _pick(self, number: int) -> Permit:
        return self.permits[number % len(self.permits)]

    def _is_current(self, permit: Permit) -> bool:
        return permit.generation == self.model.generation

    @rule(gap_s=GAPS)
    def wait(self, gap_s: float) -> None:
        """Let time pass."""
        self.now += gap_s

    @rule()
    def wait_until_due(self) -> None:
        """Let an open period pass."""
        if self.model.state is BreakerState.OPEN:
            self.now = max(self.now, self.model.reopens_at)

    @rule()
    def admit(self) -> None:
        """Ask for a permit."""
        refusal = self.model.refusal(self.now)
        permit = self.breaker.admit(self.now, lease_s=LEASE_S)
        assert (permit is None) == (refusal is not None)
        if permit is None:
            return
        if self.model.state is BreakerState.OPEN:
            self.model.move(BreakerState.HALF_OPEN)
        assert permit.is_trial == (self.model.state is BreakerState.HALF_OPEN)
        assert self._is_current(permit)
        if permit.is_trial:
            self.model.place = (permit.serial, self.now + LEASE_S)
        self.model.last_serial = permit.serial
        self.model.out.add(permit.serial)
        self.permits.append(permit)

    @precondition(lambda self: self.permits)
    @rule(number=PICK, fail=FAILS, pushback=st.sampled_from([False, False, False, True]))
    def settle(self, number: int, fail: float | None, *, pushback: bool) -> None:
        """Settle a permit, stale ones too; settling it again must do nothing."""
        permit = self._pick(number)
        self.permits.remove(permit)
        is_current = self._is_current(permit)
        stated_s = 30.0 if pushback else None
        told = self.breaker.settle(
            permit, fail=fail, now=self.now, pushback=pushback, retry_after_s=stated_s
        )
        assert told == is_current
        if is_current:
            self._settle_model(permit, fail, pushback=pushback)
        again = self.breaker.settle(permit, fail=fail, now=self.now, pushback=pushback)
        assert not again

    def _settle_model(self, permit: Permit, fail: float | None, *, pushback: bool) -> None:
        model = self.model
        model.out.discard(permit.serial)
        if model.place is not None and model.place[0] == permit.serial:
            model.place = None
        if permit.is_trial and pushback:
            model.open(self.now, 30.0)
            return
        if fail is None:
            return
        if pushback and fail > 0.0 and model.state is BreakerState.CLOSED:
            model.record(permit.serial, fail, self.now)
            if model.is_bad(self.now):
                model.open(self.now, max(30.0, self._period()))
            return
        model.outcome(permit.serial, fail, self.now)

    def _period(self) -> float:
        return float(min(120.0, 5.0 * 2.0 ** self.model.failed_trials_at(self.now)))

    @precondition(lambda self: self.permits)
    @rule(number=PICK)
    def first_content(self, number: int) -> None:
        """Let an attempt show its first content."""
        permit = self._pick(number)
        self.breaker.first_content(permit, self.now)
        if permit.is_trial and self._is_current(permit):
            self.model.outcome(permit.serial, 0.0, self.now)

    @rule(fail=st.sampled_from([0.0, 0.25, 0.5]))
    def observe(self, fail: float) -> None:
        """Hear a probe's evidence."""
        self.breaker.observe(fail=fail, now=self.now)
        if self.model.state is BreakerState.CLOSED:
            if fail == 0.0:
                self.model.last_serial += 1
            self.model.outcome(self.model.last_serial, fail, self.now)

    @rule(
        fail=st.sampled_from([0.5, 1.0]),
        count=st.integers(3, 12),
        gap_s=st.sampled_from([0.0, 0.25]),
    )
    def outage(self, fail: float, count: int, gap_s: float) -> None:
        """Fail several calls in a row, so that open states are common."""
        for _ in range(count):
            self.admit()
            if self.permits:
                self.settle(len(self.permits) - 1, fail, pushback=False)
            self.now += gap_s

    @rule(is_streamed=st.booleans(), fail=st.sampled_from([0.0, 0.0, 0.0, None, 1.0]))
    def trial(self, fail: float | None, *, is_streamed: bool) -> None:
        """Run the trial that is due, if one is."""
        self.wait_until_due()
        if self.model.state in (BreakerState.OPEN, BreakerState.HALF_OPEN):
            count = len(self.permits)
            self.admit()
            if len(self.permits) > count:
                if is_streamed:
                    self.first_content(count)
                self.settle(count, fail, pushback=False)

    @rule(count=st.integers(5, 30))
    def calm(self, count: int) -> None:
        """Let several calls succeed."""
        for _ in range(count):
            self.observe(0.0)

    @rule(choice=st.integers(0, 9))
    def operate(self, choice: int) -> None:
        """Isolate rarely, restore what is isolated."""
        if self.model.state is BreakerState.ISOLATED:
            self.breaker.restore(self.now)
            self.model.close(self.now)
        elif choice == 0:
            self.breaker.isolate(self.now)
            self.model.move(BreakerState.ISOLATED)

    @invariant()
    def agree(self) -> None:
        """State, gate, generation and period are the model's."""
        assert self.breaker.state(self.now) is self.model.state
        assert self.breaker.refusal(self.now) is self.model.refusal(self.now)
        assert self.breaker.generation == self.model.generation
        if self.model.state is BreakerState.OPEN:
            assert self.breaker.reopens_at(self.now) == self.model.reopens_at

    @invariant()
    def leases_never_stick(self) -> None:
        """Whatever happened, a lease later the place is free or the breaker is not half-open."""
        later = self.now + LEASE_S
        assert self.breaker.refusal(later) is not Gate.BREAKER_TRIAL_TAKEN

    @invariant()
    def no_permit_is_lost(self) -> None:
        """The breaker waits for exactly the permits of this generation that are out."""
        out = [permit.serial for permit in self.permits if self._is_current(permit)]
        assert sorted(self.breaker._unsettled) == sorted(out)

    @invariant()
    def changes_form_a_chain(self) -> None:
        """Each told change begins where the last one ended, and is a change."""
        state = "closed"
        for change in self.changes:
            assert (change.old, change.old != change.new) == (state, True)
            state = change.new
        assert len(self.changes) == self.model.generation


TestBreakerAgainstModel = BreakerMachine.TestCase
TestBreakerAgainstModel.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
