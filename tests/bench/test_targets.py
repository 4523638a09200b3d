"""The table of targets."""

from __future__ import annotations

from bench.targets import TARGETS, judged

OURS = {
    "call_us_64": 50.0,
    "call_us_at_500": 90.0,
    "translated_us_64": 120.0,
    "chunk_us": 30.0,
    "calls_per_s_64": 15000.0,
    "idle_resident_mib": 50.0,
    "streams_resident_mib": 15.0,
    "streams_max": 280.0,
    "start_s": 0.36,
}
ENVOY = {
    "call_us_64": 50.0,
    "call_us_at_500": 80.0,
    "chunk_us": 31.0,
    "calls_per_s_64": 15001.0,
    "idle_resident_mib": 64.0,
    "streams_max": 400.0,
}
POOLED = {
    "direct": {"p50_ms_200": 0.2, "p99_ms_200": 0.5},
    "sidecar": {"p50_ms_200": 0.6, "p99_ms_200": 1.0},
    "envoy": {"p50_ms_200": 0.5, "p99_ms_200": 0.9},
    "envoy-full": {"p50_ms_200": 1.0},
}


def verdicts() -> dict[tuple[str, str | None], bool | None]:
    """Return what became of each target, by what it is and against whom."""
    rounds = [{"sidecar": OURS, "envoy": ENVOY, "portkey": {"calls_per_s_64": 750.0}}]
    found = judged(rounds, POOLED)
    return {(one.target.what, one.target.against): one.is_met for one in found}


def test_each_bound_is_held_to_its_side() -> None:
    """Equal is met; costs must not exceed, throughput must reach; the unmeasured is not met."""
    assert list(verdicts().values()) == [
        True,  # a call costs 1.0 of Envoy's
        False,  # at a fixed rate 1.125
        False,  # translated 2.4
        True,  # a chunk
        False,  # p50: 0.4 ms added, Envoy 0.3
        True,  # p99: 0.5 ms added, Envoy 0.4, 1.5 times is allowed
        None,
        None,
        False,  # throughput: one call short of Envoy's
        True,  # exactly 20 times Portkey's
        None,  # LiteLLM was not there
        True,  # memory is below Envoy's
        False,  # but above the aim
        True,
        True,  # exactly 0.7 of Envoy's streams
        False,
    ]
    assert len(verdicts()) == len(TARGETS)


def test_the_fuller_envoy_is_told_beside() -> None:
    """The ratio to Envoy at more of the same work is there wherever Envoy is the measure."""
    found = judged([{"sidecar": OURS, "envoy": ENVOY, "envoy-full": {"call_us_64": 100.0}}], POOLED)
    assert found[0].to_envoy_full == 0.5
    assert round(found[4].to_envoy_full or 0.0, 3) == 0.5
