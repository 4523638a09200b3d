"""Many random worlds against the whole engine, each from a seed: ``python -m
sidecar.simulate.swarm --worlds 500``.

A world that breaks an invariant prints its seed, what broke, and the command that plays it again;
``--one SEED`` prints every option of a world first, then what became of it. Worlds share nothing
and run on all cores.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import field
from typing import TYPE_CHECKING, NoReturn

from sidecar.simulate.swarm_options import draw_options
from sidecar.simulate.swarm_world import play_seed
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.simulate.traces import Traces

SEEDS = 2**31
WORLD_WALL_S = 120
"""A world that takes longer turns in circles: its time does not move."""
WORLDS_PER_TURN = 4


class WorldSpinsError(BaseException):
    """A world's time stands still; a ``BaseException``, as the engine catches the others."""


@value
class Verdict:
    """What became of one world. ``broken``: the case of each broken invariant, by name.

    ``counts``: how its calls and attempts ended, and the kinds of attempts: what was exercised.
    """

    seed: int
    broken: dict[str, str]
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)


def verdict_of(seed: int) -> Verdict:
    """Play the world of ``seed``."""
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(WORLD_WALL_S)
    try:
        world = play_seed(seed)
    except WorldSpinsError:
        broken = {"time_moves": f"the world did not end within {WORLD_WALL_S} s"}
        return Verdict(seed=seed, broken=broken)
    finally:
        signal.alarm(0)
    return Verdict(
        seed=seed,
        broken=world.traces.broken,
        digest=world.digest(),
        counts=dict(_counts(world.traces)),
    )


def _counts(traces: Traces) -> Counter[str]:
    counts = Counter(f"call {end.result}" for one in traces.calls.values() for end in one.ends)
    counts.update(f"attempt {one.outcome.cls.value}" for one in traces.attempts)
    counts.update(f"kind {one.kind}" for one in traces.attempts)
    counts.update(f"probe {one.kind} {one.outcome.cls.value}" for one in traces.probes)
    counts.update(
        f"degraded {one.seen.degraded.partition(';')[0]}"
        for one in traces.calls.values()
        if one.seen.degraded
    )
    return counts


def _stop(*_: object) -> NoReturn:
    raise WorldSpinsError


def play_one(seed: int) -> bool:
    """Print the options of one world, play it, print what became of it; return whether all held."""
    for line in draw_options(seed).lines():
        _say(line)
    verdict = verdict_of(seed)
    _say_counts(Counter(verdict.counts))
    _say(f"digest {verdict.digest}")
    return _is_well(verdict)


def play_many(first: int, worlds: int) -> bool:
    """Play ``worlds`` seeds from ``first`` on, on every core; return whether all held."""
    _say(f"{worlds} worlds, seeds {first} to {first + worlds - 1}")
    failed, counts = [], Counter[str]()
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for verdict in pool.map(
            verdict_of, range(first, first + worlds), chunksize=WORLDS_PER_TURN
        ):
            counts.update(verdict.counts)
            if not _is_well(verdict):
                failed.append(verdict.seed)
    _say_counts(counts)
    _say(f"{len(failed)} of {worlds} worlds failed" + (f": {failed}" if failed else ""))
    return not failed


def _is_well(verdict: Verdict) -> bool:
    if not verdict.broken:
        return True
    _say(f"seed {verdict.seed} FAILED; play it again: {_command(verdict.seed)}")
    for name, what in verdict.broken.items():
        _say(f"  {name}: {what}")
    return False


def _say_counts(counts: Counter[str]) -> None:
    for name, count in sorted(counts.items()):
        _say(f"  {count:7} {name}")


def _command(seed: int) -> str:
    return f"python -m sidecar.simulate.swarm --one {seed}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description="Random worlds against the whole engine.")
    parser.add_argument("--worlds", type=int, default=500, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the first world; random if not given")
    parser.add_argument("--one", type=int, metavar="SEED", help="play one world, options first")
    arguments = parser.parse_args(argv)
    if arguments.one is not None:
        return 0 if play_one(arguments.one) else 1
    first = secrets.randbelow(SEEDS) if arguments.seed is None else arguments.seed
    return 0 if play_many(first, arguments.worlds) else 1


if __name__ == "__main__":
    sys.exit(main())
