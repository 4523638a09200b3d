"""What the comparison study promises, on a few of its worlds: targets of the engine, and its lead.

Calls come evenly here, at 1 a second or 6 a minute, so that a time to detect is the engine's and
not the luck of arrivals.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from sidecar.simulate.metrics import NEVER_S, Figures, figures_of
from sidecar.simulate.plays import ENGINE, Played, perform, plan_of
from sidecar.simulate.policies import BASELINES, ORACLE
from sidecar.simulate.scenarios import BY_NAME
from sidecar.simulate.study import QUICK, jobs_of
from sidecar.simulate.study_reading import DETECT_TARGET_S, HARD
from sidecar.simulate.study_text import document

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
