"""The spans of ten thousand calls with faults: complete, connected, and true to the events."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from sidecar.events import (
    AttemptFinished,
    CallFinished,
    CallRefused,
    ProbeFinished,
)
from sidecar.telemetry.calls import CallSpans
from sidecar.telemetry.decision import BREAKERS
from sidecar.telemetry.names import V1_41
from sidecar.telemetry.others import OtherSpans
from sidecar.telemetry.otlp import TracesRequest
from sidecar.telemetry.span import CLIENT, SERVER
from tests.ledger.events import passage
from tests.ten_thousand import CALLS, ten_thousand_calls

if TYPE_CHECKING:
    from sidecar.telemetry.span import Span

OFFSET_S = 1e9


@cache
def trees() -> list[tuple[CallFinished, list[Span]]]:
    """Return every call with its spans."""
    world = ten_thousand_calls()
    attempts: dict[str, list[AttemptFinished]] = {}
    for event in world.recorder.events:
        if isinstance(event, AttemptFinished):
            attempts.setdefault(event.call_id, []).append(event)
    made = CallSpans(V1_41, None)
    return [
        (event, made.call(event, attempts.get(event.call_id, []), world.catalogue, OFFSET_S))
        for event in world.recorder.events
        if isinstance(event, CallFinished)
    ]


def test_every_call_is_one_tree() -> None:
    """One server span, one GenAI span below it, below that every attempt, once."""
    ids: Counter[str] = Counter()
    attempts = 0
    for _, (server, logical, *below) in trees():
        assert (server.kind, server.parent_id, logical.kind) == (SERVER, None, CLIENT)
        assert logical.parent_id == server.span_id
        assert below
        assert {span.parent_id for span in below} == {logical.span_id}
        resent = [span.attributes.get("http.request.resend_count") for span in below]
        assert resent == [None, *range(1, len(below))]
        for span in (server, logical, *below):
            ids[span.span_id] += 1
            assert span.trace_id == server.trace_id
            assert server.began_at - 1e-6 <= span.began_at <= span.ended_at
        assert not [name for span in below for name in span.attributes if name.startswith("gen_ai")]
        attempts += len(below)
    assert len(trees()) == CALLS
    assert max(ids.values()) == 1
    told = ten_thousand_calls().recorder.events
    assert attempts == sum(isinstance(event, AttemptFinished) for event in told)


def test_only_what_failed_is_an_error() -> None:
    """A call that was rescued has no error but on the attempts that failed."""
    rescued = 0
    for event, (server, logical, *below) in trees():
        is_well = event.result in ("ok", "degraded", "cancelled")
        assert (logical.error is None) is is_well
        assert (server.error is None) is is_well
        assert ("error.type" in logical.attributes) is not is_well
        rescued += is_well and any(span.error is not None for span in below)
    assert rescued > 100


def test_hedges_are_linked_to_the_attempt_beside_them() -> None:
    """A hedge names the attempt that it was to overtake; nothing else has links."""
    hedges = 0
    for _, (_, _, *below) in trees():
        for before, span in zip([None, *below], below, strict=False):
            is_hedge = span.attributes["sidecar.attempt.kind"] == "hedge"
            hedges += is_hedge
            assert bool(span.links) is is_hedge
            if is_hedge:
                assert before is not None
                assert span.links[0].span_id == before.span_id
                assert before.began_at < span.began_at < before.ended_at + 1e-6
    assert hedges > 10


def test_the_decision_is_on_the_call() -> None:
    """Candidates with score and prediction; who was out by a breaker, as an event too."""
    refusals = 0
    for event, (server, *_) in trees():
        said = server.attributes
        candidates = said["sidecar.routing.candidates"]
        assert isinstance(candidates, tuple)
        scores = said["sidecar.routing.scores"]
        assert isinstance(scores, tuple)
        assert len(scores) == len(candidates)
        assert all(isinstance(one, float) and 0.0 <= one <= 100.0 for one in scores)
        out = [name for name, gate in event.rejected if gate in BREAKERS]
        told = [
            one.attributes["sidecar.endpoint"]
            for one in server.events
            if one.name == "sidecar.breaker_refusal" and one.at == server.began_at
        ]
        assert sorted(out) == sorted(str(name) for name in told)
        refusals += len(out)
        if event.rejected:
            assert said["sidecar.routing.rejected"] == tuple([name for name, _ in event.rejected])
        if event.result == "ok":
            assert "sidecar.commit" in [one.name for one in server.events]
            assert str(event.endpoint) in candidates or len(event.attempts) > 1
    assert refusals > 10


def test_pushbacks_are_events_of_their_attempts() -> None:
    """Where a provider said when to return, its attempt says so."""
    told = {
        (event.call_id, outcome.endpoint)
        for event, _ in trees()
        for outcome in event.attempts
        if outcome.retry_after_s is not None
    }
    shown = {
        (event.call_id, span.attributes["sidecar.endpoint"])
        for event, (_, _, *below) in trees()
        for span in below
        for one in span.events
        if one.name == "sidecar.pushback" and one.attributes["sidecar.retry_after_s"] is not None
    }
    assert shown == told


def test_probes_have_traces_of_their_own() -> None:
    """Nobody asked for a probe: it is a root, of HTTP alone, in a trace that holds nothing else."""
    world = ten_thousand_calls()
    made = OtherSpans(says=False)
    probes = [event for event in world.recorder.events if isinstance(event, ProbeFinished)]
    spans = [made.probe(event, world.catalogue, OFFSET_S)[0] for event in probes]
    assert len({span.trace_id for span in spans}) == len(probes) > 10
    assert not {span.trace_id for span in spans} & {one[1][0].trace_id for one in trees()}
    assert all(span.parent_id is None and span.kind == CLIENT for span in spans)
    assert not [name for span in spans for name in span.attributes if name.startswith("gen_ai")]


def test_what_is_no_call_has_spans_too() -> None:
    """A passed request has one for each side, a refused one that of our side."""
    world = ten_thousand_calls()
    made = OtherSpans(says=False)
    (attempt,) = trees()[0][0].attempts
    server, client = made.passage(passage("c1", 200, attempt), world.catalogue, OFFSET_S)
    assert (server.kind, client.kind, client.parent_id) == (SERVER, CLIENT, server.span_id)
    refused = CallRefused(
        at=2.0,
        call_id=trees()[0][0].call_id,
        code="shed",
        status=429,
        arrived_at=1.0,
        format=trees()[0][0].format,  # type: ignore[arg-type]  # calls of the world have one
    )
    (span,) = made.refused(refused, OFFSET_S)
    assert (span.attributes["http.response.status_code"], span.error) == (429, None)
    request = TracesRequest([("service.name", "x")])
    request.add([server, client, span])
    assert (request.count, len(request.written()) > 100) == (3, True)


def test_an_attempt_that_settles_late_finds_its_call() -> None:
    """Its ids follow from the call's, so it can be sent after all others and stands among them."""
    world = ten_thousand_calls()
    told = [event for event in world.recorder.events if isinstance(event, AttemptFinished)]
    whole = {event.call_id: spans for event, spans in trees()}
    made = CallSpans(V1_41, None)
    (late,) = made.late([told[0]], world.catalogue, OFFSET_S, before=1)
    _, logical, first = whole[told[0].call_id]
    assert (late.trace_id, late.parent_id) == (logical.trace_id, logical.span_id)
    assert (late.span_id, late.attributes["http.request.resend_count"]) == (first.span_id, 1)
