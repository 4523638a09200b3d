"""A simulated provider of OpenAI's chat format that is never the bottleneck: fixed bytes, one epoll
loop, no parsing beyond the framing.

Started with the ports to listen on, separated by commas; a line on stdout says that it listens.
Answers a POST whole, or as a stream if the body asks for one. The caller's message may hold
``gap=20`` (milliseconds between chunks) and ``chunks=200`` (0, the default: until the caller is
gone), so that what is wanted survives any proxy and translation. Every chunk is one event of about
250 bytes and carries the instant it was written, in microseconds of the machine's monotonic clock:
``@0000001234567890@``. Streams are written from a wheel with a slot a millisecond, not by a timer
each.

For soak runs a GET of ``/faults?error=0.02&cut=0.01&hang=0.001`` sets what shares of the calls
fail, break off, or are never answered.
"""

from __future__ import annotations

import json
import random
import re
import select
import socket
import sys
import time
from dataclasses import dataclass

WORDS = "Failure is the ordinary state of large systems, kept away by work. "
STAMP = "@0000000000000000@"
SLOTS = 2048
GAP_MS_MAX = SLOTS - 1
SLOT_S = 0.001
READ_BYTES = 65536
JSON_HEAD = "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def whole(status: str, content: dict[str, object]) -> bytes:
    """Return an answer with its head."""
    body = json.dumps(content)
    return (JSON_HEAD.format(status=status, size=len(body)) + body).encode()


def completion() -> bytes:
    """Return a 1.1 KB answer."""
    message = {"role": "assistant", "content": WORDS * 12}
    return whole(
        "200 OK",
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1,
            "model": "bench",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 190, "completion_tokens": 160, "total_tokens": 350},
        },
    )


def event(delta: dict[str, str], finish: str | None) -> bytes:
    """Return one event of a stream as a chunk of chunked encoding."""
    data = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "bench",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
    )
    return framed(f"data: {data}\n\n".encode())


def framed(data: bytes) -> bytes:
    """Return ``data`` as one chunk."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


WHOLE = completion()
HEALTHY = whole("200 OK", {"status": "ok"})
BROKEN = whole("503 Service Unavailable", {"error": {"message": "overloaded", "type": "server"}})
FIRST = event({"role": "assistant", "content": ""}, None)
BEFORE_STAMP, AFTER_STAMP = event({"content": f"{STAMP} {WORDS}"}, None).split(STAMP.encode())
LAST = event({}, "stop") + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def chunk(now_s: float) -> bytes:
    """Return a chunk with the instant in it."""
    return b"%b@%016d@%b" % (BEFORE_STAMP, int(now_s * 1e6), AFTER_STAMP)


@dataclass(slots=True, kw_only=True)
class Faults:
    """The shares of calls that get each fault."""

    error: float = 0.0
    cut: float = 0.0
    hang: float = 0.0

    @classmethod
    def of(cls, target: str) -> Faults:
        """Read them from a request's target."""
        return cls(**{name: float(share) for name, share in re.findall(r"(\w+)=([\d.]+)", target)})


class Connection:
    """One connection of a proxy: what is not yet read, and the stream it carries, if any."""

    __slots__ = ("buffer", "chunks_left", "gap", "out", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.buffer = b""
        self.out = b""
        self.gap = 0
        self.chunks_left = 0

    def send(self, data: bytes) -> bool:
        """Write ``data`` after what the peer has not taken yet; return whether all is gone."""
        data = self.out + data
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.chunks_left = 0
            sent = len(data)
        self.out = data[sent:]
        return not self.out


class Provider:
    """The loop."""

    def __init__(self, ports: list[int]) -> None:
        self._epoll = select.epoll()
        self._listeners = {}
        for port in ports:
            listener = socket.create_server(("127.0.0.1", port), backlog=4096)
            listener.setblocking(False)
            self._listeners[listener.fileno()] = listener
            self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._wheel: list[list[Connection]] = [[] for _ in range(SLOTS)]
        self._slot = 0
        self._streams = 0
        self._spread = 0
        self._faults = Faults()
        self._rng = random.Random(1)

    def run(self) -> None:
        """Serve until killed."""
        turned_at = time.perf_counter()
        while True:
            for fd, _ in self._epoll.poll(SLOT_S if self._streams else -1):
                if fd in self._listeners:
                    self._accept(self._listeners[fd])
                else:
                    self._read(fd)
            now = time.perf_counter()
            if not self._streams:
                turned_at = now
            while turned_at + SLOT_S <= now:
                turned_at += SLOT_S
                self._turn()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[accepted.fileno()] = Connection(accepted)
            self._epoll.register(accepted.fileno(), select.EPOLLIN)

    def _read(self, fd: int) -> None:
        connection = self._connections[fd]
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.buffer += data
        while (end := connection.buffer.find(b"\r\n\r\n")) >= 0:
            head = connection.buffer[:end].lower()
            size = _length(head)
            if len(connection.buffer) < end + 4 + size:
                return
            body = connection.buffer[end + 4 : end + 4 + size]
            connection.buffer = connection.buffer[end + 4 + size :]
            self._answer(connection, head, body)

    def _answer(self, connection: Connection, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            if b"/faults" in head:
                self._faults = Faults.of(head.split()[1].decode())
            connection.send(HEALTHY)
            return
        faults = self._faults
        dice = self._rng.random() if faults.error or faults.cut or faults.hang else 1.0
        if dice < faults.error:
            connection.send(BROKEN)
        elif dice < faults.error + faults.hang:
            pass
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._begin(connection, body, is_cut=dice < faults.error + faults.hang + faults.cut)
        else:
            connection.send(WHOLE)

    def _begin(self, connection: Connection, body: bytes, *, is_cut: bool) -> None:
        gap, chunks = _asked(body)
        connection.gap = gap
        connection.chunks_left = 3 if is_cut else chunks - 1
        connection.send(STREAM_HEAD + FIRST + chunk(time.perf_counter()))
        if chunks == 1:
            connection.send(LAST)
            return
        if is_cut:
            connection.gap = -gap  # ends by breaking off
        self._streams += 1
        # Begun together, they would be written together for ever: spread over one gap.
        self._spread = (self._spread + 7) % gap
        self._wheel[(self._slot + 1 + self._spread) % SLOTS].append(connection)

    def _turn(self) -> None:
        self._slot = (self._slot + 1) % SLOTS
        due = self._wheel[self._slot]
        if not due:
            return
        self._wheel[self._slot] = []
        for connection in due:
            self._continue(connection)

    def _continue(self, connection: Connection) -> None:
        if connection.chunks_left == 0:
            self._finish(connection)
            return
        if connection.out:
            connection.send(b"")  # a slow reader gets what is left, and no more until then
        else:
            connection.send(chunk(time.perf_counter()))
            connection.chunks_left -= 1
        self._wheel[(self._slot + abs(connection.gap)) % SLOTS].append(connection)

    def _finish(self, connection: Connection) -> None:
        self._streams -= 1
        if connection.gap < 0:
            self._close(connection)
        elif connection.socket.fileno() >= 0:
            connection.send(LAST)

    def _close(self, connection: Connection) -> None:
        connection.chunks_left = 0  # its place on the wheel, if it has one, ends with the next turn
        fd = connection.socket.fileno()
        if fd >= 0:
            self._connections.pop(fd, None)
            connection.socket.close()


def _length(head: bytes) -> int:
    mark = head.find(b"content-length:")
    return int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0


def _asked(body: bytes) -> tuple[int, int]:
    """Return the gap in milliseconds and how many chunks are wanted, -1 for no end."""
    gap = re.search(rb"gap=(\d+)", body)
    chunks = re.search(rb"chunks=(\d+)", body)
    wanted = 0 if chunks is None else int(chunks[1])
    return min(GAP_MS_MAX, 20 if gap is None else max(1, int(gap[1]))), wanted or -1


def main() -> None:
    """Listen until killed."""
    provider = Provider([int(port) for port in sys.argv[1].split(",")])
    print("listening", flush=True)
    provider.run()


if __name__ == "__main__":
    main()
