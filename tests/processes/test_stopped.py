"""A provider process that stands still (SIGSTOP): its kernel accepts, nobody answers."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.processes.conftest import Answer, Provider, Sidecar

    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]

ASKED, FALLBACK = "doomed/doomed-sim", "beta/beta-sim:COMMITTED"
ROUNDS_MAX, CALLERS = 12, 4
WITHIN_S = 20.0
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  doomed: {{kind: openai, base_url: "{doomed}"}}
  beta: {{kind: anthropic, base_url: "{beta}"}}
models:
  doomed-sim: {{provider: doomed, model: sim, price: {{input: 1, output: 2}}, context: 90000}}
  beta-sim: {{provider: beta, model: sim, price: {{input: 1, output: 2}}, context: 90000}}
routes:
  quick: {{tiers: [[doomed-sim], [beta-sim]], within: 20s}}
defaults:
  timers: {{connect: 400ms, first_content: 300ms, stall: 2s}}
  probes: {{suspect_first: 20s}}
  breaker: {{open_base: 1s}}
  host_breaker: {{open_base: 1s}}
"""


async def several(sidecar: Sidecar) -> list[Answer]:
    """Ask for streams at once; each is answered, within its deadline."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(sidecar.chat(stream=True)) for _ in range(CALLERS)]
    answers = [call.result() for call in calls]
    assert loop.time() - began_at < WITHIN_S
    for answer in answers:
        assert answer.status == 200
        assert "data: [DONE]" in answer.text
        assert "upstream_interrupted" not in answer.text
    return answers


async def test_stopped_provider(
    start: Callable[[str], Awaitable[Sidecar]], doomed: Provider, beta: Provider, until: Until
) -> None:
    """Rows 2 and 13: a provider that stands still is left; running again it gets calls again.

    Connections kept from before are accepted by the kernel as new ones are: both hang, at the
    first content and not at connecting.
    """
    sidecar = await start(CONFIG.format(doomed=doomed.base_url, beta=beta.base_url))

    async def endpoint() -> dict[str, Any]:
        found: dict[str, Any] = (await sidecar.state())["endpoints"][ASKED]
        return found

    for answer in await several(sidecar):
        assert answer.attempts == [f"{ASKED}:COMMITTED"]

    doomed.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(ROUNDS_MAX):
            attempts = [answer.attempts for answer in await several(sidecar)]
            assert all(one in ([f"{ASKED}:HANG", FALLBACK], [FALLBACK]) for one in attempts)
            if all(one == [FALLBACK] for one in attempts):
                break
        else:
            pytest.fail("the breaker never opened")
        known = await endpoint()
        assert known["breaker"] != "closed"
        assert known["last_cause"] == "HANG"
    finally:
        doomed.process.send_signal(signal.SIGCONT)

    async def is_back() -> bool:
        return bool((await endpoint())["breaker"] == "closed")

    await until(is_back, "trials close the breaker")

    async def is_asked_again() -> bool:
        return any(one.attempts == [f"{ASKED}:COMMITTED"] for one in await several(sidecar))

    await until(is_asked_again, "traffic returns")
