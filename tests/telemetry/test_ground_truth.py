"""Ten thousand calls with faults: the counters are what callers saw and what providers logged."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from sidecar.telemetry.environment import read_environment
from sidecar.telemetry.settings import TelemetrySettings
from sidecar.telemetry.telemetry import Telemetry
from sidecar.upstream.simulated import Ended
from tests.ten_thousand import CALLS, ten_thousand_calls

if TYPE_CHECKING:
    from sidecar.simulate.world import World
    from sidecar.upstream.simulated import LogEntry

LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
UNANSWERED = "left or hung"
CLASSES = {"S5": "500", "RATE": "429", "OK": "complete", "RESET_MID": "reset"}
"""What a class of ours is in a provider's log; of an exchange that we cut it knows no reason."""

Series = dict[tuple[tuple[str, str], ...], float]


def scraped(world: World) -> dict[str, Series]:
    """Return what Prometheus would have after the play."""
    telemetry = Telemetry(read_environment({}), TelemetrySettings(), lambda: world.catalogue)
    for event in world.recorder.events:
        telemetry.on_event(event)
        telemetry.absorb(0.0, 0.0)
    assert telemetry.lost == 0
    found: dict[str, Series] = {}
    for line in telemetry.exposition().splitlines():
        if not line.startswith("#"):
            name, labels, number = LINE.fullmatch(line).groups()  # type: ignore[union-attr]
            pairs = tuple(LABEL.findall(labels or ""))
            found.setdefault(name, {})[pairs] = float(number)
    return found


def by(series: Series, *names: str) -> Counter[tuple[str, ...]]:
    """Return a series summed up by some of its labels."""
    sums: Counter[tuple[str, ...]] = Counter()
    for pairs, amount in series.items():
        labels = dict(pairs)
        sums[tuple([labels[name] for name in names])] += int(amount)
    return sums


def logged(entry: LogEntry) -> str:
    """Return what became of an exchange as its provider saw it."""
    if entry.ended is Ended.CANCELLED:
        return UNANSWERED
    if entry.status != 200:
        return str(entry.status)
    ended: str = entry.ended.value
    return ended


def test_the_counters_equal_the_truth() -> None:
    """Calls by result, attempts and probes by class at each provider, none more and none less."""
    world = ten_thousand_calls()
    metrics = scraped(world)

    seen = Counter(_result(one.code, is_degraded=one.degraded is not None) for one in world.seen)
    calls = by(metrics["sidecar_calls_total"], "result")
    assert calls.pop(("cancelled",)) == CALLS - len(world.seen)
    assert calls == {(result,): count for result, count in seen.items()}
    assert sum(metrics["sidecar_call_duration_seconds_count"].values()) == CALLS
    assert sum(metrics["sidecar_degraded_calls_total"].values()) == seen["degraded"]

    real: Counter[tuple[str, str]] = Counter()
    probed: Counter[tuple[str, str, str]] = Counter()
    for name, provider in world.providers.items():
        for entry in provider.log:
            if entry.is_probe:
                probed[name, "paid" if entry.model else "free", logged(entry)] += 1
            else:
                real[name, logged(entry)] += 1
    attempts: Counter[tuple[str, str]] = Counter()
    for (endpoint, cls), count in by(
        metrics["sidecar_attempts_total"], "endpoint", "class"
    ).items():
        attempts[endpoint.partition("/")[0], CLASSES.get(cls, UNANSWERED)] += count
    assert attempts == real
    probes: Counter[tuple[str, str, str]] = Counter()
    counted = by(metrics["sidecar_probes_total"], "endpoint", "kind", "class")
    for (endpoint, kind, cls), count in counted.items():
        probes[endpoint.partition("/")[0], kind, CLASSES.get(cls, UNANSWERED)] += count
    assert probes == probed
    assert sum(probes.values()) > 10
    assert sum(attempts.values()) > CALLS

    kinds = by(metrics["sidecar_attempt_kinds_total"], "kind")
    assert sum(kinds.values()) == sum(attempts.values())
    hedges = by(metrics["sidecar_hedges_total"], "result")
    assert sum(hedges.values()) == kinds["hedge",] > 0


def _result(code: str | None, *, is_degraded: bool) -> str:
    return code or ("degraded" if is_degraded else "ok")
