"""Belief in a model's quality: scores move it, faults lower it, time wears it off."""

from __future__ import annotations

from math import nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.quality import Ages, QualityBook, QualitySettings
from sidecar.domain import EndpointId, RouteName

ROUTE = RouteName("classify")
MODEL = EndpointId("cluster/small")
OTHER = EndpointId("openai/gpt-4o")
WEEK_S = 7 * 86_400.0
SCORES = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 3.0)), max_size=30)


def book(prior: float = 0.8, settings: QualitySettings | None = None) -> QualityBook:
    """Return a book in which all models are configured with ``prior``."""
    return QualityBook(lambda _route, _model: prior, settings or QualitySettings())


def test_without_evidence_the_configured_quality_stands() -> None:
    """A prior of 0.8 counts as eight scores, and none of them is evidence."""
    belief = book().posterior(ROUTE, MODEL, 0.0)
    assert (belief.alpha, belief.beta, belief.n) == pytest.approx((6.4, 1.6, 0.0))
    assert belief.low < 0.8 < belief.high
    assert not book().has_evidence(ROUTE, MODEL)


def test_example_of_the_docstring() -> None:
    """Eight scores of 1 make 0.8 to 0.9; every tenth answer empty makes it 0.81."""
    seen = book(settings=QualitySettings(fault_doubt=0.0))
    for _ in range(8):
        seen.observe(ROUTE, MODEL, 1.0, 1.0, 0.0)
    belief = seen.posterior(ROUTE, MODEL, 0.0)
    assert (belief.mean, belief.n) == pytest.approx((0.9, 8.0))
    for number in range(1000):
        seen.judge(ROUTE, MODEL, float(number % 10 == 0), 0.0)
    assert seen.posterior(ROUTE, MODEL, 0.0).mean == pytest.approx(0.81, abs=1e-4)


@given(SCORES, st.floats(0.0, 1.0))
def test_mean_lies_between_prior_and_scores(
    scores: list[tuple[float, float]], prior: float
) -> None:
    """Whatever is observed, the belief is a proper one and no wilder than what it rests on."""
    seen = book(prior)
    for score, weight in scores:
        seen.observe(ROUTE, MODEL, score, weight, 0.0)
    belief = seen.posterior(ROUTE, MODEL, 0.0)
    known = [0.02, 0.98, *(score for score, _ in scores)]
    assert belief.alpha > 0.0
    assert belief.beta > 0.0
    assert min(known) - 1e-9 <= belief.mean <= max(known) + 1e-9
    assert belief.n == pytest.approx(sum(weight for _, weight in scores))
    assert 0.0 <= belief.low <= belief.high <= 1.0


@given(st.integers(0, 300))
def test_answers_without_fault_prove_nothing(count: int) -> None:
    """However many: neither the mean rises nor the interval narrows."""
    seen = book(0.6)
    for _ in range(count):
        seen.judge(ROUTE, MODEL, 0.0, 0.0)
    assert seen.posterior(ROUTE, MODEL, 0.0) == book(0.6).posterior(ROUTE, MODEL, 0.0)


def test_faults_weigh_at_once_even_against_many_scores() -> None:
    """A model that begins to refuse everything is believed to be bad within a few dozen calls."""
    seen = book()
    for _ in range(500):
        seen.observe(ROUTE, MODEL, 1.0, 1.0, 0.0)
    for _ in range(60):
        seen.judge(ROUTE, MODEL, 1.0, 0.0)
    assert seen.share_of_faults(ROUTE, MODEL, 0.0) == pytest.approx(0.75)
    assert seen.posterior(ROUTE, MODEL, 0.0).mean < 0.26


def test_evidence_fades_by_its_half_life() -> None:
    """After a week half of it counts, after years the configured quality is back."""
    seen = book()
    for _ in range(100):
        seen.observe(ROUTE, MODEL, 0.0, 1.0, 0.0)
    assert seen.posterior(ROUTE, MODEL, WEEK_S).n == pytest.approx(50.0)
    seen.observe(ROUTE, MODEL, 0.0, 10.0, WEEK_S)
    assert seen.posterior(ROUTE, MODEL, WEEK_S).n == pytest.approx(60.0)
    assert seen.posterior(ROUTE, MODEL, 100 * WEEK_S).mean == pytest.approx(0.8)


def test_a_clock_that_stands_or_goes_back_does_no_harm() -> None:
    """Evidence of before this clock's zero ages; evidence of the future does not grow."""
    seen = book()
    seen.observe(ROUTE, MODEL, 1.0, 4.0, -WEEK_S)
    assert seen.posterior(ROUTE, MODEL, 0.0).n == pytest.approx(2.0)
    assert seen.posterior(ROUTE, MODEL, -3 * WEEK_S).n == pytest.approx(4.0)


@given(st.floats(0.0, 1.0), st.floats(0.1, 2.0), st.floats(0.0, 4 * WEEK_S))
def test_retracting_leaves_what_was_before(score: float, weight: float, later: float) -> None:
    """The last feedback counts: what is taken back has left no trace, however old."""
    seen, before = book(), book()
    for one in (seen, before):
        one.observe(ROUTE, MODEL, 0.5, 3.0, 0.0)
    seen.observe(ROUTE, MODEL, score, weight, 0.0)
    seen.retract(ROUTE, MODEL, score, weight, Ages(at=0.0, now=later))
    was, now = before.posterior(ROUTE, MODEL, later), seen.posterior(ROUTE, MODEL, later)
    assert (now.alpha, now.beta) == pytest.approx((was.alpha, was.beta))


def test_taking_back_what_never_was_leaves_a_proper_belief() -> None:
    """More than there is cannot be taken."""
    seen = book()
    seen.retract(ROUTE, MODEL, 1.0, 5.0, Ages(at=0.0, now=0.0))
    seen.absolve(ROUTE, MODEL, 1.0, Ages(at=0.0, now=0.0))
    seen.observe(ROUTE, MODEL, 0.0, 1.0, 0.0)
    seen.retract(ROUTE, MODEL, 1.0, 5.0, Ages(at=0.0, now=0.0))
    seen.judge(ROUTE, MODEL, 0.0, 0.0)
    seen.absolve(ROUTE, MODEL, 1.0, Ages(at=0.0, now=0.0))
    belief = seen.posterior(ROUTE, MODEL, 0.0)
    assert (belief.alpha, belief.n) == pytest.approx((6.4, 0.0))


def test_an_absolved_fault_no_longer_counts() -> None:
    """Somebody who knows says that the cut answer was good."""
    seen = book()
    seen.judge(ROUTE, MODEL, 1.0, 0.0)
    assert seen.posterior(ROUTE, MODEL, 0.0).mean < 0.8
    seen.absolve(ROUTE, MODEL, 1.0, Ages(at=0.0, now=3600.0))
    assert seen.posterior(ROUTE, MODEL, 3600.0).mean == pytest.approx(0.8)


def test_evidence_is_bounded() -> None:
    """A flood of scores counts as so many as the settings say, and the mean is theirs."""
    seen = book(settings=QualitySettings(evidence_max=100.0))
    for _ in range(1000):
        seen.observe(ROUTE, MODEL, 0.25, 1.0, 0.0)
    belief = seen.posterior(ROUTE, MODEL, 0.0)
    assert belief.n == pytest.approx(100.0)
    assert belief.mean == pytest.approx((6.4 + 25.0) / 108.0)


def test_pairs_are_bounded_and_the_silent_go_first() -> None:
    """Who was heard of for the longest time makes room, restored ones too."""
    seen = book(settings=QualitySettings(pairs_max=2))
    for model in (MODEL, OTHER, MODEL):
        seen.observe(ROUTE, model, 1.0, 1.0, 0.0)
    seen.observe(ROUTE, EndpointId("a/third"), 1.0, 1.0, 0.0)
    assert seen.has_evidence(ROUTE, MODEL)
    assert not seen.has_evidence(ROUTE, OTHER)
    kept = book(settings=QualitySettings(pairs_max=2))
    for route, model, evidence in seen.export():
        kept.restore(route, model, evidence, 0.0)
    assert kept.posterior(ROUTE, MODEL, 0.0) == seen.posterior(ROUTE, MODEL, 0.0)


@pytest.mark.parametrize(
    ("score", "weight"), [(nan, 1.0), (-0.1, 1.0), (1.1, 1.0), (0.5, nan), (0.5, -1.0)]
)
def test_nonsense_is_refused(score: float, weight: float) -> None:
    """A number that means nothing never enters the sums."""
    seen = book()
    with pytest.raises(ValueError, match="is a"):
        seen.observe(ROUTE, MODEL, score, weight, 0.0)
    assert not seen.has_evidence(ROUTE, MODEL)


def test_samples_are_drawn_from_the_belief() -> None:
    """95 of 100 draws lie within the 95 % interval, and the same seed draws the same."""
    seen = book()
    seen.observe(ROUTE, MODEL, 0.5, 20.0, 0.0)
    belief = seen.posterior(ROUTE, MODEL, 0.0)
    low, high = belief.low, belief.high
    rng = Random(7)
    draws = [belief.sample(rng) for _ in range(4000)]
    assert sum(low <= one <= high for one in draws) == pytest.approx(3800, abs=60)
    assert belief.sample(Random(7)) == draws[0]
