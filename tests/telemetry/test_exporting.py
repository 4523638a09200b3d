"""A sidecar with a collector on loopback: what arrives there, and what happens if nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sidecar.upstream.simulated import Fault, FaultKind
from tests.telemetry.conftest import CALLER
from tests.telemetry.receiver import receiver, said

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.telemetry.conftest import World
    from tests.telemetry.receiver import Received

    Start = Callable[..., Awaitable[World]]


@pytest.fixture
def collector() -> Iterator[Received]:
    """A collector."""
    with receiver() as received:
        yield received


def env_of(collector: Received, **more: str) -> dict[str, str]:
    """Return an environment that exports at once."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "shop", **more}


def by_id(spans: list[Any]) -> dict[bytes, Any]:
    """Return spans by their ids, which must differ."""
    found = {span.span_id: span for span in spans}
    assert len(found) == len(spans)
    return found


async def test_a_failover_is_one_tree_under_the_callers_span(
    start: Start, collector: Received
) -> None:
    """Caller > server > GenAI > one HTTP span an attempt; only the lost attempt failed."""
    world = await start(env_of(collector, OTEL_EXPORTER_OTLP_COMPRESSION="gzip"))
    world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=503),)
    headers = {"traceparent": CALLER, "tracestate": "vendor=1"}
    status, call_id = await world.ask(is_stream=True, headers=headers)
    assert status == 200
    await world.app.stop()

    spans = [span for span in collector.spans() if span.trace_id.hex() == CALLER[3:35]]
    (server,) = [span for span in spans if span.kind == 2]
    assert server.parent_span_id.hex() == CALLER[36:52]
    assert (server.name, server.trace_state) == ("POST /v1/chat/completions", "vendor=1")
    call = said(server.attributes)
    assert call["sidecar.call_id"] == call_id
    assert call["sidecar.routing.candidates"][0] == "alpha/big"
    for name in ("scores", "first_content_s", "total_s", "cost_usd"):
        assert len(call[f"sidecar.routing.{name}"]) == len(call["sidecar.routing.candidates"])
    assert call["http.response.status_code"] == 200
    assert [event.name for event in server.events] == ["sidecar.first_content", "sidecar.commit"]

    (logical,) = [span for span in spans if span.parent_span_id == server.span_id]
    operation = said(logical.attributes)
    assert (logical.name, logical.kind, logical.status.code) == ("chat reason", 3, 0)
    assert operation["gen_ai.provider.name"] == "anthropic"
    assert operation["gen_ai.response.model"] == "other-1"
    assert operation["gen_ai.response.finish_reasons"] == ["stop"]
    assert operation["gen_ai.usage.output_tokens"] > 0
    assert operation["gen_ai.response.time_to_first_chunk"] > 0
    assert operation["gen_ai.request.stream"] is True
    assert "error.type" not in operation

    attempts = [span for span in spans if span.parent_span_id == logical.span_id]
    first, second = sorted(attempts, key=lambda span: span.start_time_unix_nano)
    lost, won = said(first.attributes), said(second.attributes)
    assert (first.status.code, lost["error.type"]) == (2, "503")
    assert "http.request.resend_count" not in lost
    assert (second.status.code, won["http.request.resend_count"]) == (0, 1)
    assert won["server.address"] == "127.0.0.1"
    assert won["url.full"].endswith("/v1/messages")
    assert not [name for name in (*lost, *won) if name.startswith("gen_ai.")]
    assert len(by_id(collector.spans())) >= 4
    assert collector.services() == {"shop"}


async def test_pulled_and_pushed_metrics_say_the_same(start: Start, collector: Received) -> None:
    """Every series of the exposition is in the last push, with the same number."""
    world = await start(env_of(collector, OTEL_TRACES_EXPORTER="none"))
    for _ in range(3):
        await world.ask()
    text = await world.metrics()
    await world.app.stop()
    pushed = collector.metrics()
    assert collector.spans() == []
    (calls,) = pushed["sidecar.calls"].sum.data_points
    assert calls.as_int == 3
    labels = {"route": "reason", "endpoint": "alpha/big", "result": "ok"}
    assert said(calls.attributes) == labels
    assert 'sidecar_calls_total{route="reason",endpoint="alpha/big",result="ok"} 3' in text
    (duration,) = pushed["gen_ai.client.operation.duration"].histogram.data_points
    assert (duration.count, len(duration.explicit_bounds)) == (3, 14)
    assert "gen_ai_client_operation_duration_seconds_count" in text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    filled = {line.split("{")[0].split()[0] for line in text.splitlines() if line[0] != "#"}
    shown = {name for name in names if any(one.startswith(name) for one in filled)}
    assert len(pushed) == len(shown)


async def test_exemplars_lead_to_the_trace(start: Start, collector: Received) -> None:
    """OpenMetrics and OTLP name the trace of a measurement; plain text has no place for it."""
    world = await start(env_of(collector))
    await world.ask(headers={"traceparent": CALLER})
    open_metrics = await world.metrics("application/openmetrics-text;version=1.0.0")
    assert f'# {{trace_id="{CALLER[3:35]}",span_id="' in open_metrics
    assert open_metrics.endswith("# EOF\n")
    assert "trace_id" not in await world.metrics()
    await world.app.stop()
    (point,) = collector.metrics()["sidecar.call.duration"].histogram.data_points
    assert point.exemplars[0].trace_id.hex() == CALLER[3:35]


async def test_a_silent_collector_loses_data_and_no_call(start: Start, collector: Received) -> None:
    """It takes connections and never answers: calls are served, the queue is bounded, and the loss
    is counted.
    """
    collector.is_silent = True
    world = await start(
        env_of(collector, OTEL_BSP_MAX_QUEUE_SIZE="5", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1")
    )
    statuses = [(await world.ask())[0] for _ in range(30)]
    assert statuses == [200] * 30
    text = await world.metrics()
    assert 'sidecar_calls_total{route="reason",endpoint="alpha/big",result="ok"} 30' in text
    (dropped,) = [line for line in text.splitlines() if 'dropped_total{signal="traces"}' in line]
    (queued,) = [line for line in text.splitlines() if line.startswith("sidecar_telemetry_queued")]
    # Of thirty five wait, one is on its way, and the rest is lost.
    assert int(queued.split()[1]) <= 5
    assert int(dropped.split()[1]) >= 30 - 5 - 1


async def test_a_dead_collector_is_tried_again_and_said(
    start: Start, collector: Received, caplog: pytest.LogCaptureFixture
) -> None:
    """What a collector wants again is sent again; what it refuses is dropped, and said once."""
    collector.statuses = [503]
    world = await start(env_of(collector, OTEL_METRICS_EXPORTER="none"))
    await world.ask()
    await world.app.stop()
    exporter = world.app.telemetry._exporter
    assert exporter is not None
    # The stop cuts the pause before the second try short: that batch is lost, and counted.
    assert exporter.failures["traces"] == 1
    assert exporter.dropped["traces"] == 1
    assert "telemetry signal=traces state=lost" in caplog.text


async def test_without_variables_nothing_of_opentelemetry_runs(start: Start) -> None:
    """No exporter: no thread, no queue; metrics can be pulled all the same."""
    world = await start({})
    await world.ask()
    assert world.app.telemetry._exporter is None
    assert 'result="ok"} 1' in await world.metrics()


@pytest.mark.parametrize(("more", "is_told"), [("", False), (", trace_context: true", True)])
async def test_providers_hear_of_traces_only_where_configured(
    start: Start, collector: Received, more: str, is_told: bool
) -> None:
    """The attempt's span goes on to a provider that may know, the baggage to nobody."""
    world = await start(env_of(collector), more=more)
    headers = {"traceparent": CALLER, "tracestate": "vendor=1", "baggage": "user=ada"}
    await world.ask(headers=headers)
    url = f"http://127.0.0.1:{world.app.ports['data']}/alpha/v1/models"
    async with world.client.get(url, headers=headers) as answer:
        assert answer.status == 200
    await world.app.stop()
    heard = [one for one in world.heard if "traceparent" in one or "baggage" in one]
    assert len(heard) == (2 if is_told else 0)
    spans = {span.span_id.hex(): span for span in collector.spans()}
    for one in heard:
        version, trace_id, span_id, flags = one["traceparent"].split("-")
        assert (version, trace_id, flags) == ("00", CALLER[3:35], "01")
        assert spans[span_id].kind == 3
        assert one["tracestate"] == "vendor=1"
        assert "baggage" not in one


@pytest.mark.parametrize("switch", ["no", "variable", "file"])
async def test_content_is_recorded_only_if_wanted(
    start: Start, collector: Received, switch: str
) -> None:
    """Prompts and answers stay here unless switched on, and then lose what must not leave."""
    env = env_of(collector)
    if switch == "variable":
        env["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"
    is_on = str(switch == "file").lower()
    extra = f"telemetry: {{content: {is_on}, redact: ['secret-[0-9]+']}}"
    world = await start(env, extra=extra)
    await world.ask()
    await world.ask(is_stream=True)
    await world.app.stop()
    wire = b"".join(collector.bodies("/v1/traces"))
    assert b"ada@example.org" not in wire
    assert b"secret-4711" not in wire
    logical = [span for span in collector.spans() if span.name == "chat reason"]
    assert len(logical) == 2
    for span in logical:
        attributes = said(span.attributes)
        if switch == "no":
            assert not [name for name in attributes if name.endswith(".messages")]
            assert b"my mail" not in wire
        else:
            asked = '"content":"my mail is [redacted], [redacted]"'
            assert asked in attributes["gen_ai.input.messages"]
            assert '"role":"assistant"' in attributes["gen_ai.output.messages"]


async def test_what_became_no_call_is_seen_too(start: Start, collector: Received) -> None:
    """A request for an unknown model has a span and a count, and its words are no label."""
    world = await start(env_of(collector))
    assert (await world.ask("nobody-knows-me"))[0] == 404
    text = await world.metrics()
    assert 'sidecar_refused_calls_total{code="unknown_model"} 1' in text
    assert "nobody-knows-me" not in text
    await world.app.stop()
    (span,) = [one for one in collector.spans() if one.kind == 2]
    assert said(span.attributes)["sidecar.result"] == "unknown_model"


async def test_a_sampler_decides_for_whole_traces(start: Start, collector: Received) -> None:
    """A caller's decision is followed; without one the ratio holds."""
    world = await start(
        env_of(
            collector,
            OTEL_TRACES_SAMPLER="parentbased_traceidratio",
            OTEL_TRACES_SAMPLER_ARG="0",
            OTEL_METRICS_EXPORTER="none",
        )
    )
    await world.ask()
    await world.ask(headers={"traceparent": CALLER[:-2] + "00"})
    await world.ask(headers={"traceparent": CALLER})
    await world.app.stop()
    assert {span.trace_id.hex() for span in collector.spans()} == {CALLER[3:35]}
    assert len(collector.spans()) == 3
