"""What a soak run is judged by, and its callers."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from bench.callers import hammer, ping, wander
from bench.processes import Cores
from bench.running import provider
from bench.soak import Left, Samples, catches, judged, slope_per_hour

CALM = Left(calls=0, in_flight=0, waiting=0, tasks=12, descriptors=20, generation=1)


def samples(*, leak_mib: float = 0.0) -> Samples:
    """Return ten minutes of samples: pools fill in the first third, then ``leak_mib`` a minute."""
    minutes = [minute / 10 for minute in range(101)]
    return Samples(
        at_s=[minute * 60 for minute in minutes],
        resident_mib=[50 + 9 * min(minute, 3) + leak_mib * minute for minute in minutes],
        descriptors=[100 for _ in minutes],
        loop_lag_s=[0.001 for _ in minutes],
    )


def failed(seen: Samples, after: Left, lags_s: list[float]) -> list[str]:
    """Return the first word of each finding that does not hold."""
    return [one.what.split()[0] for one in judged(seen, CALM, after, lags_s) if not one.is_met]


def test_the_slope_is_that_after_the_first_third() -> None:
    """What fills at the beginning is no leak; what grows steadily is, per hour."""
    flat, leaking = samples(), samples(leak_mib=0.5)
    assert slope_per_hour(flat.at_s, flat.resident_mib) == pytest.approx(0.0, abs=1e-6)
    assert slope_per_hour(leaking.at_s, leaking.resident_mib) == pytest.approx(30.0)


def test_calm_is_no_finding() -> None:
    """A run that leaves nothing holds."""
    assert failed(samples(), CALM, [0.001] * 2000) == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (replace(CALM, calls=1), "calls"),
        (replace(CALM, in_flight=1), "calls"),
        (replace(CALM, waiting=1), "calls"),
        (replace(CALM, tasks=13), "tasks"),
        (replace(CALM, descriptors=60), "descriptors:"),
    ],
)
def test_what_is_left_over_is_found(after: Left, expected: str) -> None:
    """One call, task or many descriptors more than before is a leak."""
    assert failed(samples(), after, [0.001] * 2000) == [expected]


def test_stalls_and_growth_are_found() -> None:
    """Three answers in a thousand that took long are too many; so is memory that grows."""
    assert failed(samples(), CALM, [0.001] * 1997 + [0.05] * 3) == ["/livez:"]
    assert failed(samples(leak_mib=0.5), CALM, [0.001] * 2000) == ["memory:"]


def test_untold_tasks_are_no_finding() -> None:
    """A sidecar that does not count its tasks cannot be held to the count."""
    assert failed(samples(), replace(CALM, tasks=None), [0.001] * 2000) == []


def test_caught_signals_are_seen() -> None:
    """The bit of a signal is the one below its number; what has a handler is caught."""
    assert catches("SigIgn:\t00\nSigCgt:\t0000000000000001\n", signal.SIGHUP)
    assert not catches("SigIgn:\t01\nSigCgt:\t0000000000000002\n", signal.SIGHUP)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        status = (Path("/proc/self") / "status").read_text()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert catches(status, signal.SIGUSR1)
    assert not catches(status, signal.SIGUSR2)


def test_callers_call() -> None:
    """Every kind of caller gets its answers from a healthy provider, and none is broken."""
    with provider(Cores.split(os.sched_getaffinity(0))) as running:
        port = running.ports[0]
        hammered = hammer(port, 2, 0.3)
        assert hammered.keys() == {"200"}
        wandered = wander(port, 3.0)
        assert {"stream 200", "left", "slow"} & wandered.keys()
        assert "broken" not in wandered
        assert min(ping(port, 50.0, 0.3)) > 0
