"""The sums as Prometheus and the state show them."""

from __future__ import annotations

import re
from typing import Any

from sidecar.domain import EndpointId, OutcomeClass
from sidecar.ledger.ledger import Ledger
from sidecar.ledger.settings import LedgerSettings
from sidecar.ledger.showing import exposition, shown
from tests.ledger.events import BIG, attempt, call, outcome

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? ([0-9.e+-]+)')


def ledger_of(*events: object) -> Ledger:
    """Return a ledger that heard ``events`` on day 1."""
    ledger = Ledger(LedgerSettings())
    for event in events:
        ledger.on_event(event)  # type: ignore[arg-type]  # events of all kinds
    ledger.absorb(10.0, 86_400.0 + 10.0)
    return ledger


def test_the_exposition_is_well_formed() -> None:
    """Every line parses, every series is declared first, hostile names do not break out."""
    odd = EndpointId('a/"}\n\\b')
    ledger = ledger_of(
        attempt("c1", outcome()),
        call("c1"),
        attempt("c2", outcome(odd, OutcomeClass.HANG, is_estimated=True)),
        call("c2", endpoint=None, result="unavailable"),
    )
    declared: set[str] = set()
    values: dict[tuple[str, str], float] = {}
    for line in exposition(ledger).splitlines():
        if line.startswith("#"):
            declared.add(line.split()[2])
            continue
        found = LINE.fullmatch(line)
        assert found is not None, line
        assert found[1] in declared
        assert (found[1], found[2]) not in values
        values[found[1], found[2]] = float(found[3])
    big = f'route="reason",endpoint="{BIG}"'
    assert values["sidecar_calls_total", big] == 1
    assert values["sidecar_cost_usd_total", big] == 0.25
    assert values["sidecar_tokens_total", f'{big},kind="cached"'] == 60
    assert values["sidecar_failed_calls_total", 'route="reason",endpoint="(none)"'] == 1
    escaped = 'route="reason",endpoint="a/\\"}\\n\\\\b"'
    assert values["sidecar_wasted_cost_usd_total", escaped] == 0.25
    assert values["sidecar_estimated_cost_usd_total", escaped] == 0.25


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
