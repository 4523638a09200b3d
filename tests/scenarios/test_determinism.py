"""The same seed tells the same story, in every process: a failing scenario can be played again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from sidecar.simulate.world import World, play
from sidecar.upstream.simulated import Fault, FaultKind

ROOT = Path(__file__).parents[2]


async def _mixed(world: World) -> None:
    world.alpha.faults = (
        Fault(kind=FaultKind.STATUS, status=500, share=0.3, start_s=5, end_s=15),
        Fault(kind=FaultKind.HANG, start_s=20, end_s=35),
        Fault(kind=FaultKind.RESET_AFTER, after_tokens=5, share=0.5, start_s=35, end_s=55),
    )
    world.beta.faults = (
        Fault(kind=FaultKind.STATUS, status=529, share=0.3, start_s=10, end_s=40),
        Fault(kind=FaultKind.STATUS, status=429, retry_after_s=5, share=0.1),
    )
    await world.load(30, rate_per_s=2.0)
    await world.load(30, rate_per_s=2.0, route="pair")


def digest(seed: int) -> str:
    """Return a digest of every event of one mixed scenario."""
    events = play(_mixed, seed=seed).recorder.events
    return hashlib.sha256("\n".join(map(repr, events)).encode()).hexdigest()


def _digest_elsewhere(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout.strip()


def test_events_are_the_same_in_two_processes() -> None:
    """No order of a set or hash reaches an effect: two hash seeds, one list of events."""
    first, second = _digest_elsewhere("1"), _digest_elsewhere("2")
    assert first == second
    assert len(first) == 64


def test_another_seed_is_another_story() -> None:
    """The digest tells scenarios apart."""
    assert digest(1) != digest(2)


if __name__ == "__main__":
    print(digest(1))  # noqa: T201 - read by the test above
