"""What an answer itself shows, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.domain import EndpointId, OutcomeClass, RouteName
from sidecar.quality import signals
from sidecar.quality.signals import Sign, Signals
from tests.ledger.events import BIG, SMALL, attempt, call, outcome

REASON = RouteName("reason")
CLEAN = Sign(route=REASON, endpoint=BIG, kind=None, fault=0.0)
AGAIN = Sign(route=REASON, endpoint=BIG, kind="repeated", fault=0.3, is_new=False)


@pytest.mark.parametrize(
    ("flaw", "fault"),
    [(None, 0.0), ("refused", 1.0), ("empty", 1.0), ("invalid", 1.0), ("truncated", 0.5)],
)
def test_each_flaw_has_its_weight(flaw: str | None, fault: float) -> None:
    """Half an answer may be of use; none, a refusal or what is no JSON is not."""
    event = replace(call("c"), flaw=flaw)
    assert Signals().of_call(event) == (replace(CLEAN, kind=flaw, fault=fault),)


@pytest.mark.parametrize("result", ["cancelled", "upstream_interrupted", "passed", "shed"])
def test_what_is_no_answer_shows_nothing(result: str) -> None:
    """Failures are a matter of availability, callers who leave of nothing."""
    assert Signals().of_call(call("c", result=result)) == ()


def test_static_answers_are_nobodys() -> None:
    """No model answered."""
    assert Signals().of_call(call("c", result="degraded", endpoint=None)) == ()


@pytest.mark.parametrize("cls", list(OutcomeClass))
def test_of_failed_attempts_only_unusable_answers_count(cls: OutcomeClass) -> None:
    """A 500 says nothing of a model's answers; an answer of no use does."""
    sign = Signals().of_attempt(attempt("c", outcome(SMALL, cls)))
    if cls is OutcomeClass.DEGENERATE:
        assert sign == Sign(route=REASON, endpoint=SMALL, kind="unusable", fault=1.0)
    else:
        assert sign is None


@pytest.mark.parametrize(
    ("waited_s", "question", "route", "shown"),
    [
        (10.0, 7, "reason", (AGAIN,)),
        (600.0, 7, "reason", (AGAIN,)),
        (601.0, 7, "reason", ()),  # another day's question
        (1.9, 7, "reason", ()),  # several samples of one answer
        (-2.0, 7, "reason", ()),  # under way together
        (10.0, 8, "reason", ()),
        (10.0, None, "reason", ()),
        (10.0, 7, "other", ()),
    ],
)
def test_asking_again_speaks_against_the_answer_before(
    waited_s: float, question: int | None, route: str, shown: tuple[Sign, ...]
) -> None:
    """The same question, on the same route, after reading, not a day later."""
    heard = Signals()
    heard.of_call(replace(call("c1", at=100.0), question=7))
    again = call("c2", at=100.0 + waited_s + 3.0, endpoint=SMALL, route=route)
    own, *before = heard.of_call(replace(again, question=question))
    assert own.endpoint == SMALL
    assert tuple(before) == shown


def test_questions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten."""
    monkeypatch.setattr(signals, "QUESTIONS_MAX", 2)
    heard = Signals()
    for number in (1, 2, 3):
        heard.of_call(replace(call(f"c{number}", at=100.0), question=number))
    repeats = [
        len(heard.of_call(replace(call("d", at=120.0, endpoint=EndpointId("c/d")), question=one)))
        for one in (3, 1)
    ]
    assert repeats == [2, 1]
