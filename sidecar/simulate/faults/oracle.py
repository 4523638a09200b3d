"""Who knows the future of a row: every fault, whom it concerns, who has room, who can be in time.

It asks nobody who would fail the call at hand, waits for room where someone is well but full
(people before batch calls), and passes on a refusal that the request deserves. A slow endpoint of a
better tier is asked before a fast one of a lesser tier as long as it is in time. It does not wait
for a provider to come back: where nobody can serve, an error at once is the right answer. What
befalls the sidecar itself (a restart, a lost network, a stalled loop) befalls the oracle too.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Priority
from sidecar.simulate.client import Fate, PlainClient
from sidecar.upstream.simulated_faults import DISTURBING_KINDS, FaultKind, factor_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.domain import Call, Endpoint
    from sidecar.simulate.client import Result
    from sidecar.simulate.world import World
    from sidecar.upstream.simulated import Fault, SimulatedLimits, SimulatedProvider
    from sidecar.upstream.simulated_memory import MemoryUpstream

BAD_REQUEST = 400
LOOK_S = 0.05
SURE = 1.0


class FaultOracle:
    """Answers the calls of one pod. ``queue`` holds the people's calls that wait, of all pods."""

    def __init__(
        self,
        world: World,
        upstream: MemoryUpstream,
        limits: Mapping[str, SimulatedLimits],
        queue: list[Call],
    ) -> None:
        self._world = world
        self._client = PlainClient(upstream)
        self._limits = limits
        self._queue = queue

    async def answer(self, call: Call, result: Result) -> bool:
        """Answer ``call``; return whether a provider refused it as malformed."""
        is_batch = call.constraints.priority is Priority.BATCH
        if not is_batch:
            self._queue.append(call)
        try:
            while True:
                ranked = self._ranked(call)
                free = [one for one in ranked if self._has_room(one)]
                if free and not (is_batch and self._queue):
                    break
                if not ranked or loop_now() + LOOK_S >= call.deadline_at:
                    return False
                await asyncio.sleep(LOOK_S)
        finally:
            if not is_batch:
                self._queue.remove(call)
        return await self._ask(call, free, result)

    async def _ask(self, call: Call, endpoints: list[Endpoint], result: Result) -> bool:
        for endpoint in endpoints:
            limit_s = call.deadline_at - loop_now()
            got = await self._client.attempt(call, endpoint, result, limit_s=limit_s)
            if got.fate is not Fate.FAILED or got.status == BAD_REQUEST:
                return got.status == BAD_REQUEST
        return False

    def _ranked(self, call: Call) -> list[Endpoint]:
        """Return who may answer ``call`` in time, full or not, the best first."""
        ranked: list[tuple[float, int, bool, int, Endpoint]] = []
        for tier, names in enumerate(call.route.tiers):
            for name in names:
                endpoint = self._world.endpoints[name]
                chance, is_slow = self._illness(call, endpoint)
                ranked.append((chance, tier, is_slow, len(ranked), endpoint))
        ranked.sort(key=lambda one: one[:4])
        return [endpoint for chance, *_, endpoint in ranked if chance < SURE]

    def _illness(self, call: Call, endpoint: Endpoint) -> tuple[float, bool]:
        """Return the chance that ``call`` fails there now, 1 if it would be late; and whether it
        may be slowed down.
        """
        provider = self._provider(endpoint)
        active = tuple(
            fault for fault in provider.faults if fault.is_active(loop_now()) and _hits(fault, call)
        )
        sure = tuple(fault for fault in active if fault.share >= SURE)
        model = provider.models[endpoint.upstream_model]
        takes_s = model.ttft_s * factor_of(sure, FaultKind.SLOW_FIRST)
        takes_s += model.itl_s * model.output_tokens * factor_of(sure, FaultKind.DRIP)
        if loop_now() + takes_s > call.deadline_at:
            return SURE, True
        failing = [fault.share for fault in active if fault.kind not in DISTURBING_KINDS]
        return max(failing, default=0.0), len(failing) < len(active)

    def _has_room(self, endpoint: Endpoint) -> bool:
        limits = self._limits.get(endpoint.provider)
        room = None if limits is None else limits.requests_at_once
        return self._provider(endpoint).in_flight < (inf if room is None else room)

    def _provider(self, endpoint: Endpoint) -> SimulatedProvider:
        return self._world.upstream.providers[endpoint.provider]


def _hits(fault: Fault, call: Call) -> bool:
    """Say whether ``fault`` concerns this call; the list of models concerns none."""
    if fault.kind is FaultKind.TOKEN_RATE:
        return call.facts.prompt_tokens > fault.prompt_tokens_max
    return True
