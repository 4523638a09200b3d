"""Spend caps: reserve, settle, and never more than the estimates were wrong by."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.core.caps import CapSettings, SpendCaps
from sidecar.domain import Gate, ProviderName, RouteName

A, B = ProviderName("a"), ProviderName("b")
REASON, OTHER = RouteName("reason"), RouteName("other")
USD = st.floats(min_value=0.0, max_value=3.0, allow_nan=False)


def caps(a: float = 1.0, reason: float | None = None) -> SpendCaps:
    """Return a cap for provider a and, if given, for the route ``reason``; all is recalled."""
    by_route = {} if reason is None else {REASON: reason}
    made = SpendCaps(CapSettings(by_provider={A: a}, by_route=by_route), day=10)
    made.recall({}, {})
    return made


def test_a_hundred_at_once_share_what_is_there() -> None:
    """Of a hundred that ask in the same moment so many start as the money pays for."""
    own, started = caps(1.0), 0
    for _ in range(100):
        if own.refusal(A, REASON, 0.03) is None:
            own.reserve(A, REASON, 0.03)
            started += 1
    assert started == 33
    for _ in range(started):
        own.settle(A, REASON, 0.03, 0.03)
    assert own.providers[A].spent_usd == pytest.approx(0.99)
    assert own.providers[A].reserved_usd == pytest.approx(0.0)


def test_who_has_no_cap_is_never_refused() -> None:
    """Another provider, another route, an attempt that is free, a price that nobody knows."""
    own = caps(0.0, reason=0.0)
    assert own.refusal(B, OTHER, 5.0) is None
    assert own.refusal(A, OTHER, 0.0) is None
    assert own.refusal(A, OTHER, None) is None
    assert own.refusal(A, OTHER, 0.01) is Gate.PROVIDER_SPEND_CAP
    assert own.refusal(B, REASON, 0.01) is Gate.ROUTE_SPEND_CAP
    assert own.refusal(B, None, 0.01) is None
    assert own.is_spent(A)
    assert not own.is_spent(B)


def test_a_lesser_model_fits_where_the_best_does_not() -> None:
    """What is left decides, not whether anything was refused."""
    own = caps(1.0)
    own.settle(A, REASON, 0.0, 0.95)
    assert own.refusal(A, REASON, 0.1) is Gate.PROVIDER_SPEND_CAP
    assert own.refusal(A, REASON, 0.01) is None


def test_midnight_gives_the_money_back_once() -> None:
    """A new day begins with nothing spent and what is under way reserved; a step back does not."""
    own = caps(1.0)
    own.reserve(A, REASON, 0.4)
    own.settle(A, REASON, 0.0, 0.6)
    assert own.refusal(A, REASON, 0.1) is Gate.PROVIDER_SPEND_CAP
    own.turn(11)
    assert (own.providers[A].spent_usd, own.providers[A].reserved_usd) == (0.0, 0.4)
    assert not own.providers[A].is_reached
    own.settle(A, REASON, 0.4, 0.5)
    own.turn(10)
    own.turn(11)
    assert own.providers[A].spent_usd == 0.5
    own.turn(3)
    assert (own.day, own.providers[A].spent_usd) == (3, 0.5)
    own.turn(4)
    assert own.providers[A].spent_usd == 0.0


def test_a_reload_keeps_what_was_spent() -> None:
    """A cap that is changed goes on counting, a new one is told, one that is gone is forgotten."""
    own = caps(1.0)
    own.settle(A, REASON, 0.0, 0.7)
    assert own.refusal(A, REASON, 0.5) is Gate.PROVIDER_SPEND_CAP
    own.adapt(CapSettings(by_provider={A: 2.0, B: 5.0}))
    own.recall({A: 100.0, B: 3.0}, {})
    assert own.providers[A].left_usd == pytest.approx(1.3)
    assert not own.providers[A].is_reached
    assert own.providers[B].left_usd == 2.0
    own.adapt(CapSettings(by_provider={A: 0.5}))
    assert own.providers[A].left_usd == 0.0
    assert B not in own.providers


def test_news_is_told_once() -> None:
    """A cap that was reached is told when it was, and when it is free again."""
    own = caps(1.0, reason=1.0)
    assert own.news() == []
    own.refusal(A, REASON, 2.0)
    own.refusal(A, REASON, 2.0)
    assert [(one.scope, one.name, one.is_reached) for one in own.news()] == [
        ("provider", "a", True)
    ]
    assert own.news() == []
    own.turn(11)
    assert [(one.scope, one.name, one.is_reached) for one in own.news()] == [
        ("provider", "a", False)
    ]
    own.refusal(B, REASON, 2.0)
    assert [(one.scope, one.name, one.usd_per_day) for one in own.news()] == [
        ("route", "reason", 1.0)
    ]
    own.adapt(CapSettings(by_provider={A: 1.0}))
    assert own.news() == []


class CapMachine(RuleBasedStateMachine):
    """Attempts begin and end in any order, at any price, while caps and days change."""

    def __init__(self) -> None:
        super().__init__()
        self.caps = caps(1.0, reason=2.0)
        self.under_way: list[tuple[ProviderName, float, float]] = []
        self.allowed = {"a": 1.0, "reason": 2.0}  # most of the day so far
        self.wrong = {"a": 0.0, "reason": 0.0}  # by which estimates were too low today

    @rule(provider=st.sampled_from([A, B]), estimate=USD, paid=USD)
    def begin(self, provider: ProviderName, estimate: float, paid: float) -> None:
        """Begin an attempt if there is room."""
        if self.caps.refusal(provider, REASON, estimate) is None:
            self.caps.reserve(provider, REASON, estimate)
            self.under_way.append((provider, estimate, paid))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """End one of them."""
        at = data.draw(st.integers(0, len(self.under_way) - 1))
        provider, estimate, paid = self.under_way.pop(at)
        self.caps.settle(provider, REASON, estimate, paid)
        over = max(0.0, paid - estimate)
        self.wrong["reason"] += over
        if provider == A:
            self.wrong["a"] += over

    @rule(a=st.floats(0.0, 4.0), reason=st.floats(0.0, 4.0))
    def reload(self, a: float, reason: float) -> None:
        """Change the caps."""
        self.caps.adapt(CapSettings(by_provider={A: a}, by_route={REASON: reason}))
        self.allowed = {
            "a": max(self.allowed["a"], a),
            "reason": max(self.allowed["reason"], reason),
        }

    @rule()
    def midnight(self) -> None:
        """Begin another day; attempts under way were allowed by the day before."""
        self.caps.turn(self.caps.day + 1)
        self.wrong = dict.fromkeys(self.wrong, 0.0)

    @invariant()
    def never_over(self) -> None:
        """Spent and reserved stay within the cap, but for what estimates were wrong by."""
        for name, cap in (("a", self.caps.providers[A]), ("reason", self.caps.routes[REASON])):
            assert cap.spent_usd <= self.allowed[name] + self.wrong[name] + 1e-6
            assert cap.spent_usd + cap.reserved_usd <= self.allowed[name] + self.wrong[name] + 1e-6

    @invariant()
    def reserved_is_what_is_under_way(self) -> None:
        """Nothing stays set aside for who has ended."""
        ours = sum(estimate for provider, estimate, _ in self.under_way if provider == A)
        assert self.caps.providers[A].reserved_usd == pytest.approx(ours, abs=1e-6)
        everyone = sum(estimate for _, estimate, _ in self.under_way)
        assert self.caps.routes[REASON].reserved_usd == pytest.approx(everyone, abs=1e-6)


CapMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCapMachine = CapMachine.TestCase
