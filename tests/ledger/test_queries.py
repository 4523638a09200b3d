"""Filters and pages: file, memory and a naive model agree on every question."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.ledger.memory import Memory
from sidecar.ledger.reading import read_file
from sidecar.ledger.records import WELL, CallQuery, CallRecord, Kept
from sidecar.ledger.settings import LedgerSettings
from sidecar.ledger.store import Store
from tests.ledger.events import SMALL, attempt, call, outcome

OFFSET_S = 1000.0
Told = tuple[str, str, float, int]
"""Route, result, when it ended, attempts."""

ROUTES = st.sampled_from(["reason", "chat", "x' OR '1'='1"])
CALLS = st.lists(
    st.tuples(
        ROUTES,
        st.sampled_from(["ok", "degraded", "passed", "cancelled", "unavailable", "shed"]),
        st.floats(0.0, 100.0),
        st.integers(0, 3),
    ),
    max_size=30,
)
QUERIES = st.builds(
    CallQuery,
    route=st.none() | ROUTES,
    since_at=st.none() | st.floats(OFFSET_S, OFFSET_S + 100.0),
    is_failed_only=st.booleans(),
    before=st.none() | st.integers(0, 31),
    limit=st.integers(1, 31),
)


def answers_of(calls: list[Told], query: CallQuery) -> tuple[list[CallRecord], list[CallRecord]]:
    """Return what memory and file answer to ``query`` after ``calls``."""
    memory = Memory(1000)
    events: list[Kept] = []
    for number, (route, result, at, attempts) in enumerate(calls, 1):
        name = f"c{number}"
        tried = [outcome(SMALL, at=at, cost_usd=0.5 * one) for one in range(attempts)]
        events += [attempt(name, one, route=route) for one in tried]
        events.append(call(name, *tried, route=route, result=result, at=at))
    for event in events:
        memory.keep(event, OFFSET_S)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.db"
        store = Store(LedgerSettings(path=str(path)))
        store.save([(OFFSET_S, event) for event in events], {})
        store.close()
        return memory.calls(query), read_file(path, query)


@settings(max_examples=40, deadline=None)
@given(calls=CALLS, query=QUERIES)
def test_every_filter_means_the_same_everywhere(calls: list[Told], query: CallQuery) -> None:
    """What is shown is exactly what was asked for, newest first, from memory as from a file."""
    expected = [
        number
        for number, (route, result, at, _) in reversed(list(enumerate(calls, 1)))
        if query.route in (None, route)
        and (query.since_at is None or at + OFFSET_S >= query.since_at)
        and not (query.is_failed_only and result in WELL)
        and (query.before is None or number < query.before)
    ][: query.limit]
    from_memory, from_file = answers_of(calls, query)
    assert [one.number for one in from_memory] == expected
    assert from_file == from_memory
    for one in from_file:
        assert (one.route, one.result, len(one.attempts)) == (
            calls[one.number - 1][0],
            calls[one.number - 1][1],
            calls[one.number - 1][3],
        )
        assert one.cost_usd == sum(each.cost_usd for each in one.attempts)
