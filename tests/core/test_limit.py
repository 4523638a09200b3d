"""The concurrency limit."""

from __future__ import annotations

import random
from collections import deque

import pytest

from sidecar.core.limit import CALLS_MAX, ConcurrencyLimit, LimitSettings, Started


def limit_with(inflight: int, settings: LimitSettings | None = None) -> ConcurrencyLimit:
    """Return a limit with ``inflight`` places taken, after many calls without a refusal."""
    limit = ConcurrencyLimit(settings or LimitSettings(limit_max=8.0))
    for _ in range(600):
        call(limit)
        limit.release()
    for _ in range(inflight):
        assert limit.try_acquire(0.0)
    return limit


def call(limit: ConcurrencyLimit, now: float = 0.0) -> Started:
    """Start a call for which there is room."""
    assert limit.try_acquire(now)
    return Started(at=now, level=limit.inflight, number=limit.started)


def overload(limit: ConcurrencyLimit, admitted_at: float, now: float) -> None:
    """Refuse one call more than ever were served at once."""
    limit.refuse(Started(at=admitted_at, level=1024, number=0), now)


def test_refuses_when_full() -> None:
    """The ninth call is refused at a limit of eight, until one ends."""
    limit = limit_with(8)
    assert not limit.try_acquire(0.0)
    limit.release()
    assert limit.try_acquire(0.0)


def test_grows_by_one_a_round_trip() -> None:
    """Successes of a full limit raise it by about one a round trip, up to its maximum."""
    limit = limit_with(7, LimitSettings(limit_max=9.5))
    overload(limit, 0.0, 1.0)
    limit.value = 8.0
    for _ in range(8):
        limit.grow()
    assert limit.value == pytest.approx(9.0, abs=0.1)
    for _ in range(8):
        limit.grow()
    assert limit.value == 9.5


def test_unused_limit_does_not_grow() -> None:
    """A success while the limit is hardly used proves nothing."""
    limit = limit_with(3, LimitSettings(limit_max=20.0))
    overload(limit, 0.0, 1.0)
    cut = limit.value
    limit.grow()
    assert limit.value == cut


def test_smallest_limit_can_grow() -> None:
    """A limit cut to one grows again, though its only call has left when it succeeds."""
    limit = limit_with(0, LimitSettings(cut_least=1.0))
    overload(limit, 0.0, 1.0)
    assert limit.value == 1.0
    limit.grow()
    assert limit.value == 2.0


def test_no_limit_without_a_sign_of_overload() -> None:
    """A thousand calls may be under way at a provider that never complained."""
    limit = limit_with(1000, LimitSettings())
    assert limit.try_acquire(0.0)


def test_first_cut_counts_from_what_is_in_use() -> None:
    """The first overload at 100 calls under way leaves 70; in an idle minute it leaves 5.6."""
    busy = limit_with(99, LimitSettings())
    overload(busy, 0.0, 1.0)
    assert busy.value == pytest.approx(70.0)
    idle = limit_with(2, LimitSettings())
    overload(idle, 0.0, 1.0)
    assert idle.value == pytest.approx(5.6)


def test_one_cut_an_epoch() -> None:
    """Calls admitted before the last cut do not cut again."""
    limit = limit_with(0)
    overload(limit, 0.0, 10.0)
    assert limit.value == pytest.approx(5.6)
    overload(limit, 9.0, 11.0)
    overload(limit, 10.0, 11.0)
    assert limit.value == pytest.approx(5.6)
    overload(limit, 10.1, 12.0)
    assert limit.value == pytest.approx(3.92)


def test_never_below_one() -> None:
    """However often it is cut, one call may go."""
    limit = limit_with(0)
    for now in range(20):
        overload(limit, float(now), now + 0.5)
    assert limit.value == 1.0
    assert limit.try_acquire(30.0)


def test_release_without_acquire_is_a_bug() -> None:
    """A place given back twice is a programmer's error, not a larger limit."""
    with pytest.raises(AssertionError):
        limit_with(0).release()


def test_first_call_too_many_is_the_sign() -> None:
    """Ten are served at once, the eleventh is refused: that is the load."""
    limit = limit_with(10, LimitSettings())
    eleventh = call(limit, 1.0)
    limit.release()
    limit.refuse(eleventh, 1.1)
    assert limit.value == pytest.approx(7.7)


def test_refused_beside_many_served_is_none() -> None:
    """One of many that started at the same level says nothing of the level; a fifth does."""
    limit = limit_with(19, LimitSettings())
    for _ in range(CALLS_MAX):
        call(limit, 1.0)
        limit.release()
    count = 0
    while limit.value == 1024.0:
        one = call(limit, 2.0)
        limit.release()
        limit.refuse(one, 2.1)
        count += 1
    assert CALLS_MAX / 8 <= count <= CALLS_MAX / 3


def test_a_429_cuts_only_above_what_is_served() -> None:
    """A rate is the account's business; a bound of calls at once shows where none was served."""
    limit = limit_with(5, LimitSettings())
    call(limit)
    for number in range(50):
        limit.release()
        limit.refuse(call(limit, 1.0 + number), 1.5 + number, is_rate=True)
    assert limit.cut_at is None
    limit = limit_with(5, LimitSettings())
    sixth = call(limit, 1.0)
    limit.release()
    limit.refuse(sixth, 1.1, is_rate=True)
    assert limit.cut_at == 1.1


def test_late_refusal_of_a_forgotten_call() -> None:
    """Of a call whose start is no longer remembered the refusal alone counts."""
    limit = limit_with(30, LimitSettings())
    old = call(limit, 1.0)
    for _ in range(2 * CALLS_MAX):
        call(limit, 1.0)
    limit.release()
    limit.refuse(old, 20.0)
    assert limit.cut_at is None, "more were served beside it"


class Provider:
    """Refuses at once at random, and what is more than it bears; serves the rest in a round."""

    def __init__(self, seed: int, *, share: float, bears: int) -> None:
        self.rng = random.Random(seed)
        self.share, self.bears = share, bears
        self.limit = ConcurrencyLimit(LimitSettings())
        self.under_way: deque[None] = deque()
        self.sent = self.refused = 0
        self.now = 0.0

    def play(self, callers: int, rounds: int) -> float:
        """Keep ``callers`` calling for so many rounds; return the mean of calls under way."""
        use = 0
        for tick in range(rounds * 20):
            for _ in range(sum(self.rng.random() < 0.05 for _ in self.under_way)):
                self.under_way.popleft()
                self.limit.release()
                self.limit.grow()
            tries = 2 * callers // 20 + callers * (tick == 0)
            while len(self.under_way) < callers and tries and self.limit.try_acquire(0.0):
                tries -= 1
                self._send(self.now)
            use += len(self.under_way)
            self.now += 1.0
        return use / (rounds * 20)

    def _send(self, now: float) -> None:
        started = Started(at=now, level=self.limit.inflight, number=self.limit.started)
        self.sent += 1
        if len(self.under_way) >= self.bears or self.rng.random() < self.share:
            self.limit.release()
            self.limit.refuse(started, now + 0.01)
            self.refused += 1
        else:
            self.under_way.append(None)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("callers", [50, 100, 200])
def test_chance_costs_no_room(callers: int, share: float, seed: int) -> None:
    """What a provider refuses at random leaves the callers their room."""
    provider = Provider(seed, share=share, bears=10_000)
    provider.play(callers, 60)
    assert provider.play(callers, 100) >= 0.9 * callers


@pytest.mark.parametrize("share", [0.0, 0.03])
@pytest.mark.parametrize("bears", [10, 30, 100])
def test_what_it_bears_is_found(bears: int, share: float) -> None:
    """With twice the callers that a provider bears, most of it is used and few are refused."""
    provider = Provider(1, share=share, bears=bears)
    provider.play(2 * bears, 60)
    assert provider.play(2 * bears, 100) >= 0.7 * bears
    assert provider.limit.value <= 1.3 * bears
    assert provider.refused <= (0.1 + share) * provider.sent
