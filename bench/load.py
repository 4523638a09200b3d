"""Load on a candidate: calls at a fixed rate, calls as fast as they come back, and open streams.

Plain sockets and no event loop of somebody else: load and provider share a core, and what the load
costs is not there for the provider. Rates are open-loop: calls are due at instants drawn before
(Poisson, the same for every candidate), and a latency counts from that instant, so that a candidate
that is late with one call does not thereby delay, and hide, the next.
"""

from __future__ import annotations

import random
import re
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from bench.asking import request_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.asking import Address, Wish

READ_BYTES = 262144
CONNECTIONS_MAX = 400
"""Of one run at a rate; ``select`` takes descriptors below 1024."""
LATE_S_MAX = 4.0
"""How long after the last call was due answers are awaited."""
OPENED_AT_ONCE = 20
OPENING_S_MAX = 10.0
SILENT_S_MAX = 10.0
STAMP = re.compile(rb"@(\d{16})@")
CHUNKED = b"transfer-encoding: chunked"
LENGTH = b"content-length:"


class BadAnswerError(Exception):
    """A candidate answered something else than 200."""


@dataclass(slots=True, kw_only=True)
class Answered:
    """Latencies in seconds, from the instant a call was due: to its end, to its first chunk."""

    asked: int
    wholes_s: list[float] = field(default_factory=list)
    firsts_s: list[float] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Return whether hardly a call was left unanswered."""
        return len(self.wholes_s) >= 0.99 * self.asked


def connected(address: Address) -> socket.socket:
    """Return a connection to a candidate."""
    client = socket.create_connection(("127.0.0.1", address.port), timeout=SILENT_S_MAX)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def ended(answer: bytes) -> bool:
    """Return whether ``answer`` is all there.

    Raises:
        BadAnswerError: its status is not 200.
    """
    head_end = answer.find(b"\r\n\r\n")
    if head_end >= 0 and answer[9:12] != b"200":
        raise BadAnswerError(answer[: head_end + 400].decode(errors="replace"))
    return framed(answer, head_end)


def framed(answer: bytes, head_end: int) -> bool:
    """Return whether an answer of whatever status is all there; ``head_end``: -1 if not found."""
    if head_end < 0:
        return False
    head = answer[:head_end].lower()
    mark = head.find(LENGTH)
    if mark >= 0:
        size = int(head[mark + len(LENGTH) :].split(b"\r\n", 1)[0])
        return len(answer) >= head_end + 4 + size
    return CHUNKED in head and answer.endswith(b"0\r\n\r\n")


def call(address: Address, wish: Wish) -> bytes:
    """Make one call on a connection of its own and return its answer.

    Raises:
        OSError: nobody listens, or the connection broke.
        BadAnswerError: the status is not 200.
    """
    with connected(address) as client:
        client.sendall(request_of(address, wish))
        answer = b""
        while not ended(answer):
            data = client.recv(READ_BYTES)
            if not data:
                raise ConnectionResetError("closed before the end")
            answer += data
        return answer


def instants(rate: float, duration_s: float) -> list[float]:
    """Return when calls are due, as seconds from the beginning."""
    rng = random.Random(rate)
    found, at = [], rng.expovariate(rate)
    while at < duration_s:
        found.append(at)
        at += rng.expovariate(rate)
    return found


class AtRate:
    """One run at a fixed rate; connections are opened as calls need them, and kept."""

    def __init__(self, address: Address, wish: Wish) -> None:
        self._address = address
        self._request = request_of(address, wish)
        self._is_stream = wish.is_stream
        self._idle: list[socket.socket] = []
        self._busy: dict[socket.socket, tuple[float, bytes]] = {}
        self._waiting: list[float] = []

    def run(self, rate: float, duration_s: float) -> Answered:
        """Make the calls and return their latencies."""
        due = instants(rate, duration_s)
        answered = Answered(asked=len(due))
        began = time.perf_counter() + 0.01
        give_up_at = began + duration_s + LATE_S_MAX
        number = 0
        try:
            while number < len(due) or self._busy:
                now = time.perf_counter()
                if now > give_up_at:
                    break
                while number < len(due) and began + due[number] <= now:
                    self._ask(began + due[number])
                    number += 1
                until = began + due[number] if number < len(due) else give_up_at
                self._listen(max(0.0, until - time.perf_counter()), answered)
        finally:
            for client in (*self._idle, *self._busy):
                client.close()
        return answered

    def _ask(self, due_at: float) -> None:
        if self._idle:
            client = self._idle.pop()
        elif len(self._busy) < CONNECTIONS_MAX:
            client = connected(self._address)
        else:
            self._waiting.append(due_at)
            return
        client.send(self._request)
        self._busy[client] = (due_at, b"")

    def _listen(self, timeout_s: float, answered: Answered) -> None:
        readable, _, _ = select.select(list(self._busy), [], [], timeout_s)
        for client in readable:
            due_at, answer = self._busy[client]
            data = client.recv(READ_BYTES)
            now = time.perf_counter()
            if not data:
                raise BadAnswerError("closed before the end")
            if self._is_stream and STAMP.search(data) and not STAMP.search(answer):
                answered.firsts_s.append(now - due_at)
            answer += data
            if not ended(answer):
                self._busy[client] = (due_at, answer)
                continue
            answered.wholes_s.append(now - due_at)
            del self._busy[client]
            self._idle.append(client)
            if self._waiting:
                self._ask(self._waiting.pop(0))


def at_rate(address: Address, wish: Wish, *, rate: float, duration_s: float) -> Answered:
    """Make calls at ``rate`` a second for ``duration_s``."""
    return AtRate(address, wish).run(rate, duration_s)


@dataclass(slots=True, kw_only=True)
class Window:
    """What was answered in a window, and the CPU it took."""

    calls: int = 0
    seconds: float = 0.0
    cpu_ns: int = 0


def saturate(
    address: Address,
    wish: Wish,
    *,
    connections: int,
    duration_s: float,
    cpu_ns: Callable[[], int] = lambda: 0,
) -> Window:
    """Call on every connection again as soon as it is answered.

    The window opens when as many answers as there are connections have come: then as many calls
    are half done at its beginning as at its end, and its CPU is that of its calls.
    """
    request = request_of(address, wish)
    with ExitStack() as stack:
        poller = stack.enter_context(select.epoll())
        clients = {}
        for _ in range(connections):
            client = stack.enter_context(connected(address))
            clients[client.fileno()] = client
            poller.register(client.fileno(), select.EPOLLIN)
        for client in clients.values():
            client.send(request)
        answers = dict.fromkeys(clients, b"")
        until = time.perf_counter() + duration_s
        _answer(poller, clients, answers, request, calls_max=connections, until=until)
        window = Window()
        opened_at, before = time.perf_counter(), cpu_ns()
        window.calls = _answer(poller, clients, answers, request, calls_max=None, until=until)
        window.seconds = time.perf_counter() - opened_at
        window.cpu_ns = cpu_ns() - before
        return window


def _answer(
    poller: select.epoll,
    clients: dict[int, socket.socket],
    answers: dict[int, bytes],
    request: bytes,
    *,
    calls_max: int | None,
    until: float,
) -> int:
    """Ask again for every answer, until the instant or the number is reached; return the number."""
    calls = 0
    while (now := time.perf_counter()) < until and (calls_max is None or calls < calls_max):
        for fd, _ in poller.poll(min(SILENT_S_MAX, until - now)):
            data = clients[fd].recv(READ_BYTES)
            if not data:
                raise BadAnswerError("closed before the end")
            answer = answers[fd] + data
            if ended(answer):
                calls += 1
                answer = b""
                clients[fd].send(request)
            answers[fd] = answer
    return calls


@dataclass(slots=True, kw_only=True)
class Watched:
    """What open streams brought in a window: the age of each chunk when it was read, in seconds."""

    seconds: float = 0.0
    delays_s: list[float] = field(default_factory=list)


class Streams:
    """Streams that are open side by side, on a connection each."""

    def __init__(self, address: Address, wish: Wish) -> None:
        self._address = address
        self._request = request_of(address, wish)
        self._poller = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        self._silent: set[int] = set()

    def __enter__(self) -> Self:
        """Return itself, without a stream."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave every stream."""
        self._poller.close()
        for client in self._clients.values():
            client.close()

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._clients)

    def open(self, count: int) -> bool:
        """Open until ``count`` are; return whether all brought a first chunk in time."""
        give_up_at = time.perf_counter() + OPENING_S_MAX
        while time.perf_counter() < give_up_at:
            while len(self._clients) < count and len(self._silent) < OPENED_AT_ONCE:
                client = connected(self._address)
                client.send(self._request)
                self._clients[client.fileno()] = client
                self._silent.add(client.fileno())
                self._poller.register(client.fileno(), select.EPOLLIN)
            if len(self._clients) == count and not self._silent:
                return True
            self._read(Watched())
        return False

    def watch(self, duration_s: float) -> Watched:
        """Read for ``duration_s``."""
        watched = Watched()
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + duration_s:
            self._read(watched)
        watched.seconds = now - began
        return watched

    def _read(self, watched: Watched) -> None:
        for fd, _ in self._poller.poll(0.05):
            data = self._clients[fd].recv(READ_BYTES)
            now_us = time.perf_counter_ns() / 1000
            if not data:
                raise BadAnswerError("a stream without end has ended")
            stamps = STAMP.findall(data)
            if stamps:
                self._silent.discard(fd)
                watched.delays_s += [(now_us - int(stamp)) / 1e6 for stamp in stamps]
            elif fd in self._silent and data[9:12] != b"200" and data.startswith(b"HTTP"):
                raise BadAnswerError(data[:600].decode(errors="replace"))
