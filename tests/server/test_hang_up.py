"""Callers who hang up, by the dozen a second: what is left of them. On both event loops."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from sidecar.server.connection import Connection
from sidecar.server.front import Front, Plane
from sidecar.server.http_exchange import HttpExchange

if TYPE_CHECKING:
    from sidecar.server.exchange import Exchange

LIMIT_S = 10.0
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def there_are() -> list[Connection | HttpExchange]:
    """Return every connection and exchange in memory."""
    return [one for one in gc.get_objects() if isinstance(one, Connection | HttpExchange)]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("requests", [1, 2])
def test_who_hangs_up_leaves_nothing_to_collect(run: Any, requests: int) -> None:
    """Whatever of a call was under way goes at once, without the collector, which would stop
    everybody; also a second request that waited for its turn.
    """
    is_asked, is_left = asyncio.Event(), asyncio.Event()

    async def never(_: Exchange) -> None:
        is_asked.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            is_left.set()

    async def talk() -> None:
        front = Front()
        port = await front.open(Plane(name="data", host="127.0.0.1", port=0, handler=never))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(LIMIT_S):
            writer.write(REQUEST * requests)
            await is_asked.wait()
            writer.transport.abort()
            await is_left.wait()
        await front.close()

    gc.collect()
    before = {id(one) for one in there_are()}  # held by whatever ran before
    gc.disable()
    try:
        run(talk())
        assert [one for one in there_are() if id(one) not in before] == []
    finally:
        gc.enable()
