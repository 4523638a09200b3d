"""Daily spend caps with the engine around them: who is asked when the money ends, who is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sidecar import clock
from sidecar.core.caps import DAY_S, CapSettings
from sidecar.domain import ProviderName, Route, RouteName, Rung
from sidecar.engine.budgets import BudgetSettings
from sidecar.engine.explaining import explain
from sidecar.engine.settings import EngineSettings
from sidecar.engine.spending import observed, shown
from sidecar.engine.state import snapshot
from sidecar.events import AttemptFinished, CallFinished, ProbeFinished, SpendCapChanged
from sidecar.simulate.evidence import probes
from sidecar.simulate.world import ALPHA, BETA, GAMMA, World, default_routes, play
from sidecar.telemetry.prometheus import exposition
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    from sidecar.core.caps import SpendCaps

CALL_USD = 0.00035
"""A call of these tests at the large models, about."""
ALPHA_NAME, REASON = ProviderName("alpha"), RouteName("reason")
ALL = RouteName("all")
ROUTES = (
    *default_routes(),
    Route(
        name=ALL,
        tiers=((ALPHA,), (GAMMA,)),
        rungs=(Rung.SMALLER, Rung.STALE, Rung.STATIC),
        within_s=30.0,
        static="none",
    ),
)


def metrics(caps: SpendCaps | None) -> str:
    """Return what Prometheus sees of ``caps``."""
    return exposition([one.family() for one in observed(lambda: caps)])


def capped(
    *, alpha: float | None = None, routes: dict[RouteName, float] | None = None
) -> EngineSettings:
    """Return settings with caps for provider alpha and for routes."""
    by_provider = {} if alpha is None else {ALPHA_NAME: alpha}
    caps = CapSettings(by_provider=by_provider, by_route=routes or {})
    return EngineSettings(budgets=BudgetSettings(caps=caps))


def caps_of(world: World) -> SpendCaps:
    """Return the caps of an engine that has some."""
    caps = world.engine.budgets.caps
    assert caps is not None
    return caps


def told(world: World) -> list[tuple[str, str, bool]]:
    """Return what was said of caps: scope, name, reached."""
    return [
        (event.scope, event.name, event.is_reached)
        for event in world.recorder.events
        if isinstance(event, SpendCapChanged)
    ]


async def calls(world: World, count: int, route: str = "reason") -> None:
    """Make calls one after the other."""
    for _ in range(count):
        await world.call(route)
        await asyncio.sleep(0.5)


def test_a_provider_whose_money_is_spent_is_passed_over() -> None:
    """Its equal answers, not degraded; the event, the state and the metrics say why."""

    async def scenario(world: World) -> None:
        await calls(world, 40)
        caps = caps_of(world)
        endpoints = [seen.endpoint for seen in world.seen]
        assert endpoints[0] == ALPHA
        assert endpoints[-1] == BETA
        assert {seen.degraded for seen in world.seen} == {None}
        assert told(world) == [("provider", "alpha", True)]
        last = [event for event in world.recorder.events if isinstance(event, CallFinished)][-1]
        assert (ALPHA, "provider_spend_cap") in [(who, gate.value) for who, gate in last.rejected]
        spent = shown(caps)
        assert spent is not None
        assert snapshot(world.engine, clock.now())["spend_caps"] == spent
        assert spent["providers"]["alpha"]["reached"] is True  # type: ignore[index]
        assert 'sidecar_spend_cap_reached{scope="provider",name="alpha"} 1' in metrics(caps)
        billed = sum(entry.cost_usd for entry in world.alpha.log)
        assert caps.providers[ALPHA_NAME].spent_usd == pytest.approx(billed, rel=0.02)

    play(scenario, settings=capped(alpha=0.008))


def test_a_route_goes_down_the_ladder_as_its_money_ends() -> None:
    """The best model, a lesser one that still fits, an answer kept or fixed; each says so."""

    async def scenario(world: World) -> None:
        await calls(world, 80, "all")
        assert [seen.status for seen in world.seen] == [200] * 80
        kinds = list(dict.fromkeys(seen.degraded for seen in world.seen))
        assert kinds == [None, f"L3;route_spend_cap;{GAMMA}", "L5;spend_cap;stale"]
        last = await world.call("all", question="Something else, then.")
        assert (last.text, last.degraded) == ("none", "L5;spend_cap;static")
        assert caps_of(world).routes[ALL].spent_usd <= 0.0081
        assert told(world) == [("route", "all", True)]

    play(scenario, settings=capped(routes={ALL: 0.008}), routes=ROUTES)


def test_without_a_step_left_the_caller_hears_that_it_is_money() -> None:
    """402 with a code of its own, in the caller's format, and nothing that makes SDKs try again."""

    async def scenario(world: World) -> None:
        first, second = await world.call("alone"), await world.call("strong")
        assert (first.status, first.code) == (402, "spend_cap")
        assert "provider 'alpha'" in first.message
        assert (second.status, second.endpoint) == (200, BETA)
        world.beta.faults = (Fault(kind=FaultKind.STATUS),)
        third = await world.call("strong")
        assert (third.status, third.code) == (503, "unavailable")
        assert "alpha/alpha-large: provider_spend_cap" in third.message

    play(scenario, settings=capped(alpha=0.0))


def test_a_hundred_at_once_do_not_overshoot() -> None:
    """What a provider bills for a storm of calls stays within the cap, hedges and probes too."""

    async def scenario(world: World) -> None:
        await world.load(30.0, rate_per_s=1.0, route="strong")
        world.alpha.faults = (Fault(kind=FaultKind.SLOW_FIRST, factor=6.0, share=0.3),)
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(world.call("strong", is_stream=bool(number % 2)))
        await asyncio.sleep(120.0)
        cap = caps_of(world).providers[ALPHA_NAME]
        entered = sum(
            event.outcome.cost_usd
            for event in world.recorder.events
            if isinstance(event, AttemptFinished | ProbeFinished)
            and event.outcome.endpoint.startswith("alpha/")
        )
        assert cap.spent_usd == pytest.approx(entered)
        assert cap.reserved_usd == pytest.approx(0.0)
        assert cap.is_reached
        billed = sum(entry.cost_usd for entry in world.alpha.log)
        # The last answers may be a few tokens longer than answers were so far.
        assert billed <= 0.02 * 1.02
        assert all(seen.status == 200 for seen in world.seen)

    play(scenario, settings=capped(alpha=0.02), seed=4)


@pytest.mark.parametrize("cap_usd", [0.0, 0.0003])
def test_probes_count_and_stop_when_the_money_ends(cap_usd: float) -> None:
    """An idle provider is looked at for money as long as its cap has some, then for free alone."""

    async def scenario(world: World) -> None:
        for _ in range(60):
            await world.call("alone-beta")
            world.engine.prober.wanted(world.catalogue.routes["alone"], clock.now())
            await asyncio.sleep(60.0)

    world = play(scenario, settings=capped(alpha=cap_usd))
    paid = probes(world, ALPHA, kind="paid")
    assert probes(world, ALPHA, kind="free")
    assert len(paid) == (0 if cap_usd == 0.0 else 1)
    spent_usd = caps_of(world).providers[ALPHA_NAME].spent_usd
    assert spent_usd == pytest.approx(sum(one.cost_usd for one in paid))
    assert spent_usd <= cap_usd


def test_a_raised_cap_holds_at_once_and_keeps_count() -> None:
    """After a reload the provider is asked again, and what it cost before still counts."""

    async def scenario(world: World) -> None:
        await calls(world, 12)
        assert world.seen[-1].endpoint == BETA
        before = caps_of(world).providers[ALPHA_NAME].spent_usd
        world.engine.reload(world.catalogue, capped(alpha=1.0))
        assert (await world.call("reason")).endpoint == ALPHA
        await asyncio.sleep(1.0)
        assert caps_of(world).providers[ALPHA_NAME].spent_usd > before > 0.0
        assert told(world) == [("provider", "alpha", True), ("provider", "alpha", False)]
        world.engine.reload(world.catalogue, EngineSettings())
        assert world.engine.budgets.caps is None
        assert "{" not in metrics(None)
        assert shown(None) is None
        assert (await world.call("reason")).endpoint == ALPHA

    play(scenario, settings=capped(alpha=0.002))


def test_midnight_in_utc_frees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next day begins with all of the money."""
    monkeypatch.setattr(clock, "wall", lambda: 20_000 * DAY_S - 100.0 + clock.now())

    async def scenario(world: World) -> None:
        await calls(world, 12)
        assert world.seen[-1].endpoint == BETA
        await asyncio.sleep(101.0 - clock.now())
        assert (await world.call("reason")).endpoint == ALPHA
        await asyncio.sleep(1.0)
        assert told(world) == [("provider", "alpha", True), ("provider", "alpha", False)]

    play(scenario, settings=capped(alpha=0.002))


def test_an_explanation_names_the_cap_and_moves_nothing() -> None:
    """An operator's question is no call that was refused."""

    async def scenario(world: World) -> None:
        said = explain(world.engine, world.make_call("strong"), clock.now())
        assert "daily spend cap" in str(said["rejected"])
        assert not caps_of(world).providers[ALPHA_NAME].is_reached
        await asyncio.sleep(1.0)
        assert told(world) == []

    play(scenario, settings=capped(alpha=0.0))


def test_without_caps_nothing_is_looked_at() -> None:
    """Whoever configures none has none of it in the engine."""

    async def scenario(world: World) -> None:
        assert (await world.call("reason")).endpoint == ALPHA
        assert world.engine.budgets.caps is None
        assert snapshot(world.engine, clock.now())["spend_caps"] is None

    play(scenario)
