"""What the comparison study promises, on a few of its worlds: targets of the engine, and its lead.

Calls come evenly here, at 1 a second or 6 a minute, so that a time to detect is the engine's and
not the luck of arrivals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.simulate.ablations import BY_NAME as ABLATIONS
from sidecar.simulate.metrics import NEVER_S, Figures, figures_of
from sidecar.simulate.plays import ENGINE, Played, perform, plan_of
from sidecar.simulate.policies import BASELINES, ORACLE
from sidecar.simulate.scenarios import BY_NAME
from sidecar.simulate.study import QUICK, jobs_of
from sidecar.simulate.study_reading import DETECT_TARGET_S, HARD
from sidecar.simulate.study_text import document

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 1
RETURN_S = 30.0
"""Shorter than the study's own: how traffic comes back is not asked here."""


@cache
def played(name: str, rate_per_s: float, design: str) -> Played:
    """Return one play, made once."""
    scenario = replace(BY_NAME[name], is_even=True, return_s=RETURN_S)
    return perform(scenario, rate_per_s, design, SEED)


@cache
def figures(name: str, rate_per_s: float, design: str = ENGINE) -> Figures:
    """Return the figures of one play."""
    return figures_of(played(name, rate_per_s, design), played(name, rate_per_s, ORACLE))


@pytest.mark.parametrize("rate_per_s", [1.0, 0.1])
@pytest.mark.parametrize("name", HARD)
def test_hard_outage_reaches_no_caller(name: str, rate_per_s: float) -> None:
    """With a healthy alternative no call fails before first content and goodput is 0.99."""
    found = figures(name, rate_per_s)
    assert found.calls > 50
    assert found.errors == 0
    assert found.goodput >= 0.99
    assert found.sick_share is not None
    assert found.sick_share <= 0.02


@pytest.mark.parametrize("rate_per_s", [1.0, 0.1])
@pytest.mark.parametrize("name", HARD)
def test_hard_outage_is_detected(name: str, rate_per_s: float) -> None:
    """Traffic leaves a dead endpoint within 5 s at one call a second, 15 s at six a minute."""
    (detect_s,) = figures(name, rate_per_s).detect_s
    assert detect_s <= DETECT_TARGET_S[rate_per_s]


@pytest.mark.parametrize("name", ["brownout", "partial30"])
def test_disturbance_costs_little(name: str) -> None:
    """Slow or failing in part: goodput 0.98 and at most 1.3 requests a call."""
    found = figures(name, 1.0)
    assert found.goodput >= 0.98
    assert found.amplification <= 1.3


def test_everything_down_is_said_at_once_and_ends_soon() -> None:
    """Once known, a refusal takes at most 300 ms; 10 s after the return every call is served."""
    found = figures("all-down", 1.0)
    assert found.refusal_s is not None
    assert found.refusal_s <= 0.3
    assert found.back_s <= 10.0


@pytest.mark.parametrize("name", ["s500", "brownout", "partial30", "resets"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_engine_leads(name: str, baseline: str) -> None:
    """No baseline gets more good answers where a healthy provider is left."""
    assert figures(name, 1.0).goodput >= figures(name, 1.0, baseline).goodput


def test_baselines_fail_as_they_do() -> None:
    """The comparison is honest: each baseline shows the weakness that it is known for."""
    assert figures("s500", 1.0, "sdk").goodput <= 0.1
    assert figures("s500", 1.0, "list").amplification >= 3.0
    assert figures("s500", 1.0, "cooldown").detect_s == (NEVER_S,)
    assert figures("resets", 1.0, "list").broken > figures("resets", 1.0).broken


def test_a_play_is_fixed_by_its_seed() -> None:
    """The same world played again gives the same figures; another seed another world."""
    scenario = BY_NAME["blip"]
    oracle = perform(scenario, 1.0, ORACLE, SEED)
    once, again = (figures_of(perform(scenario, 1.0, ENGINE, SEED), oracle) for _ in range(2))
    assert once == again
    assert plan_of(scenario, 1.0, 1) != plan_of(scenario, 1.0, 2)


def test_document_has_a_row_for_each_world() -> None:
    """The document is made from the figures alone and leaves out no world that was played."""
    designs = (ENGINE, ORACLE, *BASELINES)
    table = {("s500", 1.0): {design: figures("s500", 1.0, design) for design in designs}}
    text = document(table, (SEED,))
    assert text.count("| A answers 500 | 1/s |") == 6
    jobs = jobs_of(QUICK, (1, 2))
    assert len(jobs) == sum(len(BY_NAME[name].rates) for name in QUICK) * 2


@dataclass(frozen=True)
class Held:
    """The world in which an ablation must lose, shorter than the study's, and what gets worse."""

    world: str
    rate_per_s: float
    harm: Callable[[Figures], float]
    fault_s: float
    return_s: float = 5.0


CALM_S = 20.0
"""Enough before the fault: how much traffic A had is not asked here."""


def _extra(one: Figures) -> float:
    return one.amplification - 1.0


def _late_s(one: Figures) -> float:
    (detect_s,) = one.detect_s
    return detect_s


def _lost(one: Figures) -> float:
    return 1.0 - one.goodput


def _small(one: Figures) -> float:
    return one.small / one.calls


def _first_s(one: Figures) -> float:
    return one.first_quantile_s(0.95) or 0.0


LOSES = {
    "no-suspicion": Held("resets", 0.1, _late_s, fault_s=300.0),
    "no-generations": Held("long-answers", 1.0, _lost, fault_s=70.0),
    "no-silence": Held("hang", 0.1, _late_s, fault_s=120.0),
    "raw-latency": Held("reports", 1.0, _late_s, fault_s=80.0),
    "rate-fails": Held("limit-hits", 1.0, _extra, fault_s=200.0),
    "argmin": Held("rollout", 10.0, _first_s, fault_s=20.0),
    "fixed-open": Held("short-outages", 1.0, _small, fault_s=200.0),
    "hedge-always": Held("hedge-storm", 10.0, _extra, fault_s=20.0),
    "time-window": Held("s500", 1.0, _extra, fault_s=60.0),
    "no-panic": Held("all-down", 1.0, _lost, fault_s=60.0, return_s=60.0),
    "no-life": Held("half-alive", 1.0, _lost, fault_s=60.0),
    "no-slow-start": Held("maintenance", 10.0, _first_s, fault_s=5.0, return_s=20.0),
}
"""By the name of the ablation."""


@pytest.mark.parametrize("name", LOSES)
def test_without_the_idea_it_is_worse(name: str) -> None:
    """Each idea earns its keep in a world of its own: without it something is a fifth worse."""
    held = LOSES[name]
    usual = BY_NAME[held.world]
    calm_s = CALM_S if usual.calm_s is None else usual.calm_s
    scenario = replace(usual, calm_s=calm_s, fault_s=held.fault_s, return_s=held.return_s)
    whole = perform(scenario, held.rate_per_s, ENGINE, SEED)
    ablated = perform(scenario, held.rate_per_s, ENGINE, SEED, ABLATIONS[name].variant())
    harm = held.harm(figures_of(whole, whole))
    assert held.harm(figures_of(ablated, whole)) > 1.2 * harm + 0.005


def test_every_ablation_is_held_to_lose() -> None:
    """No idea is spared the question."""
    assert LOSES.keys() == ABLATIONS.keys()
    for name, held in LOSES.items():
        assert ABLATIONS[name].is_played(held.world, held.rate_per_s)


def test_the_committed_document_has_the_fault_catalogue() -> None:
    """Its table of all fifty-one faults is the one of their own page."""
    docs = Path(__file__).parents[2] / "docs"
    own = [line for line in (docs / "faults.md").read_text("utf-8").splitlines() if "](#" in line]
    shown = (docs / "resilience.md").read_text("utf-8").splitlines()
    assert {line.partition("]")[0] for line in own} == {f"| [{row}" for row in range(1, 52)}
    assert [line for line in shown if "](faults.md#" in line] == [
        line.replace("](#", "](faults.md#") for line in own if line.startswith("| [")
    ]
