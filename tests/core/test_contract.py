"""The contract guard: drift is the endpoint's, bugs are the callers'."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.contract import ContractGuard, ContractSettings
from sidecar.domain import EndpointId, RouteName

A, B = EndpointId("a/m"), EndpointId("b/m")


def route(number: int) -> RouteName:
    """Return the name of a route."""
    return RouteName(f"route-{number}")


def play(
    *, refused: int = 10, routes: int = 3, answered: int = 0, elsewhere: int = 3, gap_s: float = 1.0
) -> tuple[ContractGuard, bool]:
    """B refuses ``refused`` bodies after A answered the last ``elsewhere`` of them.

    Returns the guard and whether B was ejected with the last refusal.
    """
    guard = ContractGuard()
    now = 0.0
    for number in range(answered):
        guard.answered(B, route(0), f"good-{number}", now)
    for number in range(refused - elsewhere, refused):
        guard.answered(A, route(number % routes), number, now)
    ejections = []
    for number in range(refused):
        ejections.append(guard.refused(B, route(number % routes), number, now))
        now += gap_s
    assert not any(ejections[:-1])
    assert not guard.is_ejected(A, now)
    return guard, ejections[-1]


def test_who_answers_most_calls_is_not_ejected() -> None:
    """Refusals are weighed against the answers of the same time, not of the time before."""
    guard = ContractGuard()
    for number in range(30):
        guard.answered(A, route(number % 3), number, 0.0)
        for good in range(2):
            guard.answered(B, route(0), f"good-{number}-{good}", float(number))
        assert not guard.refused(B, route(number % 3), number, float(number))
    ejected = [guard.refused(B, route(number % 3), number, 30.0) for number in range(10)]
    assert ejected.count(True) == 1


@pytest.mark.parametrize(
    ("evidence", "is_ejected"),
    [
        ({}, True),
        ({"refused": 9}, False),
        ({"routes": 2}, False),
        ({"elsewhere": 2}, False),
        ({"answered": 200}, True),
        ({"gap_s": 33.0}, True),
        ({"gap_s": 34.0}, False),
    ],
)
def test_all_evidence_is_needed(evidence: dict[str, int], *, is_ejected: bool) -> None:
    """Enough refusals, routes, share and contradictions within five minutes, or no ejection."""
    _, ejected = play(**evidence)
    assert ejected is is_ejected


def test_own_answers_contradict_nothing() -> None:
    """What the endpoint itself answered before is no evidence that another would."""
    guard = ContractGuard()
    for number in range(10):
        guard.answered(B, route(number), number, 0.0)
    assert not any(guard.refused(B, route(number), number, 1.0) for number in range(30))


def test_one_body_repeated_contradicts_once() -> None:
    """A caller that sends one odd body again and again proves nothing."""
    guard = ContractGuard()
    guard.answered(A, route(0), "odd", 0.0)
    assert not any(guard.refused(B, route(0), "odd", 1.0) for _ in range(20))
    assert not any(guard.refused(B, route(number), number, 1.0) for number in range(1, 9))


def test_ejection_ends_and_rearms() -> None:
    """After five minutes the endpoint is back, and only new evidence ejects it again."""
    guard, ejected = play()
    assert ejected
    assert guard.is_ejected(B, 308.9)
    assert not guard.refused(B, route(0), 0, 308.9)
    assert not guard.is_ejected(B, 309.0)
    for number in range(20, 29):
        guard.answered(A, route(number), number, 310.0)
        assert not guard.refused(B, route(number), number, 310.0)
    guard.answered(A, route(29), 29, 310.0)
    assert guard.refused(B, route(29), 29, 310.0)
    assert guard.is_ejected(B, 310.0)


def test_evidence_starts_anew() -> None:
    """What ejected once does not eject again, even if it is younger than the window."""
    guard = ContractGuard(ContractSettings(eject_s=10.0))
    for number in range(10):
        guard.answered(A, route(number), number, 0.0)
    assert [guard.refused(B, route(number), number, 0.0) for number in range(10)][-1]
    assert not guard.is_ejected(B, 10.0)
    assert not guard.refused(B, route(0), 0, 10.0)


def test_old_answers_contradict_nothing() -> None:
    """What another endpoint accepted before the window says nothing of today's contract."""
    guard = ContractGuard()
    for number in range(10):
        guard.answered(A, route(number), number, 0.0)
    assert not any(guard.refused(B, route(number), number, 300.0) for number in range(10))


def test_every_answerer_of_a_body_counts() -> None:
    """That the endpoint itself answered a body later does not hide who answered it before."""
    guard = ContractGuard()
    for number in range(3):
        guard.answered(A, route(number), number, 0.0)
        guard.answered(B, route(number), number, 1.0)
    assert [guard.refused(B, route(number), number, 2.0) for number in range(10)][-1]


def test_memory_is_bounded() -> None:
    """Any number of requests and bodies leaves a bounded memory, however old."""
    guard = ContractGuard(ContractSettings(memory_max=20, bodies_max=30))
    for number in range(200):
        guard.answered(A, route(0), number, 0.0)
        guard.refused(B, route(0), number, 0.0)
    assert len(guard._answers) == 30
    assert len(guard._requests[A]) == 20
    assert len(guard._requests[B]) == 20


EVENT = st.tuples(
    st.integers(0, 60), st.booleans(), st.sampled_from([A, B]), st.integers(0, 2), st.integers(0, 5)
)


@settings(max_examples=100, derandomize=True)
@given(st.lists(EVENT, max_size=80))
def test_agrees_with_the_full_history(
    events: list[tuple[int, bool, EndpointId, int, int]],
) -> None:
    """With room for everything, the verdict is the rule's over the whole history."""
    numbers = ContractSettings(refused_min=4, routes_min=2, contradicted_min=2)
    guard = ContractGuard(numbers)
    now = 0.0
    history: list[tuple[float, bool, EndpointId, int, int]] = []
    ejected_until = {A: 0.0, B: 0.0}
    for wait_s, is_refused, endpoint, route_number, body in events:
        now += wait_s
        history.append((now, is_refused, endpoint, route_number, body))
        if not is_refused:
            guard.answered(endpoint, route(route_number), body, now)
            continue
        recent = [event for event in history if event[0] > now - 300.0]
        # Evidence starts anew once an ejection is over.
        own = [
            event
            for event in recent
            if event[2] == endpoint and event[0] >= ejected_until[endpoint]
        ]
        bad = [event for event in own if event[1]]
        fine = {event[4] for event in recent if not event[1] and event[2] != endpoint}
        expected = (
            now >= ejected_until[endpoint]
            and len(bad) >= 4
            and len(bad) >= 0.5 * len(own)
            and len({event[3] for event in bad}) >= 2
            and len({(event[3], event[4]) for event in bad if event[4] in fine}) >= 2
        )
        assert guard.refused(endpoint, route(route_number), body, now) is expected
        if expected:
            ejected_until[endpoint] = now + 300.0
        assert guard.is_ejected(endpoint, now) is (now < ejected_until[endpoint])
