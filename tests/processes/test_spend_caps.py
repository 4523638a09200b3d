"""A spend cap in a real process: what callers and operators see, before and after a restart."""

from __future__ import annotations

import json
import signal
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.processes.conftest import Sidecar

    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]
    Start = Callable[[str], Awaitable[Sidecar]]

CAP_USD = 0.001
"""Enough for the first guess at an answer's price and a few answers after it, of 0.00003 each."""


def capped(config: str, usd: float) -> str:
    """Return a configuration whose provider alpha may cost ``usd`` a day."""
    written = config.replace(
        "alpha: {kind: openai,", f"alpha: {{kind: openai, limits: {{usd_per_day: {usd:.9f}}},"
    )
    assert written != config
    return written


async def test_a_cap_survives_a_restart_and_a_reload(
    start: Start, config: Callable[..., str], tmp_path: Path, until: Until
) -> None:
    """Money spent by an earlier process counts: read back before the first call; 402 says so, the
    pod stays ready, and a raised cap lets calls through at once.
    """
    text = config() + f"ledger: {{path: {tmp_path / 'ledger.db'}}}\n"
    alone = text.replace("[[alpha-sim], [beta-sim]]", "[[alpha-sim]]")
    first = await start(capped(alone, CAP_USD))
    answers = [await first.chat() for _ in range(4)]
    assert {answer.status for answer in answers} == {200}
    paid = sum(float(answer.headers["x-sidecar-cost-usd"]) for answer in answers)
    assert paid > 0
    spent = (await first.state())["spend_caps"]["providers"]["alpha"]["spent_usd"]
    first.process.send_signal(signal.SIGINT)
    assert await first.ended() == 0

    again = await start(capped(alone, paid))
    refused = await again.chat()
    assert refused.status == 402
    assert refused.headers["x-sidecar-error"] == "spend_cap"
    assert refused.headers["x-should-retry"] == "false"
    assert json.loads(refused.text)["error"]["code"] == "spend_cap"
    cap = (await again.state())["spend_caps"]["providers"]["alpha"]
    assert cap["spent_usd"] == spent
    assert cap["reached"]
    async with again.http.get(f"{again.url('health')}/readyz") as answer:
        assert answer.status == 200
    async with again.http.get(f"{again.url('health')}/metrics") as answer:
        metrics = await answer.text()
    assert '\nsidecar_spend_cap_reached{scope="provider",name="alpha"} 1\n' in metrics

    async def is_raised() -> bool:
        caps = (await again.state())["spend_caps"]
        return bool(caps["providers"]["alpha"]["usd_per_day"] == 1.0)

    async def is_told(word: str) -> bool:
        return f"spend_cap provider=alpha state={word}" in again.log.read_text()

    await until(partial(is_told, "reached"), "the log says that the cap is reached")
    (tmp_path / "sidecar.yaml").write_text(capped(alone, 1.0))
    again.process.send_signal(signal.SIGHUP)
    await until(is_raised, "the raised cap is in force")
    assert (await again.chat()).status == 200
    cap = (await again.state())["spend_caps"]["providers"]["alpha"]
    assert cap["spent_usd"] > spent
    assert not cap["reached"]
    await until(partial(is_told, "free"), "the log says that the cap is free")
