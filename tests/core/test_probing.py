"""Probes: where traffic cannot tell soon enough, and nowhere else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.breaker import BreakerState
from sidecar.core.probing import (
    ProbeKind,
    ProbeNeed,
    ProbeSettings,
    ProbeView,
    ProbeWhy,
    draw_jitter,
    probe_need,
)
from sidecar.domain import EndpointId, OutcomeClass

SETTINGS = ProbeSettings()
CLOSED = ProbeView(endpoint=EndpointId("a/m"), state=BreakerState.CLOSED)
OPEN = replace(CLOSED, state=BreakerState.OPEN, cause="S5", reopens_at=50.0)
SUSPECT = replace(CLOSED, is_suspect=True, rate_per_s=0.1, last_sample_at=100.0)
IDLE = replace(CLOSED, is_wanted=True, last_sample_at=100.0)


def need(view: ProbeView, now: float = 100.0) -> ProbeNeed | None:
    """Ask at 100.0 with the defaults."""
    return probe_need(view, SETTINGS, now)


def made(kind: ProbeKind, why: ProbeWhy, due_at: float) -> ProbeNeed:
    """Shorten the expectations."""
    return ProbeNeed(kind=kind, why=why, due_at=due_at)


def test_healthy_unwanted_endpoint_is_left_alone() -> None:
    """No suspicion and no route that would need it soon: no probe."""
    assert need(CLOSED) is None


@pytest.mark.parametrize("view", [OPEN, SUSPECT, IDLE])
def test_never_two_at_once_nor_against_a_blocked_account(view: ProbeView) -> None:
    """One probe in flight is enough, and a provider that said when to return is believed."""
    assert need(view) is not None
    assert need(replace(view, is_probe_in_flight=True)) is None
    assert need(replace(view, is_account_blocked=True)) is None


def test_isolated_endpoint_is_not_probed() -> None:
    """What an operator took out only an operator brings back."""
    assert need(replace(SUSPECT, state=BreakerState.ISOLATED, is_wanted=True)) is None


def test_open_breaker_is_probed_with_money_when_due() -> None:
    """The trial is a paid probe at the end of the open period: no caller is the guinea pig."""
    assert need(OPEN) == made(ProbeKind.PAID, ProbeWhy.OPEN, 50.0)
    assert need(replace(OPEN, reopens_at=150.0)) == made(ProbeKind.PAID, ProbeWhy.OPEN, 150.0)


def test_unreached_host_is_probed_for_free_first() -> None:
    """After a connect failure the paid probe waits until a free one has passed."""
    unreached = replace(OPEN, cause=OutcomeClass.CONNECT.value, last_probe_at=10.0)
    assert need(unreached) == made(ProbeKind.FREE, ProbeWhy.OPEN, 50.0)
    assert need(replace(unreached, last_probe_at=99.0, jitter=1.2)) == made(
        ProbeKind.FREE, ProbeWhy.OPEN, 105.0
    )
    passed = replace(unreached, free_probe_ok=True, last_probe_at=99.0)
    assert need(passed) == made(ProbeKind.PAID, ProbeWhy.OPEN, 50.0)
    assert need(replace(unreached, has_free_probe=False)) == made(
        ProbeKind.PAID, ProbeWhy.OPEN, 50.0
    )


def test_half_open_breaker_gets_its_second_success_soon() -> None:
    """Recovery does not wait for traffic."""
    half_open = replace(OPEN, state=BreakerState.HALF_OPEN, last_probe_at=99.0)
    assert need(half_open) == made(ProbeKind.PAID, ProbeWhy.OPEN, 99.5)
    assert need(replace(half_open, last_probe_at=None)) == made(
        ProbeKind.PAID, ProbeWhy.OPEN, 100.0
    )


def test_suspicion_is_followed_up_at_once_then_every_two_seconds() -> None:
    """Half a second after the failure, then two seconds apart, with the jitter drawn."""
    assert need(SUSPECT) == made(ProbeKind.PAID, ProbeWhy.SUSPECT, 100.5)
    again = replace(SUSPECT, suspect_probe_count=1, last_probe_at=101.0)
    assert need(again) == made(ProbeKind.PAID, ProbeWhy.SUSPECT, 103.0)
    assert need(replace(again, jitter=0.8)) == made(ProbeKind.PAID, ProbeWhy.SUSPECT, 102.6)


@pytest.mark.parametrize(
    "change",
    [
        {"suspect_probe_count": 6},
        {"suspect_ok_count": 2},
        {"rate_per_s": 0.5},
        {"is_suspect": False},
    ],
)
def test_suspicion_probes_end(change: dict[str, float]) -> None:
    """After six probes, two successes, or where traffic is dense enough to tell by itself."""
    assert need(replace(SUSPECT, **change)) is None  # type: ignore[arg-type]  # a table of fields


@pytest.mark.parametrize(
    ("count", "kind", "wait_s"),
    [
        (0, ProbeKind.FREE, 60.0),
        (1, ProbeKind.FREE, 120.0),
        (2, ProbeKind.FREE, 240.0),
        (3, ProbeKind.PAID, 480.0),
        (4, ProbeKind.FREE, 900.0),
        (7, ProbeKind.PAID, 900.0),
        (10_000, ProbeKind.FREE, 900.0),
    ],
)
def test_idle_probes_become_rare_and_every_fourth_is_paid(
    count: int, kind: ProbeKind, wait_s: float
) -> None:
    """From a minute to a quarter of an hour, mostly for free."""
    assert need(replace(IDLE, idle_ok_count=count)) == made(kind, ProbeWhy.IDLE, 100.0 + wait_s)


def test_idle_counts_from_the_last_sign_of_life_of_any_kind() -> None:
    """A probe is a sample too; an endpoint never seen is due now."""
    assert need(replace(IDLE, last_probe_at=130.0)) == made(ProbeKind.FREE, ProbeWhy.IDLE, 190.0)
    assert need(replace(IDLE, last_sample_at=None)) == made(ProbeKind.FREE, ProbeWhy.IDLE, 100.0)


def test_idle_endpoint_without_a_free_probe_is_looked_at_a_fourth_as_often() -> None:
    """Where every probe costs money the price of idling stays the same."""
    assert need(replace(IDLE, has_free_probe=False)) == made(ProbeKind.PAID, ProbeWhy.IDLE, 340.0)


@settings(max_examples=30, derandomize=True)
@given(st.integers(0, 1000))
def test_jitter_stays_within_a_fifth(seed: int) -> None:
    """The factor is 0.8 to 1.2."""
    assert 0.8 <= draw_jitter(SETTINGS, random.Random(seed)) <= 1.2
