"""What if: configurations, incidents, latencies, workload and a seed, and what each came to.

Beside every configuration stand the programs that have one provider and its SDK's own retries: the
answer to what the sidecar is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.load import load
from sidecar.config.surroundings import EverySecret
from sidecar.errors import ConfigError
from sidecar.simulate.whatif.fleet import check_flows, fleet_of, tied, usual_flows
from sidecar.simulate.whatif.inputs import read_incidents, read_latencies, read_workload
from sidecar.simulate.whatif.play import Design, play
from sidecar.simulate.whatif.tally import figures_of
from sidecar.simulate.whatif.timeline import Sampling, lay_out
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sidecar.simulate.whatif.fleet import Fleet
    from sidecar.simulate.whatif.inputs import Flow, Incident
    from sidecar.simulate.whatif.tally import Figures
    from sidecar.simulate.whatif.timeline import Timeline

DAY_S = 86_400.0
START_S = 1_767_571_200.0  # 2026-01-05, a Monday
DAYS_USUAL = 30.0
DAYS_MAX = 3660.0


@value
class Question:
    """What is asked. None: the usual. ``start_s`` and ``end_s`` are seconds since 1970."""

    configs: tuple[Path, ...]
    incidents: Path | None = None
    latencies: Path | None = None
    workload: Path | None = None
    seed: int = 1
    start_s: float | None = None
    end_s: float | None = None
    days: float | None = None
    sampling: Sampling = Sampling()


@value
class Answer:
    """One design's figures; ``is_engine``: a configuration, else a program with one provider."""

    name: str
    is_engine: bool
    figures: Figures


@value
class WhatIf:
    """Everything that came out. ``notes`` are to be read along with the figures."""

    timeline: Timeline
    seed: int
    incidents: tuple[Incident, ...]
    flows: tuple[Flow, ...]
    answers: tuple[Answer, ...]
    notes: tuple[str, ...]


def run(question: Question, on_progress: Callable[[str], None]) -> WhatIf:
    """Play every design; ``on_progress`` is told which one begins.

    Raises:
        ConfigError: a file is wrong, or the period is.
    """
    latencies = () if question.latencies is None else read_latencies(question.latencies)
    incidents = () if question.incidents is None else read_incidents(question.incidents)
    fleets = [fleet_of(load(path, EverySecret()), latencies) for path in question.configs]
    flows = usual_flows(fleets[0])
    if question.workload is not None:
        flows = read_workload(question.workload)
    for fleet in fleets:
        check_flows(fleet, flows)
    period = period_of(question, incidents)
    inside = tuple(one for one in incidents if one.start_s < period[1] and one.end_s > period[0])
    heard = tuple(one for one in inside if any(fleet.concerned(one) for fleet in fleets))
    timeline = lay_out(heard, period, question.sampling, question.seed)
    answers = []
    for design in designs_of(fleets):
        on_progress(design.name)
        figures = figures_of(play(design, timeline, flows, question.seed), timeline, flows)
        answers.append(Answer(name=design.name, is_engine=design.is_engine, figures=figures))
    return WhatIf(
        timeline=timeline,
        seed=question.seed,
        incidents=heard,
        flows=flows,
        answers=tuple(answers),
        notes=_notes(fleets, incidents, inside, heard),
    )


def designs_of(fleets: Sequence[Fleet]) -> list[Design]:
    """Return each configuration, then each provider of theirs alone, by its first appearance."""
    designs = [Design(name=f"with {fleet.config.source}", fleet=fleet) for fleet in fleets]
    seen: set[str] = set()
    for fleet in fleets:
        for name in fleet.config.targets:
            if name not in seen and any(one.provider == name for one in fleet.endpoints.values()):
                alone = tied(fleet, name)
                designs.append(Design(name=f"only {name}", fleet=alone, is_engine=False))
            seen.add(name)
    return designs


def period_of(question: Question, incidents: Sequence[Incident]) -> tuple[float, float]:
    """Return start and end: as asked, else 30 days from the day of the first incident on.

    Raises:
        ConfigError: it is empty or longer than ten years.
    """
    days_s = DAY_S * (DAYS_USUAL if question.days is None else question.days)
    start_s, end_s = question.start_s, question.end_s
    if start_s is None:
        first_s = incidents[0].start_s // DAY_S * DAY_S if incidents else START_S
        start_s = first_s if end_s is None else end_s - days_s
    if end_s is None:
        end_s = start_s + days_s
    if not 0.0 < end_s - start_s <= DAYS_MAX * DAY_S:
        message = f"the period is {(end_s - start_s) / DAY_S:g} days long; expected up to 3660"
        raise ConfigError((message,))
    return start_s, end_s


def _notes(
    fleets: Sequence[Fleet],
    incidents: Sequence[Incident],
    inside: Sequence[Incident],
    heard: Sequence[Incident],
) -> tuple[str, ...]:
    """Return what a reader of the figures must know of the inputs."""
    notes = []
    if len(inside) < len(incidents):
        notes.append(f"{len(incidents) - len(inside)} incidents lie outside the period")
    strangers = sorted({one.provider for one in inside if one not in heard})
    if strangers:
        notes.append(f"incidents of {', '.join(strangers)} concern no configured provider")
    names = {one.model for one in heard if one.model is not None}
    for fleet in fleets:
        known = {
            name for one in fleet.endpoints.values() for name in (one.model, one.upstream_model)
        }
        unknown = sorted(names - known)
        if unknown:
            source = fleet.config.source
            notes.append(f"{source} has no model {', '.join(unknown)}: these incidents hit nobody")
        unpriced = sorted(one.id for one in fleet.endpoints.values() if one.price is None)
        if unpriced:
            notes.append(f"{fleet.config.source}: no price of {', '.join(unpriced)}; counted as 0")
    return tuple(notes)
