"""The attempt loop as tables: what was tried, what comes next."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
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

DEADLINE_AT = 130.0


def view(name: str, *, ttft_s: float = 1.0, host: str | None = None) -> EndpointView:
    """A healthy endpoint of account ``name[0]``: ``a2`` shares the account of ``a``."""
    endpoint = Endpoint(
        id=EndpointId(name),
        provider=ProviderName(name[0]),
        model=ModelName(name),
        upstream_model=name,
        format=WireFormat.OPENAI_CHAT,
        host=HostName(host or name),
    )
    return healthy_view(endpoint, ttft_s=ttft_s, availability=1.0, cost_usd=None)


class World:
    """A route whose endpoints are ranked in the order given, but for those shut or excluded."""

    def __init__(self, *views: EndpointView, attempts_max: int = 3) -> None:
        self.views = views
        self.shut: dict[str, Gate] = {}
        self.opens_at: float | None = None
        self.has_tokens = True
        self.alive: set[str] = set()
        self.records: list[AttemptRecord] = []
        self.barred: Mapping[EndpointId, Gate] = {}
        self.route = Route(
            name=RouteName("route"),
            tiers=(tuple(each.endpoint.id for each in views),),
            attempts_max=attempts_max,
        )

    def choose(self, excluded: Mapping[EndpointId, Gate], _enough: int | None) -> Choice:
        """Rank what is neither excluded nor shut."""
        out: dict[str, Gate] = {**self.shut, **dict(excluded.items())}
        self.barred = excluded
        gates = [(each.endpoint.id, out.get(each.endpoint.id)) for each in self.views]
        ranked = tuple(each for each in self.views if each.endpoint.id not in out)
        is_rate = Gate.ACCOUNT_RATE in self.shut.values()
        return Choice(
            ranked=ranked,
            tier=0 if ranked else None,
            rejected=tuple((name, gate) for name, gate in gates if gate is not None),
            soonest_opens_at=self.opens_at,
            rate_opens_at=self.opens_at if is_rate else None,
        )

    def may_retry(self, name: EndpointId) -> bool:
        """Say who may be asked again: who is alone and has tokens, and who answers now and then."""
        return name in self.alive or (self.has_tokens and len(self.views) == 1)

    def past(self) -> tuple[EndpointView, ...]:
        """Return who answers now and then behind a shut gate, of those the last choice allowed."""
        out = {name for name in self.alive if name in self.shut and name not in self.barred}
        return tuple(each for each in self.views if each.endpoint.id in out)

    def tried(self, name: str, cls: OutcomeClass, *, retry_after_s: float | None = None) -> World:
        """Add an attempt that ended at 100.0."""
        (endpoint,) = (each.endpoint for each in self.views if each.endpoint.id == name)
        outcome = Outcome(
            cls=cls,
            endpoint=endpoint.id,
            message="",
            started_at=99.0,
            ended_at=100.0,
            retry_after_s=retry_after_s,
        )
        is_stale = cls is OutcomeClass.STALE_CONN
        self.records.append(
            AttemptRecord(endpoint=endpoint, outcome=outcome, is_transparent=is_stale)
        )
        return self

    def next(self, *, now: float = 100.0, has_waited: bool = False) -> Step:
        """Ask what to do."""
        return next_step(
            records=self.records,
            choose=self.choose,
            route=self.route,
            deadline_at=DEADLINE_AT,
            now=now,
            rng=random.Random(1),
            may_retry=self.may_retry,
            past=self.past,
            settings=AttemptSettings(),
            has_waited=has_waited,
        )


def started(step: Step) -> tuple[str, str, str | None]:
    """Return endpoint, kind and whom to leave room for."""
    assert isinstance(step, Start)
    assert step.view.endpoint.id == step.endpoint_id
    following = None if step.next_view is None else str(step.next_view.endpoint.id)
    return str(step.endpoint_id), step.kind, following


def failed(step: Step) -> FailReason:
    """Return why the call gave up."""
    assert isinstance(step, Fail)
    return step.reason


# --- at arrival --------------------------------------------------------------------------------


def test_first_attempt_goes_to_the_best_and_leaves_room_for_the_second() -> None:
    """The router's order is followed; alone, or with one attempt allowed, nobody follows."""
    assert started(World(view("a"), view("b")).next()) == ("a", "first", "b")
    assert started(World(view("a")).next()) == ("a", "first", None)
    assert started(World(view("a"), view("b"), attempts_max=1).next()) == ("a", "first", None)


@pytest.mark.parametrize(
    "gate",
    [
        Gate.TOO_SLOW,
        Gate.TOO_DEAR,
        Gate.PRICE_UNKNOWN,
        Gate.UNSUPPORTED,
        Gate.CONTEXT_TOO_SMALL,
    ],
)
def test_call_that_nobody_could_ever_serve_is_infeasible(gate: Gate) -> None:
    """Constraints that exclude all are the caller's to change; after a wait, the deadline."""
    world = World(view("a"), view("b"))
    world.shut = {"a": gate, "b": Gate.UNSUPPORTED}
    assert failed(world.next()) is FailReason.INFEASIBLE
    assert failed(world.next(has_waited=True)) is FailReason.DEADLINE
    world.shut["b"] = Gate.BREAKER_OPEN
    assert failed(world.next()) is FailReason.NOTHING_ELIGIBLE


def test_waits_at_arrival_for_a_rate_limit_alone() -> None:
    """An account that named its time is waited for, up to a third of what is left, at most 10 s."""
    world = World(view("a"), view("b"))
    world.shut = {"a": Gate.ACCOUNT_RATE, "b": Gate.BREAKER_OPEN}
    world.opens_at = 109.0
    assert world.next() == WaitUntil(at=109.0, reason="rate")
    world.opens_at = 110.5
    assert failed(world.next()) is FailReason.NOTHING_ELIGIBLE
    world.opens_at = 109.0
    world.shut["a"] = Gate.HOST_OPEN
    assert failed(world.next()) is FailReason.NOTHING_ELIGIBLE


def test_waits_for_room_under_our_own_limits() -> None:
    """A full endpoint is worth waiting for while time is useful: a call in flight will end."""
    world = World(view("a"), view("b"))
    world.shut = {"a": Gate.CONCURRENCY, "b": Gate.BREAKER_OPEN}
    assert world.next() == WaitUntil(at=DEADLINE_AT - 0.3, reason="room")
    assert failed(world.next(now=129.8)) is FailReason.NOTHING_ELIGIBLE
    world.tried("b", OutcomeClass.S5)
    assert world.next() == WaitUntil(at=DEADLINE_AT - 0.3, reason="room")


# --- deadline ----------------------------------------------------------------------------------


def test_nothing_starts_without_useful_time() -> None:
    """0.3 s or half the fastest first token, whichever is less, is the least an attempt needs."""
    assert failed(World(view("a")).next(now=DEADLINE_AT)) is FailReason.DEADLINE
    late = World(view("a")).next(now=129.75, has_waited=True)
    assert failed(late) is FailReason.DEADLINE
    assert started(World(view("a")).next(now=129.65, has_waited=True))[0] == "a"
    quick = World(view("a"), view("b", ttft_s=0.1))
    assert started(quick.next(now=129.9, has_waited=True))[0] == "a"
    assert failed(quick.next(now=129.96, has_waited=True)) is FailReason.DEADLINE


def test_short_deadline_is_tried_on_arrival() -> None:
    """Only the router, on evidence, calls a fresh call too short; a guess of ours never does."""
    assert started(World(view("a")).next(now=129.9))[0] == "a"


def test_failover_that_comes_too_late_is_the_deadline() -> None:
    """When only slow endpoints are left, the caller hears of the deadline, not of exhaustion."""
    world = World(view("a"), view("b")).tried("a", OutcomeClass.S5)
    world.shut = {"b": Gate.TOO_SLOW}
    assert failed(world.next()) is FailReason.DEADLINE


# --- failover ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cls",
    [
        OutcomeClass.CONNECT,
        OutcomeClass.HANG,
        OutcomeClass.S5,
        OutcomeClass.OVERLOAD,
        OutcomeClass.RATE,
        OutcomeClass.QUOTA,
        OutcomeClass.AUTH,
        OutcomeClass.GONE,
        OutcomeClass.RESET_MID,
        OutcomeClass.TRUNC,
        OutcomeClass.ERR_MID,
        OutcomeClass.DEGENERATE,
        OutcomeClass.CALLER_SHORT,
    ],
)
def test_failure_goes_to_another_endpoint(cls: OutcomeClass) -> None:
    """Every provider failure before the commit, and an attempt cut for room, fails over."""
    world = World(view("a"), view("b"), view("c")).tried("a", cls)
    assert started(world.next()) == ("b", "failover", "c")


def test_last_allowed_attempt_leaves_no_room() -> None:
    """The third attempt may use all the time: nobody may follow it."""
    world = World(view("a"), view("b"), view("c"), view("d"))
    world.tried("a", OutcomeClass.S5).tried("b", OutcomeClass.S5)
    assert started(world.next()) == ("c", "failover", None)
    world.tried("c", OutcomeClass.S5)
    assert failed(world.next()) is FailReason.EXHAUSTED


def test_route_may_allow_fewer_attempts() -> None:
    """A route's own bound holds."""
    world = World(view("a"), view("b"), view("c"), attempts_max=2)
    world.tried("a", OutcomeClass.S5).tried("b", OutcomeClass.S5)
    assert failed(world.next()) is FailReason.EXHAUSTED


def test_refused_account_is_not_asked_again() -> None:
    """After a 429 another account is asked, not another model of the same one."""
    world = World(view("a"), view("a2"), view("b")).tried("a", OutcomeClass.RATE)
    assert started(world.next()) == ("b", "failover", None)
    world = World(view("a"), view("a2"), view("b")).tried("a", OutcomeClass.S5)
    assert started(world.next()) == ("a2", "failover", "b")


def test_unreachable_host_is_not_asked_again() -> None:
    """After a failed connect another host is asked; if there is none, the call ends."""
    world = World(view("a", host="x"), view("b", host="x"), view("c", host="y"))
    assert started(world.tried("a", OutcomeClass.CONNECT).next()) == ("c", "failover", None)
    world = World(view("a", host="x"), view("b", host="x")).tried("a", OutcomeClass.CONNECT)
    assert failed(world.next()) is FailReason.EXHAUSTED


def test_caller_fault_is_not_tried_elsewhere() -> None:
    """A 400 is the caller's to read, and a cancelled call is over."""
    world = World(view("a"), view("b")).tried("a", OutcomeClass.CALLER)
    assert failed(world.next()) is FailReason.CALLER_FAULT
    for cls in (OutcomeClass.CANCEL, OutcomeClass.OK):
        assert failed(World(view("a"), view("b")).tried("a", cls).next()) is FailReason.EXHAUSTED


# --- transparent -------------------------------------------------------------------------------


def test_dead_connection_is_repeated_once_for_free() -> None:
    """Once on a fresh connection, not counted; a second dead one fails over."""
    world = World(view("a"), view("b"), view("c"), view("d")).tried("a", OutcomeClass.STALE_CONN)
    step = world.next()
    assert started(step) == ("a", "transparent", "b")
    assert isinstance(step, Start)
    assert step.needs_fresh_connection
    world.tried("a", OutcomeClass.STALE_CONN)
    assert started(world.next()) == ("b", "failover", "c")
    world.tried("b", OutcomeClass.S5)
    assert started(world.next()) == ("c", "failover", None)
    world.tried("c", OutcomeClass.S5)
    assert failed(world.next()) is FailReason.EXHAUSTED


def test_free_repetition_leaves_room_only_for_who_may_follow() -> None:
    """Time is not kept free for an endpoint of a host that this call found unreachable."""
    world = World(view("a", host="x"), view("b", host="y"), view("c", host="x"))
    world.tried("a", OutcomeClass.CONNECT).tried("b", OutcomeClass.STALE_CONN)
    assert started(world.next()) == ("b", "transparent", None)


def test_dead_connection_fails_over_if_the_gate_shut_meanwhile() -> None:
    """Even a free repetition passes the gates."""
    world = World(view("a"), view("b")).tried("a", OutcomeClass.STALE_CONN)
    world.shut = {"a": Gate.HOST_OPEN}
    assert started(world.next()) == ("b", "failover", None)


# --- the same endpoint again -------------------------------------------------------------------


def test_only_endpoint_is_retried_after_a_jittered_wait() -> None:
    """Between half and all of 0.25 s, doubling; asked again in time, the answer is start."""
    world = World(view("a")).tried("a", OutcomeClass.S5)
    step = world.next()
    assert isinstance(step, WaitUntil)
    assert step.reason == "backoff"
    assert 100.125 <= step.at <= 100.25
    assert started(world.next(now=step.at)) == ("a", "retry", None)
    step = world.tried("a", OutcomeClass.S5).next()
    assert isinstance(step, WaitUntil)
    assert 100.25 <= step.at <= 100.5


def test_retry_waits_as_long_as_the_provider_says_within_reason() -> None:
    """A Retry-After of up to a third of the rest, at most 10 s, is obeyed; a longer ends it."""
    world = World(view("a")).tried("a", OutcomeClass.RATE, retry_after_s=9.0)
    assert world.next() == WaitUntil(at=109.0, reason="pushback")
    world.shut, world.opens_at = {"a": Gate.ACCOUNT_RATE}, 109.5
    assert world.next(now=109.0) == WaitUntil(at=109.5, reason="gate")
    world.shut = {}
    assert started(world.next(now=109.5)) == ("a", "retry", None)
    world = World(view("a")).tried("a", OutcomeClass.RATE, retry_after_s=10.5)
    assert failed(world.next()) is FailReason.EXHAUSTED


def test_gate_that_opens_too_late_ends_the_retry() -> None:
    """A breaker that trips on the failure ends the call, unless it reopens soon."""
    world = World(view("a")).tried("a", OutcomeClass.S5)
    world.shut, world.opens_at = {"a": Gate.BREAKER_OPEN}, 125.0
    assert failed(world.next(now=101.0)) is FailReason.EXHAUSTED
    world.shut = {"a": Gate.TOO_SLOW}
    assert failed(world.next(now=101.0)) is FailReason.DEADLINE


def test_wait_that_leaves_no_useful_time_is_not_made() -> None:
    """Better an error now than the same error after a wait."""
    world = World(view("a")).tried("a", OutcomeClass.S5)
    outcome = world.records[0].outcome
    late = Outcome(
        cls=outcome.cls, endpoint=outcome.endpoint, message="", started_at=99.0, ended_at=129.6
    )
    world.records = [
        AttemptRecord(endpoint=world.views[0].endpoint, outcome=late, is_transparent=False)
    ]
    assert failed(world.next(now=129.6)) is FailReason.DEADLINE


@pytest.mark.parametrize("cls", [OutcomeClass.AUTH, OutcomeClass.QUOTA, OutcomeClass.GONE])
def test_refusal_that_will_be_repeated_is_not_retried(cls: OutcomeClass) -> None:
    """The same key and model are as wrong a second later."""
    assert failed(World(view("a")).tried("a", cls).next()) is FailReason.EXHAUSTED


def test_retry_needs_tokens_and_a_lonely_endpoint() -> None:
    """Without retry tokens, or where others could be had, nobody is asked twice."""
    world = World(view("a")).tried("a", OutcomeClass.S5)
    world.has_tokens = False
    assert failed(world.next()) is FailReason.EXHAUSTED
    world = World(view("a"), view("b")).tried("a", OutcomeClass.S5).tried("b", OutcomeClass.S5)
    assert failed(world.next()) is FailReason.EXHAUSTED


def test_who_answers_now_and_then_is_asked_past_its_gate() -> None:
    """Nobody open is left: at once who was not asked yet, then, after a backoff, who was."""
    world = World(view("a"), view("b"))
    world.shut, world.alive = {"b": Gate.BREAKER_OPEN}, {"b"}
    assert started(world.next())[:2] == ("a", "first")
    assert started(world.tried("a", OutcomeClass.S5).next()) == ("b", "panic", None)
    step = world.tried("b", OutcomeClass.S5).next()
    assert isinstance(step, WaitUntil)
    assert step.reason == "backoff"
    assert started(world.next(now=step.at)) == ("b", "panic", None)
    world.alive = set()
    assert failed(world.next(now=step.at)) is FailReason.EXHAUSTED


def test_who_answers_now_and_then_is_asked_again() -> None:
    """Its gate open: a retry, of it alone; in vain if its credential was refused."""
    world = World(view("a"), view("b"))
    world.alive = {"b"}
    world.tried("a", OutcomeClass.S5).tried("b", OutcomeClass.S5)
    assert started(world.next(now=101.0)) == ("b", "retry", None)
    assert failed(world.tried("b", OutcomeClass.S5).next(now=101.0)) is FailReason.EXHAUSTED
    refused = World(view("a"), view("b"))
    refused.alive = {"b"}
    refused.tried("a", OutcomeClass.S5).tried("b", OutcomeClass.AUTH)
    assert failed(refused.next(now=101.0)) is FailReason.EXHAUSTED


def test_nobody_goes_past_a_gate_while_somebody_is_open() -> None:
    """An open endpoint comes first, however lively the others are."""
    world = World(view("a"), view("b"), view("c"))
    world.shut, world.alive = {"b": Gate.BREAKER_OPEN}, {"b"}
    assert started(world.tried("a", OutcomeClass.S5).next())[:2] == ("c", "failover")


@settings(max_examples=120, derandomize=True)
@given(st.lists(st.sampled_from(OutcomeClass), min_size=12, max_size=12), st.integers(1, 4))
def test_every_call_ends_within_its_bounds(classes: list[OutcomeClass], size: int) -> None:
    """Whatever happens: at most four attempts, three of them counted, then an end."""
    world = World(*(view(name) for name in "abcd"[:size]))
    now = 100.0
    kinds: list[str] = []
    while not isinstance(step := world.next(now=now), Fail):
        assert len(kinds) < 5
        if isinstance(step, WaitUntil):
            assert now < step.at < DEADLINE_AT
            now = step.at
            continue
        kinds.append(step.kind)
        world.tried(step.endpoint_id, classes[len(world.records)])
    assert 1 <= len(kinds) <= 4
    assert kinds.count("transparent") <= 1
    assert len(kinds) - kinds.count("transparent") <= 3
    if size > 1:
        assert "retry" not in kinds


@pytest.mark.parametrize("cls", [OutcomeClass.CONTEXT, OutcomeClass.UNFIT])
def test_what_does_not_fit_goes_on_and_is_the_callers_in_the_end(cls: OutcomeClass) -> None:
    """Another endpoint is asked; when all agree, or no more may be asked, it is the caller's."""
    world = World(view("a"), view("b")).tried("a", cls)
    assert started(world.next())[:2] == ("b", "failover")
    assert failed(world.tried("b", cls).next()) is FailReason.CALLER_FAULT
    assert failed(World(view("a")).tried("a", cls).next()) is FailReason.CALLER_FAULT
    bound = World(view("a"), view("b"), attempts_max=1).tried("a", cls)
    assert failed(bound.next()) is FailReason.CALLER_FAULT


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (Gate.CONTEXT_TOO_SMALL, FailReason.CALLER_FAULT),
        (Gate.OUTPUT_TOO_SMALL, FailReason.CALLER_FAULT),
        (Gate.UNSUPPORTED, FailReason.CALLER_FAULT),
        (Gate.BREAKER_OPEN, FailReason.EXHAUSTED),
        (Gate.GONE, FailReason.EXHAUSTED),
        (Gate.TOO_SLOW, FailReason.DEADLINE),
    ],
)
def test_who_was_not_asked_for_now_might_have_room(gate: Gate, reason: FailReason) -> None:
    """A gate that opens again behind an overflow is the provider's trouble, not the caller's."""
    world = World(view("a"), view("b")).tried("a", OutcomeClass.CONTEXT)
    world.shut = {"b": gate}
    assert failed(world.next()) is reason


def test_one_real_failure_is_nobodys_agreement() -> None:
    """Where one had no room and another broke, the caller made no mistake."""
    world = World(view("a"), view("b")).tried("a", OutcomeClass.CONTEXT)
    assert failed(world.tried("b", OutcomeClass.S5).next()) is FailReason.EXHAUSTED
