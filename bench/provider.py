"""The fastest provider that plain asyncio allows: fixed bytes, no parsing beyond the framing.

Never the bottleneck: about a tenth of what a proxy spends a call. Answers every POST whole, or as a
stream if its body asks for one; prints its port when it listens.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

WORDS = "Failure is the ordinary state of large systems, kept away by work. "
CHUNKS = 200


def whole() -> bytes:
    """Return a 1.1 KB answer with its head."""
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1,
            "model": "bench",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": WORDS * 12},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 190, "completion_tokens": 160, "total_tokens": 350},
        }
    ).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


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


WHOLE = whole()
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
FIRST = event({"role": "assistant", "content": ""}, None)
MORE = event({"content": WORDS}, None)
LAST = event({}, "stop") + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Provider(asyncio.Protocol):
    """One connection."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every complete request in the buffer."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            mark = head.find(b"content-length:")
            size = int(head[mark + 15 :].split(b"\r\n")[0]) if mark >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            if b'"stream": true' in body:
                self._stream()
            else:
                self._transport.write(WHOLE)

    def _stream(self) -> None:
        self._transport.write(STREAM_HEAD + FIRST)
        self._next(CHUNKS)

    def _next(self, left: int) -> None:
        if self._transport.is_closing():
            return
        if left == 0:
            self._transport.write(LAST)
            return
        self._transport.write(MORE)
        asyncio.get_running_loop().call_later(self._gap_s, self._next, left - 1)


async def main() -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    gap_s = float(sys.argv[1])
    server = await loop.create_server(lambda: Provider(gap_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
