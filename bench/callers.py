"""The callers of a soak run, each kind in a process of its own: they mind no error and never stop.

``hammer`` calls as fast as answers come; ``wander`` reads streams, reads them slowly, and leaves in
the middle of calls; ``ping`` asks the health plane at a fixed rate, from instants drawn before, so
that whatever keeps the loop from answering is in its latencies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import select
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bench.asking import PLAIN, TRANSLATED, Address, Wish, request_of
from bench.load import READ_BYTES, connected, framed, instants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STREAM = Wish(is_stream=True, gap_ms=20, chunks=50)
TRANSLATED_STREAM = Wish(is_stream=True, gap_ms=20, chunks=50, is_translated=True)
ENDLESS = Wish(is_stream=True, gap_ms=1)
SLOW_READ_BYTES = 2048
SLOW_PAUSE_S = 0.05
SLOW_BUFFER_BYTES = 16384
RETRY_S = 0.05
LAST_CHUNK = b"0\r\n\r\n"
PATIENCE_S = 90.0
POLL_S = 1.0


class Hammer:
    """Plain calls on connections that are opened anew when they break."""

    def __init__(self, port: int, connections: int) -> None:
        self._address = Address(port=port)
        self._requests = [request_of(self._address, wish) for wish in (PLAIN, PLAIN, TRANSLATED)]
        self._poller = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        self._answers: dict[int, bytes] = {}
        self._connections = connections
        self._counts: Counter[str] = Counter()

    def run(self, seconds: float) -> Counter[str]:
        """Call until the time is over; return how calls ended."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            while len(self._clients) < self._connections:
                self._open()
            for fd, _ in self._poller.poll(POLL_S):
                self._read(fd)
        for client in self._clients.values():
            client.close()
        return self._counts

    def _open(self) -> None:
        client = connected(self._address)
        self._clients[client.fileno()] = client
        self._poller.register(client.fileno(), select.EPOLLIN)
        self._ask(client)

    def _ask(self, client: socket.socket) -> None:
        self._answers[client.fileno()] = b""
        with contextlib.suppress(OSError):
            client.send(self._requests[self._counts.total() % len(self._requests)])

    def _read(self, fd: int) -> None:
        client = self._clients[fd]
        try:
            data = client.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._counts["broken"] += 1
            del self._clients[fd]
            client.close()
            return
        answer = self._answers[fd] + data
        self._answers[fd] = answer
        if framed(answer, answer.find(b"\r\n\r\n")):
            self._counts[answer[9:12].decode()] += 1
            self._ask(client)


def hammer(port: int, connections: int, seconds: float) -> Counter[str]:
    """Call as fast as answers come."""
    return Hammer(port, connections).run(seconds)


def wander(port: int, seconds: float) -> Counter[str]:
    """Read streams, some slowly, and leave some calls before they end."""
    return asyncio.run(_wander(Address(port=port), seconds))


def ping(port: int, rate: float, seconds: float) -> list[float]:
    """Ask ``/livez`` on one connection; return latencies in seconds from when each was due."""
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # to wait for the sidecar, not for the other callers
    request = b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    found = []
    with connected(Address(port=port)) as client:
        began = time.perf_counter()
        for due in instants(rate, seconds):
            time.sleep(max(0.0, began + due - time.perf_counter()))
            client.sendall(request)
            answer = b""
            while not framed(answer, answer.find(b"\r\n\r\n")):
                data = client.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError("the health plane hung up")
                answer += data
            found.append(time.perf_counter() - began - due)
    return found


class Caller:
    """One caller of streams, over and over; ``counts`` is shared with the others."""

    def __init__(self, address: Address, rng: random.Random, counts: Counter[str]) -> None:
        self._address = address
        self._rng = rng
        self._counts = counts

    async def again_and_again(self, habit: Habit) -> None:
        """Follow a habit for ever."""
        while True:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await habit(self)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self._counts["broken"] += 1
                await asyncio.sleep(RETRY_S)

    async def whole(self) -> None:
        """Read a stream to its end."""
        wish = self._rng.choice((STREAM, TRANSLATED_STREAM))
        async with self._asked(wish) as reader:
            head = await reader.readuntil(b"\r\n\r\n")
            end = b""
            while b"chunked" in head.lower() and end != LAST_CHUNK:
                data = await reader.read(READ_BYTES)
                if not data:
                    raise ConnectionResetError("closed before the end")
                end = (end + data)[-len(LAST_CHUNK) :]
            self._counts[f"stream {head[9:12].decode()}"] += 1

    async def slow(self) -> None:
        """Read a fast endless stream slowly, until the sidecar must hold it back; then leave."""
        async with self._asked(ENDLESS) as reader:
            for _ in range(self._rng.randint(20, 200)):
                await reader.read(SLOW_READ_BYTES)
                await asyncio.sleep(SLOW_PAUSE_S)
        self._counts["slow"] += 1

    async def leaving(self) -> None:
        """Leave before the first byte, or soon after."""
        wish = self._rng.choice((PLAIN, STREAM, TRANSLATED_STREAM))
        async with self._asked(wish) as reader:
            if self._rng.random() < 0.5:
                await reader.read(READ_BYTES)
            await asyncio.sleep(self._rng.expovariate(20))
        self._counts["left"] += 1

    @contextlib.asynccontextmanager
    async def _asked(self, wish: Wish) -> AsyncIterator[asyncio.StreamReader]:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        client.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self._address.port))
            reader, writer = await asyncio.open_connection(sock=client, limit=SLOW_BUFFER_BYTES)
        except BaseException:
            client.close()  # nobody else has it yet
            raise
        try:
            writer.write(request_of(self._address, wish))
            yield reader
        finally:
            writer.transport.abort()


Habit = Callable[[Caller], Awaitable[None]]
HABITS: tuple[tuple[Habit, int], ...] = (
    (Caller.whole, 20),
    (Caller.slow, 10),
    (Caller.leaving, 10),
)


async def _wander(address: Address, seconds: float) -> Counter[str]:
    counts: Counter[str] = Counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for habit, number in HABITS:
                for seed in range(number):
                    caller = Caller(address, random.Random(seed), counts)
                    group.create_task(caller.again_and_again(habit))
    return counts
