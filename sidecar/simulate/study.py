"""The comparison study: the engine beside what people do without it, and without each idea of it.

    python -m sidecar.simulate.study [--quick] [--write docs/resilience.md]

Every scenario at every rate under every policy (``policies.py``) and every ablation that should
tell there (``ablations.py``), all in simulated time and fixed by the seeds: the same tree gives the
same figures. Several seeds, pooled; plays are spread over processes, since each is one loop.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.simulate import ablations
from sidecar.simulate.metrics import Figures, figures_of, pool
from sidecar.simulate.plays import ENGINE, perform
from sidecar.simulate.policies import BASELINES, ORACLE
from sidecar.simulate.scenarios import BY_NAME
from sidecar.simulate.study_text import document
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEEDS = (1, 2, 3)
QUICK_SEEDS = (1,)
QUICK = ("s500", "hang", "brownout", "partial30", "all-down")
PROCESSES = 2


@value
class Job:
    """One world: a scenario at a rate with a seed. ``designs`` are policies and ablations."""

    scenario: str
    rate_per_s: float
    seed: int
    designs: tuple[str, ...]


Table = dict[tuple[str, float], dict[str, Figures]]
"""Scenario and calls a second to the pooled figures of each design."""


def jobs_of(names: Iterable[str], seeds: Sequence[int]) -> list[Job]:
    """Return every world to be played, with the designs to be played in it."""
    jobs = []
    for name in names:
        baselines = () if BY_NAME[name].is_ablation else BASELINES
        for rate_per_s in BY_NAME[name].rates:
            ablated = [one.name for one in ablations.ABLATIONS if one.is_played(name, rate_per_s)]
            designs = (ENGINE, *baselines, *ablated)
            jobs += [
                Job(scenario=name, rate_per_s=rate_per_s, seed=seed, designs=designs)
                for seed in seeds
            ]
    return jobs


def play(job: Job) -> dict[str, Figures]:
    """Play one world under each of its designs; the oracle is the measure and appears too."""
    scenario = BY_NAME[job.scenario]
    oracle = perform(scenario, job.rate_per_s, ORACLE, job.seed)
    found = {ORACLE: figures_of(oracle, oracle)}
    for design in job.designs:
        ablation = ablations.BY_NAME.get(design)
        if ablation is None:
            played = perform(scenario, job.rate_per_s, design, job.seed)
        else:
            played = perform(scenario, job.rate_per_s, ENGINE, job.seed, ablation.variant())
        found[design] = figures_of(played, oracle)
    return found


def run(jobs: Sequence[Job]) -> Table:
    """Play all worlds and pool the seeds."""
    # Spawned, not forked: a play must not depend on what its parent has done.
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as processes:
        results = list(processes.map(play, jobs))
    several: dict[tuple[str, float], list[dict[str, Figures]]] = {}
    for job, found in zip(jobs, results, strict=True):
        several.setdefault((job.scenario, job.rate_per_s), []).append(found)
    return {
        world: {design: pool([one[design] for one in founds]) for design in founds[0]}
        for world, founds in several.items()
    }


def main() -> None:
    """Run the study and print or write the document."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.simulate.study", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few scenarios with one seed")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document to FILE")
    arguments = parser.parse_args()
    names = QUICK if arguments.quick else list(BY_NAME)
    seeds = QUICK_SEEDS if arguments.quick else SEEDS
    catalogue = None if arguments.write is None else arguments.write.with_name("faults.md")
    faults = "" if catalogue is None or not catalogue.exists() else catalogue.read_text("utf-8")
    text = document(run(jobs_of(names, seeds)), seeds, faults)
    if arguments.write is None:
        print(text)  # noqa: T201 - a command prints
    else:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
