"""A program that calls a provider by itself, as one with a vendor's SDK does.

The raw material of the baseline policies (``policies.py``): one request, read to its end as far as
it goes. What the client *believes* and what is *true* are kept apart: an SDK that iterates a stream
takes its end for the end of the answer, so an answer cut off without the terminal marker is good to
the client and bad to the judge (``Result.is_good``).

Generous where SDKs differ: the attempt's limit is a real one, while the read timeout of an HTTP
client starts anew with every ping.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.engine.ports import OutboundRequest
from sidecar.engine.prepare import Preparation
from sidecar.errors import AttemptError, WireError
from sidecar.value import value
from sidecar.wire.formats import codec
from sidecar.wire.neutral import CONTENT_DELTAS, ErrorSeen
from sidecar.wire.sse import SseParser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.domain import Call, Endpoint
    from sidecar.upstream.simulated_memory import MemoryResponse, MemoryUpstream
    from sidecar.wire.codec import Codec
    from sidecar.wire.neutral import Delta

HTTP_OK = 200
CONNECT_S = 3.0


@dataclass(slots=True, kw_only=True)
class Result:
    """What one caller got. ``is_delivered``: the policy called it a success.

    ``is_good``: it is whole and in time. ``first_at`` is set once content reached the caller of a
    stream; for a plain answer it is its end.
    """

    started_at: float
    deadline_at: float
    is_stream: bool
    ended_at: float = 0.0
    first_at: float | None = None
    is_delivered: bool = False
    is_whole: bool = False
    endpoint: str | None = None
    attempts: int = 0

    @property
    def is_good(self) -> bool:
        """Return whether the caller has a whole answer in time and knows it."""
        return self.is_delivered and self.is_whole and self.ended_at <= self.deadline_at + 0.05

    @property
    def is_silently_cut(self) -> bool:
        """Return whether the caller holds half an answer and takes it for a whole one."""
        return self.is_delivered and not self.is_whole


class Fate(Enum):
    """What became of an attempt, as far as the client can tell."""

    OK = "ok"
    FAILED = "failed"
    BROKEN = "broken"
    """It failed after content had reached the caller: nothing can be tried again."""


@value
class Attempted:
    """``status`` None: no HTTP answer. ``retry_after_s`` as the provider said."""

    fate: Fate
    status: int | None = None
    retry_after_s: float | None = None


class PlainClient:
    """Makes single requests over ``upstream``."""

    def __init__(self, upstream: MemoryUpstream) -> None:
        self._upstream = upstream

    async def attempt(
        self, call: Call, endpoint: Endpoint, result: Result, *, limit_s: float
    ) -> Attempted:
        """Ask ``endpoint`` once; ``limit_s`` bounds a whole plain answer, and each silence of a
        stream.
        """
        result.attempts += 1
        result.endpoint = endpoint.id
        body = Preparation(call).body_for(endpoint, max_tokens=None)
        request = OutboundRequest(
            endpoint=endpoint.id, path=body.path, body=body.body, headers=body.headers
        )
        response: MemoryResponse | None = None
        patience = _Patience(limit_s, call.deadline_at)
        try:
            async with asyncio.timeout_at(patience.until()) as limit:
                response = await self._upstream.open(request, connect_s=CONNECT_S)
                if response.status != HTTP_OK:
                    return await _refused(response, response.headers)
                reading = _Reading(codec(endpoint.format), result, limit, patience)
                await (reading.stream if call.facts.is_stream else reading.plain)(response)
        except (AttemptError, WireError, TimeoutError):
            is_shown = call.facts.is_stream and result.first_at is not None
            return Attempted(fate=Fate.BROKEN if is_shown else Fate.FAILED)
        finally:
            if response is not None:
                response.close()
        return Attempted(fate=Fate.OK)


@dataclass(frozen=True, slots=True)
class _Patience:
    limit_s: float
    deadline_at: float

    def until(self) -> float:
        return min(loop_now() + self.limit_s, self.deadline_at)


class _Reading:
    """Reads one answer into ``result``."""

    def __init__(
        self, wire: Codec, result: Result, limit: asyncio.Timeout, patience: _Patience
    ) -> None:
        self._wire = wire
        self._result = result
        self._limit = limit
        self._patience = patience

    async def plain(self, response: MemoryResponse) -> None:
        """Read a whole answer.

        Raises:
            WireError: it is none.
        """
        chunks = []
        while chunk := await response.read():
            chunks.append(chunk)
        self._wire.parse_response(b"".join(chunks))
        self._result.first_at = loop_now()
        self._result.is_delivered = self._result.is_whole = True

    async def stream(self, response: MemoryResponse) -> None:
        """Read a stream as an SDK does: an end is an end, marker or not.

        Raises:
            WireError: an event is malformed, or an error.
        """
        sse, parser = SseParser(), self._wire.stream_parser()
        while chunk := await response.read():
            for event in sse.feed(chunk):
                for delta in parser.feed(event):
                    self._note(delta)
        self._result.is_delivered = True
        self._result.is_whole = parser.is_complete()

    def _note(self, delta: Delta) -> None:
        if isinstance(delta, ErrorSeen):
            raise WireError(delta.message)
        if isinstance(delta, CONTENT_DELTAS):
            if self._result.first_at is None:
                self._result.first_at = loop_now()
            self._limit.reschedule(self._patience.until())


async def _refused(response: MemoryResponse, headers: Mapping[str, str]) -> Attempted:
    while await response.read():
        pass
    stated = headers.get("retry-after")
    return Attempted(
        fate=Fate.FAILED,
        status=response.status,
        retry_after_s=float(stated) if stated is not None else None,
    )
