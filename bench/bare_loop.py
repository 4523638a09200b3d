"""The floor: a proxy of nothing but ``asyncio.Protocol`` and httptools on uvloop.

Parses and pools, decodes of the request what a router must know, and forwards the answer's bytes as
they come. No limits, no time-outs, no second attempt and no backpressure: a reference that every
cost of the sidecar is held against, not a design. Arguments: its port, the provider's.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import msgspec
import uvloop


class Asked(msgspec.Struct):
    """What a router must know of a request."""

    model: str
    stream: bool = False


DECODER = msgspec.json.Decoder(Asked)


class Upstream(asyncio.Protocol):
    """A connection to the provider; ``caller`` is whom its answer belongs to."""

    def __init__(self, pool: list[Upstream]) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self.caller: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Forward first, then see whether that was the end."""
        if self.caller is not None:
            self.caller.write(data)
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Be free for the next call."""
        self._parser = httptools.HttpResponseParser(self)
        self.caller = None
        self._pool.append(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Drop the caller with the provider."""
        if self in self._pool:
            self._pool.remove(self)
        if self.caller is not None:
            self.caller.close()


class Caller(asyncio.Protocol):
    """A caller's connection."""

    def __init__(self, port: int, pool: list[Upstream]) -> None:
        self._port = port
        self._pool = pool
        self._parser = httptools.HttpRequestParser(self)
        self._parts: list[bytes] = []
        self._path = b""
        self._upstream: Upstream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Keep the path."""
        self._path = url

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """Ask the provider."""
        body = b"".join(self._parts)
        self._parts.clear()
        DECODER.decode(body)
        head = (
            b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            % self._path
        )
        data = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        if self._pool:
            self._ask(self._pool.pop(), data)
        else:
            loop = asyncio.get_running_loop()
            # Dropped with its connection; a reference has no task group.
            self._connecting = loop.create_task(self._connect(data))

    async def _connect(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(
            lambda: Upstream(self._pool), "127.0.0.1", self._port
        )
        self._ask(upstream, data)

    def _ask(self, upstream: Upstream, data: bytes) -> None:
        upstream.caller = self._transport
        self._upstream = upstream
        upstream.transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        """Leave the provider with the caller, unless its answer is complete."""
        if self._upstream is not None and self._upstream.caller is self._transport:
            self._upstream.transport.close()


async def main() -> None:
    """Proxy until killed."""
    port, provider = int(sys.argv[1]), int(sys.argv[2])
    pool: list[Upstream] = []
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Caller(provider, pool), "127.0.0.1", port, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
