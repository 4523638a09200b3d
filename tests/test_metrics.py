"""The instruments, and how they are written for Prometheus."""

from __future__ import annotations

import pytest

from sidecar.metrics import (
    OTHER,
    SERIES_MAX,
    Buckets,
    Counter,
    Histogram,
    Kind,
    Observed,
    Registry,
    TracePoint,
    prometheus_name,
)
from sidecar.telemetry.prometheus import content_type, exposition


def test_series_are_bounded() -> None:
    """Labels that never end are counted together, so that the sums stay right."""
    counter = Counter("a.calls", "{call}", "Calls.", ("who",))
    histogram = Histogram("a.time", "s", "Time.", (1.0,), ("who",))
    for number in range(SERIES_MAX + 50):
        counter.add((f"n{number}",))
        histogram.record((f"n{number}",), 0.5)
    assert len(counter.series) == len(histogram.series) == SERIES_MAX + 1
    assert counter.series[OTHER,] == 50
    assert histogram.series[OTHER,].counts == [50, 0]
    endless = Observed(
        name="a.b",
        kind=Kind.GAUGE,
        unit="1",
        meaning="",
        labels=("who",),
        read=lambda: (((str(number),), 1.0) for number in range(10**9)),
    )
    assert len(endless.family().points) == SERIES_MAX


def test_a_bound_is_within_its_bucket() -> None:
    """As Prometheus's ``le`` has it; what is above all bounds is counted too."""
    histogram = Histogram("a", "s", "", (0.01, 0.02))
    for amount in (0.005, 0.01, 0.011, 0.02, 5.0):
        histogram.record((), amount)
    ((_, buckets),) = histogram.family().points
    assert isinstance(buckets, Buckets)
    assert (buckets.counts, round(buckets.total, 3)) == ([2, 2, 1], 5.046)
    histogram.record((), 1.0)
    assert buckets.counts == [2, 2, 1], "a family is a copy"


@pytest.mark.parametrize(
    ("name", "unit", "kind", "said"),
    [
        ("sidecar.calls", "{call}", Kind.COUNTER, "sidecar_calls_total"),
        ("sidecar.cost", "USD", Kind.COUNTER, "sidecar_cost_usd_total"),
        ("sidecar.call.duration", "s", Kind.HISTOGRAM, "sidecar_call_duration_seconds"),
        ("sidecar.body_size", "By", Kind.GAUGE, "sidecar_body_size_bytes"),
        ("sidecar.share", "1", Kind.GAUGE, "sidecar_share_ratio"),
        ("gen_ai.client.token.usage", "{token}", Kind.HISTOGRAM, "gen_ai_client_token_usage"),
    ],
)
def test_names_follow_from_units(name: str, unit: str, kind: Kind, said: str) -> None:
    """The rules by which OpenTelemetry's names become Prometheus's."""
    assert prometheus_name(name, unit, kind) == said


def test_no_name_twice() -> None:
    """Two owners of one metric would overwrite each other."""
    registry = Registry()
    registry.add(Counter("a", "", ""))
    with pytest.raises(AssertionError, match="there already"):
        registry.add(Counter("a", "", ""))


def test_the_two_formats() -> None:
    """Hostile labels do not break out, an empty one is none, only OpenMetrics has exemplars."""
    counter = Counter("a.calls", "{call}", "Calls.", ("who", "error.type"))
    counter.add(('x"}\n\\', ""), 2)
    counter.add(("y", "boom"), 0.5)
    histogram = Histogram("a.time", "s", "Time.", (1.0,))
    histogram.record((), 0.5, TracePoint(trace_id="ab", span_id="cd", at=12.0))
    families = [counter.family(), histogram.family()]
    assert exposition(families).splitlines() == [
        "# HELP a_calls_total Calls.",
        "# TYPE a_calls_total counter",
        'a_calls_total{who="x\\"}\\n\\\\"} 2',
        'a_calls_total{who="y",error_type="boom"} 0.5',
        "# HELP a_time_seconds Time.",
        "# TYPE a_time_seconds histogram",
        'a_time_seconds_bucket{le="1.0"} 1',
        'a_time_seconds_bucket{le="+Inf"} 1',
        "a_time_seconds_sum 0.5",
        "a_time_seconds_count 1",
    ]
    lines = exposition(families, is_openmetrics=True).splitlines()
    assert lines[1] == "# TYPE a_calls counter"
    exemplar = '# {trace_id="ab",span_id="cd"} 0.5 12.000'
    assert lines[6] == f'a_time_seconds_bucket{{le="1.0"}} 1 {exemplar}'
    assert lines[-1] == "# EOF"
    assert content_type("application/openmetrics-text;version=1.0.0,*/*").startswith("application")
    assert content_type("*/*") == "text/plain; version=0.0.4; charset=utf-8"
