"""The breaker: tables, and the contract with pybreaker. Properties: test_breaker_model.py."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pybreaker
import pytest

from sidecar.core.breaker import Breaker, BreakerSettings, BreakerState, Permit
from sidecar.domain import Gate

if TYPE_CHECKING:
    from sidecar.events import BreakerChanged

CLOSED, OPEN, HALF_OPEN, ISOLATED = BreakerState
LEASE_S = 10.0


class Rig:
    """A breaker without jitter and the changes it told."""

    def __init__(self, *, ring_min: int = 10) -> None:
        self.changes: list[BreakerChanged] = []
        settings = BreakerSettings(open_jitter=0.0, ring_min=ring_min)
        self.breaker = Breaker("a/m", settings, random.Random(1), self.changes.append)

    def admit(self, now: float) -> Permit:
        """Take a permit that must be there."""
        permit = self.breaker.admit(now, lease_s=LEASE_S)
        assert permit is not None
        return permit

    def call(self, fail: float | None, now: float, retry_after_s: float | None = None) -> bool:
        """Admit and settle at once."""
        permit = self.admit(now)
        return self.breaker.settle(permit, fail=fail, now=now, retry_after_s=retry_after_s)

    def trip(self, at: float = 4.0) -> None:
        """Fail five calls in a row, the last one at ``at``."""
        for number in range(5):
            self.call(1.0, at - 4.0 + number)
        assert self.breaker.state(at) is OPEN

    def moves(self) -> list[tuple[str, str, str]]:
        """Return old state, new state and reason of every change."""
        return [(change.old, change.new, change.reason) for change in self.changes]


@pytest.fixture
def rig() -> Rig:
    """Return a closed breaker."""
    return Rig()


def test_whole_cycle(rig: Rig) -> None:
    """Five failures open it, two successful trials close it, and every change is told once."""
    rig.trip()
    assert rig.breaker.refusal(8.9) is Gate.BREAKER_OPEN
    assert rig.breaker.admit(8.9, lease_s=LEASE_S) is None
    assert (rig.breaker.opened_at(5.0), rig.breaker.reopens_at(5.0)) == (4.0, 9.0)
    assert rig.breaker.state(9.0) is OPEN
    assert rig.call(0.0, 9.0)
    assert rig.breaker.state(9.0) is HALF_OPEN
    assert rig.breaker.reopens_at(9.0) is None
    assert rig.breaker.opened_at(9.0) is None
    assert rig.call(0.0, 9.5)
    assert rig.breaker.state(9.5) is CLOSED
    assert rig.moves() == [
        ("closed", "open", "consecutive_failures"),
        ("open", "half_open", "trial_due"),
        ("half_open", "closed", "recovered"),
    ]
    assert [change.reopens_at for change in rig.changes] == [9.0, None, None]
    assert (rig.breaker.generation, rig.breaker.last_cause) == (3, "consecutive_failures")


def test_refusal_changes_nothing(rig: Rig) -> None:
    """Asking whether a trial is due does not take it."""
    rig.trip()
    assert rig.breaker.refusal(9.0) is None
    assert rig.breaker.refusal(9.0) is None
    assert rig.breaker.state(9.0) is OPEN


def test_one_trial_at_a_time(rig: Rig) -> None:
    """While one trial is under way the next is refused."""
    rig.trip()
    trial = rig.admit(9.0)
    assert (trial.is_trial, trial.expires_at) == (True, 19.0)
    assert rig.breaker.admit(9.1, lease_s=LEASE_S) is None
    assert rig.breaker.refusal(9.1) is Gate.BREAKER_TRIAL_TAKEN


def test_trial_is_a_lease(rig: Rig) -> None:
    """A trial that is never settled gives its place back; its late failure still counts."""
    rig.trip()
    lost = rig.admit(9.0)
    assert rig.breaker.refusal(18.9) is Gate.BREAKER_TRIAL_TAKEN
    second = rig.admit(19.0)
    assert rig.breaker.state(19.0) is HALF_OPEN
    assert rig.breaker.settle(lost, fail=1.0, now=20.0)
    assert rig.breaker.state(20.0) is OPEN
    assert not rig.breaker.settle(second, fail=0.0, now=21.0)


def test_expired_trial_does_not_free_its_successor(rig: Rig) -> None:
    """The late end of an expired trial leaves the place of the trial that followed it taken."""
    rig.trip()
    lost = rig.admit(9.0)
    rig.admit(19.0)
    rig.breaker.settle(lost, fail=None, now=20.0)
    assert rig.breaker.refusal(20.0) is Gate.BREAKER_TRIAL_TAKEN


def test_ignored_trial_returns_the_place(rig: Rig) -> None:
    """A cancelled trial proves nothing and hands its place to the next."""
    rig.trip()
    assert rig.call(None, 9.0)
    assert rig.breaker.state(9.0) is HALF_OPEN
    assert rig.breaker.refusal(9.0) is None


def test_failed_trials_double_the_period(rig: Rig) -> None:
    """Each failed trial reopens, for twice as long."""
    rig.trip()
    rig.call(0.5, 9.0)
    assert (rig.breaker.state(9.0), rig.breaker.reopens_at(9.0)) == (OPEN, 19.0)
    rig.call(1.0, 19.0)
    assert rig.breaker.reopens_at(19.0) == 39.0
    assert rig.moves()[-1] == ("half_open", "open", "trial_failed")


def test_pushback_lengthens_the_period(rig: Rig) -> None:
    """A Retry-After on the failure that trips is respected, up to five minutes."""
    for number in range(4):
        rig.call(1.0, float(number))
    rig.call(1.0, 4.0, retry_after_s=60.0)
    assert rig.breaker.reopens_at(4.0) == 64.0


@pytest.mark.parametrize(("retry_after_s", "reopens_at"), [(2.0, 11.0), (None, 14.0), (1e9, 309.0)])
def test_429_in_a_trial(rig: Rig, retry_after_s: float | None, reopens_at: float) -> None:
    """A 429 in a trial goes back to open until the stated time, and is no failed trial."""
    rig.trip()
    trial = rig.admit(9.0)
    assert rig.breaker.settle(trial, fail=None, now=9.0, retry_after_s=retry_after_s, pushback=True)
    assert rig.breaker.reopens_at(9.0) == reopens_at
    assert rig.moves()[-1] == ("half_open", "open", "trial_pushback")
    rig.call(1.0, reopens_at)
    assert rig.breaker.reopens_at(reopens_at) == reopens_at + 10.0


def test_429_while_closed_moves_nothing(rig: Rig) -> None:
    """A 429 is the account's business while closed."""
    for number in range(9):
        permit = rig.admit(float(number))
        assert rig.breaker.settle(permit, fail=None, now=float(number), pushback=True)
    assert rig.changes == []


def test_stragglers_move_nothing(rig: Rig) -> None:
    """What was admitted before the trip neither prolongs it nor decides the recovery."""
    early = [rig.admit(0.0) for _ in range(3)]
    rig.trip()
    assert not rig.breaker.settle(early[0], fail=1.0, now=5.0)
    assert rig.breaker.reopens_at(5.0) == 9.0
    rig.admit(9.0)
    assert not rig.breaker.settle(early[1], fail=0.0, now=9.5)
    assert not rig.breaker.settle(early[2], fail=1.0, now=9.5)
    assert rig.breaker.state(9.5) is HALF_OPEN
    assert rig.breaker.refusal(9.5) is Gate.BREAKER_TRIAL_TAKEN


def test_second_settlement_is_ignored(rig: Rig) -> None:
    """A permit counts once."""
    rig.trip()
    trial = rig.admit(9.0)
    assert rig.breaker.settle(trial, fail=0.0, now=9.0)
    assert not rig.breaker.settle(trial, fail=0.0, now=9.0)
    assert rig.breaker.state(9.0) is HALF_OPEN


def test_first_content_is_one_success(rig: Rig) -> None:
    """First content and end of one trial are one success; the next trial's first content closes."""
    rig.trip()
    first = rig.admit(9.0)
    rig.breaker.first_content(first, 10.0)
    rig.breaker.first_content(first, 10.1)
    assert rig.breaker.refusal(10.0) is Gate.BREAKER_TRIAL_TAKEN
    assert rig.breaker.settle(first, fail=0.0, now=12.0)
    assert rig.breaker.state(12.0) is HALF_OPEN
    second = rig.admit(12.0)
    rig.breaker.first_content(second, 13.0)
    assert rig.breaker.state(13.0) is CLOSED
    assert not rig.breaker.settle(second, fail=1.0, now=20.0)
    assert not rig.breaker.is_suspect(20.0)


def test_stream_that_breaks_later_reopens(rig: Rig) -> None:
    """A trial that fails after its first content takes its success back."""
    rig.trip()
    trial = rig.admit(9.0)
    rig.breaker.first_content(trial, 10.0)
    assert rig.breaker.settle(trial, fail=1.0, now=12.0)
    assert rig.breaker.state(12.0) is OPEN
    rig.call(0.0, 22.0)
    assert rig.breaker.state(22.0) is HALF_OPEN


def test_first_content_of_ordinary_calls_is_nothing(rig: Rig) -> None:
    """While closed only the end of a call is an outcome."""
    permit = rig.admit(0.0)
    rig.breaker.first_content(permit, 1.0)
    assert rig.breaker.settle(permit, fail=1.0, now=2.0)
    assert rig.breaker.is_suspect(2.0)


def test_answer_from_before_an_outage_does_not_end_it() -> None:
    """Calls under way when an outage begins end well, and say nothing of those that failed."""
    rig = Rig(ring_min=50)
    for _ in range(20):
        rig.call(0.0, 0.0)
    old = [rig.admit(0.0) for _ in range(2)]
    for at in (1.0, 2.0):
        rig.call(1.0, at)
    assert rig.breaker.settle(old[0], fail=0.0, now=2.5)
    assert rig.breaker.is_suspect(2.5)
    for at in (3.0, 4.0):
        rig.call(1.0, at)
    assert rig.breaker.settle(old[1], fail=0.0, now=4.5)
    rig.call(1.0, 5.0)
    assert rig.moves() == [("closed", "open", "consecutive_failures")]


def test_answer_from_before_counts_while_a_later_call_waits() -> None:
    """Some fail at once and the others take long: no outage as long as one of those may answer."""
    rig = Rig(ring_min=50)
    for _ in range(20):
        rig.call(0.0, 0.0)
    old = rig.admit(0.0)
    rig.call(1.0, 1.0)
    rig.admit(1.5)
    for at in (2.0, 3.0):
        rig.call(1.0, at)
    assert rig.breaker.settle(old, fail=0.0, now=3.5)
    assert not rig.breaker.is_suspect(3.5)
    for at in (4.0, 5.0):
        rig.call(1.0, at)
    assert rig.breaker.state(5.0) is CLOSED


def test_probe_evidence_while_closed(rig: Rig) -> None:
    """One hard failure and six failed probes of half weight trip; a success between clears."""
    rig.call(1.0, 0.0)
    for number in range(5):
        rig.breaker.observe(fail=0.5, now=1.0 + number)
    assert rig.breaker.state(6.0) is CLOSED
    rig.breaker.observe(fail=0.5, now=6.0)
    assert rig.moves() == [("closed", "open", "failure_share")]
    rig.breaker.observe(fail=0.0, now=7.0)
    assert rig.breaker.state(7.0) is OPEN


def test_suspicion(rig: Rig) -> None:
    """A hard failure raises suspicion, overload alone does not, and only a success ends it."""
    rig.call(0.5, 0.0)
    assert not rig.breaker.is_suspect(0.0)
    rig.call(1.0, 1.0)
    rig.call(0.5, 2.0)
    rig.call(None, 3.0)
    assert rig.breaker.is_suspect(3.0)
    rig.breaker.observe(fail=0.0, now=4.0)
    assert not rig.breaker.is_suspect(4.0)
    rig.breaker.observe(fail=0.25, now=5.0)
    assert not rig.breaker.is_suspect(5.0)
    rig.breaker.observe(fail=0.5, now=6.0)
    assert rig.breaker.is_suspect(6.0)


def test_isolation(rig: Rig) -> None:
    """An operator's isolation outlasts everything and voids permits; restoring closes."""
    permit = rig.admit(0.0)
    rig.breaker.restore(0.0)
    rig.breaker.isolate(1.0)
    rig.breaker.isolate(1.0)
    assert rig.breaker.state(9e9) is ISOLATED
    assert rig.breaker.refusal(9e9) is Gate.ISOLATED
    assert rig.breaker.admit(9e9, lease_s=LEASE_S) is None
    assert not rig.breaker.settle(permit, fail=1.0, now=2.0)
    rig.breaker.observe(fail=1.0, now=2.0)
    rig.breaker.restore(3.0)
    assert rig.breaker.state(3.0) is CLOSED
    assert rig.breaker.slow_start(3.0) == pytest.approx(0.1)
    assert rig.moves() == [
        ("closed", "isolated", "isolated"),
        ("isolated", "closed", "restored"),
    ]
    assert rig.breaker.generation == 2


def test_isolation_of_an_open_breaker(rig: Rig) -> None:
    """Restoring closes what was open before it was isolated."""
    rig.trip()
    rig.breaker.isolate(5.0)
    assert rig.breaker.reopens_at(5.0) is None
    assert rig.breaker.last_cause == "isolated"
    rig.breaker.restore(6.0)
    assert rig.breaker.state(6.0) is CLOSED
    rig.call(1.0, 7.0)
    assert rig.breaker.state(7.0) is CLOSED


def test_slow_start_only_after_closing(rig: Rig) -> None:
    """A breaker that never opened has its full share, one that closed ramps up."""
    assert rig.breaker.slow_start(0.0) == 1.0
    rig.trip()
    assert rig.breaker.slow_start(5.0) == 1.0
    rig.call(0.0, 9.0)
    rig.call(0.0, 9.0)
    assert rig.breaker.slow_start(9.0) == pytest.approx(0.1)
    for _ in range(5):
        rig.call(0.0, 10.0)
    assert rig.breaker.slow_start(10.0) == pytest.approx(0.5)


def test_closing_forgets_the_outage(rig: Rig) -> None:
    """The failures that opened it do not count against it once it closed."""
    rig.trip()
    rig.call(0.0, 9.0)
    rig.call(0.0, 9.0)
    for number in range(4):
        rig.call(1.0, 10.0 + number)
    assert rig.breaker.state(13.0) is CLOSED


def test_observer_that_raises_cannot_tear_a_change() -> None:
    """The change is complete before anybody hears of it."""

    def broken(_: BreakerChanged) -> None:
        raise RuntimeError

    breaker = Breaker("a/m", BreakerSettings(open_jitter=0.0), random.Random(1), broken)
    for _ in range(4):
        breaker.observe(fail=1.0, now=0.0)
    with pytest.raises(RuntimeError):
        breaker.observe(fail=1.0, now=1.0)
    assert (breaker.state(1.0), breaker.reopens_at(1.0)) == (OPEN, 6.0)


# --- the contract with pybreaker ----------------------------------------------------------------


class _RefusedError(Exception):
    """A failure as pybreaker sees it."""


def _fail() -> None:
    raise _RefusedError


def _machine(state: str) -> pybreaker.CircuitBreaker:
    machine = pybreaker.CircuitBreaker(
        fail_max=1, success_threshold=2, reset_timeout=60, throw_new_error_on_trip=False
    )
    if state == pybreaker.STATE_OPEN:
        machine.open()
    elif state == pybreaker.STATE_HALF_OPEN:
        machine.half_open()
    return machine


@pytest.mark.parametrize(
    ("state", "verbs", "expected"),
    [
        ("closed", ["ok"], "closed"),
        ("closed", ["fail"], "open"),
        ("closed", ["open"], "open"),
        ("open", ["half_open"], "half-open"),
        ("open", ["close"], "closed"),
        ("half-open", ["ok"], "half-open"),
        ("half-open", ["ok", "ok"], "closed"),
        ("half-open", ["fail"], "open"),
        ("half-open", ["ok", "open", "half_open", "ok"], "half-open"),
    ],
)
def test_pybreaker_transitions(state: str, verbs: list[str], expected: str) -> None:
    """The library moves as this table says; a new release that does not is caught here."""
    machine = _machine(state)
    for verb in verbs:
        match verb:
            case "ok":
                machine.call(lambda: None)
            case "fail":
                with pytest.raises(_RefusedError):
                    machine.call(_fail)
            case "open":
                machine.open()
            case "half_open":
                machine.half_open()
            case _:
                machine.close()
    assert machine.current_state == expected


def test_pybreaker_asks_the_storage_for_time(rig: Rig) -> None:
    """The library's own question whether the open period is over is answered from our clock."""
    rig.trip()
    with pytest.raises(pybreaker.CircuitBreakerError):
        rig.breaker._machine.call(lambda: None)
    rig.breaker._storage.now = 9.0
    rig.breaker._machine.call(lambda: None)
    assert rig.breaker.state(9.0) is HALF_OPEN


def test_a_failure_leaves_nothing_to_collect(rig: Rig) -> None:
    """Frames of pybreaker hold the error that is raised through them; it must not hold them."""
    gc.collect()
    gc.disable()
    try:
        rig.trip()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_machine_brings_no_client_of_a_store() -> None:
    """Where redis is installed, pybreaker would import it; who wants it later gets it."""
    code = (
        "import sys; import sidecar.core.breaker; loaded = 'redis' in sys.modules;"
        " import importlib.util; found = importlib.util.find_spec('redis') is not None;"
        " import redis; print(loaded, found)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "True"]
