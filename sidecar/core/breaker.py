"""Whether an endpoint or a host may be called: closed passes, open refuses, half-open tries.

pybreaker is the state machine; it never sees a call. Outcomes are settled afterwards by a
synchronous no-op, since wrapping an ``await`` would turn cancellation into a breaker error, let any
number of trials through and count excluded errors as successes. Its storage contract is where our
rules enter (``core/breaker_storage.py``). Ours are also: who is admitted, trials as leases,
generations, weights.

A permit carries the generation it was taken in (as gobreaker's); what an older one brings moves
nothing: calls last minutes, and stragglers of an outage would else decide the recovery. A trial is
a lease: one never sent or never settled gives its place back, else half-open lasts forever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from sidecar.core.breaker_machine import pybreaker
from sidecar.core.breaker_storage import RingStorage
from sidecar.core.outcome import HARD_FAIL, PROBE_WEIGHT
from sidecar.core.recovery import Recovery, RecoverySettings
from sidecar.core.ring import Cause, CountRing, RingSettings
from sidecar.domain import Gate
from sidecar.events import BreakerChanged
from sidecar.value import value

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


class BreakerState(Enum):
    """ISOLATED: an operator took it out; only an operator brings it back."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    ISOLATED = "isolated"


@dataclass(frozen=True, kw_only=True)
class BreakerSettings(RingSettings, RecoverySettings):
    """When a breaker trips and how it comes back, in one flat struct for the configuration."""


@value
class Permit:
    """Leave to make one attempt; settle it exactly once. ``expires_at`` is set for trials alone."""

    generation: int
    serial: int
    is_trial: bool
    taken_at: float
    expires_at: float | None


class Breaker:
    """Owns a ring, its permits and a pybreaker; tells every change to ``on_change`` once."""

    def __init__(
        self,
        name: str,
        settings: BreakerSettings,
        rng: random.Random,
        on_change: Callable[[BreakerChanged], None],
    ) -> None:
        self.name = name
        self.generation = 0
        self.last_cause = ""
        self._on_change = on_change
        self._recovery = Recovery(settings, rng)
        self._storage = RingStorage(CountRing(settings), self._recovery, self._move)
        self._machine = pybreaker.CircuitBreaker(
            fail_max=1,  # the storage's counter is a verdict: 1 trips
            success_threshold=settings.trial_successes,
            state_storage=self._storage,
            throw_new_error_on_trip=False,
        )
        self._is_isolated = False
        self._state = BreakerState.CLOSED  # as the machine has it, unless isolated
        self._serial = 0
        self._unsettled: dict[int, bool] = {}  # serial: counted as a success already
        self._trial_serial = 0
        self._trial_until = -inf  # until then a trial holds the place
        self._run_serial = 0  # the last permit taken before the run of failures began
        self._is_last_hard = False

    def adapt(self, settings: BreakerSettings) -> None:
        """Go by ``settings`` from now on; what was counted and an open period stay as they are."""
        self._recovery.adapt(settings)
        self._storage.ring.adapt(settings)
        self._machine.success_threshold = settings.trial_successes

    def state(self, _now: float) -> BreakerState:
        """Return the state; one that is due for a trial reads OPEN until ``admit`` moves it."""
        return self._state

    def refusal(self, now: float) -> Gate | None:
        """Return why ``admit`` would refuse, None if it would not; changes nothing."""
        state = self._state
        if state is BreakerState.CLOSED:
            return None
        if state is BreakerState.ISOLATED:
            return Gate.ISOLATED
        if state is BreakerState.OPEN and not self._storage.is_due(now):
            return Gate.BREAKER_OPEN
        return Gate.BREAKER_TRIAL_TAKEN if now < self._trial_until else None

    def opened_at(self, now: float) -> float | None:
        """Return when it opened, None unless OPEN."""
        return self._storage.tripped_at if self.state(now) is BreakerState.OPEN else None

    def reopens_at(self, now: float) -> float | None:
        """Return when the next trial is due, None unless OPEN."""
        return self._storage.reopens_at if self.state(now) is BreakerState.OPEN else None

    def is_suspect(self, now: float) -> bool:
        """Return whether, closed, no success followed a hard failure."""
        return self._is_last_hard and self.state(now) is BreakerState.CLOSED

    def run_weight(self, now: float) -> float:
        """Return what the failures since the last success weigh, 0.0 unless closed."""
        is_closed = self.state(now) is BreakerState.CLOSED
        return self._storage.ring.run_weight(now) if is_closed else 0.0

    def slow_start(self, now: float) -> float:
        """Return the share of its weight, up to 1.0, that it deserves soon after closing."""
        is_closed = self.state(now) is BreakerState.CLOSED
        return self._recovery.slow_start(now) if is_closed else 1.0

    def admit(self, now: float, *, lease_s: float) -> Permit | None:
        """Return a permit, or None as ``refusal`` says; a trial holds its place for ``lease_s``."""
        if self.refusal(now) is not None:
            return None
        if self._state is BreakerState.OPEN:
            self._machine.half_open()
            self._announce(BreakerState.OPEN, Cause.TRIAL_DUE, now)
        is_trial = self._state is BreakerState.HALF_OPEN
        self._serial += 1
        permit = Permit(
            generation=self.generation,
            serial=self._serial,
            is_trial=is_trial,
            taken_at=now,
            expires_at=now + lease_s if is_trial else None,
        )
        self._unsettled[permit.serial] = False
        if is_trial:
            self._trial_serial = permit.serial
            self._trial_until = now + lease_s
        return permit

    def first_content(self, permit: Permit, now: float) -> None:
        """Count a trial that answers as a success now; its end confirms, or reopens if it fails."""
        if permit.is_trial and self._unsettled.get(permit.serial) is False:
            self._unsettled[permit.serial] = True
            self._succeed(permit.serial, now)

    def settle(
        self,
        permit: Permit,
        *,
        fail: float | None,
        now: float,
        retry_after_s: float | None = None,
        pushback: bool = False,
    ) -> bool:
        """Report what became of a permit: None says nothing, 0.0 success, above 0 failure.

        ``pushback``: the provider said 429; a trial that hears it sends the breaker back to OPEN
        until ``retry_after_s``, without counting as a failed trial. An expired trial's outcome
        still counts: its lease gave back the place, not the evidence. Returns False if the permit
        is of an older generation or was settled before; then nothing moved.
        """
        is_counted = self._unsettled.pop(permit.serial, None)
        if is_counted is None:
            return False
        if permit.serial == self._trial_serial:
            self._trial_until = -inf
        if permit.is_trial and pushback:
            self._reopen(now, retry_after_s)
            return True
        if fail is None:
            return True
        if fail > 0.0:
            self._fail(fail, now, retry_after_s, is_hard=fail >= HARD_FAIL)
        elif not is_counted:
            self._succeed(permit.serial, now)
        return True

    def observe(self, *, fail: float, now: float, retry_after_s: float | None = None) -> None:
        """Count evidence without a permit while CLOSED; ``fail`` is weighted."""
        if self.state(now) is not BreakerState.CLOSED:
            return
        if fail > 0.0:
            self._fail(fail, now, retry_after_s, is_hard=fail >= HARD_FAIL * PROBE_WEIGHT)
        else:
            self._serial += 1
            self._succeed(self._serial, now)

    def suspect(self) -> None:
        """Raise suspicion without a verdict: a call was silent too long, and then not needed."""
        self._is_last_hard = True

    def trip(self, now: float, cause: Cause = Cause.SILENCE) -> None:
        """Open although the ring would not: it fell silent, or other pods know of an outage."""
        if self.state(now) is BreakerState.CLOSED:
            self._storage.now = now
            self._storage.pushback_s = None
            self._machine.open()
            self._announce(BreakerState.CLOSED, cause, now)

    def follow(self, until: float, now: float) -> None:
        """Let an open breaker's trial be due at ``until``, as others agreed, within bounds."""
        if self.reopens_at(now) is not None:
            self._storage.reopens_at = now + self._recovery.bounded(until - now)

    def trust(self, now: float) -> None:
        """Close: somebody else's trials succeeded. Traffic ramps up as after one's own."""
        if (old := self._state) in (BreakerState.OPEN, BreakerState.HALF_OPEN):
            self._machine.close()
            self._announce(old, Cause.FLEET_WELL, now)

    def hurry(self, now: float) -> None:
        """Make an open breaker's trial due: a call past it got an answer."""
        self._storage.reopens_at = now if self.reopens_at(now) is not None else None

    def isolate(self, now: float) -> None:
        """Refuse everything until ``restore``."""
        if self._is_isolated:
            return
        old = self.state(now)
        self._is_isolated = True
        self._move()
        self._announce(old, Cause.ISOLATED, now)

    def restore(self, now: float) -> None:
        """Close an isolated breaker with a clean ring and slow start; no effect on others."""
        if not self._is_isolated:
            return
        self._is_isolated = False
        self._machine.close()
        self._announce(BreakerState.ISOLATED, Cause.RESTORED, now)

    def _succeed(self, serial: int, now: float) -> None:
        old = self._state
        ends_run = not self._is_of_before(serial, now)
        self._storage.ring.record(0.0, now, ends_run=ends_run)
        self._is_last_hard = self._is_last_hard and not ends_run
        self._recovery.succeeded()
        if old is BreakerState.CLOSED:
            return  # a success moves the machine only on trial
        self._storage.now = now
        self._machine.call(_succeeded)
        self._announce(old, Cause.RECOVERED, now)

    def _is_of_before(self, serial: int, now: float) -> bool:
        """Return whether a success tells only of the time before the run of failures.

        An answer under way when an outage begins ends well all the same. But while any call that
        began later still waits, that may yet end well too: where a part of the calls fails at once
        and the others take long, the failures alone would else look like an outage.
        """
        if serial > self._run_serial or self._storage.ring.run_weight(now) == 0.0:
            return False
        return not any(later > self._run_serial for later in self._unsettled)

    def _fail(self, fail: float, now: float, retry_after_s: float | None, *, is_hard: bool) -> None:
        old = self.state(now)
        storage = self._storage
        if storage.ring.run_weight(now) == 0.0:
            self._run_serial = self._serial
        storage.now = now
        storage.fail = fail
        storage.pushback_s = retry_after_s
        # A soft failure neither raises suspicion nor ends it: only a success does.
        self._is_last_hard = self._is_last_hard or is_hard
        if is_trial := old is BreakerState.HALF_OPEN:
            self._recovery.trial_failed()
        try:
            self._machine.call(_failed)
        except _ReportedFailureError as error:
            error.__traceback__ = None  # a frame in there holds the error, which would hold it
        self._announce(old, Cause.TRIAL_FAILED if is_trial else storage.verdict, now)

    def _reopen(self, now: float, retry_after_s: float | None) -> None:
        storage = self._storage
        storage.now = now
        storage.pushback_s = None
        self._machine.open()
        if retry_after_s is not None:
            # The provider named the time: its word replaces the backoff instead of lengthening it.
            storage.reopens_at = now + self._recovery.bounded(retry_after_s)
        self._announce(BreakerState.HALF_OPEN, Cause.PUSHBACK, now)

    def _move(self) -> None:
        """Begin a generation, which voids every permit; called within every change of state."""
        is_isolated = self._is_isolated
        self._state = BreakerState.ISOLATED if is_isolated else _STATES[self._storage.state]
        self.generation += 1
        self._unsettled.clear()
        self._trial_until = -inf

    def _announce(self, old: BreakerState, cause: Cause | None, now: float) -> None:
        """Tell of a change after pybreaker is done with it, so that no observer can abort it."""
        new = self.state(now)
        if new is old:
            return
        assert cause is not None, "a change without a cause"
        if new is BreakerState.CLOSED:
            self._recovery.closed(now)
            self._is_last_hard = False
        elif new is not BreakerState.HALF_OPEN:
            self.last_cause = cause.value
        change = BreakerChanged(
            at=now,
            name=self.name,
            old=old.value,
            new=new.value,
            reason=cause.value,
            reopens_at=self.reopens_at(now),
        )
        self._on_change(change)


_STATES = {
    pybreaker.STATE_CLOSED: BreakerState.CLOSED,
    pybreaker.STATE_OPEN: BreakerState.OPEN,
    pybreaker.STATE_HALF_OPEN: BreakerState.HALF_OPEN,
}


class _ReportedFailureError(Exception):
    """Carries a failure into pybreaker; never leaves this file."""


def _succeeded() -> None: ...


def _failed() -> None:
    raise _ReportedFailureError
