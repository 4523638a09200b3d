"""Playing every row of the catalogue: jobs, processes, and the table that they come to."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

from sidecar.simulate.faults.figures import RowFigures, pool_rows, row_figures_of
from sidecar.simulate.faults.play import perform
from sidecar.simulate.faults.stagings import BY_NUMBER
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEEDS = (1, 2, 3)
PROCESSES = 2
Table = dict[tuple[int, float], RowFigures]
"""Number of the row and calls a second to the engine's pooled figures."""


@value
class Job:
    """One world: a row at a rate with a seed."""

    number: int
    rate_per_s: float
    seed: int


def jobs_of(numbers: Iterable[int], seeds: Sequence[int]) -> list[Job]:
    """Return every world to be played."""
    return [
        Job(number=number, rate_per_s=rate_per_s, seed=seed)
        for number in numbers
        for rate_per_s in BY_NUMBER[number].scenario.rates
        for seed in seeds
    ]


def play(job: Job) -> RowFigures:
    """Play one world with the engine and with the oracle."""
    staging = BY_NUMBER[job.number]
    oracle = perform(staging, job.rate_per_s, job.seed, is_oracle=True)
    return row_figures_of(perform(staging, job.rate_per_s, job.seed, is_oracle=False), oracle)


def run(jobs: Sequence[Job], processes: int = PROCESSES) -> Table:
    """Play all worlds and pool the seeds; ``processes`` 1: in this one."""
    if processes == 1:
        results = [play(job) for job in jobs]
    else:
        # Spawned, not forked: a play must not depend on what its parent has done.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
            results = list(executor.map(play, jobs))
    several: dict[tuple[int, float], list[RowFigures]] = {}
    for job, found in zip(jobs, results, strict=True):
        several.setdefault((job.number, job.rate_per_s), []).append(found)
    return {world: pool_rows(founds) for world, founds in several.items()}
