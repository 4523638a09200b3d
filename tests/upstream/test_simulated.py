"""What a simulated provider plans for each fault, limit and price, without any front."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from sidecar.domain import WireFormat
from sidecar.upstream.simulated import (
    Ended,
    Fault,
    FaultKind,
    Plan,
    SimulatedLimits,
    SimulatedModel,
    SimulatedProvider,
    SimulatedRequest,
)
from sidecar.upstream.simulated_answer import words
from sidecar.upstream.simulated_exchange import (
    Data,
    Eof,
    Garbage,
    Head,
    Never,
    Pulse,
    Reset,
    Wait,
)
from sidecar.upstream.simulated_faults import CONNECT_KINDS, decode_faults

OPENAI, ANTHROPIC = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES
BOTH = pytest.mark.parametrize("wire", [OPENAI, ANTHROPIC])
MODEL = SimulatedModel(ttft_s=0.5, itl_s=0.1, output_tokens=8)


def provider(
    wire: WireFormat = OPENAI,
    *faults: Fault,
    seed: int = 0,
    limits: SimulatedLimits | None = None,
) -> SimulatedProvider:
    """Return a provider with one model of constant speed."""
    alpha = SimulatedProvider("alpha", wire, {"sim": MODEL}, seed=seed, limits=limits)
    alpha.faults = faults
    return alpha


def ask(
    alpha: SimulatedProvider,
    at_s: float = 0.0,
    **changes: Any,
) -> Plan:
    """Plan one completion; ``is_reused`` and ``headers`` go around the body."""
    is_openai = alpha.format is OPENAI
    around = {key: changes.pop(key) for key in ("is_reused", "headers") if key in changes}
    body = {"model": "sim", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    return alpha.plan(
        SimulatedRequest(
            path="/chat/completions" if is_openai else "/v1/messages",
            body=json.dumps({**body, "stream": True, **changes}).encode(),
            at_s=at_s,
            **around,
        )
    )


def body_of(plan: Plan) -> bytes:
    """Return all bytes of the body."""
    return b"".join(step.data for step in plan.steps if isinstance(step, Data))


def head_of(plan: Plan) -> Head:
    """Return the head."""
    return next(step for step in plan.steps if isinstance(step, Head))


def waited(plan: Plan) -> float:
    """Return the seconds spent waiting."""
    return sum(step.seconds for step in plan.steps if isinstance(step, Wait))


def tokens_of(plan: Plan) -> int:
    """Return the tokens delivered."""
    return sum(step.tokens for step in plan.steps if isinstance(step, Data))


MARKERS = {OPENAI: b"data: [DONE]", ANTHROPIC: b'"message_stop"'}


@BOTH
def test_healthy_stream(wire: WireFormat) -> None:
    """Without faults: head after the first-token time, a gap between tokens, the marker last."""
    plan = ask(provider(wire))
    assert plan.steps[0] == Wait(0.5)
    assert head_of(plan).status == 200
    assert waited(plan) == pytest.approx(0.5 + 7 * 0.1)
    assert tokens_of(plan) == plan.entry.planned_tokens == 8
    assert body_of(plan).rstrip().endswith(MARKERS[wire] + (b"}" if wire is ANTHROPIC else b""))
    assert plan.entry.fault is None


@BOTH
def test_plain_takes_as_long_as_the_stream(wire: WireFormat) -> None:
    """A whole answer waits for all of its tokens before the head."""
    plan = ask(provider(wire), stream=False)
    assert isinstance(plan.steps[0], Wait)
    assert waited(plan) == pytest.approx(0.5 + 7 * 0.1)
    assert json.loads(body_of(plan))
    assert dict(head_of(plan).headers)["content-length"] == str(len(body_of(plan)))


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        (FaultKind.HANG, (Never(),)),
        (FaultKind.STALE, (Reset(),)),
    ],
)
def test_faults_without_an_answer(kind: FaultKind, steps: tuple[object, ...]) -> None:
    """A hang never does anything; a stale connection is reset; neither has a status."""
    plan = ask(provider(OPENAI, Fault(kind=kind)), is_reused=True)
    assert plan.steps == steps
    assert plan.entry.status is None
    assert plan.entry.fault is kind


def test_garbage_is_not_http() -> None:
    """Garbage goes out raw and nothing else does."""
    (step,) = ask(provider(OPENAI, Fault(kind=FaultKind.GARBAGE))).steps
    assert isinstance(step, Garbage)
    assert not step.data.startswith(b"HTTP")


def test_stale_spares_fresh_connections() -> None:
    """Only a request on a kept-alive connection meets STALE."""
    plan = ask(provider(OPENAI, Fault(kind=FaultKind.STALE)))
    assert plan.entry.fault is None
    assert tokens_of(plan) == 8


@BOTH
@pytest.mark.parametrize("status", [400, 401, 402, 404, 418, 429, 500, 502, 503, 529])
def test_status_in_the_formats_own_shape(wire: WireFormat, status: int) -> None:
    """Any status comes with an error body of the format, known status or not."""
    plan = ask(provider(wire, Fault(kind=FaultKind.STATUS, status=status, delay_s=0.2)))
    assert plan.steps[0] == Wait(0.2)
    assert head_of(plan).status == plan.entry.status == status
    error = json.loads(body_of(plan))["error"]
    assert error["message"]
    assert error["type"]


def test_status_details() -> None:
    """Retry-after, headers, type, code and message are the fault's; a raw body replaces all."""
    fault = Fault(
        kind=FaultKind.STATUS,
        status=429,
        retry_after_s=1.5,
        headers=(("x-should-retry", "true"),),
        error_type="insufficient_quota",
    )
    plan = ask(provider(OPENAI, fault))
    headers = dict(head_of(plan).headers)
    assert (headers["retry-after"], headers["x-should-retry"]) == ("1.5", "true")
    assert json.loads(body_of(plan))["error"]["code"] == "insufficient_quota"
    spent = Fault(
        kind=FaultKind.STATUS, status=429, error_code="enforced_spend_limit_reached", message="no"
    )
    said = json.loads(body_of(ask(provider(ANTHROPIC, spent))))["error"]
    assert said["error_code"] == "enforced_spend_limit_reached"
    assert said["message"] == "no"
    html = Fault(kind=FaultKind.STATUS, status=502, raw_body="<html>bad gateway</html>")
    assert body_of(ask(provider(OPENAI, html))) == b"<html>bad gateway</html>"


def test_token_rate_spares_small_prompts() -> None:
    """TOKEN_RATE answers 429 to large prompts and lets small ones through."""
    alpha = provider(OPENAI, Fault(kind=FaultKind.TOKEN_RATE, prompt_tokens_max=100))
    large = [{"role": "user", "content": "x" * 1000}]
    assert ask(alpha, messages=large).entry.status == 429
    assert ask(alpha).entry.status == 200


@BOTH
@pytest.mark.parametrize("stream", [True, False])
def test_silence_has_a_head_and_no_content(wire: WireFormat, *, stream: bool) -> None:
    """SILENT_STREAM answers 200 at once and then only pulses, for ever."""
    plan = ask(provider(wire, Fault(kind=FaultKind.SILENT_STREAM)), stream=stream)
    assert isinstance(plan.steps[0], Head)
    assert isinstance(plan.steps[-1], Pulse)
    assert b"alpha:" not in body_of(plan) + plan.steps[-1].data


@BOTH
@pytest.mark.parametrize("after", [0, 3])
def test_error_in_stream(wire: WireFormat, after: int) -> None:
    """An error event follows exactly so many tokens, and no marker follows it."""
    fault = Fault(kind=FaultKind.STREAM_ERROR, status=529, after_tokens=after)
    plan = ask(provider(wire, fault))
    assert plan.entry.status == 200
    assert tokens_of(plan) == after
    assert b"verloaded" in body_of(plan)
    assert MARKERS[wire] not in body_of(plan)


@BOTH
def test_tool_then_error(wire: WireFormat) -> None:
    """A tool call starts and an error follows; no text is said."""
    plan = ask(provider(wire, Fault(kind=FaultKind.TOOL_THEN_ERROR)))
    body = body_of(plan)
    assert 0 < body.index(b"lookup") < body.index(b'"error"')
    assert b"alpha:0" not in body
    assert MARKERS[wire] not in body


@BOTH
@pytest.mark.parametrize("after", [0, 3, 99])
def test_reset_and_eof(wire: WireFormat, after: int) -> None:
    """The break comes after so many tokens, at the latest before the marker."""
    reset = ask(provider(wire, Fault(kind=FaultKind.RESET_AFTER, after_tokens=after)))
    closed = ask(
        provider(wire, Fault(kind=FaultKind.EOF_AFTER, after_tokens=after, is_framed=False))
    )
    framed = ask(provider(wire, Fault(kind=FaultKind.EOF_AFTER, after_tokens=after)))
    assert reset.steps[-1] == Reset()
    assert closed.steps[-1] == Eof()
    assert isinstance(framed.steps[-1], Data)
    for plan in (reset, closed, framed):
        assert tokens_of(plan) == min(after, 8)
        assert MARKERS[wire] not in body_of(plan)


@BOTH
@pytest.mark.parametrize("after", [0, 3])
def test_malformed_chunk_among_good_ones(wire: WireFormat, after: int) -> None:
    """Exactly one chunk is broken JSON, in its place; the stream goes on to its marker."""
    plan = ask(provider(wire, Fault(kind=FaultKind.MALFORMED, after_tokens=after)))
    payloads = [
        line.removeprefix(b"data: ")
        for line in body_of(plan).split(b"\n")
        if line.startswith(b"data: {")
    ]
    broken = [number for number, payload in enumerate(payloads) if not _is_json(payload)]
    opening = 1 if wire is OPENAI else 3
    assert broken == [opening + after]
    assert MARKERS[wire] in body_of(plan)


def _is_json(payload: bytes) -> bool:
    try:
        json.loads(payload)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "kind",
    [FaultKind.STREAM_ERROR, FaultKind.RESET_AFTER, FaultKind.EOF_AFTER, FaultKind.MALFORMED],
)
def test_plain_likeness_of_stream_faults(kind: FaultKind) -> None:
    """No plain answer under a stream's fault is a whole, well-formed 200."""
    plan = ask(provider(OPENAI, Fault(kind=kind)), stream=False)
    is_broken = isinstance(plan.steps[-1], Reset | Eof) or not _is_json(body_of(plan))
    assert is_broken or head_of(plan).status == 500


@BOTH
def test_empty_and_degenerate(wire: WireFormat) -> None:
    """Both are complete answers: one says nothing, the other 200 slashes."""
    empty = ask(provider(wire, Fault(kind=FaultKind.EMPTY)))
    assert tokens_of(empty) == 0
    assert MARKERS[wire] in body_of(empty)
    slashes = ask(provider(wire, Fault(kind=FaultKind.DEGENERATE)))
    assert body_of(slashes).count(b"////") == 50
    assert MARKERS[wire] in body_of(slashes)


def test_slow_and_drip_multiply() -> None:
    """SLOW_FIRST and DRIP stretch their own part, together too, and nothing breaks."""
    faults = (
        Fault(kind=FaultKind.SLOW_FIRST, factor=4),
        Fault(kind=FaultKind.DRIP, factor=10),
    )
    plan = ask(provider(OPENAI, *faults))
    assert waited(plan) == pytest.approx(0.5 * 4 + 7 * 0.1 * 10)
    assert plan.entry.fault is FaultKind.SLOW_FIRST


@BOTH
def test_slice_says_the_same_in_single_bytes(wire: WireFormat) -> None:
    """SLICE sends single bytes with CRLF; joined by the rules of SSE it is the same JSON."""
    whole = body_of(ask(provider(wire)))
    plan = ask(provider(wire, Fault(kind=FaultKind.SLICE)))
    assert all(len(step.data) == 1 for step in plan.steps if isinstance(step, Data))
    assert tokens_of(plan) == 8
    joined = body_of(plan).replace(b"{\r\ndata: ", b"{").replace(b"\r\n", b"\n")
    assert joined == whole


@pytest.mark.parametrize("kind", CONNECT_KINDS)
def test_connect_faults_act_before_a_request(kind: FaultKind) -> None:
    """Connect faults show in ``connect_fault``, in their window only, and in no plan."""
    alpha = provider(OPENAI, Fault(kind=kind, start_s=10, end_s=20))
    assert [alpha.connect_fault(at_s) for at_s in (9.9, 10, 19.9, 20)] == [None, kind, kind, None]
    assert ask(alpha, 15).entry.fault is None


def test_share_hits_about_its_part_and_replays() -> None:
    """A share of 30 % hits about that, the same requests each time the seed is the same."""
    fault = Fault(kind=FaultKind.STATUS, share=0.3)
    runs = []
    for seed in (7, 7, 8):
        alpha = provider(OPENAI, fault, seed=seed)
        runs.append([ask(alpha).entry.status for _ in range(300)])
    assert runs[0] == runs[1] != runs[2]
    assert 60 <= runs[0].count(500) <= 120


def test_luck_does_not_depend_on_faults() -> None:
    """The n-th request draws the same latency whatever faults there are."""
    model = {"sim": SimulatedModel(ttft_s=1.0, ttft_sigma=0.8)}
    plain, faulty = (SimulatedProvider("alpha", OPENAI, model, seed=3) for _ in range(2))
    faulty.faults = (Fault(kind=FaultKind.DRIP, share=0.5),)
    waits = [[waited(ask(alpha)) for _ in range(20)] for alpha in (plain, faulty)]
    assert waits[0] == waits[1]
    assert len(set(waits[0])) == 20


def test_fault_scope() -> None:
    """A fault may be one model's alone; the model list is hit only when the fault says so."""
    alpha = provider(OPENAI, Fault(kind=FaultKind.STATUS, model="other"))
    listing = SimulatedRequest(path="/v1/models", method="GET")
    assert ask(alpha).entry.status == 200
    alpha.faults = (Fault(kind=FaultKind.STATUS),)
    assert alpha.plan(listing).entry.status == 200
    alpha.faults = (Fault(kind=FaultKind.STATUS, hits_models=True),)
    assert alpha.plan(listing).entry.status == 500


@BOTH
def test_requests_per_minute_is_a_sliding_window(wire: WireFormat) -> None:
    """A request too many is told when the first one leaves the window, and then passes."""
    alpha = provider(wire, limits=SimulatedLimits(requests_per_minute=2))
    assert [ask(alpha, at_s).entry.status for at_s in (0, 20)] == [200, 200]
    refused = ask(alpha, 30)
    headers = dict(head_of(refused).headers)
    assert refused.entry.status == 429
    assert headers["retry-after"] == "30"
    remaining = [value for name, value in headers.items() if "remaining" in name]
    assert remaining == ["0"]
    assert [ask(alpha, at_s).entry.status for at_s in (60, 61)] == [200, 429]


@pytest.mark.parametrize(("wire", "status"), [(OPENAI, 503), (ANTHROPIC, 529)])
def test_capacity_counts_requests_in_flight(wire: WireFormat, status: int) -> None:
    """One request too many at once is told of overload; a settled one makes room."""
    alpha = provider(wire, limits=SimulatedLimits(requests_at_once=1))
    first, second = ask(alpha), ask(alpha)
    assert [first.entry.status, second.entry.status] == [200, status]
    for plan in (first, second):
        alpha.settle(plan.entry, Ended.COMPLETE, 1.0)
    assert ask(alpha).entry.status == 200


def test_bill_follows_what_was_said() -> None:
    """Prompt and sent tokens are billed on a 200 alone; a provider deaf to cancels bills it all."""
    price = SimulatedModel(output_tokens=8, input_usd=10.0, output_usd=100.0)
    alpha = SimulatedProvider("alpha", OPENAI, {"sim": price})
    cut, deaf = ask(alpha), ask(alpha)
    cut.entry.output_tokens = deaf.entry.output_tokens = 3
    alpha.settle(cut.entry, Ended.CANCELLED, 1.0)
    alpha.is_cancel_ignored = True
    alpha.settle(deaf.entry, Ended.CANCELLED, 1.0)
    prompt = cut.entry.prompt_tokens
    assert cut.entry.cost_usd == pytest.approx((prompt * 10 + 3 * 100) / 1e6)
    assert deaf.entry.cost_usd == pytest.approx((prompt * 10 + 8 * 100) / 1e6)
    alpha.faults = (Fault(kind=FaultKind.STATUS),)
    failed = ask(alpha)
    alpha.settle(failed.entry, Ended.COMPLETE, 1.0)
    assert failed.entry.cost_usd == 0
    with pytest.raises(AssertionError, match="once"):
        alpha.settle(failed.entry, Ended.COMPLETE, 1.0)


@BOTH
def test_bad_requests_are_refused(wire: WireFormat) -> None:
    """Wrong key, model, path, JSON or an overlong prompt get the status real providers give."""
    small = SimulatedModel(context_tokens=20)
    alpha = SimulatedProvider("alpha", wire, {"sim": small}, api_key="right")
    bearer = {"authorization": "Bearer right"}
    assert ask(alpha).entry.status == 401
    assert ask(alpha, headers={"x-api-key": "right"}).entry.status == 200
    assert ask(alpha, model="none", headers=bearer).entry.status == 404
    assert ask(alpha, messages=[], headers=bearer).entry.status == 400
    long = [{"role": "user", "content": "x" * 400}]
    assert ask(alpha, messages=long, headers=bearer).entry.status == 400
    for path, body in (("/v1/nothing", b"{}"), ("/chat/completions", b"{"), ("/v1/messages", b"[")):
        request = SimulatedRequest(path=path, body=body, headers=bearer)
        assert alpha.plan(request).entry.status in (400, 404)


def test_probe_and_words() -> None:
    """A tiny bound marks a probe; words carry the provider's name and letters beyond ASCII."""
    alpha = provider()
    assert ask(alpha, max_tokens=1).entry.is_probe
    assert not ask(alpha).entry.is_probe
    assert words("alpha", 6) == (
        "alpha:0",
        " alpha:1",
        " alpha:2",
        " alpha:3",
        " alpha:4·ü",
        " alpha:5",
    )


def test_faults_travel_as_json() -> None:
    """A list of faults reads from JSON with open windows; unknown fields and kinds are refused."""
    (fault,) = decode_faults(b'[{"kind": "status", "status": 503, "share": 0.5}]')
    assert fault == Fault(kind=FaultKind.STATUS, status=503, share=0.5)
    assert math.isinf(fault.end_s)
    assert (fault.delayed(5).start_s, fault.delayed(5).end_s) == (5, math.inf)
    for bad in (b'[{"kind": "status", "statuss": 1}]', b'[{"kind": "boredom"}]', b"{}"):
        with pytest.raises(msgspec.ValidationError):
            decode_faults(bad)
