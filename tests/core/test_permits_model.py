"""Tickets against a naive model: the gates of ``Health`` as plain rules, each ticket in a list.

Breakers and accounts have tests of their own; a second set of them is fed by hand here, so that
what is under test is which evidence reaches which of them, and that nothing leaks between endpoints
that share a host or an account.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.catalogue import Catalogue
from sidecar.core.account import Account, AccountSettings
from sidecar.core.breaker import Breaker, BreakerSettings, BreakerState, Permit
from sidecar.core.limit import ConcurrencyLimit, LimitSettings, Started
from sidecar.core.local_faults import EgressSettings
from sidecar.core.outcome import AccountEffect
from sidecar.core.throttle import ThrottleSettings
from sidecar.domain import (
    Endpoint,
    EndpointId,
    Gate,
    HostName,
    ModelName,
    Outcome,
    OutcomeClass,
    ProviderName,
    Timers,
    WireFormat,
)
from sidecar.engine.endpoint_health import EndpointSettings, HealthSettings
from sidecar.engine.health import Health

if TYPE_CHECKING:
    from sidecar.engine.ticket import Ticket
    from sidecar.events import Event

HANG_S = 10.0
LIMIT = 6.0
DAY_S = 86_400.0
NAMES = ("a1", "a2", "b1", "c1")
HOSTS = {"a1": "x", "a2": "x", "b1": "x", "c1": "y"}
"""Two endpoints of one account, a third on the same host, a fourth on its own."""

PICK = st.integers(0, 1000)
NAME = st.sampled_from(NAMES)
GAPS = st.sampled_from([0.0, 0.1, 1.0, 5.0, 12.0, 70.0, 400.0, 1000.0])
OFTEN = (OutcomeClass.OK, OutcomeClass.OK, OutcomeClass.CONNECT, OutcomeClass.HANG, OutcomeClass.S5)
CLS = st.sampled_from([*OutcomeClass, OutcomeClass.RATE, OutcomeClass.OVERLOAD, *OFTEN * 2])
STATUS = st.sampled_from([None, 500, 503, 429, 529, 400])
RETRY_AFTER = st.sampled_from([None, None, 3.0, 40.0, -1.0, float("nan"), 1e9])

FAILS = {
    OutcomeClass.OUTRUN: (0.5, None),
    OutcomeClass.OK: (0.0, 0.0),
    OutcomeClass.CONNECT: (1.0, 1.0),
    OutcomeClass.HANG: (1.0, 0.5),
    OutcomeClass.S5: (1.0, None),
    OutcomeClass.OVERLOAD: (0.5, None),
    OutcomeClass.RESET_MID: (1.0, 0.5),
    OutcomeClass.TRUNC: (1.0, 0.5),
    OutcomeClass.STALL_MID: (1.0, None),
    OutcomeClass.ERR_MID: (1.0, None),
    OutcomeClass.DEGENERATE: (0.5, None),
}
"""Weight of the failure for the endpoint and for its host; other classes say nothing of either."""

BY_NATURE = {429: OutcomeClass.RATE, 529: OutcomeClass.OVERLOAD, 400: OutcomeClass.CALLER}
BLOCKING = {
    OutcomeClass.RATE: AccountEffect.RATE,
    OutcomeClass.QUOTA: AccountEffect.QUOTA,
    OutcomeClass.AUTH: AccountEffect.AUTH,
}
CUTTING = (OutcomeClass.HANG, OutcomeClass.OVERLOAD, OutcomeClass.RATE)
ACCOUNT_GATES = (Gate.ACCOUNT_AUTH, Gate.ACCOUNT_QUOTA, Gate.ACCOUNT_RATE)
TIMED_GATES = (Gate.GONE, *ACCOUNT_GATES, Gate.BREAKER_OPEN)
BREAKER = BreakerSettings(open_jitter=0.0)
ACCOUNT = AccountSettings(jitter=0.0)
HOST_BREAKER = BreakerSettings(open_jitter=0.0, trial_successes=1)


def endpoint(name: str) -> Endpoint:
    """Return an endpoint of the account that its first letter names."""
    return Endpoint(
        id=EndpointId(name),
        provider=ProviderName(name[0]),
        model=ModelName(name),
        upstream_model=name,
        format=WireFormat.OPENAI_CHAT,
        host=HostName(HOSTS[name]),
        timers=Timers(first_content_s=HANG_S),
    )


ENDPOINTS = {name: endpoint(name) for name in NAMES}
CATALOGUE = Catalogue(endpoints={each.id: each for each in ENDPOINTS.values()}, routes={})


def breaker(name: str, config: BreakerSettings) -> Breaker:
    """Return a breaker that nobody listens to."""
    return Breaker(name, config, random.Random(0), lambda _: None)


@dataclass(frozen=True, slots=True)
class End:
    """How a call ends."""

    cls: OutcomeClass
    status: int | None = None
    retry_after_s: float | None = None


ENDS = st.builds(End, CLS, STATUS, RETRY_AFTER)


@dataclass(slots=True)
class Slots:
    """An endpoint's concurrency limit and what else the model knows of it."""

    limit: ConcurrencyLimit
    gone_until: float = 0.0
    live: int = 0
    answered: int = 0

    def settle(self, cls: OutcomeClass, started: Started, now: float, *, is_probe: bool) -> None:
        """Give the place back and move the limit after an outcome."""
        if not is_probe:
            self.limit.release()
        if cls is OutcomeClass.OK:
            self.limit.grow()
        if cls in CUTTING:
            self.limit.refuse(started, now, is_rate=cls is OutcomeClass.RATE)


@dataclass(slots=True, eq=False)
class Out:
    """A ticket that is out, and the permits of the model's breakers."""

    name: str
    ticket: Ticket
    permit: Permit
    host_permit: Permit
    is_probe: bool
    started: Started


class Deaf:
    """Nobody listens."""

    def on_event(self, event: Event) -> None:
        """Ignore ``event``."""


class HealthMachine(RuleBasedStateMachine):
    """Drives the registry and the model side by side."""

    @initialize()
    def start(self) -> None:
        """Begin with all gates open at time 1.0."""
        self.now = 1.0
        throttle = ThrottleSettings(requests_min=10**9)  # it is chance, tested elsewhere
        limit = LimitSettings(limit_max=LIMIT)
        own = EndpointSettings(breaker=BREAKER, limit=limit, throttle=throttle)
        config = HealthSettings(
            endpoint=own,
            host=HOST_BREAKER,
            account=ACCOUNT,
            # Two hosts that do not connect would make our own way out suspect, which has its tests.
            egress=EgressSettings(hosts_min=3),
        )
        self.health = Health(CATALOGUE, config, random.Random(0), Deaf())
        self.breakers = {name: breaker(name, BREAKER) for name in NAMES}
        self.hosts = {host: breaker(host, HOST_BREAKER) for host in "xy"}
        self.accounts = {account: Account(ACCOUNT, random.Random(0)) for account in "abc"}
        self.slots = {name: Slots(limit=ConcurrencyLimit(limit)) for name in NAMES}
        self.tokens = dict.fromkeys("xy", 10.0)
        self.out: list[Out] = []

    # --- the model -----------------------------------------------------------------------------

    def gate(self, name: str, now: float) -> Gate | None:
        """Return the first shut gate."""
        if now < self.slots[name].gone_until:
            return Gate.GONE
        if (blocked := self.accounts[name[0]].gate(now)) is not None:
            return blocked
        if self.hosts[HOSTS[name]].refusal(now) is not None:
            return Gate.HOST_OPEN
        if (refusal := self.breakers[name].refusal(now)) is not None:
            return refusal
        if self.in_use(name) >= self.slots[name].limit.value:
            return Gate.CONCURRENCY
        # Whether a silence is one has its own tests; here, that it holds back no permit.
        is_silent = self.health.endpoints[EndpointId(name)].silence.is_silent
        return Gate.SILENT if is_silent else None

    def out_at(self, name: str) -> list[Out]:
        """Return what is under way at an endpoint."""
        return [each for each in self.out if each.name == name]

    def in_use(self, name: str) -> int:
        """Return how many places of its limit are taken: probes need none."""
        return sum(not each.is_probe for each in self.out_at(name))

    def settle_model(self, out: Out, end: End) -> None:
        """Carry an outcome to breakers, account, limit and tokens; ``out`` is over already."""
        cls, status, retry_after_s = end.cls, end.status, end.retry_after_s
        nature = BY_NATURE.get(status or 0, cls) if cls is OutcomeClass.ERR_MID else cls
        fail, host_fail = FAILS.get(nature, (None, None))
        if nature is OutcomeClass.S5 and status == 503:
            host_fail = 0.5
        weight = 0.5 if out.is_probe else 1.0
        host = HOSTS[out.name]
        self.hosts[host].settle(
            out.host_permit,
            fail=host_fail if host_fail in (None, 1.0) else host_fail * weight,
            now=self.now,
        )
        self._settle_breaker(out, cls, fail, retry_after_s if status in (503, 529) else None)
        if cls is OutcomeClass.RATE:
            self.breakers[out.name].settle(
                out.permit, fail=None, now=self.now, retry_after_s=retry_after_s, pushback=True
            )
        account = self.accounts[out.name[0]]
        if nature is OutcomeClass.OK:
            account.ok(self.now)
        elif nature in BLOCKING:
            account.block(BLOCKING[nature], retry_after_s, self.now)
        slots = self.slots[out.name]
        slots.settle(nature, out.started, self.now, is_probe=out.is_probe)
        if cls is OutcomeClass.GONE:
            slots.gone_until = self.now + 300.0
        slots.answered += nature is OutcomeClass.OK and not out.is_probe
        if fail is not None:
            change = 0.1 if fail == 0.0 else -1.0
            self.tokens[host] = min(10.0, max(0.0, self.tokens[host] + change))

    def _settle_breaker(
        self, out: Out, cls: OutcomeClass, fail: float | None, stated_s: float | None
    ) -> None:
        """A probe's failure is evidence of its own, unless the probe was a trial."""
        one = self.breakers[out.name]
        weighted = fail if fail in (None, 1.0) else fail * (0.5 if out.is_probe else 1.0)
        if out.is_probe and fail and not out.permit.is_trial:
            one.settle(out.permit, fail=None, now=self.now)
            one.observe(fail=weighted or 0.0, now=self.now, retry_after_s=stated_s)
        elif cls is not OutcomeClass.RATE:
            one.settle(out.permit, fail=weighted, now=self.now, retry_after_s=stated_s)
        if cls in (OutcomeClass.OUTRUN, OutcomeClass.DEGENERATE):
            one.suspect()

    # --- what may happen -----------------------------------------------------------------------

    @rule(gap_s=GAPS)
    def wait(self, gap_s: float) -> None:
        """Let time pass."""
        self.now += gap_s

    @rule(name=NAME, is_probe=st.sampled_from([False, False, True]))
    def admit(self, name: str, *, is_probe: bool) -> None:
        """Ask for a ticket; a refusal names the gate that the model sees shut."""
        got = self.health.admit(ENDPOINTS[name], self.now, prompt_tokens=10, is_probe=is_probe)
        if isinstance(got, Gate):
            assert got is self.gate(name, self.now)
            return
        shut = self.gate(name, self.now)
        assert shut in (None, Gate.SILENT) or (is_probe and shut is Gate.CONCURRENCY)
        host_permit = self.hosts[HOSTS[name]].admit(self.now, lease_s=HANG_S + 2.0)
        permit = self.breakers[name].admit(self.now, lease_s=HANG_S + 2.0)
        assert host_permit is not None
        assert permit is not None
        assert (got.permit, got.host_permit) == (permit, host_permit)
        limit = self.slots[name].limit
        if not is_probe:
            assert limit.try_acquire(self.now)
        number = 0 if is_probe else limit.started
        started = Started(at=self.now, level=limit.inflight + is_probe, number=number)
        self.out.append(Out(name, got, permit, host_permit, is_probe, started))
        self.slots[name].live += not is_probe

    @precondition(lambda self: self.out)
    @rule(number=PICK)
    def send(self, number: int) -> None:
        """Send a request, once."""
        ticket = self.out[number % len(self.out)].ticket
        if ticket.sent_at is None:
            self.health.sent(ticket, self.now)

    @precondition(lambda self: self.out)
    @rule(number=PICK)
    def first_content(self, number: int) -> None:
        """Let content come, once, to what was sent."""
        out = self.out[number % len(self.out)]
        if out.ticket.sent_at is not None and out.ticket.first_content_at is None:
            self.health.first_content(out.ticket, self.now)
            self.breakers[out.name].first_content(out.permit, self.now)

    @precondition(lambda self: self.out)
    @rule(number=PICK, end=ENDS)
    def settle(self, number: int, end: End) -> None:
        """Settle a ticket in whatever order; a second time is refused and moves nothing."""
        out = self.out.pop(number % len(self.out))
        outcome = Outcome(
            cls=end.cls,
            endpoint=out.ticket.endpoint.id,
            message="",
            started_at=out.ticket.admitted_at,
            ended_at=self.now,
            status=end.status,
            retry_after_s=end.retry_after_s,
        )
        silence = self.health.endpoints[EndpointId(out.name)].silence
        is_proof = silence.is_proof(out.ticket.sent_at or 0.0)
        self.health.settle(out.ticket, outcome)
        self.settle_model(out, end)
        if is_proof and end.cls is OutcomeClass.HANG:
            self.breakers[out.name].trip(self.now)
        with pytest.raises(AssertionError, match="settled twice"):
            self.health.settle(out.ticket, outcome)

    @rule(
        name=NAME,
        count=st.sampled_from([1, 1, 3, 5, 8]),
        end=ENDS,
        is_probe=st.booleans(),
        is_streamed=st.booleans(),
    )
    def calls(self, *, name: str, count: int, end: End, is_probe: bool, is_streamed: bool) -> None:
        """Make calls in a row that end alike, from when the endpoint's gates reopen."""
        self.now = self.health.opens_at(ENDPOINTS[name], self.now) or self.now
        for _ in range(count):
            before = len(self.out)
            self.admit(name, is_probe=is_probe)
            if len(self.out) > before:
                if is_streamed:
                    self.send(before)
                    self.first_content(before)
                self.settle(before, end)
            self.now += 0.25

    @rule(name=NAME, count=st.integers(2, 6), ends=st.lists(ENDS, max_size=2))
    def hang(self, name: str, count: int, ends: list[End]) -> None:
        """Let several calls go quiet together, and some of them end."""
        first = len(self.out)
        for _ in range(count):
            self.admit(name, is_probe=False)
        for out in self.out[first:]:
            self.health.sent(out.ticket, self.now)
        self.now += HANG_S + 0.5
        self.tick()
        for end in ends:
            if len(self.out) > first:
                self.settle(first, end)
                self.now += 1.0

    @rule()
    def tick(self) -> None:
        """Look at what still waits: it moves no permit."""
        self.health.tick(self.now)

    @rule(name=NAME, choice=st.integers(0, 6))
    def operate(self, name: str, choice: int) -> None:
        """Isolate rarely, restore what is isolated, replace a key at times."""
        if self.breakers[name].state(self.now) is BreakerState.ISOLATED:
            self.health.restore(EndpointId(name), self.now)
            self.breakers[name].restore(self.now)
            self.slots[name].gone_until = 0.0
        elif choice == 0:
            self.health.isolate(EndpointId(name), self.now)
            self.breakers[name].isolate(self.now)
        elif choice == 1:
            self.health.credential_changed(ProviderName(name[0]), self.now)
            if self.accounts[name[0]].gate(self.now) in (Gate.ACCOUNT_AUTH, Gate.ACCOUNT_QUOTA):
                self.accounts[name[0]].unblock(self.now)

    # --- what always holds ---------------------------------------------------------------------

    @invariant()
    def gates_agree(self) -> None:
        """Each endpoint's gate is the model's, now and a little later, whatever its neighbours."""
        for name, each in ENDPOINTS.items():
            for at in (self.now, self.now + 7.0):
                assert self.health.gate(each, at) is self.gate(name, at)

    @invariant()
    def breakers_agree(self) -> None:
        """Every breaker heard exactly what the model's heard."""
        for name, one in self.breakers.items():
            own = self.health.endpoints[EndpointId(name)].breaker
            assert own.state(self.now) is one.state(self.now)
            assert own.generation == one.generation
            assert own.is_suspect(self.now) == one.is_suspect(self.now)
        for host, one in self.hosts.items():
            own = self.health.hosts[HostName(host)]
            assert (own.state(self.now), own.generation) == (one.state(self.now), one.generation)

    @invariant()
    def no_ticket_is_lost(self) -> None:
        """Under way is what was admitted and not settled; live calls are counted once."""
        for name in NAMES:
            own = self.health.endpoints[EndpointId(name)]
            tickets = [each.ticket for each in self.out_at(name)]
            assert list(own.in_flight.values()) == tickets
            assert own.limit.inflight == self.in_use(name)
            assert own.limit.value == self.slots[name].limit.value
            assert own.attempts_count == self.slots[name].live
            assert own.answered_count == self.slots[name].answered

    @invariant()
    def tokens_agree(self) -> None:
        """Each failure costs its host a retry token, each success earns a tenth."""
        for name in NAMES:
            tokens = self.tokens[HOSTS[name]]
            if abs(tokens - 5.0) > 0.01:
                assert self.health.may_retry(EndpointId(name)) == (tokens > 5.0)

    @invariant()
    def reopening_is_told_truly(self) -> None:
        """A gate that shuts for a time names it, and is open then."""
        for each in ENDPOINTS.values():
            gate = self.health.gate(each, self.now)
            opens_at = self.health.opens_at(each, self.now)
            if opens_at is None:
                assert gate not in TIMED_GATES
            else:
                assert opens_at > self.now
                assert self.health.gate(each, opens_at) not in TIMED_GATES

    def teardown(self) -> None:
        """When all is settled and a day passed, everything that no operator shut works again."""
        if not hasattr(self, "health"):
            return
        while self.out:
            self.settle(0, End(OutcomeClass.CANCEL))
        self.now += 2 * DAY_S
        for name in NAMES:
            if self.breakers[name].state(self.now) is BreakerState.ISOLATED:
                continue
            end = End(OutcomeClass.OK)
            self.calls(name=name, count=2, end=end, is_probe=True, is_streamed=False)
            own = self.health.endpoints[EndpointId(name)]
            assert own.breaker.state(self.now) is BreakerState.CLOSED
            assert self.health.hosts[HostName(HOSTS[name])].state(self.now) is BreakerState.CLOSED


TestHealthAgainstModel = HealthMachine.TestCase
TestHealthAgainstModel.settings = settings(
    max_examples=130, stateful_step_count=30, deadline=None, derandomize=True
)
