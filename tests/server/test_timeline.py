"""What an operator reads of the last minutes: bounded, in order, with the reasons spelt out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.domain import Gate, OutcomeClass, ProviderName
from sidecar.events import AccountChanged, BreakerChanged, DrillChanged, EndpointEjected
from sidecar.server.live import QUIET_S, send_events
from sidecar.server.timeline import CALLS_MAX, CHANGES_MAX, Timeline
from sidecar.simulate.loop import simulate
from tests.ledger.events import BIG, SMALL, attempt, call, outcome, probe

HOST = "https://a.test:443"


def timeline() -> Timeline:
    """Return one with a host for every endpoint."""
    return Timeline(lambda _: HOST)


def opened(name: str = BIG, *, at: float = 10.0) -> BreakerChanged:
    """Return the opening of a breaker."""
    return BreakerChanged(
        at=at,
        name=name,
        old="closed",
        new="open",
        reason="consecutive_failures",
        reopens_at=at + 5.0,
    )


async def test_a_decision_is_spelt_out() -> None:
    """Who was out, since when, for what, and how long it would last."""
    told = timeline()
    for at in (8.0, 9.0, 9.5):
        told.on_event(attempt("c0", outcome(cls=OutcomeClass.HANG, at=at)))
    told.on_event(opened())
    told.on_event(
        replace(
            call("c1", outcome(SMALL, at=14.0), endpoint=SMALL, at=14.0),
            rejected=((BIG, Gate.BREAKER_OPEN),),
        )
    )
    change, said = told.read()
    assert change["kind"] == "change"
    assert "closed to open (consecutive_failures; 3x HANG)" in str(change["text"])
    assert "'gate': 'breaker_open'" in str(said["rejected"])
    assert "(3x HANG), 4.0 s left" in str(said["text"])  # the call came at 11, it reopened at 15
    assert f"{BIG} rejected: its breaker is open since" in str(said["text"])
    assert str(said["text"]).startswith(f"reason: ok by {SMALL} after 3.00 s; ")


async def test_a_hosts_breaker_is_found_by_the_endpoint() -> None:
    """An endpoint that is out for its host is told with the host's opening."""
    told = timeline()
    told.on_event(opened(HOST))
    told.on_event(replace(call("c", at=14.0), rejected=((BIG, Gate.HOST_OPEN),)))
    assert "(consecutive_failures), 4.0 s left" in str(told.read()[-1]["text"])


async def test_what_opened_later_is_no_reason() -> None:
    """A call that came before says only what is known: the gate."""
    told = timeline()
    told.on_event(opened(at=13.0))
    told.on_event(replace(call("c", at=14.0), rejected=((BIG, Gate.BREAKER_OPEN),)))
    assert str(told.read()[-1]["text"]).endswith(f"{BIG} rejected: its breaker is open")


async def test_a_success_ends_the_run_of_failures() -> None:
    """Only what failed since counts, probes too, and only of one kind."""
    told = timeline()
    told.on_event(attempt("a", outcome(cls=OutcomeClass.HANG)))
    told.on_event(attempt("b", outcome()))
    told.on_event(attempt("c", outcome(cls=OutcomeClass.HANG)))
    told.on_event(probe(outcome(cls=OutcomeClass.S5), cost_usd=0.0))
    told.on_event(probe(outcome(cls=OutcomeClass.S5), cost_usd=0.0))
    told.on_event(opened())
    assert "; 2x S5)" in str(told.read()[-1]["text"])


async def test_it_is_bounded_and_in_order() -> None:
    """Calls cannot push out changes, nor the other way round; numbers only grow."""
    told = timeline()
    for number in range(CALLS_MAX + 50):
        told.on_event(call(f"c{number}"))
        told.on_event(opened(at=float(number)))
    for number in range(CHANGES_MAX):
        told.on_event(opened(at=1000.0 + number))
    entries = told.read()
    assert sum(one["kind"] == "call" for one in entries) == CALLS_MAX
    assert sum(one["kind"] == "change" for one in entries) == CHANGES_MAX
    numbers = [int(str(one["number"])) for one in entries]
    assert numbers == sorted(numbers)
    assert [one["number"] for one in told.read(numbers[-3])] == numbers[-2:]
    assert [one["number"] for one in told.read(limit=2)] == numbers[-2:]
    assert len(told.read(numbers[-1] + 1000)) == len(entries)  # a number of an earlier process


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            AccountChanged(at=0, provider=ProviderName("a"), reason="account_auth", until=1e300),
            "account a is blocked (account_auth) until somebody acts",
        ),
        (
            AccountChanged(at=0, provider=ProviderName("a"), reason="free", until=None),
            "account a is free again (free)",
        ),
        (EndpointEjected(at=0, endpoint=BIG, reason="silent"), f"{BIG} is avoided (silent)"),
        (
            DrillChanged(at=0, endpoint=BIG, fault="hang", share=0.5, until=None),
            f"drill hang at {BIG} ended",
        ),
    ],
)
async def test_changes_in_words(event: Any, text: str) -> None:
    """Each kind of change has its sentence."""
    told = timeline()
    told.on_event(event)
    assert told.read()[0]["text"] == text


def test_events_are_sent_as_they_come(make_exchange: Any) -> None:
    """A reader gets what there is, then what happens, and may begin where it left off."""

    async def read(**asked: Any) -> list[bytes]:
        told, loop = timeline(), asyncio.get_running_loop()
        told.on_event(opened())
        exchange = make_exchange("GET", "/api/v1/events", **asked)
        loop.call_at(1.0, told.on_event, call("c1"))
        loop.call_at(2.0 + QUIET_S, exchange.abort)
        loop.call_at(3.0 + QUIET_S, told.on_event, call("c2"))
        with pytest.raises(ConnectionResetError):
            await send_events(exchange, told)
        sent: list[bytes] = exchange.sent
        return sent

    sent = simulate(read(headers={"last-event-id": "0"}))
    assert sent[0] == b"retry: 1000\n\n"
    assert sent[1].startswith(b"id: 1\nevent: change\ndata: {")
    assert sent[2].startswith(b"id: 2\nevent: call\ndata: {")
    assert sent[3:] == [b": still here\n\n"]
    assert simulate(read(query="after=1"))[1].startswith(b"id: 2\nevent: call\ndata: {")
