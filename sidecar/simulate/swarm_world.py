"""One world of the swarm: providers, engine and callers as its options say, in two phases.

First safety: whatever fails, the invariants hold. Then liveness: everything is healed, and within a
bound every endpoint must be closed and serve again, every call answered (``vopr.zig``: safety, then
liveness). Full service is three rounds of calls in a row without a miss. At last the sidecar stops
with calls under way.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import traceback
from typing import TYPE_CHECKING

from sidecar.catalogue import Catalogue
from sidecar.clock import now as loop_now
from sidecar.core.breaker import BreakerState
from sidecar.engine.engine import Engine
from sidecar.errors import DrainingError
from sidecar.simulate.checks import judge, look
from sidecar.simulate.loop import SimulatedLoop, simulate, throttle_on_loop_time
from sidecar.simulate.swarm_callers import Callers
from sidecar.simulate.swarm_fleet import alone
from sidecar.simulate.swarm_options import ActKind, draw_options
from sidecar.simulate.traces import TracedProvider, Traces
from sidecar.upstream.simulated import Fault, FaultKind
from sidecar.upstream.simulated_memory import MemoryUpstream

if TYPE_CHECKING:
    from sidecar.domain import ProviderName
    from sidecar.simulate.swarm_fleet import ProviderOptions
    from sidecar.simulate.swarm_options import Act, SwarmOptions

ROUND_S = 6.0
ROUNDS_GOOD = 3
HALF = 0.5
DRAINED_AFTER_S_MAX = 2.0
DRAIN_S = 1.0
STOPPED = {"draining", "upstream_interrupted"}


class SwarmWorld:
    """Made inside the simulated loop; ``run`` plays it and judges it into ``traces.broken``."""

    def __init__(self, options: SwarmOptions) -> None:
        self.options = options
        self.traces = Traces()
        self.jumped_at = 0.0
        self.drained_at = float("-inf")
        self.rng = random.Random(f"callers/{options.seed}")
        self.providers = {one.name: self._provider(one) for one in options.providers}
        endpoints = {
            endpoint.id: endpoint for one in options.providers for endpoint in one.endpoints
        }
        self.catalogue = Catalogue(
            endpoints=endpoints, routes={route.name: route for route in options.routes}
        )
        self.upstream = MemoryUpstream(self.providers, endpoints)
        self.engine = Engine(
            catalogue=self.catalogue,
            settings=options.settings,
            upstream=self.upstream,
            observer=self.traces,
            rng=random.Random(f"engine/{options.seed}"),
        )
        self.callers = Callers(self)
        self._keys = 1
        self.traces.look = lambda at: look(self, at)

    def _provider(self, one: ProviderOptions) -> TracedProvider:
        names = [endpoint.upstream_model for endpoint in one.endpoints]
        provider = TracedProvider(
            one.name,
            one.format,
            dict(zip(names, one.models, strict=True)),
            seed=self.options.seed,
            api_key="key-1" if one.has_key else None,
            limits=one.limits,
        )
        provider.traces = self.traces
        provider.is_cancel_ignored = one.is_cancel_ignored
        provider.faults = tuple(
            fault for name, fault in self.options.faults if name == provider.name
        )
        return provider

    async def run(self) -> None:
        """Play both phases beside the engine's background, then judge."""
        async with asyncio.TaskGroup() as group:
            background = group.create_task(self.engine.background())
            async with asyncio.TaskGroup() as phase:
                phase.create_task(self._act())
                phase.create_task(self.callers.load(self.options.faulty_s))
            self._heal()
            await self._recover()
            await self._drain()
            background.cancel()
        judge(self)

    def digest(self) -> str:
        """Return a digest of everything that happened."""
        said = [repr(event) for event in self.traces.events]
        said += [repr(trace.seen) for trace in self.traces.calls.values()]
        said += [repr(entry) for one in self.providers.values() for entry in one.log]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    # --- what happens --------------------------------------------------------------------------

    async def _act(self) -> None:
        for act in self.options.acts:
            await asyncio.sleep(act.at_s - loop_now())
            self._do(act)

    def _do(self, act: Act) -> None:
        match act.kind:
            case ActKind.KEY_ROTATED if act.provider is not None:
                self._keys += 1
                self.providers[act.provider].api_key = f"key-{self._keys}"
            case ActKind.KEY_DELIVERED if act.provider is not None:
                self._deliver_key(act.provider)
            case ActKind.CLOCK_JUMP:
                loop = asyncio.get_running_loop()
                assert isinstance(loop, SimulatedLoop), "worlds live in simulated time"
                loop.jump(act.jump_s)
                self.jumped_at = loop.time()
            case ActKind.ISOLATE if act.endpoint is not None:
                self.engine.health.isolate(act.endpoint, loop_now())
            case ActKind.RESTORE if act.endpoint is not None:
                self.engine.health.restore(act.endpoint, loop_now())
            case _:
                raise AssertionError(f"an act without its object: {act}")

    def _deliver_key(self, name: ProviderName) -> None:
        key = self.providers[name].api_key
        assert key is not None, "only keys that are asked for are rotated"
        self.upstream.set_key(name, key)

    # --- liveness ------------------------------------------------------------------------------

    def _heal(self) -> None:
        for name, provider in self.providers.items():
            provider.faults = ()
            if provider.api_key is not None:
                self._deliver_key(name)
        for act in self.options.acts:
            if act.kind is ActKind.ISOLATE and act.endpoint is not None:
                self.engine.health.restore(act.endpoint, loop_now())

    async def _recover(self) -> None:
        """Call everything until all is well in three rounds in a row, or the bound is passed."""
        until, good_rounds, number = loop_now() + self.options.recovery_s, 0, 0
        while good_rounds < ROUNDS_GOOD:
            number += 1
            missed = await self._round(number)
            good_rounds = 0 if missed else good_rounds + 1
            if missed and loop_now() > until:
                self.traces.breaks("heals_when_healed", "; ".join(missed))
                return
            await asyncio.sleep(ROUND_S)

    async def _drain(self) -> None:
        """Stop while calls are under way, some of them stuck: each ends at once, with a reason."""
        next(iter(self.providers.values())).faults = (Fault(kind=FaultKind.HANG),)
        routes = [alone(name) for name in self.catalogue.endpoints]
        async with asyncio.TaskGroup() as group:
            is_stream = self.rng.random() < HALF
            asked = group.create_task(self.callers.each(routes, is_stream=is_stream))
            await asyncio.sleep(self.rng.uniform(0.0, DRAINED_AFTER_S_MAX))
            self.drained_at = loop_now()
            self.engine.interrupt(DrainingError("the sidecar stops"))
            _, left = await asyncio.wait([asked], timeout=DRAIN_S)
            if left:
                self.traces.breaks("a_drain_ends_all_calls", f"{DRAIN_S} s after it some go on")
        for seen in asked.result():
            if not seen.is_good and seen.code not in STOPPED:
                self.traces.breaks("a_drain_says_why", f"{seen.route}: {seen.status} {seen.code}")

    async def _round(self, number: int) -> list[str]:
        """Call every endpoint alone and every task once; return what was amiss."""
        routes = [alone(name) for name in self.catalogue.endpoints]
        routes += [
            route.name for route in self.options.routes if route.is_task and not route.budget_usd
        ]
        seen = await self.callers.each(routes, is_stream=number % 2 == 0)
        missed = [
            f"{one.route}: {one.status} {one.code} {one.message[:200]} {one.attempts}"
            for one in seen
            if not one.is_good or one.endpoint is None
        ]
        for name, own in self.engine.health.endpoints.items():
            state = own.breaker.state(loop_now())
            if state is not BreakerState.CLOSED:
                missed.append(f"{name} is {state.value}")
        return missed


def play_seed(seed: int) -> SwarmWorld:
    """Play the world of ``seed`` to its end; what went wrong is in ``traces.broken``."""
    options = draw_options(seed)
    worlds: list[SwarmWorld] = []

    async def main() -> None:
        world = SwarmWorld(options)
        worlds.append(world)
        await world.run()

    try:
        with throttle_on_loop_time():
            simulate(main())
    except Exception as error:  # noqa: BLE001 - the root of a world: whatever it is, it has a seed
        worlds[0].traces.breaks("no_exception", "".join(traceback.format_exception(error))[-3000:])
    return worlds[0]
