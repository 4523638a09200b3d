"""The memory front fails as sockets would, on the loop's clock, and leaks nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from sidecar.domain import (
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    OutcomeClass,
    ProviderName,
    WireFormat,
)
from sidecar.engine.ports import OutboundRequest, Upstream
from sidecar.errors import (
    AttemptError,
    ConnectFailedError,
    ConnectionBrokenError,
    ProtocolBrokenError,
    StaleConnectionError,
)
from sidecar.simulate.loop import SimulatedTimeStalled, simulate
from sidecar.upstream.simulated import (
    Ended,
    Fault,
    FaultKind,
    SimulatedModel,
    SimulatedProvider,
)
from sidecar.upstream.simulated_memory import MemoryUpstream

ENDPOINT = EndpointId("alpha/sim")
ALPHA = ProviderName("alpha")


def build(*faults: Fault, key: str | None = None) -> tuple[SimulatedProvider, MemoryUpstream]:
    """Return a provider and the upstream before it."""
    model = SimulatedModel(ttft_s=1.0, itl_s=0.5, output_tokens=5)
    alpha = SimulatedProvider("alpha", WireFormat.OPENAI_CHAT, {"sim": model}, api_key=key)
    alpha.faults = faults
    endpoint = Endpoint(
        id=ENDPOINT,
        provider=ALPHA,
        model=ModelName("sim"),
        upstream_model="sim",
        format=WireFormat.OPENAI_CHAT,
        host=HostName("http://alpha"),
    )
    return alpha, MemoryUpstream({ALPHA: alpha}, {ENDPOINT: endpoint})


def asking(*, fresh: bool = False) -> OutboundRequest:
    """Return a streamed completion request."""
    body = {"model": "sim", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    return OutboundRequest(
        endpoint=ENDPOINT,
        path="/chat/completions",
        body=json.dumps(body).encode(),
        needs_fresh_connection=fresh,
    )


async def fetch(upstream: Upstream, *, fresh: bool = False) -> bytes:
    """Read one answer whole, closing it twice."""
    response = await upstream.open(asking(fresh=fresh), connect_s=3.0)
    try:
        body = b""
        while data := await response.read():
            body += data
        return body
    finally:
        response.close()
        response.close()


def now() -> float:
    """Return simulated seconds."""
    return asyncio.get_running_loop().time()


def test_healthy_answer_takes_its_time_and_keeps_the_connection() -> None:
    """A stream arrives on time, is logged complete, and its connection serves the next request."""
    alpha, upstream = build()

    async def main() -> float:
        assert b"[DONE]" in await fetch(upstream)
        assert upstream.idle_counts[ALPHA] == 1
        await fetch(upstream)
        return now()

    assert simulate(main()) == pytest.approx(2 * (1.0 + 4 * 0.5))
    assert [entry.ended for entry in alpha.log] == [Ended.COMPLETE] * 2
    assert [entry.output_tokens for entry in alpha.log] == [5, 5]
    assert upstream.open_count == alpha.in_flight == 0
    assert upstream.idle_counts[ALPHA] == 1


@pytest.mark.parametrize(
    ("kind", "error", "at_s"),
    [
        (FaultKind.REFUSE, ConnectFailedError, 0.0),
        (FaultKind.DNS_FAILURE, ConnectFailedError, 0.0),
        (FaultKind.TLS_FAILURE, ConnectFailedError, 0.0),
        (FaultKind.BLACKHOLE, ConnectFailedError, 3.0),
        (FaultKind.GARBAGE, ProtocolBrokenError, 0.0),
        (FaultKind.RESET_AFTER, ConnectionBrokenError, 2.0),
    ],
)
def test_faults_raise_what_sockets_would(
    kind: FaultKind, error: type[AttemptError], at_s: float
) -> None:
    """Each fault below HTTP raises its own error at its own time and leaves nothing open."""
    alpha, upstream = build(Fault(kind=kind, after_tokens=3))

    async def main() -> float:
        with pytest.raises(error):
            await fetch(upstream)
        return now()

    assert simulate(main()) == at_s
    assert upstream.open_count == alpha.in_flight == 0
    assert alpha.log[0].fault is kind
    assert upstream.idle_counts[ALPHA] == 0


def test_stale_connection_once_then_fresh() -> None:
    """A reset on a reused connection is stale; the retry on a fresh one succeeds."""
    alpha, upstream = build()

    async def main() -> None:
        await fetch(upstream)
        alpha.faults = (Fault(kind=FaultKind.STALE),)
        with pytest.raises(StaleConnectionError):
            await fetch(upstream)
        assert b"[DONE]" in await fetch(upstream, fresh=True)

    simulate(main())
    assert [entry.ended for entry in alpha.log] == [Ended.COMPLETE, Ended.RESET, Ended.COMPLETE]


@pytest.mark.parametrize(
    ("kind", "survives"), [(FaultKind.DNS_FAILURE, True), (FaultKind.REFUSE, False)]
)
def test_kept_connections_under_connect_faults(kind: FaultKind, *, survives: bool) -> None:
    """A kept connection outlives a DNS failure, not the death of its host."""
    alpha, upstream = build()

    async def main() -> bool:
        await fetch(upstream)
        alpha.faults = (Fault(kind=kind),)
        try:
            await fetch(upstream)
        except ConnectFailedError:
            return False
        return True

    assert simulate(main()) is survives


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.SILENT_STREAM])
def test_a_caller_who_gives_up_is_logged(kind: FaultKind) -> None:
    """Giving up on a silent provider closes the exchange at once, and the log says cancelled."""
    alpha, upstream = build(Fault(kind=kind))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(40.0):
                await fetch(upstream)

    simulate(main())
    (entry,) = alpha.log
    assert (entry.ended, entry.ended_at_s) == (Ended.CANCELLED, 40.0)
    assert upstream.open_count == alpha.in_flight == 0
    assert upstream.idle_counts[ALPHA] == 0


def test_a_hang_without_a_limit_stalls_the_program() -> None:
    """Waiting for ever for a provider that hangs is found out by simulated time."""
    _, upstream = build(Fault(kind=FaultKind.HANG))
    with pytest.raises(SimulatedTimeStalled):
        simulate(fetch(upstream))


def test_a_cancelled_read_goes_on_where_it_was() -> None:
    """A read given up half-way does not restart the provider's timeline, nor lose bytes."""
    _, upstream = build()

    async def main() -> tuple[bytes, float]:
        response = await upstream.open(asking(), connect_s=3.0)
        body = await response.read() + await response.read()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await response.read()
        body += await response.read()
        at_s = now()
        response.close()
        return body, at_s

    body, at_s = simulate(main())
    assert b"alpha:0" in body
    assert b" alpha:1" in body
    assert at_s == pytest.approx(1.5)


def test_a_slow_reader_finds_the_bytes_waiting() -> None:
    """The provider generates while nobody reads."""
    _, upstream = build()

    async def main() -> float:
        response = await upstream.open(asking(), connect_s=3.0)
        await asyncio.sleep(60)
        while await response.read():
            pass
        response.close()
        return now()

    assert simulate(main()) == 61.0


def test_framed_end_without_marker_is_a_proper_end_of_http() -> None:
    """EOF_AFTER ends the body properly unless it is told to break the framing."""
    _, framed = build(Fault(kind=FaultKind.EOF_AFTER, after_tokens=2))
    assert b"[DONE]" not in simulate(fetch(framed))
    _, unframed = build(Fault(kind=FaultKind.EOF_AFTER, after_tokens=2, is_framed=False))
    with pytest.raises(ConnectionBrokenError):
        simulate(fetch(unframed))


def test_key_rotation_and_classification() -> None:
    """A rotated key is refused until it is set; the refusal is classified by the kind's table."""
    alpha, upstream = build(key="old")

    async def status() -> tuple[int, OutcomeClass]:
        response = await upstream.open(asking(), connect_s=3.0)
        body = await response.read()
        response.close()
        fault = upstream.classify(ENDPOINT, response.status, response.headers, body)
        return response.status, fault.cls

    alpha.api_key = "new"
    assert simulate(status()) == (401, OutcomeClass.AUTH)
    assert upstream.credential_version(ALPHA) == 0
    upstream.set_key(ALPHA, "new")
    assert upstream.credential_version(ALPHA) == 1
    assert simulate(status())[0] == 200
    assert upstream.free_probe_path(ENDPOINT) == "/models"


@pytest.mark.parametrize(
    ("fault", "cls"),
    [
        (Fault(kind=FaultKind.STATUS, status=500), OutcomeClass.S5),
        (Fault(kind=FaultKind.STATUS, status=503, retry_after_s=40), OutcomeClass.S5),
        (Fault(kind=FaultKind.STATUS, status=529), OutcomeClass.OVERLOAD),
        (Fault(kind=FaultKind.STATUS, status=429, retry_after_s=12), OutcomeClass.RATE),
        (
            Fault(kind=FaultKind.STATUS, status=429, error_code="enforced_spend_limit_reached"),
            OutcomeClass.QUOTA,
        ),
        (Fault(kind=FaultKind.STATUS, status=402), OutcomeClass.QUOTA),
        (Fault(kind=FaultKind.STATUS, status=400), OutcomeClass.CALLER),
        (Fault(kind=FaultKind.STATUS, status=404), OutcomeClass.GONE),
        (Fault(kind=FaultKind.TOKEN_RATE), OutcomeClass.RATE),
    ],
)
def test_staged_errors_mean_what_they_stage(fault: Fault, cls: OutcomeClass) -> None:
    """The error bodies are close enough to real ones for the classifier to read them."""
    _, upstream = build(fault)

    async def main() -> OutcomeClass:
        response = await upstream.open(asking(), connect_s=3.0)
        body = await response.read()
        response.close()
        return upstream.classify(ENDPOINT, response.status, response.headers, body).cls

    assert simulate(main()) is cls
