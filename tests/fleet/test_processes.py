"""Twenty real sidecars, a real store and a simulated provider that goes down and comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.processes.conftest import Provider, Sidecar, launch, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.fleet.conftest import Server

PODS, CALLERS = 20, 5
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
fleet: {{url: "{store}", namespace: test}}
providers:
  alpha: {{kind: openai, base_url: "{alpha}"}}
models:
  sim: {{provider: alpha, model: sim, price: {{input: 1, output: 2}}, context: 900000}}
"""


@pytest.fixture
def alpha() -> Iterator[Provider]:
    """A provider of the test's own."""
    provider = Provider("alpha", "openai-chat")
    yield provider
    provider.stop()


@pytest.fixture
async def pods(tmp_path: Path, server: Server, alpha: Provider) -> AsyncIterator[list[Sidecar]]:
    """Sidecars in processes of their own, all of one fleet."""
    config = CONFIG.format(store=server.url, alpha=alpha.base_url)
    started: list[Sidecar] = []
    async with aiohttp.ClientSession() as http:
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number in range(PODS):
                directory = tmp_path / str(number)
                directory.mkdir()
                tasks.append(group.create_task(launch(config, directory, http)))
        started += [task.result() for task in tasks]
        yield started
        for pod in started:
            pod.kill()


async def breaker(pod: Sidecar) -> str:
    """Return the state of alpha's breaker in a pod."""
    found: str = (await pod.state())["endpoints"]["alpha/sim"]["breaker"]
    return found


async def test_an_outage_is_learned_by_pods_that_made_no_call(
    pods: list[Sidecar], alpha: Provider
) -> None:
    """Of twenty pods five have callers; all know of the outage, and of its end, by few probes."""

    async def has_all_pods() -> bool:
        count: int = (await pods[0].state())["fleet"]["pods"]
        return count == PODS

    async def are_all(word: str) -> bool:
        for pod in pods:  # one that is not yet is enough to know
            if await breaker(pod) != word:
                return False
        return True

    await until(has_all_pods, "the pods have heard of each other")
    for pod in pods[:CALLERS]:
        assert (await pod.chat("sim")).status == 200
    alpha.break_by({"kind": "status", "status": 500})
    since_s = alpha.now_s()
    async with asyncio.TaskGroup() as group:
        for pod in pods[:CALLERS]:
            group.create_task(pod.chat("sim"))
            group.create_task(pod.chat("sim"))
    await until(lambda: are_all("open"), "every pod knows of the outage")
    alpha.break_by()
    await until(lambda: are_all("closed"), "every pod knows that it is over")
    entries = alpha._ask("GET", "/_sim/log")["entries"]
    paid = [e for e in entries if e["is_probe"] and e["model"] and e["at_s"] >= since_s]
    assert len(paid) <= PODS // 2, "the fleet probed once, not each pod"
