"""The targets, as ratios within one run, and whether they are met.

All but three hold the sidecar against Envoy on the same work in the same rounds; what stands beside
each is both sides' figures. Envoy is the plain one; the ratio to Envoy with health checks, outlier
detection and retries, which does more of a sidecar's work, is told for information.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.figures import added, median_of, ratio_of

if TYPE_CHECKING:
    from bench.figures import Figures, Round

OURS, ENVOY, ENVOY_FULL = "sidecar", "envoy", "envoy-full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target. ``is_floor``: the value must reach the bound, else it must not exceed it.

    ``measure`` of ours is divided by ``against_measure`` (the same unless given) of ``against``;
    without ``against`` the figure itself is bounded. ``is_added``: only what is more than without
    a proxy counts, over the calls of all rounds.
    """

    what: str
    measure: str
    bound: float
    unit: str
    against: str | None = ENVOY
    against_measure: str | None = None
    is_floor: bool = False
    is_added: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target's outcome; None where the run lacks a figure. ``value`` is the ratio or figure."""

    target: Target
    value: float | None
    own: float | None
    other: float | None
    to_envoy_full: float | None

    @property
    def is_met(self) -> bool | None:
        """Return whether it is met, None if it was not measured."""
        if self.value is None:
            return None
        target = self.target
        return self.value >= target.bound if target.is_floor else self.value <= target.bound


def _latency(percent: str, rate: int, bound: float) -> Target:
    return Target(
        what=f"added {percent} at {rate} calls/s",
        measure=f"{percent}_ms_{rate}",
        bound=bound,
        unit="ms",
        is_added=True,
    )


def _throughput(peer: str, bound: float) -> Target:
    return Target(
        what="throughput, 64 connections",
        measure="calls_per_s_64",
        bound=bound,
        unit="calls/s",
        against=peer,
        is_floor=True,
    )


TARGETS = (
    Target(
        what="CPU per plain call, 64 connections, saturated",
        measure="call_us_64",
        bound=1.0,
        unit="us",
    ),
    Target(
        what="CPU per plain call, at 500 calls/s",
        measure="call_us_at_500",
        bound=1.0,
        unit="us",
    ),
    Target(
        what="CPU per translated call",
        measure="translated_us_64",
        bound=2.0,
        unit="us",
        against=OURS,
        against_measure="call_us_64",
    ),
    Target(what="CPU per streamed chunk", measure="chunk_us", bound=1.0, unit="us"),
    _latency("p50", 200, 1.0),
    _latency("p99", 200, 1.5),
    _latency("p50", 500, 1.0),
    _latency("p99", 500, 1.5),
    _throughput(ENVOY, 1.0),
    _throughput("portkey", 20.0),
    _throughput("litellm", 100.0),
    Target(what="resident memory, idle", measure="idle_resident_mib", bound=1.0, unit="MiB"),
    Target(
        what="resident memory, idle (aim)",
        measure="idle_resident_mib",
        bound=48.0,
        unit="MiB",
        against=None,
    ),
    Target(
        what="resident memory per 1,000 open streams",
        measure="streams_resident_mib",
        bound=15.0,
        unit="MiB",
        against=None,
    ),
    Target(
        what="streams of 50 chunks/s until the p99 delay exceeds 20 ms, one core",
        measure="streams_max",
        bound=0.7,
        unit="streams",
        is_floor=True,
    ),
    Target(
        what="start to first answered call",
        measure="start_s",
        bound=0.35,
        unit="s",
        against=None,
    ),
)


def judged(rounds: list[Round], pooled: dict[str, Figures]) -> list[Verdict]:
    """Return every target's verdict."""
    return [_verdict(target, rounds, pooled) for target in TARGETS]


def _verdict(target: Target, rounds: list[Round], pooled: dict[str, Figures]) -> Verdict:
    if target.is_added:
        own, other, full = (
            added(pooled, target.measure, name) for name in (OURS, ENVOY, ENVOY_FULL)
        )
        return Verdict(
            target=target,
            value=_divided(own, other),
            own=own,
            other=other,
            to_envoy_full=_divided(own, full),
        )
    own = median_of(rounds, OURS, target.measure)
    if target.against is None:
        return Verdict(target=target, value=own, own=own, other=None, to_envoy_full=None)
    against_measure = target.against_measure or target.measure
    value = ratio_of(rounds, target.measure, OURS, target.against, other_measure=against_measure)
    is_envoy = target.against == ENVOY
    return Verdict(
        target=target,
        value=value,
        own=own,
        other=median_of(rounds, target.against, against_measure),
        to_envoy_full=ratio_of(rounds, target.measure, OURS, ENVOY_FULL) if is_envoy else None,
    )


def _divided(own: float | None, other: float | None) -> float | None:
    return None if own is None or other is None else own / other
