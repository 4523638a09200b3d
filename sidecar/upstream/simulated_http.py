"""The little HTTP/1.1 that a simulated provider needs, with its hands free to break it.

Read: request line, headers, a body by length or chunked. Written: a head, a body by length or
chunked. No library stands between, because a server that refuses to send a wrong byte cannot play
a broken provider. Refused: bodies above ``BODY_BYTES_MAX``, pipelining (whatever comes during an
answer counts as leaving).
"""

from __future__ import annotations

import asyncio
import http
import socket
import struct
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.upstream.simulated_exchange import Head

HEAD_BYTES_MAX = 65_536
BODY_BYTES_MAX = 64 * 1024 * 1024
LINGER_ZERO = struct.pack("ii", 1, 0)  # on, 0 s: closing sends RST


@value
class ReceivedRequest:
    """A request off the wire; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        """Whether the caller will send more on this connection."""
        return self.headers.get("connection", "").lower() != "close"

    @property
    def is_administrative(self) -> bool:
        """Whether it is for the simulation itself and not for the provider."""
        return self.path.startswith("/_sim/")


async def read_request(reader: asyncio.StreamReader) -> ReceivedRequest | None:
    """Read the next request, None when the other side has closed between requests.

    Raises:
        asyncio.IncompleteReadError: closed inside a request.
        ValueError: not HTTP, or too large.
        ConnectionError: the connection broke.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    except asyncio.LimitOverrunError as error:
        raise ValueError("the head of the request is too long") from error
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _version = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return ReceivedRequest(
        method=method, path=path, headers=headers, body=await _read_body(reader, headers)
    )


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", "").lower():
        length = int(headers.get("content-length", "0"))
        if length > BODY_BYTES_MAX:
            raise ValueError("the body of the request is too long")
        return await reader.readexactly(length)
    body = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        if len(body) + size > BODY_BYTES_MAX:
            raise ValueError("the body of the request is too long")
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return bytes(body)
        body += chunk[:-2]


class AnswerWriter:
    """Writes one answer; owns whether its body is chunked."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._is_chunked = False

    async def head(self, head: Head) -> None:
        """Write the status line and headers, adding the framing if ``head`` has none."""
        headers = list(head.headers)
        self._is_chunked = all(name != "content-length" for name, _ in headers)
        if self._is_chunked:
            headers.append(("transfer-encoding", "chunked"))
        phrases = {status.value: status.phrase for status in http.HTTPStatus}
        lines = [f"HTTP/1.1 {head.status} {phrases.get(head.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def data(self, data: bytes) -> None:
        """Write a piece of the body, as a chunk of its own if chunked."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self._is_chunked else data)

    async def end(self) -> None:
        """End the body properly."""
        if self._is_chunked:
            await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Write bytes as they are, and let the loop see whether the other side still listens."""
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)


async def left_within(reader: asyncio.StreamReader, seconds: float | None) -> bool:
    """Wait ``seconds`` (None: forever); True as soon as the other side has left.

    A caller that waits for its answer sends nothing, so anything readable is the end.
    """
    try:
        async with asyncio.timeout(seconds):
            await reader.read(1)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def reset(writer: asyncio.StreamWriter) -> None:
    """Cut the connection with RST."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    writer.transport.abort()
