"""docs/telemetry.md agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

from sidecar.metrics import Counter, Histogram, Kind, Registry, prometheus_name
from sidecar.telemetry import environment, names
from sidecar.telemetry.telemetry import GOODBYE_S
from tests.telemetry.registry import full_registry

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
FLEET = "sidecar_fleet_"
CODE = re.compile(r"`([^`]+)`")


def rows(header: str) -> list[list[str]]:
    """Return the cells of the table whose first column is ``header``."""
    _, _, rest = DOC.partition(f"\n| {header} |")
    table = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def kind_of(one: object) -> Kind:
    """Return the kind of an instrument."""
    if isinstance(one, Counter):
        return Kind.COUNTER
    return Kind.HISTOGRAM if isinstance(one, Histogram) else one.kind  # type: ignore[attr-defined]


def shown_of(registry: Registry) -> dict[str, tuple[list[str], str]]:
    """Return labels and meaning by name."""
    return {
        prometheus_name(one.name, one.unit, kind_of(one)): (
            [label.replace(".", "_") for label in one.labels],
            one.meaning,
        )
        for one in registry.instruments.values()
    }


def test_the_metrics_are_those_of_the_registry() -> None:
    """Every metric is listed with its labels and meaning, and no other; a fleet's are there where
    there is one.
    """
    shown = {CODE.findall(row[0])[0]: (CODE.findall(row[1]), row[2]) for row in rows("metric")}
    of_fleet = {name: shown.pop(name) for name in tuple(shown) if name.startswith(FLEET)}
    assert shown == shown_of(full_registry())
    source = (ROOT / "sidecar" / "fleet" / "agent.py").read_text(encoding="utf-8")
    meanings = set(re.findall(r'"([A-Z][^"]*\.)"', source))
    assert of_fleet
    assert {meaning for _, meaning in of_fleet.values()} <= meanings


def test_the_variables_are_those_that_are_read() -> None:
    """Every variable listed changes something, and every one that is read is listed."""
    listed = {name for row in rows("variable") for name in CODE.findall(row[0])}
    source = (ROOT / "sidecar/telemetry/environment.py").read_text(encoding="utf-8")
    said = set(re.findall(r'"(OTEL_[A-Z_]+[A-Z])"', source))
    said |= {f"OTEL_{signal}_EXPORTER" for signal in ("TRACES", "METRICS")}
    said |= {
        f"OTEL_EXPORTER_OTLP_{name}"
        for name in re.findall(r'"([A-Z_]+)"', source)
        if f"OTEL_EXPORTER_OTLP_{name}" in listed
    }
    said |= {f"OTEL_EXPORTER_OTLP_{one}_ENDPOINT" for one in ("TRACES", "METRICS")}
    said |= {f"OTEL_EXPORTER_OTLP_{name}" for name in ("HEADERS", "ENDPOINT", "TIMEOUT")}
    said |= {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"}
    assert listed == said


def test_the_defaults_are_those_of_the_code() -> None:
    """What the table calls a default is what an empty environment comes to."""
    defaults: dict[str, str] = {}
    for row in rows("variable"):
        shown = [one for text in CODE.findall(row[1]) for one in text.split("`, `")]
        defaults.update(zip(CODE.findall(row[0]), shown, strict=False))
    on = environment.read_environment({"OTEL_TRACES_EXPORTER": "otlp"})
    assert on.traces is not None
    assert on.traces.url == defaults["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
    assert on.traces.timeout_s * 1000 == float(defaults["OTEL_EXPORTER_OTLP_TIMEOUT"])
    assert on.delay_s * 1000 == float(defaults["OTEL_BSP_SCHEDULE_DELAY"])
    assert on.queue_max == int(defaults["OTEL_BSP_MAX_QUEUE_SIZE"])
    assert on.batch_max == int(defaults["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"])
    assert on.interval_s * 1000 == float(defaults["OTEL_METRIC_EXPORT_INTERVAL"])
    assert dict(on.resource)["service.name"] == defaults["OTEL_SERVICE_NAME"]
    assert defaults["OTEL_SERVICE_NAME"] == environment.SERVICE_NAME
    assert (on.sampler.ratio, on.sampler.follows_parent) == (1.0, True)
    assert GOODBYE_S == 2.0
    assert "within two seconds" in DOC


def test_the_latest_names_replace_the_first_three() -> None:
    """Who opts in gets the new generation's names and not the old ones."""
    opted = shown_of(full_registry({environment.STABILITY: environment.LATEST}))
    usual = shown_of(full_registry())
    assert usual.keys() - opted.keys() == {row for row in usual if row.startswith("gen_ai_")}
    assert {name.removeprefix("gen_ai_client_") for name in opted.keys() - usual.keys()} == {
        "inference_duration_seconds",
        "inference_time_to_first_chunk_seconds",
        "inference_usage_input_tokens_total",
        "inference_usage_output_tokens_total",
    }


def test_the_buckets_are_the_conventions() -> None:
    """Durations double from 10 ms to 82 s, tokens grow fourfold from 1 to 67 million."""
    assert tuple([round(0.01 * 2**power, 2) for power in range(14)]) == names.DURATION_BOUNDS
    assert (len(names.TOKEN_BOUNDS), names.TOKEN_BOUNDS[-1]) == (14, 67_108_864)
