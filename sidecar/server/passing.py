"""``/{provider}/…``: any request, passed on to a provider and its answer passed back.

For everything that has no door of its own: files, audio, a native API. The caller's SDK gets
``http://127.0.0.1:4180/{provider}`` for a base URL. Small bodies are held, so that a dead
connection can be replaced in silence; larger ones go through in pieces, as fast as the provider
takes them, and on a connection of their own, since they could not be sent twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sidecar.domain import ProviderName
from sidecar.engine.passing import Passage
from sidecar.engine.ports import PassedRequest
from sidecar.errors import BadRequestError
from sidecar.server import disclose
from sidecar.server.constraints import FIELDS, HEADER_PREFIX, read_constraints
from sidecar.server.intake import WITHIN_S_MAX
from sidecar.tracing import context_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.catalogue import Reach
    from sidecar.engine.passing import PassageRun
    from sidecar.errors import CallError
    from sidecar.server.exchange import Exchange
    from sidecar.server.intake import Arrival

HELD_BYTES_MAX = 1024 * 1024
PIECE_BYTES = 256 * 1024
"""What a body that is not held takes at most, by the transports' buffers."""
STUCK_S = 5.0


class Passer(Protocol):
    """What passes requests on."""

    def passage(self, passage: Passage) -> PassageRun:
        """Return the run of ``passage``."""


class CallerBody:
    """``engine.ports.BodySource`` of an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.failure: CallError | None = None

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end; raises as ``Exchange.read_chunk``."""
        try:
            return await self._exchange.read_chunk()
        except BadRequestError as error:
            self.failure = error
            raise
        except ConnectionError:
            self.failure = BadRequestError("the caller left before its body was whole")
            raise


def passed_path(
    path: str, query: str, providers: Mapping[ProviderName, Reach]
) -> tuple[ProviderName, str] | None:
    """Return the provider that ``path`` names and what follows it, None if it names none."""
    name, _, rest = path.removeprefix("/").partition("/")
    if name not in providers:
        return None
    return ProviderName(name), f"/{rest}" + (f"?{query}" if query else "")


def held_bytes(exchange: Exchange) -> int:
    """Return how many bytes of the body are kept in memory."""
    size = exchange.body_bytes
    return size if size is not None and size <= HELD_BYTES_MAX else PIECE_BYTES


async def pass_through(
    exchange: Exchange,
    passer: Passer,
    arrival: Arrival,
    target: tuple[ProviderName, str],
    reach: Reach,
) -> None:
    """Pass one request on, and its answer back.

    Raises:
        CallError: there was no answer, or it broke.
    """
    constraints = read_constraints(exchange.headers, None)
    limit_s = min(constraints.within_s or reach.within_s, WITHIN_S_MAX)
    body = await _body_of(exchange)
    run = passer.passage(
        Passage(
            id=arrival.id,
            arrived_at=arrival.at,
            deadline_at=arrival.at + limit_s,
            request=PassedRequest(
                provider=target[0],
                method=exchange.method,
                path=target[1],
                headers=_headers(exchange),
                body=body,
                length=len(body) if isinstance(body, bytes) else exchange.body_bytes or None,
                needs_fresh_connection=isinstance(body, CallerBody),
            ),
            trace=context_in(exchange.headers),
        )
    )
    cut: asyncio.TimerHandle | None = None
    try:
        await run.open()
        cut_at = arrival.at + limit_s + STUCK_S
        cut = asyncio.get_running_loop().call_at(cut_at, exchange.abort)
        await _send_back(exchange, run, arrival)
    finally:
        if cut is not None:
            cut.cancel()
        await run.aclose()


def _headers(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """Return the caller's headers; an exchange has undone the body's encoding."""
    given = exchange.header_lines
    return tuple((name, value) for name, value in given if name.lower() != "content-encoding")


async def _body_of(exchange: Exchange) -> bytes | CallerBody | None:
    size = exchange.body_bytes
    if size == 0:
        return None
    if size is None or size > HELD_BYTES_MAX:
        return CallerBody(exchange)
    return await exchange.read_body(HELD_BYTES_MAX)


async def _send_back(exchange: Exchange, run: PassageRun, arrival: Arrival) -> None:
    assert run.status is not None, "the head is in"
    ours = {
        "x-sidecar-call-id": disclose.clean(arrival.id),
        "x-sidecar-attempts": disclose.listed(run.attempts),
    }
    unserved = [name for name in FIELDS if name != "within" and _asks(exchange, name)]
    if unserved:
        ours["x-sidecar-dropped"] = disclose.listed(unserved)
    await exchange.start_stream(run.status, {**run.headers, **ours})
    while chunk := await run.read():
        await exchange.write(chunk)
    await exchange.end_stream()


def _asks(exchange: Exchange, constraint: str) -> bool:
    return exchange.headers.get(HEADER_PREFIX + constraint.replace("_", "-")) is not None
