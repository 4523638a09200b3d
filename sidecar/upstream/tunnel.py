"""The way through an HTTP proxy: ``CONNECT``, then the connection belongs to somebody else."""

from __future__ import annotations

import asyncio
import re
from typing import Final, cast

from sidecar.errors import ConnectFailedError

_HEAD_BYTES_MAX: Final = 16_384
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
_OK: Final = range(200, 300)
_END: Final = b"\r\n\r\n"


def tunnel_head(host: str, port: int, authorization: str | None) -> bytes:
    """Return the request for a tunnel to ``host``."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"host: {where}"]
    if authorization is not None:
        lines.append(f"proxy-authorization: {authorization}")
    return "\r\n".join([*lines, "", ""]).encode()


class Tunnel(asyncio.Protocol):
    """Asks for a tunnel as soon as the proxy is reached."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._answer = b""
        self._transport: asyncio.Transport | None = None
        self._failure: Exception | None = None
        self._is_open = False
        self._waiter: asyncio.Future[None] | None = None

    async def stands(self) -> asyncio.Transport:
        """Return what leads through, once the proxy has said so.

        Raises:
            ConnectFailedError: it refuses, or says something else than HTTP.
            OSError: it left.
        """
        assert self._transport is not None, "not connected"
        if not self._is_open and self._failure is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._failure is not None:
            raise self._failure
        return self._transport

    def cut(self) -> None:
        """Leave; may repeat."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        """Read the answer's head, which is all there may be."""
        self._answer += data
        head, end, rest = self._answer.partition(_END)
        if not end and len(head) <= _HEAD_BYTES_MAX:
            return
        if self._is_open or self._failure is not None:
            return
        found = _STATUS.match(head)
        status = 0 if found is None or not end else int(found[1])
        if status in _OK and not rest:
            self._is_open = True
        elif status in _OK or status == 0:
            self._failure = ConnectFailedError("no connection: the proxy does not speak HTTP")
        else:
            self._failure = ConnectFailedError(f"no connection: the proxy refused it ({status})")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end for a failure."""
        self._failure = self._failure or exc or ConnectionResetError()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
