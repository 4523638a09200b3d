"""Drills: faults that an operator puts into our own way to a provider, to see what becomes of them.

A drill hits the attempts and probes of one endpoint, all or a share of them, and ends by itself.
Nothing of it reaches the provider that would not without it: an attempt that hangs or is refused
is never sent, one that is slowed or cut is sent as usual.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.errors import ConnectionBrokenError
from sidecar.events import DRILL_S_MAX, DrillChanged
from sidecar.value import value

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from sidecar.domain import EndpointId, Fault, ProviderName
    from sidecar.engine.ports import (
        OutboundRequest,
        PassedRequest,
        RateLimit,
        Upstream,
        UpstreamResponse,
    )
    from sidecar.events import DrillFault, Observer

SLOW_HEAD_S, SLOW_CHUNK_S = 3.0, 0.3
_REFUSAL = b'{"error":{"message":"a drill refused this attempt","type":"drill"}}'
_HEADERS: Mapping[str, str] = {"content-type": "application/json"}


@value
class Drill:
    """One drill: ``share`` of an endpoint's attempts, 0..1, until the instant ``ends_at``."""

    endpoint: EndpointId
    fault: DrillFault
    share: float
    ends_at: float


class Drills:
    """The drills under way, one an endpoint at most. Owns the timers that end them."""

    def __init__(self, rng: random.Random, observer: Observer) -> None:
        self._rng = rng
        self._observer = observer
        self._active: dict[EndpointId, tuple[Drill, asyncio.TimerHandle]] = {}

    def active(self) -> tuple[Drill, ...]:
        """Return the drills under way."""
        return tuple([drill for drill, _ in self._active.values()])

    def start(
        self, endpoint: EndpointId, fault: DrillFault, *, for_s: float, share: float
    ) -> Drill:
        """Begin a drill of at most an hour; it takes the place of one at the same endpoint."""
        self.end(endpoint)
        now = clock.now()
        for_s = min(for_s, DRILL_S_MAX)
        drill = Drill(endpoint=endpoint, fault=fault, share=share, ends_at=now + for_s)
        timer = asyncio.get_running_loop().call_later(for_s, self.end, endpoint)
        self._active[endpoint] = (drill, timer)
        self._tell(drill, drill.ends_at)
        return drill

    def end(self, endpoint: EndpointId) -> bool:
        """End the drill at ``endpoint``; return whether there was one."""
        found = self._active.pop(endpoint, None)
        if found is None:
            return False
        found[1].cancel()
        self._tell(found[0], None)
        return True

    def end_all(self) -> None:
        """End every drill."""
        for endpoint in tuple(self._active):
            self.end(endpoint)

    def fault_of(self, endpoint: EndpointId) -> DrillFault | None:
        """Return what becomes of the next attempt at ``endpoint``, None: nothing out of the way."""
        found = self._active.get(endpoint)
        if found is None or self._rng.random() >= found[0].share:
            return None
        return found[0].fault

    def _tell(self, drill: Drill, until: float | None) -> None:
        change = DrillChanged(
            at=clock.now(),
            endpoint=drill.endpoint,
            fault=drill.fault,
            share=drill.share,
            until=until,
        )
        self._observer.on_event(change)


class DrilledUpstream:
    """An ``Upstream`` with ``drills`` in front of it."""

    def __init__(self, upstream: Upstream, drills: Drills) -> None:
        self._upstream = upstream
        self._drills = drills

    async def open(self, request: OutboundRequest, *, connect_s: float) -> UpstreamResponse:
        """Send ``request`` unless a drill is in its way; raises as the port says."""
        match self._drills.fault_of(request.endpoint):
            case "hang":
                await asyncio.get_running_loop().create_future()
            case "500" | "429" as status:
                return _Refusal(int(status))
            case "slow":
                await asyncio.sleep(SLOW_HEAD_S)
                return _Slowed(await self._upstream.open(request, connect_s=connect_s))
            case "cut":
                return _Cut(await self._upstream.open(request, connect_s=connect_s))
            case None:
                pass
        return await self._upstream.open(request, connect_s=connect_s)

    async def pass_on(self, request: PassedRequest, *, connect_s: float) -> UpstreamResponse:
        """Send ``request`` as it is: a drill is of an endpoint, and this has none."""
        return await self._upstream.pass_on(request, connect_s=connect_s)

    def classify(
        self, endpoint: EndpointId, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """As the port says."""
        return self._upstream.classify(endpoint, status, headers, body)

    def classify_passed(
        self, provider: ProviderName, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """As the port says."""
        return self._upstream.classify_passed(provider, status, headers, body)

    def rate_limits(self, headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
        """As the port says."""
        return self._upstream.rate_limits(headers)

    def free_probe_path(self, endpoint: EndpointId) -> str | None:
        """As the port says."""
        return self._upstream.free_probe_path(endpoint)

    def credential_version(self, provider: ProviderName) -> int:
        """As the port says."""
        return self._upstream.credential_version(provider)


class _Refusal:
    """An answer that no provider gave."""

    headers = _HEADERS

    def __init__(self, status: int) -> None:
        self.status = status
        self._left = _REFUSAL

    async def read(self) -> bytes:
        return self.take()

    def take(self) -> bytes:
        body, self._left = self._left, b""
        return body

    def watch(self, wake: Callable[[], None] | None) -> None:
        """Nothing comes later."""

    def close(self) -> None:
        """Nothing is held."""


class _Slowed:
    """An answer whose every piece comes late."""

    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response
        self._next_at = 0.0  # not before that is the next piece given
        self._wake: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.status = response.status
        self.headers = response.headers

    async def read(self) -> bytes:
        await asyncio.sleep(SLOW_CHUNK_S)
        data = await self._response.read()
        self._next_at = clock.now() + SLOW_CHUNK_S
        return data

    def take(self) -> bytes | None:
        now = clock.now()
        data = self._response.take() if now >= self._next_at else None
        if data is not None:
            self._next_at = now + SLOW_CHUNK_S
        if self._next_at > now and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._next_at, self._due)
        return data

    def watch(self, wake: Callable[[], None] | None) -> None:
        self._wake = wake
        self._response.watch(None if wake is None else self._come)
        if wake is None and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _come(self) -> None:
        if self._wake is not None and self._timer is None:
            self._wake()

    def _due(self) -> None:
        self._timer = None
        self._come()

    def close(self) -> None:
        self._response.close()


class _Cut:
    """An answer that breaks off within its first piece."""

    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response
        self._is_read = False
        self._wake: Callable[[], None] | None = None
        self.status = response.status
        self.headers = response.headers

    async def read(self) -> bytes:
        if self._is_read:
            raise ConnectionBrokenError("a drill cut the connection")
        return self._half(await self._response.read())

    def take(self) -> bytes | None:
        if self._is_read:
            raise ConnectionBrokenError("a drill cut the connection")
        piece = self._response.take()
        if piece is not None and self._wake is not None:
            asyncio.get_running_loop().call_soon(self._come)
        return None if piece is None else self._half(piece)

    def watch(self, wake: Callable[[], None] | None) -> None:
        self._wake = wake
        self._response.watch(wake)

    def _come(self) -> None:
        if self._wake is not None:
            self._wake()

    def _half(self, piece: bytes) -> bytes:
        self._is_read = True
        return piece[: max(1, len(piece) // 2)]

    def close(self) -> None:
        self._response.close()
