"""What an answer itself shows, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.domain import EndpointId, OutcomeClass, RouteName
from sidecar.quality import signals
from sidecar.quality.signals import Sign, Signals
from tests.ledger.events import BIG, SMALL, attempt, call, outcome

REASON = RouteName("reason")
AGAIN = Sign(route=REASON, endpoint=BIG, kind="repeated", fault=0.3, call_id="c1", count=0)


@pytest.mark.parametrize(
    ("flaw", "fault"), [("refused", 1.0), ("empty", 1.0), ("invalid", 1.0), ("truncated", 0.5)]
)
def test_each_flaw_has_its_weight(flaw: str, fault: float) -> None:
    """Half an answer may be of use; none, a refusal or what is no JSON is not."""
    event = replace(call("c"), flaw=flaw)
    expected = Sign(route=REASON, endpoint=BIG, kind=flaw, fault=fault, call_id="c")
    assert Signals().of_call(event) == expected


def test_nothing_wrong_is_no_sign() -> None:
    """Nor is a flaw of an answer that no model gave."""
    assert Signals().of_call(call("c")) is None
    assert Signals().of_call(replace(call("c", endpoint=None), flaw="empty")) is None


@pytest.mark.parametrize("cls", list(OutcomeClass))
def test_of_failed_attempts_only_unusable_answers_count(cls: OutcomeClass) -> None:
    """A 500 says nothing of a model's answers; an answer of no use does."""
    sign = Signals().of_attempt(attempt("c", outcome(SMALL, cls)))
    if cls is OutcomeClass.DEGENERATE:
        assert sign == Sign(route=REASON, endpoint=SMALL, kind="unusable", fault=1.0, call_id="c")
    else:
        assert sign is None


@pytest.mark.parametrize(
    ("waited_s", "question", "route", "shown"),
    [
        (10.0, 7, "reason", AGAIN),
        (600.0, 7, "reason", AGAIN),
        (601.0, 7, "reason", None),  # another day's question
        (1.9, 7, "reason", None),  # several samples of one answer
        (-2.0, 7, "reason", None),  # under way together
        (10.0, 8, "reason", None),
        (10.0, None, "reason", None),
        (10.0, 7, "other", None),
    ],
)
def test_asking_again_speaks_against_the_answer_before(
    waited_s: float, question: int | None, route: str, shown: Sign | None
) -> None:
    """The same question, on the same route, after reading, not a day later."""
    heard = Signals()
    assert heard.again(replace(call("c1", at=100.0), question=7)) is None
    again = call("c2", at=100.0 + waited_s + 3.0, endpoint=SMALL, route=route)
    assert heard.again(replace(again, question=question)) == shown


def test_questions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten."""
    monkeypatch.setattr(signals, "QUESTIONS_MAX", 2)
    heard = Signals()
    for number in (1, 2, 3):
        heard.again(replace(call(f"c{number}", at=100.0), question=number))
    later = call("d", at=120.0, endpoint=EndpointId("c/d"))
    assert heard.again(replace(later, question=3)) is not None
    assert heard.again(replace(later, question=1)) is None
