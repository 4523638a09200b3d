"""Reliability and penalty: evidence counts, and fades."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.reliability import Penalty, Reliability


def test_unknown_endpoint_is_trusted_as_the_prior_says() -> None:
    """Without evidence an endpoint is expected to succeed 98 times in 100."""
    assert Reliability().value(0.0) == pytest.approx(0.98)
    assert Reliability().evidence(0.0) == 0.0


def test_failures_count_by_weight() -> None:
    """Four plain failures halve the trust; probes' failures count half."""
    live, probes = Reliability(), Reliability()
    for _ in range(4):
        live.record(ok=False, weight=1.0, now=0.0)
        probes.record(ok=False, weight=0.5, now=0.0)
    assert live.value(0.0) == pytest.approx(4.9 / 9.0)
    assert probes.value(0.0) == pytest.approx(4.9 / 7.0)


def test_evidence_fades_towards_the_prior() -> None:
    """An endpoint left alone is forgiven, a third of the evidence being left after five minutes."""
    reliability = Reliability()
    for _ in range(10):
        reliability.record(ok=False, weight=1.0, now=0.0)
    assert reliability.evidence(300.0) == pytest.approx(10 / 2.718281828, rel=1e-6)
    assert reliability.value(0.0) < reliability.value(300.0) < reliability.value(3000.0) < 0.98001
    assert reliability.value(6000.0) == pytest.approx(0.98, abs=1e-3)


@settings(max_examples=50, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 1.0), st.floats(0.0, 100.0)), max_size=30))
def test_reliability_is_a_probability_and_moves_with_the_outcome(
    outcomes: list[tuple[bool, float, float]],
) -> None:
    """A success never lowers the estimate, a failure never raises it, and it stays within 0..1."""
    reliability = Reliability()
    now = 0.0
    for ok, weight, wait_s in outcomes:
        now += wait_s
        before = reliability.value(now)
        reliability.record(ok, weight, now)
        after = reliability.value(now)
        assert 0.0 < after < 1.0
        assert after >= before if ok else after <= before


def test_penalty_is_at_least_five_seconds_and_capped() -> None:
    """A failure without a Retry-After costs 5 s; one that says an hour costs 5 min."""
    penalty = Penalty()
    assert penalty.value_s(0.0) == 0.0
    penalty.inject(0.0, 0.0)
    assert penalty.value_s(0.0) == pytest.approx(5.0)
    penalty.inject(3600.0, 0.0)
    assert penalty.value_s(0.0) == pytest.approx(300.0)


def test_penalty_fades_and_never_shrinks_by_another_failure() -> None:
    """A second failure cannot make an endpoint look faster than the first left it."""
    penalty = Penalty()
    penalty.inject(60.0, 0.0)
    penalty.inject(0.0, 1.0)
    assert penalty.value_s(1.0) == pytest.approx(60.0 * 2.718281828 ** (-0.1))
    assert penalty.value_s(100.0) < 0.01
