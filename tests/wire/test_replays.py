"""Every recorded exchange, played again through the whole sidecar in memory.

The real client's bytes go in; the provider's recorded bytes come back. Within a format nothing of
either changes; in the other formats text, tool calls, usage and finish reason are the same.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from sidecar.wire.formats import CODECS
from tests.scripted import Answer, Caller, Sidecar, endpoint
from tests.wire.pairs.meaning import of_answer
from tests.wire.replays import Exchange, asking, exchanges, heard

if TYPE_CHECKING:
    from sidecar.domain import WireFormat

EXCHANGES = exchanges()
SERVED = [one for one in EXCHANGES if one.is_served()]
GOOD = [one for one in SERVED if one.completion() is not None]
BAD = [one for one in SERVED if one.completion() is None and one.format in CODECS]
PIECE_BYTES_MAX = 4000


def pieces(exchange: Exchange) -> tuple[bytes, ...]:
    """Return the answer cut anywhere, as connections cut; the same way each time."""
    rng, rest, cut = random.Random(exchange.name), exchange.answer, []
    while rest:
        size = rng.randint(1, PIECE_BYTES_MAX)
        cut.append(rest[:size])
        rest = rest[size:]
    return tuple(cut)


def play(exchange: Exchange, caller: Caller, *, model: str, upstream_model: str) -> Sidecar:
    """Ask by ``caller`` for ``model``, answered as recorded."""
    target = endpoint("recorded", exchange.format, model=upstream_model)
    said = Answer(chunks=pieces(exchange), status=exchange.status, headers=exchange.headers)
    sidecar = Sidecar([(target, said)], route_name=model)
    sidecar.ask(caller)
    return sidecar


def own(received: bytes) -> bytes:
    """Return what the caller received without the comment that is ours, if there is one."""
    before, comment, _ = received.rpartition(b": sidecar {")
    return before if comment else received


@pytest.mark.parametrize(
    "exchange", [one for one in GOOD if one.format in CODECS], ids=lambda one: one.name
)
def test_within_a_format_nothing_changes(exchange: Exchange) -> None:
    """The provider gets the client's bytes, the client the provider's."""
    caller = exchange.caller()
    played = play(exchange, caller, model=exchange.model, upstream_model=exchange.model)
    (asked,) = played.upstream.asked
    assert asked.body == exchange.request
    assert caller.is_whole
    assert caller.status == 200
    assert own(caller.received) == exchange.answer
    labels = caller.sent_headers["x-sidecar-attempts"]
    assert labels == f"recorded/m:{'COMMITTED' if exchange.is_stream else 'OK'}"


@pytest.mark.parametrize(
    "exchange", [one for one in EXCHANGES if not one.is_served()], ids=lambda one: one.name
)
def test_what_is_not_served_is_refused(exchange: Exchange) -> None:
    """Nobody is asked for an answer that could not be fetched here."""
    caller = exchange.caller()
    played = play(exchange, caller, model=exchange.model, upstream_model=exchange.model)
    assert caller.status == 400
    assert played.upstream.asked == []


@pytest.mark.parametrize("exchange", BAD, ids=lambda one: one.name)
def test_what_failed_then_fails_now(exchange: Exchange) -> None:
    """An error is told as one: by its status, or in the stream; never as an answer."""
    caller = exchange.caller()
    play(exchange, caller, model=exchange.model, upstream_model=exchange.model)
    assert caller.is_whole
    assert caller.status >= 400 or b"error" in caller.received
    assert caller.status != 500, caller.received


@pytest.mark.parametrize(
    ("exchange", "target"),
    [
        pytest.param(exchange, target, id=f"{exchange.name}-{target.value}")
        for exchange in GOOD
        for target in CODECS
        if target is not exchange.format and exchange.is_translatable()
    ],
)
def test_in_another_format_the_meaning_stays(exchange: Exchange, target: WireFormat) -> None:
    """Callers of every other format hear what the provider said, and what it used."""
    said = exchange.completion()
    assert said is not None
    caller = asking(target, is_stream=exchange.is_stream)
    played = play(exchange, caller, model="m", upstream_model="m")
    assert caller.status == 200, caller.received
    assert len(played.upstream.asked) == 1
    heard_as = heard(target, caller.received, is_stream=exchange.is_stream)
    assert of_answer(heard_as) == of_answer(said)


def test_there_are_exchanges_of_many_providers() -> None:
    """The replay is not empty by mistake."""
    assert len(GOOD) > 600
    assert len({one.provider for one in GOOD}) >= 10
    assert BAD
