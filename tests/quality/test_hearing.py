"""Who is believed when: feedback over grades over signs, each call once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sidecar import clock
from sidecar.core.quality import QualityBook
from sidecar.domain import EndpointId, RouteName
from sidecar.ledger.records import FEEDBACK, GRADE, CallHead, EvidenceRow, Remembered, ScoreGiven
from sidecar.quality import hearing as module
from sidecar.quality.hearing import ALL, CHANCE, Hearing
from tests.ledger.events import BIG, call

REASON = RouteName("reason")


def hearing() -> Hearing:
    """Return one before which all models are configured with a half."""
    return Hearing(QualityBook(lambda _route, _model: 0.5))


def head(name: str = "c1", endpoint: str | None = BIG, route: str = "reason") -> CallHead:
    """Return a call that ended."""
    return CallHead(
        call_id=name,
        at=0.0,
        route=route,
        endpoint=endpoint,
        result="ok",
        is_failed=False,
        is_degraded=False,
        duration_s=1.0,
    )


def given(score: float, source: str = FEEDBACK, name: str = "c1", at: float = 0.0) -> ScoreGiven:
    """Return a score of ``name``."""
    return ScoreGiven(at=at, call_id=name, route="reason", endpoint=BIG, score=score, source=source)


def sums(heard: Hearing) -> tuple[float, float, float]:
    """Return what was scored, at which weight, and how many faults."""
    found = heard.book.evidence(REASON, BIG)
    return (0.0, 0.0, 0.0) if found is None else (found.scored, found.weight, found.faulty)


def test_a_grade_gives_way_to_feedback_and_not_the_other_way() -> None:
    """Whoever had the answer knows better than a model with a rubric."""
    heard = hearing()
    call_ = Remembered(head=head())
    assert heard.score(given(1.0, GRADE), call_).is_counted
    assert sums(heard) == (0.5, 0.5, 0.0)
    assert heard.score(given(0.0), call_).is_replacing
    assert sums(heard) == (0.0, 1.0, 0.0)
    assert not heard.score(given(1.0, GRADE), call_).is_counted
    assert sums(heard) == (0.0, 1.0, 0.0)
    assert dict(heard.heard) == {"grade": 1, "replaced": 1, "uncounted": 1}


def test_feedback_replaces_the_fault_that_was_seen() -> None:
    """Once: the second word on the same call has no fault to take back."""
    heard = hearing()
    for _ in range(2):
        heard.hear(replace(call("c1"), flaw="truncated"))
    flawed = Remembered(head=head(), flaw="truncated")
    heard.score(given(1.0, at=10.0), flawed)
    assert sums(heard) == (1.0, 1.0, 0.5)
    heard.score(given(0.0, at=10.0), flawed)
    assert sums(heard) == (0.0, 1.0, 0.5)


@pytest.mark.parametrize(
    "call_", [head(endpoint=None), head(route="(passed)"), head(route="(grader reason)")]
)
def test_what_no_model_of_a_route_answered_is_not_counted(call_: CallHead) -> None:
    """Static answers, what was passed on, and our own questions."""
    heard = hearing()
    assert not heard.score(given(1.0), Remembered(head=call_)).is_counted
    assert sums(heard) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("result", ["cancelled", "upstream_interrupted", "passed", "shed"])
def test_what_is_no_answer_shows_nothing(result: str) -> None:
    """Failures are a matter of availability, callers who leave of nothing."""
    heard = hearing()
    heard.hear(replace(call("c1", result=result), flaw="empty"))
    heard.settle(10.0)
    assert not list(heard.book.export())


def test_answers_without_fault_are_counted_all_at_once() -> None:
    """They make one fault among many a small one."""
    heard = hearing()
    for _ in range(79):
        heard.hear(call("c1"))
    heard.hear(replace(call("c1", result="degraded"), flaw="refused"))
    assert heard.book.share_of_faults(REASON, BIG, 10.0) == pytest.approx(1 / 21)
    heard.settle(10.0)
    heard.settle(10.0)
    assert heard.book.share_of_faults(REASON, BIG, 10.0) == pytest.approx(0.01)
    assert dict(heard.faults) == {("reason", BIG, "refused"): 1}


def test_our_own_questions_are_not_judged() -> None:
    """A grader's short answers say nothing of its model as an answerer."""
    heard = hearing()
    heard.hear(replace(call("c1", route="(grader reason)"), flaw="empty"))
    heard.hear(call("c2", route="(grader reason)"))
    heard.settle(10.0)
    assert not list(heard.book.export())


def test_drawn_calls_are_kept_apart_too() -> None:
    """What a model got by chance counts with all, and once more where nothing else is."""
    heard = hearing()
    heard.score(given(1.0), Remembered(head=head(), kinds=frozenset({"first", "explored"})))
    heard.score(given(0.0, name="c2"), Remembered(head=head("c2"), kinds=frozenset({"first"})))
    assert heard.book.posterior(REASON, BIG, 0.0).n == 2.0
    assert heard.chance.posterior(REASON, BIG, 0.0).n == 1.0


@pytest.mark.parametrize("is_scored_first", [True, False])
def test_feedback_outweighs_that_the_question_was_asked_again(*, is_scored_first: bool) -> None:
    """Before or after: once somebody said what the answer was worth, nothing is guessed."""
    heard = hearing()
    first, again = call("c1", at=10.0), call("c2", at=30.0)
    heard.hear(replace(first, question=7))
    if is_scored_first:
        heard.score(given(1.0, at=11.0), Remembered(head=head()))
    heard.hear(replace(again, question=7))
    heard.settle(30.0)
    if not is_scored_first:
        assert sums(heard)[2] == pytest.approx(0.3, abs=1e-3)
        heard.score(given(1.0, at=31.0), Remembered(head=head()))
    assert sums(heard) == pytest.approx((1.0, 1.0, 0.0), abs=1e-3)


def test_the_last_word_from_the_file_is_replaced_at_its_age() -> None:
    """A score of a process before is taken back as far as it still counts."""

    async def replaced() -> tuple[float, float, float]:
        heard = hearing()
        at = clock.wall()
        row = EvidenceRow(
            route=REASON,
            endpoint=BIG,
            arm=ALL,
            scored=5.0,
            weight=10.0,
            faulty=0.0,
            judged=0.0,
            at=at,
        )
        heard.restore([row], at)
        before = replace(given(1.0), at=at)
        later = given(0.0, at=clock.now())
        heard.score(later, Remembered(head=head(), given=before))
        return sums(heard)

    assert asyncio.run(replaced()) == pytest.approx((4.0, 10.0, 0.0), abs=1e-3)


def test_evidence_goes_and_comes_back() -> None:
    """What changed is told once; restored it is the same, and adds to what was heard since."""

    async def twice() -> tuple[list[str], int, float, float]:
        first, second = hearing(), hearing()
        drawn = Remembered(head=head(), kinds=frozenset({"shadow"}))
        first.score(given(1.0, at=clock.now()), drawn)
        wall = clock.wall()
        rows = list(first.changed(wall))
        second.score(given(1.0, name="c9", at=clock.now()), Remembered(head=head("c9")))
        second.restore(rows, wall)
        now = clock.now()
        return (
            [row.arm for row in rows],
            len(list(first.changed(wall))),
            second.book.posterior(REASON, BIG, now).n,
            second.chance.posterior(REASON, BIG, now).n,
        )

    arms, left, every, chance = asyncio.run(twice())
    assert (arms, left) == ([ALL, CHANCE], 0)
    assert (every, chance) == pytest.approx((2.0, 1.0), abs=1e-6)


def test_who_was_scored_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that was scored first is forgotten; then its next score counts anew."""
    monkeypatch.setattr(module, "GIVEN_MAX", 2)
    heard = hearing()
    for name in ("c1", "c2", "c3"):
        heard.score(given(1.0, name=name), Remembered(head=head(name)))
    assert not heard.score(given(1.0), Remembered(head=head())).is_replacing
    assert heard.score(given(1.0, name="c3"), Remembered(head=head("c3"))).is_replacing


def test_another_configuration_is_the_prior_of_both_books() -> None:
    """After a reload the new configured quality is what evidence adds to."""
    heard = hearing()
    heard.book.prior_of = lambda _route, _model: 0.9
    unknown = EndpointId("a/new")
    assert heard.book.posterior(REASON, unknown, 0.0).mean == pytest.approx(0.9)
    assert heard.chance.posterior(REASON, unknown, 0.0).mean == pytest.approx(0.9)


def test_the_grade_of_a_copy_counts_for_who_answered_it() -> None:
    """A shadow's answer has no call of its own; it was drawn by lot, so it counts as chance too."""

    async def main() -> None:
        heard = hearing()
        heard.graded(REASON, EndpointId("a/shadow"), 0.8)
        for book in (heard.book, heard.chance):
            found = book.evidence(REASON, EndpointId("a/shadow"))
            assert found is not None
            assert (found.scored, found.weight) == (0.4, 0.5)
        assert sums(heard) == (0.0, 0.0, 0.0)
        arms = {(row.endpoint, row.arm) for row in heard.changed(0.0)}
        assert arms == {("a/shadow", ALL), ("a/shadow", CHANCE)}

    asyncio.run(main())
