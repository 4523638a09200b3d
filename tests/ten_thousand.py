"""Ten thousand calls with faults, played once for all tests that hold something against them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import ProviderName
from sidecar.simulate.world import ALPHA, BETA, LARGE, World, default_endpoints, play
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedModel

if TYPE_CHECKING:
    from sidecar.domain import Endpoint

CALLS = 10_000
RATE_PER_S = 25.0
LEAVING_SHARE = 0.05
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
WORDS = "Say something about the weather in a few words. "
CACHED_USD = 0.3
LARGE_OF: dict[str, SimulatedModel] = {
    "alpha": replace(LARGE, cached_share=0.5, cached_input_usd=CACHED_USD, reasoning_tokens=15),
    "beta": replace(LARGE, cached_share=0.5, cached_input_usd=CACHED_USD, chunk_tokens=3),
}


def _endpoints() -> tuple[Endpoint, ...]:
    """Return the usual endpoints, with prices for what is cached."""
    return tuple(
        replace(one, price=replace(one.price, cached_input_usd=CACHED_USD))
        if one.price is not None and one.id in (ALPHA, BETA)
        else one
        for one in default_endpoints()
    )


async def _leave(world: World, route: str, *, is_stream: bool, patience_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await _call(world, route, is_stream=is_stream)


async def _call(world: World, route: str, *, is_stream: bool) -> None:
    """Call as programs do: prompts of any length, some with an image, every second stream without
    the wish to hear its usage.
    """
    question = WORDS * world.rng.randint(1, 30)
    extra: dict[str, object] = {}
    if is_stream and world.rng.random() < 0.5:
        extra["stream_options"] = {"include_usage": True}
    if world.rng.random() < 0.05:
        content: list[object] = [{"type": "text", "text": question}, IMAGE]
        extra["messages"] = [{"role": "user", "content": content}]
    await world.call(route, is_stream=is_stream, question=question, extra=extra)


async def _mixed(world: World) -> None:
    for name, model in LARGE_OF.items():
        world.providers[ProviderName(name)].models[f"{name}-large"] = model
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


@cache
def ten_thousand_calls() -> World:
    """Return the world after them."""
    return play(_mixed, seed=3, endpoints=_endpoints())
