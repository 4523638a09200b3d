"""Predictions behind the port, by a provider in memory: what is asked, what is cancelled."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from sidecar.errors import ConnectionBrokenError, ProtocolBrokenError
from sidecar.simulate.loop import simulate
from sidecar.upstream.address import parse_address
from sidecar.upstream.predictions import POLL_S, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.engine.ports import OutboundRequest, UpstreamResponse
    from sidecar.upstream.address import Address
    from tests.upstream.conftest import MakeRequest

BASE = parse_address("https://api.replicate.com")
STREAMED = (("accept", "text/event-stream"),)


def prediction(status: str, stream: str | None = None) -> bytes:
    """Return a prediction's body."""
    urls = {} if stream is None else {"stream": stream}
    return json.dumps({"id": "p/1", "status": status, "output": "x", "urls": urls}).encode()


@dataclass
class Answer:
    """One answer, in pieces; ``None`` among them breaks the connection."""

    pieces: list[bytes | None]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_closed: bool = False

    async def read(self) -> bytes:
        """Return the next piece."""
        return self.take()

    def take(self) -> bytes:
        """Return the next piece, which is always here."""
        piece = self.pieces.pop(0) if self.pieces else b""
        if piece is None:
            raise ConnectionBrokenError("broken")
        return piece

    def watch(self, wake: Callable[[], None] | None) -> None:
        """Nothing comes later."""

    def close(self) -> None:
        """Note that it is over."""
        self.is_closed = True


class Provider:
    """Gives the answers it is told to, by method and path or address; notes what was asked when."""

    def __init__(self, **answers: Answer | list[Answer]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, float]] = []
        self.delay_s = 0.0

    async def send(
        self, request: OutboundRequest, *, connect_s: float, url: Address | None = None
    ) -> UpstreamResponse:
        """Answer ``request``."""
        asked = request.path if url is None else str(url)
        self.asked.append((f"{request.method} {asked}", asyncio.get_running_loop().time()))
        await asyncio.sleep(self.delay_s)
        if url is not None:
            name = "stream"
        elif asked.endswith("/cancel"):
            name = "cancel"
        else:
            name = "create" if request.method == "POST" else "get"
        answer = self.answers[name]
        return answer.pop(0) if isinstance(answer, list) else answer

    def names(self) -> list[str]:
        """Return what was asked."""
        return [asked for asked, _ in self.asked]


@dataclass
class Run:
    """Opens one prediction at a provider."""

    make_request: MakeRequest
    provider: Provider
    predictions: Predictions = field(default_factory=Predictions)
    domain: str = "replicate.com"

    async def open(self, *, is_stream: bool = False) -> UpstreamResponse:
        """Do so."""
        return await self.predictions.open(
            self.provider.send,
            self.make_request(path="/create", headers=STREAMED if is_stream else ()),
            connect_s=1.0,
            base=BASE,
            domain=self.domain,
        )


async def whole(response: UpstreamResponse) -> bytes:
    """Read to the end, and close."""
    body = b""
    while piece := await response.read():
        body += piece
    response.close()
    return body


CREATED = "POST /create"
GET = "GET /v1/predictions/p%2F1"
CANCEL = "POST /v1/predictions/p%2F1/cancel"


def test_asking_grows_slower(make_request: MakeRequest) -> None:
    """It is asked soon at first and ever less often, up to the last interval."""
    waiting = [Answer([prediction("processing")]) for _ in range(6)]
    provider = Provider(
        create=Answer([prediction("starting")], status=201),
        get=[*waiting, Answer([prediction("succeeded")])],
        cancel=Answer([]),
    )

    async def program() -> None:
        response = await Run(make_request, provider).open()
        assert (response.status, await whole(response)) == (200, prediction("succeeded"))

    simulate(program())
    times = [at for _, at in provider.asked]
    waits = [round(later - at, 3) for at, later in pairwise(times)]
    assert waits == [*POLL_S, *[POLL_S[-1]] * 3]
    assert provider.names() == [CREATED, *[GET] * 7]


@pytest.mark.parametrize(
    ("stream", "domain", "is_used"),
    [
        ("https://stream.replicate.com/v1/x%2Fy", "replicate.com", True),
        ("https://api.replicate.com/v1/x", "", True),
        ("https://stream.replicate.com/v1/x", "", False),
        ("https://replicate.com.evil.example/x", "replicate.com", False),
        ("https://evilreplicate.com/x", "replicate.com", False),
        ("http://stream.replicate.com/x", "replicate.com", False),
        ("https://api.replicate.com:8443/x", "", False),
        ("https://[broken/x", "replicate.com", False),
        ("", "replicate.com", False),
    ],
)
async def test_the_key_goes_to_the_provider_alone(
    make_request: MakeRequest, stream: str, domain: str, *, is_used: bool
) -> None:
    """A stream's address is used only within the provider's own domain, by the same scheme."""
    provider = Provider(
        create=Answer([prediction("starting", stream)], status=201),
        stream=Answer([b"event: done\ndata: {}\n\n"]),
        get=Answer([prediction("succeeded")]),
        cancel=Answer([]),
    )
    run = Run(make_request, provider, domain=domain)
    body = await whole(await run.open(is_stream=True))
    await run.predictions.aclose()
    assert body.endswith(b"event: done\ndata: {}\n\n")
    assert provider.names() == [CREATED, f"GET {stream}" if is_used else GET]


async def test_a_done_in_two_pieces_is_an_end(make_request: MakeRequest) -> None:
    """The end of a stream is seen across pieces; then nothing is cancelled."""
    provider = Provider(
        create=Answer([prediction("starting", f"{BASE}/s")]),
        stream=Answer([b"event: output\ndata: x\n\neve", b"nt: done\ndata: {}\n\n"]),
    )
    run = Run(make_request, provider)
    await whole(await run.open(is_stream=True))
    await run.predictions.aclose()
    assert provider.names() == [CREATED, f"GET {BASE}/s"]


@pytest.mark.parametrize("pieces", [[b"event: output\ndata: done\n\n"], [b"event: do", None]])
async def test_a_stream_left_early_is_cancelled_once(
    make_request: MakeRequest, pieces: list[bytes | None]
) -> None:
    """Whatever ends a stream before its end, the provider is told, once; the connection is cut."""
    stream = Answer(pieces)
    provider = Provider(
        create=Answer([prediction("starting", f"{BASE}/s")]), stream=stream, cancel=Answer([])
    )
    run = Run(make_request, provider)
    response = await run.open(is_stream=True)
    await response.read()
    response.close()
    response.close()
    await run.predictions.aclose()
    assert provider.names() == [CREATED, f"GET {BASE}/s", CANCEL]
    assert stream.is_closed


async def test_what_fails_on_the_way_is_cancelled(make_request: MakeRequest) -> None:
    """A broken follow-up request is the attempt's failure, and no reason to pay on."""
    provider = Provider(
        create=Answer([prediction("starting")]), get=Answer([None]), cancel=Answer([])
    )
    run = Run(make_request, provider)
    with pytest.raises(ConnectionBrokenError):
        await run.open()
    await run.predictions.aclose()
    assert provider.names() == [CREATED, GET, CANCEL]


async def test_a_refused_follow_up_is_the_answer(make_request: MakeRequest) -> None:
    """An error status while asking is for the classification, and the prediction is cancelled."""
    provider = Provider(
        create=Answer([prediction("starting")]),
        get=Answer([b'{"detail":"slow down"}'], status=429),
        cancel=Answer([None]),
    )
    run = Run(make_request, provider)
    response = await run.open()
    assert (response.status, await whole(response)) == (429, b'{"detail":"slow down"}')
    await run.predictions.aclose()
    assert provider.names() == [CREATED, GET, CANCEL]


async def test_a_refused_stream_is_asked_for(make_request: MakeRequest) -> None:
    """A stream that cannot be had is made of the whole answer."""
    refused = Answer([], status=404)
    provider = Provider(
        create=Answer([prediction("starting", f"{BASE}/s")]),
        stream=refused,
        get=Answer([prediction("succeeded")]),
    )
    response = await Run(make_request, provider).open(is_stream=True)
    assert await whole(response) == b"event: output\ndata: x\n\nevent: done\ndata: {}\n\n"
    assert refused.is_closed


async def test_rubbish_is_no_prediction(make_request: MakeRequest) -> None:
    """A creation that answers with something else is a broken protocol."""
    run = Run(make_request, Provider(create=Answer([b"<html>"])))
    with pytest.raises(ProtocolBrokenError, match="not a prediction"):
        await run.open()


def test_an_abandoned_creation_goes_on_to_be_cancelled(make_request: MakeRequest) -> None:
    """Who leaves during the creation goes at once; the id is awaited, and cancelled."""
    provider = Provider(create=Answer([prediction("starting")]), cancel=Answer([]))
    provider.delay_s = 0.5

    async def program() -> None:
        run = Run(make_request, provider)
        loop = asyncio.get_running_loop()
        opening = loop.create_task(run.open())
        loop.call_later(0.1, opening.cancel)
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert loop.time() == pytest.approx(0.1)
        await run.predictions.aclose()

    simulate(program())
    assert provider.asked[0] == (CREATED, 0.0)
    assert [asked for asked, _ in provider.asked[1:]] == [CANCEL]


def test_the_end_of_the_program_waits_within_a_limit(make_request: MakeRequest) -> None:
    """A provider that does not answer a cancellation holds nobody up for long."""
    provider = Provider(
        create=Answer([prediction("starting", f"{BASE}/s")]), stream=Answer([]), cancel=Answer([])
    )

    async def program() -> None:
        run = Run(make_request, provider)
        response = await run.open(is_stream=True)
        provider.delay_s = 100.0
        response.close()
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        await run.predictions.aclose()
        assert loop.time() - began_at <= 1.0

    simulate(program())
    assert provider.names()[-1] == CANCEL
