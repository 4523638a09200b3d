"""The queue: who waits, who goes, who is told no at once."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.core.queueing import Accepted, QueueSettings, Rejected, RejectReason, WaitQueue
from sidecar.domain import CallId, Priority

PEOPLE, BATCH = Priority.INTERACTIVE, Priority.BATCH


def queue_of(*names: str, limit: float = 100.0, queue_max: int = 128) -> WaitQueue:
    """Return a queue joined at 0.0; names in capitals are batch calls."""
    queue = WaitQueue(limit, QueueSettings(queue_max=queue_max))
    for name in names:
        priority = BATCH if name.isupper() else PEOPLE
        assert isinstance(queue.offer(CallId(name), priority, 1e6, 1.0, 0.0), Accepted)
    return queue


def drain(queue: WaitQueue, now: float = 0.0) -> str:
    """Return everybody in the order of going."""
    order = ""
    while (taken := queue.take(now)) is not None:
        order += taken
    return order


@pytest.mark.parametrize(
    ("names", "limit", "order"),
    [
        ("", 1.0, ""),
        ("abc", 100.0, "abc"),
        ("AbCd", 100.0, "bdAC"),
        # Up to twice the limit the first goes first; above it the last, until it is short again.
        ("abcd", 2.0, "abcd"),
        ("abcde", 2.0, "eabcd"),
        ("abcdefg", 2.0, "gfeabcd"),
        # Each class has its own length.
        ("abcDEF", 1.0, "cabFDE"),
    ],
)
def test_order(names: str, limit: float, order: str) -> None:
    """People before batch; first come first, but last first in a long queue."""
    assert drain(queue_of(*names, limit=limit)) == order


def test_a_call_that_cannot_make_it_is_refused_at_once() -> None:
    """The wait predicted and the time needed must fit what is left."""
    queue = queue_of(*"abcdefghi", limit=10.0)
    assert queue.predicted_wait_s(PEOPLE, 2.0, 0.0) == pytest.approx(2.0)
    refused = queue.offer(CallId("x"), PEOPLE, 3.9, 2.0, 0.0)
    assert isinstance(refused, Rejected)
    assert refused.reason is RejectReason.TOO_LATE
    assert refused.retry_after_s == pytest.approx(2.0)
    accepted = queue.offer(CallId("x"), PEOPLE, 4.1, 2.0, 0.0)
    assert isinstance(accepted, Accepted)
    assert accepted.wait_s == pytest.approx(2.0)


def test_batch_waits_for_people() -> None:
    """A batch call's wait counts all who go first."""
    queue = queue_of(*"abcDE", limit=10.0)
    assert queue.predicted_wait_s(PEOPLE, 1.0, 0.0) == pytest.approx(0.4)
    assert queue.predicted_wait_s(BATCH, 1.0, 0.0) == pytest.approx(0.6)


def test_a_newcomer_overtakes_in_a_long_queue() -> None:
    """Where the last goes first, nobody of its class is ahead."""
    queue = queue_of(*"abcd", limit=2.0)
    assert queue.predicted_wait_s(PEOPLE, 1.0, 0.0) == pytest.approx(0.5)


def test_pace_follows_the_takes() -> None:
    """The prediction moves from Little's law to what is seen."""
    queue = queue_of(*(f"w{number}" for number in range(60)))
    for step in range(1, 41):
        queue.take(step * 0.5)
    # Twenty wait, one goes each half second.
    assert queue.predicted_wait_s(PEOPLE, 1.0, 20.0) == pytest.approx(10.5, rel=0.01)


def test_a_queue_that_stands_promises_nothing() -> None:
    """An interval under way counts once it is longer than the mean."""
    queue = queue_of(*"abc", limit=10.0)
    assert queue.predicted_wait_s(PEOPLE, 1.0, 5.0) == pytest.approx(20.0)
    assert isinstance(queue.offer(CallId("x"), PEOPLE, 15.0, 1.0, 5.0), Rejected)


def test_an_old_pace_refuses_nobody() -> None:
    """A queue that was empty starts anew, however slow it was."""
    queue = queue_of("a", limit=10.0)
    assert queue.take(300.0) == "a"
    assert queue.predicted_wait_s(PEOPLE, 1.0, 300.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("names", "newcomer", "limit", "displaced"),
    [
        ("abc", "x", 100.0, None),
        ("abC", "X", 100.0, None),
        ("aBC", "x", 100.0, "C"),
        ("ABC", "x", 1.0, "A"),
    ],
)
def test_a_full_queue_sheds_batch_for_people(
    names: str, newcomer: str, limit: float, displaced: str | None
) -> None:
    """Batch gives way, the youngest, in a long queue the oldest; without any, no newcomer."""
    queue = queue_of(*names, limit=limit, queue_max=3)
    priority = BATCH if newcomer.isupper() else PEOPLE
    answer = queue.offer(CallId(newcomer), priority, 1e6, 1.0, 0.0)
    assert len(queue) == 3
    if displaced is None:
        assert isinstance(answer, Rejected)
        assert answer.reason is RejectReason.FULL
    else:
        assert isinstance(answer, Accepted)
        assert answer.displaced == displaced
        assert sorted(drain(queue)) == sorted(names.replace(displaced, newcomer))


@pytest.mark.parametrize(("needs_s", "told_s"), [(0.1, 1.0), (7.0, 7.0), (500.0, 60.0)])
def test_retry_after_is_bounded(needs_s: float, told_s: float) -> None:
    """A refused caller is told one second at least and a minute at most."""
    answer = WaitQueue(1.0).offer(CallId("x"), PEOPLE, 0.0, needs_s, 0.0)
    assert answer == Rejected(reason=RejectReason.TOO_LATE, retry_after_s=told_s)


def test_the_lost_are_passed_over_and_told_once() -> None:
    """Who can no longer make it is not sent, and is named once, by whichever way it was found."""
    queue = WaitQueue(100.0)
    for name, deadline_at in (("a", 5.0), ("b", 50.0), ("c", 6.0)):
        queue.offer(CallId(name), PEOPLE, deadline_at, 1.0, 0.0)
    assert queue.take(4.5) == "b"
    assert queue.expired(4.5) == ("a",)
    assert queue.expired(5.0) == ()
    assert queue.expired(5.1) == ("c",)
    assert len(queue) == 0


def test_who_left_is_neither_taken_nor_told() -> None:
    """A call that left, waiting or lost, is forgotten; leaving twice does no harm."""
    queue = WaitQueue(100.0)
    for name in "abc":
        queue.offer(CallId(name), PEOPLE, 5.0 if name == "a" else 50.0, 1.0, 0.0)
    queue.leave(CallId("b"))
    assert queue.take(10.0) == "c"
    queue.leave(CallId("a"))
    queue.leave(CallId("a"))
    assert queue.expired(10.0) == ()
    assert queue.take(10.0) is None


def test_waiting_twice_is_a_bug() -> None:
    """A call has one place."""
    with pytest.raises(AssertionError):
        queue_of("a", "a")


class QueueMachine(RuleBasedStateMachine):
    """The queue against a plain list of (name, priority, deadline, needs) in order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = WaitQueue(2.0, QueueSettings(queue_max=8))
        self.line: list[tuple[CallId, Priority, float, float]] = []
        self.lost: set[CallId] = set()
        self.now = 0.0
        self.serial = 0

    def ranked(self, *, of: Priority) -> list[tuple[CallId, Priority, float, float]]:
        """Return a class as it would go if nobody else came."""
        rest = [waiter for waiter in self.line if waiter[1] is of]
        order = []
        while rest:
            order.append(rest.pop(-1 if len(rest) > 2 * self.queue.limit else 0))
        return order

    def is_late(self, waiter: tuple[CallId, Priority, float, float]) -> bool:
        """Whether a waiter can no longer make it."""
        return self.now + waiter[3] > waiter[2]

    @rule(wait_s=st.sampled_from([0.0, 0.1, 1.0, 5.0]))
    def pass_time(self, wait_s: float) -> None:
        """Time goes by."""
        self.now += wait_s

    @rule(limit=st.sampled_from([0.5, 1.0, 2.0, 10.0]))
    def move_limit(self, limit: float) -> None:
        """The limit moves."""
        self.queue.limit = limit

    @rule(
        priority=st.sampled_from(list(Priority)),
        left_s=st.sampled_from([0.5, 3.0, 10.0, 1e6]),
        needs_s=st.sampled_from([0.1, 1.0]),
    )
    def offer(self, priority: Priority, left_s: float, needs_s: float) -> None:
        """Somebody asks to wait."""
        self.serial += 1
        name = CallId(f"call-{self.serial}")
        predicted_s = self.queue.predicted_wait_s(priority, needs_s, self.now)
        answer = self.queue.offer(name, priority, self.now + left_s, needs_s, self.now)
        batch = any(waiter[1] is BATCH for waiter in self.line)
        if predicted_s + needs_s > (self.now + left_s) - self.now:
            assert isinstance(answer, Rejected)
            assert answer.reason is RejectReason.TOO_LATE
        elif len(self.line) == 8 and (priority is BATCH or not batch):
            assert isinstance(answer, Rejected)
            assert answer.reason is RejectReason.FULL
        else:
            assert isinstance(answer, Accepted)
            if len(self.line) == 8:
                oldest_first = [waiter[0] for waiter in self.line if waiter[1] is BATCH]
                is_long = len(oldest_first) > 2 * self.queue.limit
                assert answer.displaced == oldest_first[0 if is_long else -1]
                self.line = [waiter for waiter in self.line if waiter[0] != answer.displaced]
            else:
                assert answer.displaced is None
            self.line.append((name, priority, self.now + left_s, needs_s))

    @rule()
    def take(self) -> None:
        """A place is free."""
        expected = None
        for priority in Priority:
            for waiter in self.ranked(of=priority):
                if expected is None:
                    self.line.remove(waiter)
                    if self.is_late(waiter):
                        self.lost.add(waiter[0])
                    else:
                        expected = waiter[0]
        assert self.queue.take(self.now) == expected

    @rule()
    def collect(self) -> None:
        """The lost are asked for."""
        self.lost |= {waiter[0] for waiter in self.line if self.is_late(waiter)}
        self.line = [waiter for waiter in self.line if not self.is_late(waiter)]
        told = self.queue.expired(self.now)
        assert len(told) == len(set(told))
        assert set(told) == self.lost
        self.lost = set()

    @rule(number=st.integers(1, 30))
    def leave(self, number: int) -> None:
        """Somebody gives up, perhaps gone already."""
        name = CallId(f"call-{number}")
        self.queue.leave(name)
        self.line = [waiter for waiter in self.line if waiter[0] != name]
        self.lost.discard(name)

    @invariant()
    def is_bounded(self) -> None:
        """As many wait as in the model, never more than there is room for."""
        assert len(self.queue) == len(self.line) <= 8
        assert self.queue.predicted_wait_s(PEOPLE, 0.1, self.now) >= 0.0


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)
