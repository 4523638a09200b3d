"""Faults below HTTP, by sockets of our own: RST, dead names, silent doors, bad certificates."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.upstream.simulated_http import read_request, reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.processes.conftest import Provider, Sidecar

    Start = Callable[[str], Awaitable[Sidecar]]
    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]

CERTIFICATES = Path(__file__).parent / "certificates"
FALLBACK = "beta/beta-sim:OK"
CALLS_MAX = 12
CONNECT_S = 0.4
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  raw: {{kind: openai, base_url: "{raw}"}}
  beta: {{kind: anthropic, base_url: "{beta}"}}
models:
  raw-sim: {{provider: raw, model: sim, price: {{input: 1, output: 2}}, context: 90000}}
  beta-sim: {{provider: beta, model: sim, price: {{input: 1, output: 2}}, context: 90000}}
routes:
  quick: {{tiers: [[raw-sim], [beta-sim]], within: 20s}}
defaults:
  timers: {{connect: 400ms, first_content: 2s, stall: 2s}}
  probes: {{suspect_first: 20s}}
"""
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    """Return one event of a stream in OpenAI's format."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body: dict[str, object] = {"id": "x", "object": "chat.completion.chunk", "created": 1}
    return b"data: " + json.dumps({**body, "model": "sim", "choices": [choice]}).encode() + b"\n\n"


def whole_answer() -> bytes:
    """Return a plain answer that keeps its connection."""
    message = {"role": "assistant", "content": "from raw"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "sim"}
    body = json.dumps({**answer, "choices": [choice], "usage": usage}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


class RawProvider:
    """Writes ``pieces`` to each call, the next after ``go_on``, then cuts with RST if told to.

    Lists no models. ``idle`` are the connections that were answered and wait for more.
    """

    def __init__(self) -> None:
        self.pieces: tuple[bytes, ...] = (whole_answer(),)
        self.is_cut = False
        self.calls = 0
        self.idle: list[asyncio.StreamWriter] = []
        self.may_cut = asyncio.Event()
        self.open = 0
        self.base_url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.open += 1
        try:
            while (request := await read_request(reader)) is not None:
                if request.method != "POST":
                    break
                self.calls += 1
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                if self.is_cut:
                    await self.may_cut.wait()
                    reset(writer)
                    return
                self.idle.append(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sidecar may leave whenever it likes
        finally:
            self.open -= 1
            writer.close()

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawProvider]:
        """Listen while the block runs."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        scheme = "http" if tls is None else "https"
        self.base_url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()


@pytest.fixture
async def raw() -> AsyncIterator[RawProvider]:
    """A raw provider that listens."""
    async with RawProvider().serving() as provider:
        yield provider


async def endpoint(sidecar: Sidecar) -> dict[str, Any]:
    """Return what the sidecar knows of the first endpoint."""
    found: dict[str, Any] = (await sidecar.state())["endpoints"]["raw/raw-sim"]
    return found


async def call_until_left_alone(sidecar: Sidecar) -> None:
    """Call until the first provider is asked no more; all calls are answered by the second."""
    for _ in range(CALLS_MAX):
        answer = await sidecar.chat()
        assert answer.status == 200, answer.text
        if answer.attempts == [FALLBACK]:
            return
        assert answer.attempts == ["raw/raw-sim:CONNECT", FALLBACK]
    pytest.fail("the first provider is asked for ever")


async def test_blackhole_hangs_and_is_left(start: Start, beta: Provider) -> None:
    """Row 2: a port that swallows SYNs costs its connect limit, until nobody is sent there.

    That it swallows them is seen by a connection of our own: begun before the calls, it is neither
    made nor refused after them.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        sidecar = await start(
            CONFIG.format(raw=f"http://127.0.0.1:{address[1]}/v1", beta=beta.base_url)
        )
        loop = asyncio.get_running_loop()
        with socket.socket() as witness:
            witness.setblocking(False)
            async with asyncio.TaskGroup() as tasks:
                connecting = tasks.create_task(loop.sock_connect(witness, address))
                began_at = loop.time()
                answer = await sidecar.chat()
                assert loop.time() - began_at >= CONNECT_S, "refusals are quicker"
                assert answer.attempts == ["raw/raw-sim:CONNECT", FALLBACK]
                await call_until_left_alone(sidecar)
                assert not connecting.done(), "this port does not swallow SYNs"
                connecting.cancel()
        for filler in fillers:
            filler.close()
    assert (await endpoint(sidecar))["breaker"] == "open"


async def test_name_that_does_not_exist(start: Start, beta: Provider) -> None:
    """Row 3: a name that does not resolve is a failed connect; calls go elsewhere, then at once."""
    sidecar = await start(CONFIG.format(raw="http://nowhere.invalid/v1", beta=beta.base_url))
    await call_until_left_alone(sidecar)
    known = await endpoint(sidecar)
    assert (known["breaker"], known["last_cause"]) == ("open", "CONNECT")


@pytest.mark.parametrize(
    ("certificate", "is_trusted", "is_good"),
    [("valid", True, True), ("valid", False, False), ("expired", True, False)],
    ids=["trusted", "unknown", "expired"],
)
async def test_certificate(
    start: Start,
    beta: Provider,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    *,
    is_trusted: bool,
    is_good: bool,
) -> None:
    """Row 4: a handshake with a bad certificate is a failed connect; no request passes it."""
    file = CERTIFICATES / f"{certificate}.pem"
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # failed handshakes
    async with RawProvider().serving(tls) as raw:
        sidecar = await start(CONFIG.format(raw=raw.base_url, beta=beta.base_url))
        if is_good:
            answer = await sidecar.chat()
            assert answer.attempts == ["raw/raw-sim:OK"]
            assert "from raw" in answer.text
            return
        await call_until_left_alone(sidecar)
        assert raw.calls == 0
        assert (await endpoint(sidecar))["last_cause"] == "CONNECT"


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    "pieces",
    [(), (b"HTTP/1.1 200 OK\r\ncontent-ty",), (STREAM_HEAD,), (STREAM_HEAD, chunk({"role": "x"}))],
    ids=["before-the-head", "within-the-head", "after-the-head", "before-the-first-word"],
)
async def test_reset_before_the_first_word(
    start: Start, beta: Provider, raw: RawProvider, pieces: tuple[bytes, ...], *, is_stream: bool
) -> None:
    """Row 19, before anything was said: a reset is a failure that the caller does not notice."""
    raw.pieces, raw.is_cut = pieces, True
    raw.may_cut.set()
    sidecar = await start(CONFIG.format(raw=raw.base_url, beta=beta.base_url))
    answer = await sidecar.chat(stream=is_stream)
    assert answer.status == 200
    assert answer.attempts[0] == "raw/raw-sim:RESET_MID"
    assert "beta:0" in answer.text
    assert "upstream_interrupted" not in answer.text
    assert raw.calls == 1, "a fresh connection that breaks is no stale one"
    assert (await endpoint(sidecar))["last_cause"] == "RESET_MID"


async def test_reset_after_ten_words(start: Start, beta: Provider, raw: RawProvider) -> None:
    """Row 19: ten words that were read, then RST: they stay, an error follows, nothing more."""
    words = [chunk({"content": f"{number} "}) for number in range(10)]
    raw.pieces, raw.is_cut = (STREAM_HEAD, *words), True
    sidecar = await start(CONFIG.format(raw=raw.base_url, beta=beta.base_url))
    body = {"model": "quick", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    async with sidecar.http.post(f"{sidecar.url()}/v1/chat/completions", json=body) as answer:
        got = b""
        while b'"9 "' not in got:
            got += await answer.content.readany()
        raw.may_cut.set()  # not before: what RST overtakes is lost, as on any wire
        rest = await answer.read()
    assert got.startswith(b"".join(words)), "byte by byte as it was sent"
    assert b'"upstream_interrupted"' in rest
    assert b"raw/raw-sim:RESET_MID" in rest
    assert b"[DONE]" not in rest
    assert beta.completions() == [], "no failover after the first word"
    assert (await endpoint(sidecar))["last_cause"] == "RESET_MID"


@pytest.mark.parametrize("is_reset", [False, True], ids=["fin", "rst"])
async def test_idle_connections_that_end(
    start: Start, beta: Provider, raw: RawProvider, until: Until, *, is_reset: bool
) -> None:
    """Row 26: kept connections that a provider ends between calls, even half, are nobody's fault.

    After FIN the provider's half is open still, until the sidecar closes it; so no request can go
    there. A reset may meet one on its way, which is repeated.
    """
    sidecar = await start(CONFIG.format(raw=raw.base_url, beta=beta.base_url))

    async def is_let_go() -> bool:
        return raw.open == 0

    attempts = []
    for _ in range(3):
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(sidecar.chat()) for _ in range(4)]
        attempts += [call.result().attempts for call in calls]
        ended, raw.idle = raw.idle, []
        assert any(not writer.is_closing() for writer in ended), "nothing was kept alive"
        for writer in ended:
            if is_reset:
                reset(writer)
            elif not writer.is_closing():
                writer.write_eof()
        await until(is_let_go, "the sidecar closes what was half-closed")
    assert {one[-1] for one in attempts} == {"raw/raw-sim:OK"}
    stale = {name for one in attempts for name in one[:-1]}
    assert stale <= ({"raw/raw-sim:STALE_CONN"} if is_reset else set())
    assert raw.calls == 12
    known = await endpoint(sidecar)
    assert (known["breaker"], known["last_cause"]) == ("closed", None)
    assert beta.completions() == []
