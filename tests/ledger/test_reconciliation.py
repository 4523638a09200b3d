"""Ten thousand calls with faults: what the ledger says they cost is what the providers bill."""

from __future__ import annotations

from sidecar.events import AttemptFinished, CallFinished, ProbeFinished
from sidecar.ledger.ledger import Ledger
from sidecar.ledger.settings import LedgerSettings
from sidecar.upstream.simulated import Ended
from tests.ten_thousand import CALLS, ten_thousand_calls

SHARE_OFF_MAX = 0.01
ESTIMATED_SHARE_MIN = 0.15
KINDS = ("cached_tokens", "reasoning_tokens")


def test_the_ledger_reconciles_with_the_bills() -> None:
    """Streams that tell no usage, hedges, failures, callers who leave, caches, thoughts, images and
    probes: within one per cent over all and at each provider that had a tenth of the money, though
    a fifth of it is known by estimate alone.
    """
    world = ten_thousand_calls()
    ledger = Ledger(LedgerSettings())
    for event in world.recorder.events:
        ledger.on_event(event)
        ledger.absorb(0.0, 0.0)

    told = [event for event in world.recorder.events if isinstance(event, CallFinished)]
    assert len(told) == CALLS
    kinds = {event.kind for event in world.recorder.events if isinstance(event, AttemptFinished)}
    assert {"first", "failover", "hedge"} <= kinds
    assert {"cancelled", "ok", "degraded"} <= {event.result for event in told}
    assert any(isinstance(event, ProbeFinished) for event in world.recorder.events)
    entries = [entry for provider in world.providers.values() for entry in provider.log]
    assert {Ended.CANCELLED, Ended.COMPLETE, Ended.RESET} <= {entry.ended for entry in entries}

    totals = ledger.totals.items()
    assert sum(sums.calls for _, sums in totals) == CALLS
    guessed = sum(sums.estimated_usd for _, sums in totals)
    assert guessed > ESTIMATED_SHARE_MIN * sum(sums.cost_usd for _, sums in totals)
    assert all(sum(getattr(sums, kind) for _, sums in totals) > 0 for kind in KINDS)
    bills = {
        name: sum(entry.cost_usd for entry in provider.log)
        for name, provider in world.providers.items()
    }
    entered = {
        name: sum(sums.cost_usd for (_, end), sums in totals if end.startswith(f"{name}/"))
        for name in bills
    }
    whole = sum(bills.values())
    assert abs(sum(entered.values()) - whole) <= SHARE_OFF_MAX * whole
    major = [name for name, billed in bills.items() if billed > whole / 10]
    assert len(major) == 2
    for name in major:
        assert abs(entered[name] - bills[name]) <= SHARE_OFF_MAX * bills[name], name
