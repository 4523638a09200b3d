"""The socket front: real resets, refusals, silence and cuts on loopback, and a truthful log."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from sidecar.domain import WireFormat
from sidecar.upstream.simulated import (
    Ended,
    Fault,
    FaultKind,
    LogEntry,
    SimulatedModel,
    SimulatedProvider,
)
from sidecar.upstream.simulated_server import SimulatedServer, parse_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASK = {"model": "sim", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
GIVE_UP_S = 10.0  # a test that waits so long has failed


@pytest.fixture
async def server() -> AsyncIterator[SimulatedServer]:
    """A simulated OpenAI on loopback, fast and healthy."""
    alpha = SimulatedProvider(
        "alpha", WireFormat.OPENAI_CHAT, {"sim": SimulatedModel(output_tokens=6)}
    )
    async with asyncio.timeout(GIVE_UP_S), SimulatedServer(alpha) as running:
        yield running


class Caller:
    """A raw connection: sends requests by hand and sees what really comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, server: SimulatedServer) -> Caller:
        """Connect to the provider's port."""
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    def send(self, *, headers: str = "") -> None:
        """Send a streamed completion request."""
        body = json.dumps(ASK).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{headers}"
        self.writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    async def answer(self) -> bytes:
        """Read one chunked answer whole."""
        return await self.reader.readuntil(b"\r\n0\r\n\r\n")

    async def rest(self) -> bytes:
        """Read until the connection ends."""
        return await self.reader.read()

    def close(self) -> None:
        """Close this side."""
        self.writer.close()


async def settled(server: SimulatedServer) -> LogEntry:
    """Return the last log entry, once the server has done with every connection."""
    await server.all_gone()
    return server.provider.log[-1]


async def test_two_answers_on_one_connection(server: SimulatedServer) -> None:
    """A connection is kept after a complete answer, and closed when the caller asks."""
    caller = await Caller.connect(server)
    caller.send()
    assert b"[DONE]" in await caller.answer()
    caller.send(headers="connection: close\r\n")
    assert b"[DONE]" in await caller.rest()
    caller.close()
    assert [entry.output_tokens for entry in server.provider.log] == [6, 6]


async def test_chunked_request_body(server: SimulatedServer) -> None:
    """A body sent in chunks is read like one with a length."""
    caller = await Caller.connect(server)
    body = json.dumps(ASK).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    head = b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    caller.writer.write(head + chunks + b"0\r\n\r\n")
    assert b"[DONE]" in await caller.answer()
    caller.close()


async def test_reset_after_tokens(server: SimulatedServer) -> None:
    """RESET_AFTER delivers its tokens and then a real RST."""
    await server.set_faults([Fault(kind=FaultKind.RESET_AFTER, after_tokens=3)])
    caller = await Caller.connect(server)
    caller.send()
    received = await caller.reader.readuntil(b" alpha:2")
    with pytest.raises(ConnectionResetError):
        await caller.rest()
    caller.close()
    assert received.count(b"alpha:") == 3
    entry = await settled(server)
    assert (entry.ended, entry.output_tokens) == (Ended.RESET, 3)


async def test_stale_connection_is_reset_before_any_byte(server: SimulatedServer) -> None:
    """STALE resets the second request on a connection; a new connection is served."""
    caller = await Caller.connect(server)
    caller.send()
    await caller.answer()
    await server.set_faults([Fault(kind=FaultKind.STALE)])
    caller.send()
    with pytest.raises(ConnectionResetError):
        await caller.reader.read(1)
    caller.close()
    fresh = await Caller.connect(server)
    fresh.send()
    assert b"[DONE]" in await fresh.answer()
    fresh.close()


async def test_end_inside_the_framing(server: SimulatedServer) -> None:
    """An unframed EOF closes the connection without the last chunk."""
    await server.set_faults([Fault(kind=FaultKind.EOF_AFTER, after_tokens=2, is_framed=False)])
    caller = await Caller.connect(server)
    caller.send()
    received = await caller.rest()
    caller.close()
    assert b" alpha:1" in received
    assert not received.endswith(b"0\r\n\r\n")
    assert (await settled(server)).ended is Ended.EOF


async def test_garbage(server: SimulatedServer) -> None:
    """Aiohttp's own parser finds that the answer is not HTTP."""
    await server.set_faults([Fault(kind=FaultKind.GARBAGE)])
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientResponseError):
            await session.post(f"{server.base_url}/chat/completions", json=ASK)


async def test_slice_writes_single_bytes(server: SimulatedServer) -> None:
    """Every chunk of a sliced stream holds one byte."""
    await server.set_faults([Fault(kind=FaultKind.SLICE)])
    caller = await Caller.connect(server)
    caller.send()
    _, _, body = (await caller.answer()).partition(b"\r\n\r\n")
    caller.close()
    sizes = set()
    while not body.startswith(b"0\r\n"):
        size, _, body = body.partition(b"\r\n")
        sizes.add(int(size, 16))
        body = body[int(size, 16) + 2 :]
    assert sizes == {1}


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.SILENT_STREAM])
async def test_leaving_a_silent_provider_is_noticed(
    server: SimulatedServer, kind: FaultKind
) -> None:
    """The log tells that the caller left, as soon as it closes its side."""
    caller = await Caller.connect(server)
    caller.send()
    await caller.answer()
    await server.set_faults([Fault(kind=kind)])
    caller.send()
    caller.close()
    entry = await settled(server)
    assert (entry.fault, entry.ended) == (kind, Ended.CANCELLED)
    assert server.provider.in_flight == 0


async def test_refuse_and_come_back_on_the_same_port(server: SimulatedServer) -> None:
    """REFUSE refuses connections and resets idle ones; afterwards the same port serves again."""
    idle = await Caller.connect(server)
    idle.send()
    await idle.answer()
    port = server.port
    await server.set_faults([Fault(kind=FaultKind.REFUSE)])
    with pytest.raises(ConnectionResetError):
        await idle.reader.read(1)
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        await Caller.connect(server)
    await server.set_faults([])
    caller = await Caller.connect(server)
    caller.send()
    assert b"[DONE]" in await caller.answer()
    caller.close()
    assert server.port == port


async def test_window_opens_and_closes_by_itself(server: SimulatedServer) -> None:
    """A window in the provider's time turns the door without anyone touching it."""
    start_s = server.now_s
    await server.set_faults([Fault(kind=FaultKind.REFUSE, start_s=start_s, end_s=start_s + 0.2)])
    with pytest.raises(ConnectionRefusedError):
        await Caller.connect(server)
    caller = await _connect_patiently(server)
    assert server.now_s >= start_s + 0.2
    caller.close()


async def _connect_patiently(server: SimulatedServer) -> Caller:
    while True:
        try:
            return await Caller.connect(server)
        except ConnectionRefusedError:
            await asyncio.sleep(0)  # real time must pass, and nothing announces a port


@pytest.mark.skipif(sys.platform != "linux", reason="relies on Linux dropping SYNs")
async def test_blackhole_never_connects(server: SimulatedServer) -> None:
    """BLACKHOLE lets a connection attempt hang until the caller's own limit."""
    await server.set_faults([Fault(kind=FaultKind.BLACKHOLE)])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await Caller.connect(server)


async def test_admin_replaces_faults_and_tells_the_log(server: SimulatedServer) -> None:
    """Faults posted act from now on; the log is served as JSON; bad faults are refused."""
    root = f"http://127.0.0.1:{server.port}"
    chat = f"{server.base_url}/chat/completions"
    async with aiohttp.ClientSession() as session:
        faults = [{"kind": "status", "status": 503, "retry_after_s": 9, "end_s": 60}]
        async with session.post(f"{root}/_sim/faults", json=faults) as response:
            assert response.status == 200
        async with session.post(chat, json=ASK) as response:
            assert (response.status, response.headers["retry-after"]) == (503, "9")
        async with session.post(f"{root}/_sim/faults", json=[{"kind": "boredom"}]) as response:
            assert response.status == 400
        async with session.get(f"{root}/_sim/log") as response:
            log = await response.json()
    (entry,) = log["entries"]
    assert (entry["status"], entry["fault"], entry["ended"]) == (503, "status", "complete")
    assert log["in_flight"] == 0


async def test_as_a_program() -> None:
    """The program prints one line when it is ready, serves, and ends on SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sidecar.upstream.simulated_server", "--name", "a"),
        *("--format", "anthropic-messages", "--models", "model=claude-sim,output_tokens=3"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(GIVE_UP_S), aiohttp.ClientSession() as session:
        ready = json.loads(await process.stdout.readline())
        ask = {"model": "claude-sim", "max_tokens": 9, "messages": ASK["messages"]}
        async with session.post(f"{ready['base_url']}/v1/messages", json=ask) as response:
            answer = await response.json()
        assert answer["content"] == [{"type": "text", "text": "a:0 a:1 a:2"}]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def test_models_on_the_command_line() -> None:
    """Fields of a model are numbers by name; a wrong name is an error, not silence."""
    assert parse_model("model=m,ttft_s=0.25,output_tokens=7") == (
        "m",
        SimulatedModel(ttft_s=0.25, output_tokens=7),
    )
    for bad in ("ttft_s=1", "model=m,speed=9"):
        with pytest.raises(ValueError, match="model=NAME"):
            parse_model(bad)


async def test_connect_error_is_refused_not_reset(server: SimulatedServer) -> None:
    """What a shut door gives is ECONNREFUSED, as a dead process would."""
    await server.set_faults([Fault(kind=FaultKind.REFUSE)])
    with pytest.raises(OSError, match="Connect call failed") as caught:
        await Caller.connect(server)
    assert caught.value.errno == errno.ECONNREFUSED
