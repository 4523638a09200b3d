"""Ten thousand calls with faults: what the ledger says they cost is what the providers bill."""

from __future__ import annotations

import asyncio
import contextlib

from sidecar.clock import now as loop_now
from sidecar.events import AttemptFinished, CallFinished, ProbeFinished
from sidecar.ledger.ledger import Ledger
from sidecar.ledger.settings import LedgerSettings
from sidecar.simulate.world import World, play
from sidecar.upstream.simulated import Ended, Fault, FaultKind

CALLS = 10_000
RATE_PER_S = 25.0
LEAVING_SHARE = 0.01
QUESTION = "Say something about the weather in a few words. " * 8
SHARE_OFF_MAX = 0.01


async def _leave(world: World, route: str, *, is_stream: bool, patience_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await _call(world, route, is_stream=is_stream)


async def _call(world: World, route: str, *, is_stream: bool) -> None:
    """Call as SDKs do where the bill matters: a stream is asked to say its usage at the end."""
    extra: dict[str, object] = {"stream_options": {"include_usage": True}} if is_stream else {}
    await world.call(route, is_stream=is_stream, question=QUESTION, extra=extra)


async def _mixed(world: World) -> None:
    for provider, start in ((world.alpha, 60.0), (world.beta, 140.0), (world.gamma, 200.0)):
        provider.faults = (
            Fault(kind=FaultKind.STATUS, status=500, share=0.02),
            Fault(kind=FaultKind.SLOW_FIRST, factor=8.0, share=0.01),
            Fault(kind=FaultKind.HANG, start_s=start, end_s=start + 15.0),
            Fault(kind=FaultKind.RESET_AFTER, after_tokens=6, share=0.01),
            Fault(kind=FaultKind.STATUS, status=429, start_s=start + 30.0, end_s=start + 35.0),
        )
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLS):
            await asyncio.sleep(world.rng.expovariate(RATE_PER_S))
            route = world.rng.choice(("reason", "pair", "strong", "quick"))
            is_stream = world.rng.random() < 0.5
            if world.rng.random() < LEAVING_SHARE:
                patience_s = world.rng.uniform(0.1, 1.5)
                group.create_task(_leave(world, route, is_stream=is_stream, patience_s=patience_s))
            else:
                group.create_task(_call(world, route, is_stream=is_stream))
    await asyncio.sleep(30.0 - loop_now() % 30.0)


def test_the_ledger_reconciles_with_the_bills() -> None:
    """Streams, hedges, failures, callers who leave and probes: within one per cent over all and
    at each provider that had a tenth of the money; what is off errs on the side of too much.
    """
    world = play(_mixed, seed=3)
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
    assert sum(sums.estimated_usd for _, sums in totals) > 0
    bills = {
        name: sum(entry.cost_usd for entry in provider.log)
        for name, provider in world.providers.items()
    }
    entered = {
        name: sum(sums.cost_usd for (_, end), sums in totals if end.startswith(f"{name}/"))
        for name in bills
    }
    whole = sum(bills.values())
    assert whole <= sum(entered.values()) <= (1.0 + SHARE_OFF_MAX) * whole
    major = [name for name, billed in bills.items() if billed > whole / 10]
    assert len(major) == 2
    for name in major:
        assert abs(entered[name] - bills[name]) <= SHARE_OFF_MAX * bills[name], name
