"""Earned tries: who answers now and then is asked on, who is down is left alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.life import Life, LifeSettings

NUMBERS = LifeSettings()


def failing() -> Life:
    """An endpoint whose first failure came at 100.0."""
    life = Life(NUMBERS)
    life.failed(100.0, is_paid=False)
    return life


def alive() -> Life:
    """An endpoint that failed at 100.0 and answered at 101.0."""
    life = failing()
    life.answered(101.0, began_at=100.5, is_usual=True)
    return life


def test_what_was_well_has_earned_nothing() -> None:
    """Who falls over has no tries, however often it answered before."""
    life = Life(NUMBERS)
    assert not life.is_watched
    life.failed(100.0, is_paid=False)
    assert not life.may_try(100.0)


def test_an_answer_earns_ten_tries_and_each_costs_one() -> None:
    """Taken one by one they are used up; without another answer nothing more goes through."""
    life = alive()
    for _ in range(NUMBERS.tries_per_answer):
        assert life.may_try(102.0)
        life.take()
        life.failed(102.0, is_paid=True)
    assert not life.may_try(102.0)
    with pytest.raises(AssertionError, match="not earned"):
        life.take()


def test_an_answer_of_better_times_earns_nothing() -> None:
    """What was under way when the failures began ends well and tells of the time before."""
    life = failing()
    life.answered(105.0, began_at=99.9, is_usual=True)
    assert not life.may_try(105.0)
    life.answered(106.0, began_at=100.0, is_usual=True)
    assert life.may_try(106.0)


def test_tries_go_stale() -> None:
    """An answer of two minutes ago says nothing."""
    life = alive()
    assert life.may_try(101.0 + NUMBERS.fresh_s - 0.1)
    assert not life.may_try(101.0 + NUMBERS.fresh_s)


@pytest.mark.parametrize("is_usual", [True, False])
def test_only_calls_through_a_closed_gate_end_the_watch(is_usual: bool) -> None:
    """Ten answers in a row end it, but not past the gate: there the next tries must be earned."""
    life = failing()
    for number in range(NUMBERS.well_after):
        life.answered(101.0 + number, began_at=101.0, is_usual=is_usual)
    assert life.is_watched is not is_usual
    assert life.may_try(112.0), "what was earned may be used"


def test_a_stated_time_is_obeyed_whatever_was_answered() -> None:
    """503 with Retry-After shuts the gate for so long, five minutes at most."""
    life = alive()
    life.failed(102.0, is_paid=False, stated_s=40.0)
    life.answered(110.0, began_at=103.0, is_usual=True)
    life.failed(111.0, is_paid=False, stated_s=1.0)
    assert life.is_told(141.9)
    assert not life.may_try(141.9)
    assert not life.may_hurry(141.9)
    assert life.may_try(142.0)
    life.failed(150.0, is_paid=False, stated_s=1e9)
    assert not life.is_told(150.0 + NUMBERS.stated_s_max)


def test_trials_are_made_due_now_and_then() -> None:
    """Not with each answer: the probes that follow cost money."""
    life = alive()
    at = [tenth / 10 for tenth in range(1010, 1210) if life.may_hurry(tenth / 10)]
    assert at == [101.0, 106.0, 111.0, 116.0]


STEPS = st.lists(
    st.tuples(st.sampled_from(["fail", "answer", "old", "take"]), st.floats(0.0, 70.0)),
    max_size=60,
)


@settings(max_examples=150, derandomize=True)
@given(STEPS)
def test_agrees_with_a_naive_account(steps: list[tuple[str, float]]) -> None:
    """Over any run: at most ten tries an answer, thirty in hand, none without a fresh answer."""
    life = failing()
    now, tries, answered_at = 100.0, 0, 0.0
    for kind, wait_s in steps:
        now += wait_s
        if kind == "fail":
            life.failed(now, is_paid=False)
            tries = max(0, tries - 1)
        elif kind == "answer":
            life.answered(now, began_at=100.0, is_usual=False)
            tries, answered_at = min(30, tries + 10), now
        elif kind == "old":
            life.answered(now, began_at=99.0, is_usual=False)
        elif life.may_try(now):
            life.take()
            tries -= 1
        assert life.may_try(now) == (tries > 0 and now - answered_at < 120.0)


@pytest.mark.parametrize(("share", "least"), [(0.2, 0.85), (0.5, 0.99), (0.0, 0.0)])
def test_who_answers_more_than_one_in_ten_is_asked_by_everybody(share: float, least: float) -> None:
    """The flow of tries holds itself up from one answer on; without answers it ends at once."""
    rng = random.Random(7)
    life = alive()
    passed = 0
    for number in range(2000):
        now = 101.0 + number * 0.02  # fifty calls a second
        is_rationed = number % 100 == 0
        if life.may_try(now):
            life.take()
        elif not is_rationed:
            continue
        passed += 1
        if rng.random() < share:
            life.answered(now, began_at=now, is_usual=False)
        else:
            life.failed(now, is_paid=True)
    assert passed >= least * 2000
    if share == 0.0:
        assert passed <= NUMBERS.tries_per_answer + 20
