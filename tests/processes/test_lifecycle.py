"""How a sidecar ends, and what it does when others end: signals, kills, hang-ups, slow readers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.processes.conftest import Provider, Sidecar

    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]

CHAT = "/v1/chat/completions"
STALL_S = 0.2


def ask(model: str) -> dict[str, object]:
    """Return a request for a stream."""
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": True}


async def first_words(answer: aiohttp.ClientResponse) -> bytes:
    """Read a stream until its first words are here."""
    got = b""
    while b":0" not in got:
        piece = await answer.content.readany()
        assert piece, got
        got += piece
    return got


async def test_sigterm_lets_streams_finish(sidecar: Sidecar, until: Until) -> None:
    """A stopping sidecar says that it is not ready, goes on answering who is still connected,
    finishes what it began, and exits with 0 when nobody is left.
    """
    async with sidecar.http.post(sidecar.url() + CHAT, json=ask("alpha-slow")) as answer:
        got = await first_words(answer)
        sidecar.process.send_signal(signal.SIGTERM)

        async def is_unready() -> bool:
            async with sidecar.http.get(f"{sidecar.url('health')}/readyz") as ready:
                return ready.status == 503

        await until(is_unready, "readiness says no")
        assert (await sidecar.chat("alpha-sim")).status == 200
        async with sidecar.http.get(f"{sidecar.url('health')}/livez") as live:
            assert live.status == 200
        got += await answer.read()
    assert b"data: [DONE]" in got
    assert got.count(b'"content":') == 31  # the role's chunk and thirty words
    assert b"alpha/alpha-slow:OK" in got
    await sidecar.http.close()
    assert await sidecar.ended() == 0


async def is_refused(sidecar: Sidecar) -> bool:
    """Say whether new calls are refused, as soon as they are; a call before that is answered."""
    for _ in range(100):
        try:
            answer = await sidecar.chat("alpha-sim")
        except aiohttp.ClientConnectionError:
            return True
        if answer.status == 503:
            assert answer.headers["x-sidecar-error"] == "draining"
            assert json.loads(answer.text)["error"]["code"] == "draining"
            return True
    return False


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
async def test_sigterm_ends_long_streams(
    start: Callable[[str], Awaitable[Sidecar]], config: Callable[..., str], path: str
) -> None:
    """A stream that outlives the grace ends with an error and no marker of success; exit code 0."""
    sidecar = await start(config(grace_s=1))
    body = {**ask("beta-long"), "max_tokens": 5000}
    async with sidecar.http.post(sidecar.url() + path, json=body) as answer:
        got = await first_words(answer)
        sidecar.process.send_signal(signal.SIGTERM)
        got += await answer.read()
    assert b"[DONE]" not in got
    assert b"message_stop" not in got
    assert b'"error"' in got
    assert b"draining" in got
    assert await sidecar.ended() == 0


async def test_sigterm_refuses_in_time(
    start: Callable[[str], Awaitable[Sidecar]], config: Callable[..., str], until: Until
) -> None:
    """An app that goes on calling is refused before the grace is over, and told why."""
    sidecar = await start(config(grace_s=2))
    async with sidecar.http.post(sidecar.url() + CHAT, json=ask("alpha-slow")) as answer:
        await first_words(answer)
        sidecar.process.send_signal(signal.SIGTERM)
        await until(lambda: is_refused(sidecar), "new calls are refused")
        assert b"data: [DONE]" in await answer.read()
    assert await sidecar.ended() == 0


async def test_second_signal_ends_at_once(sidecar: Sidecar) -> None:
    """Who asks twice is in a hurry: the grace ends, the exit is still clean."""
    async with sidecar.http.post(sidecar.url() + CHAT, json=ask("alpha-long")) as answer:
        await first_words(answer)
        sidecar.process.send_signal(signal.SIGINT)
        assert await is_refused(sidecar)
        sidecar.process.send_signal(signal.SIGINT)
        with contextlib.suppress(aiohttp.ClientPayloadError):
            assert b"[DONE]" not in await answer.read()
    assert await sidecar.ended() == 0


async def test_killed_provider(
    start: Callable[[str], Awaitable[Sidecar]], config: Callable[..., str], doomed: Provider
) -> None:
    """Rows 19 and 20: a provider killed in mid-stream is an error at its end; the next fails over.

    The rest of the answer is not made up, and nothing claims that it was whole.
    """
    text = config().replace(
        "providers:", f'providers:\n  doomed: {{kind: openai, base_url: "{doomed.base_url}"}}'
    )
    price = "price: {input: 1, output: 2}, context: 90000"
    text = text.replace(
        "models:", f"models:\n  doomed-long: {{provider: doomed, model: long, {price}}}", 1
    ).replace("routes:", "routes:\n  brave: {tiers: [[doomed-long], [beta-sim]]}")
    sidecar = await start(text)
    async with sidecar.http.post(sidecar.url() + CHAT, json=ask("brave")) as answer:
        got = await first_words(answer)
        doomed.process.send_signal(signal.SIGKILL)
        got += await answer.read()
    assert b"[DONE]" not in got
    assert b"upstream_interrupted" in got
    assert b"doomed/doomed-long:RESET_MID" in got
    after = await sidecar.chat("brave")
    assert after.attempts == ["doomed/doomed-long:CONNECT", "beta/beta-sim:OK"]


@pytest.mark.parametrize("phase", ["silence", "stream", "plain"])
async def test_hang_up(shared: Sidecar, alpha: Provider, until: Until, phase: str) -> None:
    """A caller who leaves frees the provider: 50 ms are promised, four times that are allowed."""
    if phase != "stream":
        alpha.break_by({"kind": "hang"})
    body = ask("alpha-long") | {"stream": phase != "plain", "max_tokens": 5000}
    reader, writer = await asyncio.open_connection("127.0.0.1", shared.ports["data"])
    payload = json.dumps(body).encode()
    writer.write(
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(payload)}\r\n\r\n".encode()
        + payload
    )
    if phase == "stream":
        await reader.readuntil(b"alpha:1")

    async def is_asked() -> bool:
        return bool(alpha.completions())

    await until(is_asked, "the provider is asked")
    left_at_s = alpha.now_s()
    writer.close()

    async def is_over() -> bool:
        return bool(alpha.completions()[0]["ended"] != "open")

    await until(is_over, "the provider is let go")
    (entry,) = alpha.completions()
    assert entry["ended"] == "cancelled"
    assert entry["ended_at_s"] - left_at_s < 0.05 * 4


async def test_tasks_are_told_and_go_with_their_calls(
    shared: Sidecar, alpha: Provider, until: Until
) -> None:
    """The state tells the number of tasks; what callers who left had made is gone from it."""
    before = (await shared.state())["tasks"]
    alpha.break_by({"kind": "hang"})
    body = json.dumps(ask("alpha-long")).encode()
    request = (
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body
    callers = [await asyncio.open_connection("127.0.0.1", shared.ports["data"]) for _ in range(5)]
    for _, writer in callers:
        writer.write(request)

    async def are_there() -> bool:
        return bool((await shared.state())["tasks"] >= before + len(callers))

    await until(are_there, "each call has a task")
    for _, writer in callers:
        writer.transport.abort()

    async def are_gone() -> bool:
        return bool((await shared.state())["tasks"] <= before)

    await until(are_gone, "no task is left")


class Flood:
    """A provider that streams without end, as fast as it is read; counts what it got rid of."""

    def __init__(self) -> None:
        self.bytes_out = 0
        self.port = 0
        self.is_cut = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request for ever, the free list of models not at all."""
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"POST"):
            writer.close()
            return
        choice = {"index": 0, "delta": {"content": "ab" * 8000}, "finish_reason": None}
        chunk: dict[str, Any] = {"id": "x", "object": "chat.completion.chunk", "created": 1}
        event = b"data: " + json.dumps(chunk | {"model": "m", "choices": [choice]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        try:
            while True:
                writer.write(event + b"\n\n")
                await writer.drain()
                self.bytes_out += len(event) + 2
        except ConnectionError:
            self.is_cut.set()
        finally:
            writer.close()


@pytest.fixture
async def flood() -> AsyncIterator[Flood]:
    """A running flood."""
    made = Flood()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


def resident_bytes(pid: int) -> int:
    """Return how much memory a process holds."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
async def test_slow_reader(
    start: Callable[[str], Awaitable[Sidecar]], flood: Flood, until: Until
) -> None:
    """Row 43: a caller that does not read stops its provider, and the sidecar holds next to nothing
    of it; a pause of many stall limits is no stall, and afterwards the stream goes on.
    """
    sidecar = await start(
        f"""
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  flood: {{kind: openai, base_url: "http://127.0.0.1:{flood.port}/v1"}}
models:
  flood-model: {{provider: flood, model: m, price: {{input: 0, output: 0}}, context: 90000}}
defaults:
  timers: {{stall: {STALL_S}s}}
"""
    )
    before = resident_bytes(sidecar.process.pid)
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        caller.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(caller, ("127.0.0.1", sidecar.ports["data"]))
        payload = json.dumps(ask("flood-model")).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(payload)}\r\n\r\n"
        await loop.sock_sendall(caller, head.encode() + payload)
        assert (await loop.sock_recv(caller, 12)).startswith(b"HTTP/1.1 200")

        stands_at, since = -1, loop.time()

        async def stands() -> bool:
            nonlocal stands_at, since
            if stands_at != flood.bytes_out:
                stands_at, since = flood.bytes_out, loop.time()
            return loop.time() - since > STALL_S * 5

        await until(stands, "the provider is not read")
        assert stands_at < 64 * 1024 * 1024  # what fills are the system's buffers, some megabytes
        assert resident_bytes(sidecar.process.pid) - before < 16 * 1024 * 1024

        goes_on = stands_at + 64 * 1024 * 1024  # more than all buffers between hold
        while flood.bytes_out < goes_on:
            got = await loop.sock_recv(caller, 1 << 20)
            assert got, "the stream was cut"
            assert b"error" not in got
        assert resident_bytes(sidecar.process.pid) - before < 16 * 1024 * 1024
        (known,) = (await sidecar.state())["endpoints"].values()
        assert (known["breaker"], known["last_cause"], known["in_flight"]) == ("closed", None, 1)
    async with asyncio.timeout(10):
        await flood.is_cut.wait()
