"""One play of a row: its staging, a rate, the engine or the oracle, a seed, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Constraints, ProviderName
from sidecar.engine.engine import Engine
from sidecar.events import AttemptFinished
from sidecar.simulate.client import Result
from sidecar.simulate.faults.oracle import FaultOracle
from sidecar.simulate.faults.plan import asks_of, window_of
from sidecar.simulate.faults.pods import EnginePod, OraclePod, PodUpstream
from sidecar.simulate.faults.staging import ActKind
from sidecar.simulate.loop import SimulatedLoop, simulate, throttle_on_loop_time
from sidecar.simulate.plays import played_of, world_of

if TYPE_CHECKING:
    from sidecar.domain import Call, CallId
    from sidecar.simulate.faults.plan import Ask
    from sidecar.simulate.faults.pods import Pod
    from sidecar.simulate.faults.staging import Act, Staging
    from sidecar.simulate.plays import Played
    from sidecar.simulate.world import World


def perform(staging: Staging, rate_per_s: float, seed: int, *, is_oracle: bool) -> Played:
    """Play a row in simulated time, with the engine or with the oracle in its place."""

    async def main() -> Played:
        world = world_of(staging.scenario, seed, staging.settings, staging.routes)
        return await _Play(world, staging, rate_per_s, seed, is_oracle=is_oracle).run()

    with throttle_on_loop_time():
        return simulate(main())


class _Play:
    """One play under way. Owns its pods, the callers under way and the time lost to suspension."""

    def __init__(
        self, world: World, staging: Staging, rate_per_s: float, seed: int, *, is_oracle: bool
    ) -> None:
        self._world = world
        self._staging = staging
        self._rate_per_s = rate_per_s
        self._seed = seed
        self._is_oracle = is_oracle
        self._window = window_of(staging, rate_per_s, seed)
        self._lost_s = 0.0
        self._results: list[Result] = []
        self._result_of: dict[CallId, Result] = {}
        self._open: dict[asyncio.Task[None], None] = {}
        self._queue: list[Call] = []
        self._engines: list[Engine] = []
        self._pods: list[Pod | None] = [
            self._pod(number) for number in range(staging.scenario.pods)
        ]
        fault_s = self._window.fault_until - self._window.fault_at
        staged = staging.scenario.faults(self._window.fault_at, fault_s, seed)
        for name, faults in staged.items():
            world.providers[ProviderName(name)].faults = faults

    async def run(self) -> Played:
        """Warm up, call, act, let everything end."""
        async with asyncio.TaskGroup() as group:
            self._backgrounds = [
                group.create_task(pod.background()) for pod in self._pods if pod is not None
            ]
            acting = group.create_task(self._act_all(group))
            async with asyncio.TaskGroup() as callers:
                for ask in asks_of(self._staging, self._rate_per_s, self._seed):
                    await self._until(ask.at)
                    task = callers.create_task(self._call(ask))
                    self._open[task] = None
                    task.add_done_callback(self._open.pop)
            await acting
            for task in self._backgrounds:
                task.cancel()
        self._check_nothing_is_left()
        self._count_attempts()
        window = (self._window.fault_at, self._window.fault_until + self._lost_s)
        return played_of(
            self._world, self._staging.scenario, self._rate_per_s, window, self._results
        )

    # --- callers -------------------------------------------------------------------------------

    async def _call(self, ask: Ask) -> None:
        result = Result(started_at=loop_now(), deadline_at=0.0, is_stream=ask.is_stream)
        pods = self._pods
        if ask.is_judged:
            self._results.append(result)
        if not ask.is_for_all:
            pods = [pods[len(self._results) % len(pods)]]
        try:
            for pod in pods:
                # A program that gives up hangs up.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ask.caller.leaves_after_s):
                        await self._ask(pod, ask, result)
        finally:
            result.ended_at = loop_now()

    async def _ask(self, pod: Pod | None, ask: Ask, result: Result) -> None:
        caller = ask.caller
        for _ in range(caller.tries):
            extra = dict(caller.extra)
            if ask.is_stream:
                # Callers ask for usage, as frameworks do: simulated words are no tokens.
                extra["stream_options"] = {"include_usage": True}
            call = self._world.make_call(
                caller.route or self._staging.scenario.route,
                is_stream=ask.is_stream,
                question=caller.question,
                constraints=Constraints(within_s=caller.within_s, priority=caller.priority),
                extra=extra,
            )
            self._result_of[call.id] = result
            result.deadline_at = call.deadline_at
            if pod is None:
                return
            is_refused = await pod.answer(call, result, caller)
            if caller.is_wrong and is_refused:
                result.is_delivered = result.is_whole = True
            if result.is_delivered:
                return

    # --- what befalls them ---------------------------------------------------------------------

    async def _until(self, at: float) -> None:
        """Sleep to ``at``; what was lost to suspension comes on top."""
        while True:
            left_s = at + self._lost_s - loop_now()
            if left_s <= 0.0:
                return
            await asyncio.sleep(left_s)

    async def _act_all(self, group: asyncio.TaskGroup) -> None:
        window = self._window
        acts = [
            (act.at_s + (window.fault_until if act.is_after else window.fault_at), act)
            for act in self._staging.acts
        ]
        for at, act in sorted(acts, key=lambda pair: pair[0]):
            await self._until(at)
            await self._act(act, group)

    async def _act(self, act: Act, group: asyncio.TaskGroup) -> None:
        sick = ProviderName(self._staging.scenario.sick)
        match act.kind:
            case ActKind.KEEP_NONE | ActKind.KEEP_AGAIN:
                for pod in self._pods:
                    assert pod is not None
                    pod.upstream.idle_counts[sick] = 0
                    pod.upstream.unkept = sick if act.kind is ActKind.KEEP_NONE else None
            case ActKind.NEW_KEY:
                for pod in self._pods:
                    assert pod is not None
                    pod.upstream.set_key(sick, "new")
            case ActKind.BILL_CUT:
                self._world.providers[sick].is_cancel_ignored = True
            case ActKind.SUSPEND | ActKind.STALL:
                loop = asyncio.get_running_loop()
                assert isinstance(loop, SimulatedLoop)
                self._lost_s += act.seconds if act.kind is ActKind.SUSPEND else 0.0
                loop.jump(act.seconds)
            case _:
                await self._act_on_pod(act.kind, group)

    async def _act_on_pod(self, kind: ActKind, group: asyncio.TaskGroup) -> None:
        last = self._pods[-1]
        match kind:
            case ActKind.LOSE_NETWORK | ActKind.HAVE_NETWORK:
                assert last is not None
                last.upstream.is_severed = kind is ActKind.LOSE_NETWORK
            case ActKind.KILL:
                self._pods[0] = None
                self._backgrounds[0].cancel()
                for task in tuple(self._open):
                    task.cancel()
            case ActKind.START:
                pod = self._pods[0] = self._pod(len(self._engines))
                self._backgrounds[0] = group.create_task(pod.background())
            case _:
                for one in self._pods:
                    assert one is not None
                    await one.drain()

    # --- parts ---------------------------------------------------------------------------------

    def _pod(self, number: int) -> Pod:
        world = self._world
        upstream = PodUpstream(world.providers, world.endpoints)
        if self._is_oracle:
            limits = self._staging.scenario.limits
            return OraclePod(FaultOracle(world, upstream, limits, self._queue), upstream)
        seed = self._seed + 3 if number == 0 else f"pod/{self._seed}/{number}"
        engine = Engine(
            catalogue=world.catalogue,
            settings=self._staging.settings,
            upstream=upstream,
            observer=world.recorder,
            rng=random.Random(seed),
        )
        self._engines.append(engine)
        return EnginePod(engine, upstream)

    def _count_attempts(self) -> None:
        """Lay each attempt of the engine to its call; the oracle's client counts by itself."""
        for event in self._world.recorder.events:
            if isinstance(event, AttemptFinished):
                self._result_of[event.call_id].attempts += 1

    def _check_nothing_is_left(self) -> None:
        self._world.check_invariants()
        for engine in self._engines:
            assert len(engine.timers) == 0, "timers left behind"
            for name, own in engine.health.endpoints.items():
                assert not own.in_flight, f"{name}: tickets not settled"
