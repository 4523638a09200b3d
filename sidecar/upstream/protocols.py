"""How bytes come to a connection: as they are from TCP, through a buffer from TLS.

asyncio and uvloop both read TLS into a new object of 256 KiB and shrink it, again and again: 17 us
a chunk of a stream, most of them the system's for the memory. Into a buffer of ours they do not.
One serves all connections: what is in it is parsed before anybody else gets to read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sidecar.upstream.connection import Connection

if TYPE_CHECKING:
    from sidecar.upstream.connection import Keeper

TLS_BUFFER_BYTES: Final = 65_536


class PlainConnection(Connection, asyncio.Protocol):
    """A connection over TCP."""

    __slots__ = ()

    data_received = Connection.received


class TlsConnection(Connection, asyncio.BufferedProtocol):
    """A connection over TLS; ``buffer`` may be shared by all of a loop."""

    __slots__ = ("_buffer",)

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        keeper: Keeper,
        buffer: memoryview,
        *,
        is_kept: bool = True,
    ) -> None:
        super().__init__(loop, keeper, is_kept=is_kept)
        self._buffer = buffer

    def get_buffer(self, _: int) -> memoryview:
        """Return where to write."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was written."""
        self.received(self._buffer[:nbytes])
