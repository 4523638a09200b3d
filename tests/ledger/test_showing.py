"""The sums as Prometheus and the state show them."""

from __future__ import annotations

from typing import Any

from sidecar.domain import OutcomeClass
from sidecar.ledger.ledger import Ledger
from sidecar.ledger.settings import LedgerSettings
from sidecar.ledger.showing import observed, shown
from tests.ledger.events import BIG, SMALL, attempt, call, outcome


def ledger_of(*events: object) -> Ledger:
    """Return a ledger that heard ``events`` on day 1."""
    ledger = Ledger(LedgerSettings())
    for event in events:
        ledger.on_event(event)  # type: ignore[arg-type]  # events of all kinds
    ledger.absorb(10.0, 86_400.0 + 10.0)
    return ledger


def test_the_sums_are_shown_as_metrics() -> None:
    """Money and tokens are read by route and endpoint, as they were summed up."""
    ledger = ledger_of(
        attempt("c1", outcome()),
        call("c1"),
        attempt("c2", outcome(SMALL, OutcomeClass.HANG, is_estimated=True)),
        call("c2", endpoint=None, result="unavailable"),
    )
    values = {one.name: dict(one.family().points) for one in observed(ledger)}
    assert values["sidecar.cost"]["reason", BIG] == 0.25
    assert values["sidecar.tokens"]["reason", BIG, "cached"] == 60
    assert values["sidecar.wasted_cost"]["reason", SMALL] == 0.25
    assert values["sidecar.estimated_cost"]["reason", SMALL] == 0.25
    assert values["sidecar.ledger.lost_records"][()] == 0


def test_the_state_shows_days_and_shares() -> None:
    """Operators see what each day cost, and how much of it is a guess; old days are left out."""
    ledger = ledger_of(
        attempt("c1", outcome(cost_usd=0.3)),
        attempt("c2", outcome(cost_usd=0.1, is_estimated=True)),
    )
    days: Any = shown(ledger, 86_400.0)["days"]
    (row,) = days
    assert row["day"] == "1970-01-02"
    assert (row["route"], row["endpoint"], row["cost_usd"]) == ("reason", BIG, 0.4)
    assert row["estimated_share"] == 0.25
    assert shown(ledger, 9 * 86_400.0)["days"] == []
    assert shown(ledger, 86_400.0)["store"] == "memory"
