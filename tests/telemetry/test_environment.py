"""The standard variables."""

from __future__ import annotations

import pytest

from sidecar.telemetry.environment import CONTENT, Exporting, read_environment

END = "OTEL_EXPORTER_OTLP_ENDPOINT"


def url(exporting: Exporting, signal: str) -> str | None:
    """Return where a signal goes."""
    target = exporting.traces if signal == "traces" else exporting.metrics
    return None if target is None else target.url


@pytest.mark.parametrize(
    ("env", "traces", "metrics"),
    [
        ({}, None, None),
        ({END: ""}, None, None),
        ({END: "http://c:4318"}, "http://c:4318/v1/traces", "http://c:4318/v1/metrics"),
        ({END: "http://c:1/x/"}, "http://c:1/x/v1/traces", "http://c:1/x/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/in"}, "http://t:1/in", None),
        ({END: "http://c:1", "OTEL_SDK_DISABLED": "true"}, None, None),
        ({END: "http://c:1", "OTEL_TRACES_EXPORTER": "none"}, None, "http://c:1/v1/metrics"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces", None),
        ({END: "http://c:1", "OTEL_METRICS_EXPORTER": "prometheus"}, "http://c:1/v1/traces", None),
        ({END: "c:4317"}, None, None),
    ],
)
def test_a_signal_is_sent_only_if_asked_for(
    env: dict[str, str], traces: str | None, metrics: str | None
) -> None:
    """An endpoint or an exporter switches a signal on; nothing does so by itself."""
    exporting = read_environment(env)
    assert (url(exporting, "traces"), url(exporting, "metrics")) == (traces, metrics)


@pytest.mark.parametrize(
    ("name", "argument", "ratio", "follows_parent"),
    [
        ("", "", 1.0, True),
        ("always_on", "0.1", 1.0, False),
        ("always_off", "", 0.0, False),
        ("traceidratio", "0.25", 0.25, False),
        ("parentbased_traceidratio", "0.5", 0.5, True),
        ("parentbased_always_off", "", 0.0, True),
        ("traceidratio", "7", 1.0, False),
        ("traceidratio", "much", 1.0, False),
        ("jaeger_remote", "", 1.0, True),
    ],
)
def test_samplers(name: str, argument: str, ratio: float, follows_parent: bool) -> None:
    """Those of the specification, and its default for what is not understood."""
    env = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    sampler = read_environment(env).sampler
    assert (sampler.ratio, sampler.follows_parent) == (ratio, follows_parent)


def test_what_is_of_one_signal_wins() -> None:
    """Headers add up, the rest is replaced; values are percent-encoded."""
    exporting = read_environment(
        {
            END: "https://c",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=1, Authorization=Basic%20x",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=2",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3000",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "500",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "none",
        }
    )
    assert exporting.traces is not None
    assert exporting.metrics is not None
    assert dict(exporting.traces.headers) == {"a": "2", "authorization": "Basic x"}
    assert dict(exporting.metrics.headers)["a"] == "1"
    assert (exporting.traces.timeout_s, exporting.metrics.timeout_s) == (0.5, 3.0)
    assert (exporting.traces.is_compressed, exporting.metrics.is_compressed) == (True, False)


def test_who_we_are() -> None:
    """The service's name wins over the resource's attributes."""
    attributes = "service.name=b,k8s.pod.name=pod%2D1"
    env = {"OTEL_RESOURCE_ATTRIBUTES": attributes, "OTEL_SERVICE_NAME": "a"}
    assert dict(read_environment(env).resource) == {"service.name": "a", "k8s.pod.name": "pod-1"}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "no exporter 'zipkin'"),
        ({END: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc' is not spoken"),
        ({"OTEL_TRACES_SAMPLER": "xray"}, "'xray' is not one of"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-3"}, "OTEL_BSP_MAX_QUEUE_SIZE: '-3'"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "1m"}, "'1m' is no number"),
        ({END: "ftp://c"}, "no http(s) URL"),
        ({END: "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "Bearer my-key"}, "without '='"),
    ],
)
def test_what_is_not_understood_is_said(env: dict[str, str], said: str) -> None:
    """A mistake has a line for the log, which never holds what may be a key."""
    problems = " ".join(read_environment(env).problems)
    assert said in problems
    assert "my-key" not in problems


def test_content_is_off_unless_on() -> None:
    """Nobody records prompts by accident."""
    assert not read_environment({}).captures_content
    assert not read_environment({CONTENT: "yes please"}).captures_content
    assert read_environment({CONTENT: "True"}).captures_content
