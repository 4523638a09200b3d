"""When a model on trial is rolled back, and what brings it back."""

from __future__ import annotations

import pytest

from sidecar.core.canary import CanaryBook, CanarySettings
from sidecar.core.quality import Posterior
from sidecar.domain import EndpointId, Outcome, OutcomeClass, RouteName
from sidecar.simulate.learning import trials
from sidecar.simulate.learning.trials import TRIALS, verdicts

ROUTE, OLD, OTHER, NEW = RouteName("r"), *(EndpointId(f"p/{n}") for n in ("old", "other", "new"))
DAY_S = 86_400.0


def attempt(endpoint: EndpointId, cls: OutcomeClass, now: float = 0.0) -> Outcome:
    """Return an attempt that ended."""
    return Outcome(cls=cls, endpoint=endpoint, message="", started_at=now, ended_at=now)


def seen(book: CanaryBook, endpoint: EndpointId, good: int, bad: int, now: float = 0.0) -> None:
    """Let ``book`` see so many attempts."""
    for cls, count in ((OutcomeClass.OK, good), (OutcomeClass.S5, bad)):
        for _ in range(count):
            book.observe(ROUTE, attempt(endpoint, cls, now))


def unknown(_: EndpointId) -> Posterior:
    """Return a belief without scores."""
    return Posterior(alpha=4.0, beta=4.0, n=0.0)


@pytest.mark.parametrize(
    ("old", "new", "is_out"),
    [
        ((100, 0), (0, 2), False),  # an accident
        ((100, 0), (0, 3), True),
        ((100, 1), (100, 1), False),
        ((1000, 10), (150, 50), True),
        ((50, 50), (5, 5), False),  # both suffer
        ((0, 0), (0, 10), False),  # nobody to compare with
    ],
)
def test_health(old: tuple[int, int], new: tuple[int, int], *, is_out: bool) -> None:
    """Out is whose interval of good attempts lies below the incumbent's."""
    book = CanaryBook()
    seen(book, OLD, *old)
    seen(book, NEW, *new)
    rollback = book.judge(ROUTE, NEW, (OLD, OTHER), unknown, 1.0)
    assert (rollback is not None) is is_out
    assert book.is_stopped(ROUTE, NEW) is is_out
    assert rollback is None or (rollback.reason, rollback.incumbent) == ("health", OLD)


@pytest.mark.parametrize(
    ("cls", "is_bad"),
    [
        (OutcomeClass.CALLER, None),
        (OutcomeClass.CANCEL, None),
        (OutcomeClass.RATE, None),
        (OutcomeClass.AUTH, True),
        (OutcomeClass.GONE, True),
        (OutcomeClass.HANG, True),
        (OutcomeClass.DEGENERATE, True),
        (OutcomeClass.OK, False),
    ],
)
def test_what_counts(cls: OutcomeClass, *, is_bad: bool | None) -> None:
    """Faults of the caller's say nothing; a key or a model that does not exist is a failure."""
    book = CanaryBook()
    before = book.health(ROUTE, NEW, 0.0)
    assert book.observe(ROUTE, attempt(NEW, cls)) is (is_bad or False)
    after = book.health(ROUTE, NEW, 0.0)
    assert (after == before) is (is_bad is None)


@pytest.mark.parametrize(
    ("old", "new", "tolerance", "is_out"),
    [
        ((90, 100), (50, 100), 0.0, True),
        ((90, 100), (80, 100), 0.0, False),
        ((900, 1000), (800, 1000), 0.0, True),
        ((900, 1000), (800, 1000), 0.1, False),
        ((90, 100), (0, 9), 0.0, False),  # too few scores
        ((4, 5), (10, 100), 0.0, False),  # too few of the incumbent
    ],
)
def test_quality(
    old: tuple[int, int], new: tuple[int, int], tolerance: float, *, is_out: bool
) -> None:
    """Out is whose quality is believed to lie below, by more than is tolerated."""
    book = CanaryBook(CanarySettings(tolerance=tolerance))
    seen(book, OLD, 10, 0)

    def believed(name: EndpointId) -> Posterior:
        good, count = old if name == OLD else new
        return Posterior(alpha=good + 1.0, beta=count - good + 1.0, n=count)

    rollback = book.judge(ROUTE, NEW, (OLD,), believed, 1.0)
    assert (rollback is not None and rollback.reason == "quality") is is_out


def test_flaws_that_are_seen_late_count_as_failures() -> None:
    """An answer that seemed well and was of no use is moved, not added."""
    book = CanaryBook()
    seen(book, OLD, 1000, 0)
    seen(book, NEW, 10, 0)
    for _ in range(10):
        book.flawed(ROUTE, NEW, 1.0, 0.0)
    assert book.judge(ROUTE, NEW, (OLD,), unknown, 1.0) is not None


def test_old_attempts_fade() -> None:
    """A bad hour is forgotten in a week or two, if the model was not out by then."""
    book = CanaryBook()
    seen(book, NEW, 0, 100)
    assert book.health(ROUTE, NEW, 0.0)[1] < 0.1
    assert book.health(ROUTE, NEW, 14 * DAY_S)[1] > 0.9


def test_only_another_configuration_or_an_operator_brings_it_back() -> None:
    """Time, other models and other routes do not; what comes back has a clean slate."""
    book = CanaryBook()
    book.configured({(ROUTE, NEW): "first"})
    seen(book, OLD, 100, 0)
    seen(book, NEW, 0, 10)
    assert book.judge(ROUTE, NEW, (OLD,), unknown, 1.0) is not None
    assert book.judge(ROUTE, NEW, (OLD,), unknown, 2.0) is None  # told once
    assert book.configured({(ROUTE, NEW): "first", (ROUTE, OTHER): "another"}) == []
    assert book.is_stopped(ROUTE, NEW)
    ((route, name, identity, rollback),) = book.stopped()
    assert (route, name, identity) == (ROUTE, NEW, "first")
    assert book.configured({(ROUTE, NEW): "second"}) == [(ROUTE, NEW)]
    assert not book.is_stopped(ROUTE, NEW)
    assert book.judge(ROUTE, NEW, (OLD,), unknown, 3.0) is None
    book.stop(ROUTE, NEW, "second", rollback)
    assert book.is_stopped(ROUTE, NEW)
    assert book.restore(ROUTE, NEW)
    assert not book.restore(ROUTE, NEW)


def test_a_good_newcomer_stays_and_bad_ones_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict is asked hundreds of times and is still no gamble."""
    monkeypatch.setattr(trials, "DAYS", 6)
    by_name = {trial.name: trial for trial in TRIALS}
    kept = verdicts(by_name["as good as the incumbent"], 1)
    assert [one.day for one in kept] == [None]
    gone = verdicts(by_name["much worse: quality 0.50"], 2)
    assert all(one.day is not None and one.day < 5 for one in gone)
    gone = verdicts(by_name["fails all"], 5)
    assert all(one.calls < 10 for one in gone)
