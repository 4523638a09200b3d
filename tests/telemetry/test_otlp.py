"""Instruments as OTLP, in both temporalities."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from sidecar.metrics import Counter, Histogram, Kind, Observed, Registry, single
from sidecar.telemetry.otlp import MetricsWriter

CUMULATIVE, DELTA = 2, 1


def pushed(body: bytes) -> dict[str, Any]:
    """Return the metrics of a request."""
    (group,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    return {one.name: one for scope in group.scope_metrics for one in scope.metrics}


@pytest.mark.parametrize(("is_delta", "second"), [(False, (5, 3)), (True, (2, 1))])
def test_temporality(is_delta: bool, second: tuple[int, int]) -> None:
    """Cumulative says the sums since the process began, delta what was added since the last push;
    a gauge says what it is.
    """
    registry = Registry()
    counter, histogram = Counter("a.calls", "{call}", "Calls.", ("who",)), _histogram()
    level = Observed(
        name="a.level", kind=Kind.GAUGE, unit="1", meaning="Level.", read=single(lambda: 7)
    )
    registry.add(counter, histogram, level)
    writer = MetricsWriter([("service.name", "x")], began_at=100.0, is_delta=is_delta)
    counter.add(("x",), 3)
    for amount in (0.5, 5.0):
        histogram.record((), amount)
    first = pushed(writer.request(registry.collect(), 110.0))
    assert first["a.calls"].sum.data_points[0].as_int == 3
    assert first["a.time"].histogram.data_points[0].count == 2
    counter.add(("x",), 2)
    histogram.record((), 0.1)
    later = pushed(writer.request(registry.collect(), 120.0))
    (calls,), (time,) = later["a.calls"].sum.data_points, later["a.time"].histogram.data_points
    assert (calls.as_int, time.count) == second
    assert list(time.bucket_counts) == ([1, 0] if is_delta else [2, 1])
    assert time.sum == pytest.approx(0.1 if is_delta else 5.6)
    began_s = calls.start_time_unix_nano // 10**9
    assert began_s == (110 if is_delta else 100)
    said = DELTA if is_delta else CUMULATIVE
    assert later["a.calls"].sum.aggregation_temporality == said
    assert later["a.calls"].sum.is_monotonic
    assert later["a.level"].gauge.data_points[0].as_int == 7


def _histogram() -> Histogram:
    return Histogram("a.time", "s", "Time.", (1.0,))
