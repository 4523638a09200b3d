"""The attempt loop against a naive one: a call from arrival to its end, in a world that changes.

The tables of single steps are in ``test_attempts.py``; here whole calls run through random worlds
(shared hosts and accounts, gates that shut and open, slow failures, pushbacks), and each step is
compared with what a plain reading of the rules allows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import event, given, settings
from hypothesis import strategies as st

from sidecar.core.attempts import (
    AttemptRecord,
    AttemptSettings,
    Fail,
    FailReason,
    Start,
    Step,
    WaitUntil,
    next_step,
)
from sidecar.core.outcome import effects
from sidecar.core.retry_tokens import RetryTokens, RetryTokenSettings
from sidecar.core.routing import Choice, EndpointView
from sidecar.domain import (
    Endpoint,
    EndpointId,
    Gate,
    HostName,
    ModelName,
    Outcome,
    OutcomeClass,
    ProviderName,
    Route,
    RouteName,
    WireFormat,
)
from tests.core.views import healthy_view

if TYPE_CHECKING:
    from collections.abc import Mapping

STEPS_MAX = 60
NUMBERS = AttemptSettings()
LASTING = (Gate.TOO_SLOW, Gate.TOO_DEAR, Gate.UNSUPPORTED, Gate.CONTEXT_TOO_SMALL)
PASSING = (Gate.BREAKER_OPEN, Gate.HOST_OPEN, Gate.ACCOUNT_RATE, Gate.CONCURRENCY, Gate.GONE)

OTHER_ACCOUNT = (OutcomeClass.RATE, OutcomeClass.QUOTA, OutcomeClass.AUTH)
CALLERS = (OutcomeClass.CALLER,)
NOT_HERE = (OutcomeClass.CONTEXT, OutcomeClass.UNFIT)
OFTEN = (OutcomeClass.S5, OutcomeClass.STALE_CONN, OutcomeClass.CONNECT, OutcomeClass.RATE) * 3
OVER = (OutcomeClass.OK, OutcomeClass.CANCEL)
HOPELESS = (OutcomeClass.AUTH, OutcomeClass.QUOTA, OutcomeClass.GONE, *NOT_HERE)


@dataclass(frozen=True, slots=True)
class Place:
    """An endpoint, and when its gate is shut: from ``shuts_at`` until ``opens_at``."""

    name: str
    account: str
    host: str
    ttft_s: float
    gate: Gate
    shuts_at: float
    opens_at: float


@dataclass(frozen=True, slots=True)
class Blow:
    """How an attempt fails: its class, after how long, and when the provider wants us back."""

    cls: OutcomeClass
    takes_s: float
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class World:
    """A route, the failures that its attempts will meet, and the call's bounds."""

    places: tuple[Place, ...]
    blows: tuple[Blow, ...]
    attempts_max: int
    within_s: float
    tokens: float


BLOWS = st.builds(
    Blow,
    st.sampled_from([*OutcomeClass, *OFTEN]),
    st.sampled_from([0.0, 0.05, 1.0, 8.0]),
    st.sampled_from([None, None, 0.0, 0.5, 3.0, 50.0]),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Build a world of one to four endpoints."""
    count = draw(st.sampled_from([1, 1, 2, 3, 4]))
    places = tuple(
        Place(
            name=f"e{number}",
            account=draw(st.sampled_from("ab")),
            host=draw(st.sampled_from("xyz")),
            ttft_s=draw(st.sampled_from([0.1, 1.0, 5.0])),
            gate=draw(st.sampled_from([*PASSING, *LASTING])),
            shuts_at=draw(st.sampled_from([0.0, 0.01, 1e9, 1e9])),
            opens_at=draw(st.sampled_from([1.0, 4.0, 1e9])),
        )
        for number in range(count)
    )
    blows = tuple(draw(st.lists(BLOWS, min_size=6, max_size=6)))
    return World(
        places=places,
        blows=blows,
        attempts_max=draw(st.integers(1, 5)),
        within_s=draw(st.sampled_from([0.2, 2.0, 10.0, 60.0])),
        tokens=draw(st.sampled_from([6.0, 7.0, 10.0])),
    )


def view(place: Place) -> EndpointView:
    """Return a healthy view of an endpoint."""
    endpoint = Endpoint(
        id=EndpointId(place.name),
        provider=ProviderName(place.account),
        model=ModelName(place.name),
        upstream_model=place.name,
        format=WireFormat.OPENAI_CHAT,
        host=HostName(place.host),
    )
    return healthy_view(endpoint, ttft_s=place.ttft_s, availability=1.0, cost_usd=None)


@dataclass(slots=True)
class Run:
    """One call in a world, as far as it got."""

    world: World
    now: float = 0.0
    has_waited: bool = False
    records: list[AttemptRecord] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    asked: int = 0
    tokens: RetryTokens = field(init=False)

    def __post_init__(self) -> None:
        """Fill the one bucket of tokens."""
        self.tokens = RetryTokens(RetryTokenSettings(tokens_max=self.world.tokens))

    def gate(self, place: Place) -> Gate | None:
        """Return the gate that is shut now."""
        return place.gate if place.shuts_at <= self.now < place.opens_at else None

    def choose(self, excluded: Mapping[EndpointId, Gate], _enough: int | None) -> Choice:
        """Rank the open places in order."""
        self.asked += 1
        gates = {
            EndpointId(place.name): self.gate(place) or excluded.get(EndpointId(place.name))
            for place in self.world.places
        }
        ranked = tuple(
            view(place) for place in self.world.places if gates[EndpointId(place.name)] is None
        )
        opening = [place for place in self.world.places if self.gate(place) in PASSING]
        times = [(place.opens_at, place.gate) for place in opening]
        return Choice(
            ranked=ranked,
            tier=0 if ranked else None,
            rejected=tuple((name, gate) for name, gate in gates.items() if gate is not None),
            soonest_opens_at=min((at for at, _ in times), default=None),
            rate_opens_at=min((at for at, g in times if g is Gate.ACCOUNT_RATE), default=None),
        )

    def step(self) -> Step:
        """Ask the machine."""
        self.asked = 0
        return next_step(
            records=self.records,
            choose=self.choose,
            route=Route(
                name=RouteName("r"),
                tiers=(tuple(EndpointId(place.name) for place in self.world.places),),
                attempts_max=self.world.attempts_max,
            ),
            deadline_at=self.world.within_s,
            now=self.now,
            rng=random.Random(3),
            may_retry=lambda _: len(self.world.places) == 1 and self.tokens.may_retry(),
            past=tuple,
            settings=NUMBERS,
            has_waited=self.has_waited,
        )

    def take(self, start: Start) -> None:
        """Let the started attempt fail as the world says."""
        blow = self.world.blows[min(len(self.records), len(self.world.blows) - 1)]
        began_at, self.now = self.now, self.now + blow.takes_s
        self.starts.append(start)
        self.tokens.withdraw()
        outcome = Outcome(
            cls=blow.cls,
            endpoint=start.endpoint_id,
            message="",
            started_at=began_at,
            ended_at=self.now,
            retry_after_s=blow.retry_after_s,
        )
        is_stale = blow.cls is OutcomeClass.STALE_CONN
        self.records.append(
            AttemptRecord(endpoint=start.view.endpoint, outcome=outcome, is_transparent=is_stale)
        )

    # --- the plain rules -----------------------------------------------------------------------

    def most(self) -> int:
        """Return how many attempts may be counted."""
        return min(3, self.world.attempts_max)

    def counted(self) -> int:
        """Return the attempts so far, one dead connection being free."""
        is_one_free = any(record.is_transparent for record in self.records)
        return len(self.records) - is_one_free

    def open_places(self) -> list[str]:
        """Return whom a failover may go to: open, not tried, not of what was refused or broken."""
        tried = {str(record.endpoint.id) for record in self.records}
        accounts = {r.endpoint.provider for r in self.records if r.outcome.cls in OTHER_ACCOUNT}
        hosts = {r.endpoint.host for r in self.records if r.outcome.cls is OutcomeClass.CONNECT}
        open_places = [
            place
            for place in self.world.places
            if self.gate(place) is None
            and place.name not in tried
            and place.account not in accounts
            and place.host not in hosts
        ]
        # Behind a fault of a whole host, whoever shares its host or account comes last.
        broken = [
            r.endpoint
            for r in self.records
            if effects(r.outcome.cls, status=r.outcome.status).host_fail
        ]
        first = [p for p in open_places if not any(_is_kin(p, one) for one in broken)]
        return [place.name for place in (*first, *(p for p in open_places if p not in first))]

    def wanted(self) -> tuple[str, str] | None:
        """Return endpoint and kind of the start that the rules ask for now, None for no start."""
        left_s = self.world.within_s - self.now
        if left_s <= 0.0:
            return None
        if not self.records:
            return self._first(left_s)
        return None if self.records[-1].outcome.cls in (*CALLERS, *OVER) else self._next(left_s)

    def _next(self, left_s: float) -> tuple[str, str] | None:
        last = self.records[-1]
        stale = sum(record.is_transparent for record in self.records)
        (place,) = (p for p in self.world.places if p.name == last.endpoint.id)
        if last.is_transparent and stale == 1 and self.gate(place) is None:
            return place.name, "transparent"
        if self.counted() >= self.most():
            return None
        if open_places := self.open_places():
            return self._useful(open_places, "failover", left_s)
        is_alone = len(self.world.places) == 1 and self.gate(place) is None
        return self._again(place, left_s) if is_alone else None

    def _first(self, left_s: float) -> tuple[str, str] | None:
        places = self.open_places()
        if not places:
            return None
        return self._useful(places, "first", left_s) if self.has_waited else (places[0], "first")

    def _useful(self, places: list[str], kind: str, left_s: float) -> tuple[str, str] | None:
        fastest_s = min(place.ttft_s for place in self.world.places if place.name in places)
        return (places[0], kind) if left_s >= min(0.3, fastest_s / 2) else None

    def _again(self, place: Place, left_s: float) -> tuple[str, str] | None:
        """The same endpoint: only once half of the backoff, or the whole pushback, is over."""
        last = self.records[-1].outcome
        backoff_s = min(4.0, 0.25 * 2.0 ** max(0, self.counted() - 1))
        least_s = backoff_s / 2 if last.retry_after_s is None else last.retry_after_s
        is_over = self.now >= last.ended_at + least_s
        # A call cut for its deadline has no time for another.
        is_in_vain = last.cls in (*HOPELESS, OutcomeClass.CALLER_SHORT)
        if not is_over or is_in_vain or not self.tokens.may_retry():
            return None
        return self._useful([place.name], "retry", left_s)


def _is_kin(place: Place, other: Endpoint) -> bool:
    """Return whether two share a host or an account."""
    return place.host == other.host or place.account == other.provider


def check_start(run: Run, start: Start) -> None:
    """Assert that a start is the one wanted, and that whom it leaves room for could follow."""
    assert (str(start.endpoint_id), start.kind) == run.wanted()
    assert start.view.endpoint.id == start.endpoint_id
    assert start.needs_fresh_connection == (start.kind == "transparent")
    assert run.now < run.world.within_s
    if start.next_view is not None:
        assert str(start.next_view.endpoint.id) in run.open_places()
        assert start.next_view.endpoint.id != start.endpoint_id
        assert run.counted() + 1 < run.most()


def check_wait(run: Run, wait: WaitUntil) -> None:
    """Assert that a wait is forward, useful and short for a provider; room may take all time."""
    assert run.wanted() is None
    left_s = run.world.within_s - run.now
    assert run.now < wait.at < run.world.within_s
    assert wait.at <= run.world.within_s - 0.3 or wait.reason == "rate"
    if wait.reason != "room":
        assert wait.at - run.now <= max(min(left_s / 3, 10.0), 4.0) + 1e-9
    gates = [run.gate(place) for place in run.world.places]
    assert wait.reason != "room" or Gate.CONCURRENCY in gates
    assert wait.reason != "rate" or Gate.ACCOUNT_RATE in gates
    if wait.reason in ("backoff", "pushback", "gate"):
        assert len(run.world.places) == 1


def _might_help(run: Run) -> bool:
    """Return whether somebody who was not asked is only out for now."""
    tried = {str(record.endpoint.id) for record in run.records}
    gates = [run.gate(place) for place in run.world.places if place.name not in tried]
    return any(gate in PASSING for gate in gates)


def check_fail(run: Run, fail: Fail) -> None:
    """Assert that giving up has its reason, and that nothing could have been started."""
    assert run.wanted() is None
    match fail.reason:
        case FailReason.INFEASIBLE:
            assert not run.records
            assert not run.has_waited
            assert all(run.gate(place) in LASTING for place in run.world.places)
        case FailReason.NOTHING_ELIGIBLE:
            assert not run.records
        case FailReason.CALLER_FAULT:
            asked = [record.outcome.cls for record in run.records if not record.is_transparent]
            assert asked[-1] in CALLERS or all(cls in NOT_HERE for cls in asked)
        case FailReason.EXHAUSTED:
            assert any(r.outcome.cls not in NOT_HERE for r in run.records) or _might_help(run)
        case FailReason.DEADLINE:
            pass


@settings(max_examples=900, deadline=None, derandomize=True)
@given(worlds())
def test_call_runs_as_a_plain_loop_would(world: World) -> None:
    """Each start, wait and end is what the rules say; the call always ends, within its bounds."""
    run = Run(world)
    for _ in range(STEPS_MAX):
        step = run.step()
        assert run.asked <= 3
        match step:
            case Start():
                check_start(run, step)
                event(f"start {step.kind}")
                run.take(step)
            case WaitUntil():
                check_wait(run, step)
                event(f"wait {step.reason}")
                run.now, run.has_waited = step.at, True
            case Fail():
                check_fail(run, step)
                event(f"fail {step.reason.value}")
                break
    else:
        raise AssertionError(f"no end after {STEPS_MAX} steps")
    names = [str(start.endpoint_id) for start in run.starts if start.kind != "transparent"]
    assert run.counted() <= run.most()
    assert len(run.starts) <= run.most() + 1
    if len(world.places) > 1:
        assert len(set(names)) == len(names)
