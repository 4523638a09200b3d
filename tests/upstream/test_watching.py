"""An answer that wakes who takes from it, in place of a read."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from sidecar.errors import ConnectionBrokenError
from sidecar.upstream.exchange import Exchange
from sidecar.upstream.http_response import Inflated, answered

TEXT = b"data: all the same\n\n" * 100_000


class _Line:
    """A connection of which only its answer is looked at."""

    def cut(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""


def _arrive(exchange: Exchange, data: bytes) -> None:
    """Do what a connection does with a piece of a body."""
    exchange.pieces.append(data)
    exchange.size += len(data)
    if exchange.wake is not None:
        exchange.wake()


async def test_a_taker_is_woken_until_it_watches_no_more() -> None:
    """Each arrival wakes once, what is taken is taken, and an end is met after all that came."""
    exchange = Exchange(_Line(), asyncio.get_running_loop())
    taken: list[bytes | None] = []
    assert exchange.take() is None
    exchange.watch(lambda: taken.append(exchange.take()))
    _arrive(exchange, b"one")
    _arrive(exchange, b"two")
    exchange.watch(None)
    _arrive(exchange, b"three")
    exchange.fail(ConnectionBrokenError("broken"))
    assert taken == [b"one", b"two"]
    assert exchange.take() == b"three"
    with pytest.raises(ConnectionBrokenError):
        exchange.take()


async def test_an_end_that_comes_with_the_last_bytes_wakes_for_itself() -> None:
    """Who took the last bytes learns without asking that there are no more."""
    exchange = Exchange(_Line(), asyncio.get_running_loop())
    taken: list[bytes | None] = []
    ended = asyncio.Event()

    def take() -> None:
        taken.append(exchange.take())
        if taken[-1] == b"":
            ended.set()

    exchange.watch(take)
    exchange.pieces.append(b"last")
    exchange.finish()
    assert exchange.wake is not None
    exchange.wake()
    await ended.wait()
    assert taken == [b"last", b""]


async def test_an_inflated_answer_wakes_again_for_what_one_take_left() -> None:
    """However much a packet unpacks to, a taker gets all of it, and nobody else has to arrive."""
    exchange = Exchange(_Line(), asyncio.get_running_loop())
    exchange.status = 200
    exchange.head["content-encoding"] = "gzip"
    answer = answered(exchange)
    assert isinstance(answer, Inflated)
    taken: list[bytes] = []
    whole = asyncio.Event()

    def take() -> None:
        taken.append(answer.take() or b"")
        if sum(map(len, taken)) == len(TEXT):
            whole.set()

    answer.watch(take)
    _arrive(exchange, gzip.compress(TEXT))
    await whole.wait()
    answer.watch(None)
    assert b"".join(taken) == TEXT
    assert len(taken) > 1
    exchange.finish()
    assert answer.take() == b""
