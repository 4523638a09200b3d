"""Simulated providers behind the engine's port: no socket, waits on the running loop's clock.

It fails as sockets would: a refused connection at once, a blackhole after the connect
limit, a reset on a reused connection as a stale one. An answer runs on a timeline of its own, as
a provider generates into socket buffers whether or not they are read: a slow reader finds the
bytes waiting.

Not modelled: time to connect, flow control, and the order of bytes within a TCP segment.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from sidecar import clock
from sidecar.domain import WireFormat
from sidecar.errors import (
    AttemptError,
    ConnectFailedError,
    ConnectionBrokenError,
    ProtocolBrokenError,
    StaleConnectionError,
)
from sidecar.upstream.classify import classify
from sidecar.upstream.kinds import KINDS
from sidecar.upstream.passed import outgoing, pieces
from sidecar.upstream.pushback import rate_limits
from sidecar.upstream.simulated import WALL_START_S
from sidecar.upstream.simulated_exchange import (
    Data,
    Ended,
    Eof,
    Garbage,
    Head,
    Plan,
    Pulse,
    Reset,
    SimulatedRequest,
    Step,
)
from sidecar.upstream.simulated_faults import FaultKind
from sidecar.upstream.simulated_timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.domain import Endpoint, EndpointId, Fault, ProviderName
    from sidecar.engine.ports import OutboundRequest, PassedRequest, RateLimit
    from sidecar.upstream.kind import Kind
    from sidecar.upstream.simulated import SimulatedProvider

KIND_NAMES = {WireFormat.OPENAI_CHAT: "openai", WireFormat.ANTHROPIC_MESSAGES: "anthropic"}
IDLE_CONNECTIONS_MAX = 100  # per provider, as a client's pool is bounded


class MemoryUpstream:
    """``engine.ports.Upstream`` over simulated providers.

    Owns ``open_count`` (answers not yet closed, for checks of leaks), the kept-alive connections
    of each provider as a count, and the keys that it sends: ``set_key`` is a key file rewritten.
    """

    def __init__(
        self,
        providers: Mapping[ProviderName, SimulatedProvider],
        endpoints: Mapping[EndpointId, Endpoint],
    ) -> None:
        self.providers = dict(providers)
        self.open_count = 0
        self.idle_counts = dict.fromkeys(self.providers, 0)
        self._provider_of = {name: endpoint.provider for name, endpoint in endpoints.items()}
        self._keys = {name: provider.api_key for name, provider in self.providers.items()}
        self._key_versions = dict.fromkeys(self.providers, 0)

    def know(self, endpoints: Mapping[EndpointId, Endpoint]) -> None:
        """Reach ``endpoints`` too, as after a reload; calls under way may still ask the others."""
        self._provider_of |= {name: endpoint.provider for name, endpoint in endpoints.items()}

    def set_key(self, provider: ProviderName, key: str) -> None:
        """Send ``key`` from now on."""
        self._keys[provider] = key
        self._key_versions[provider] += 1

    async def open(self, request: OutboundRequest, *, connect_s: float) -> MemoryResponse:
        """Send ``request`` and return once the head is in; raises as the port says."""
        name = self._provider_of[request.endpoint]
        arriving = SimulatedRequest(
            path=request.path,
            headers=self._headers(name, request),
            body=request.body or b"",
            at_s=clock.now(),
            method=request.method,
            is_reused=self.idle_counts[name] > 0 and not request.needs_fresh_connection,
        )
        return await self._exchange(name, arriving, connect_s)

    async def pass_on(self, request: PassedRequest, *, connect_s: float) -> MemoryResponse:
        """Send ``request`` as it is but for credentials; raises as the port says."""
        name, body = request.provider, request.body
        if body is not None and not isinstance(body, bytes):
            body = b"".join([piece async for piece in pieces(body)])
        kind, key = self._kind(name), self._keys[name]
        arriving = SimulatedRequest(
            path=request.path,
            headers=dict(outgoing(request.headers, kind, key=key, length=request.length)),
            body=body or b"",
            at_s=clock.now(),
            method=request.method,
            is_reused=self.idle_counts[name] > 0 and not request.needs_fresh_connection,
        )
        return await self._exchange(name, arriving, connect_s)

    async def _exchange(
        self, name: ProviderName, arriving: SimulatedRequest, connect_s: float
    ) -> MemoryResponse:
        provider = self.providers[name]
        self.open_count += 1
        try:
            await self._connect(name, arriving, connect_s)
        except BaseException:
            self.open_count -= 1
            raise
        if arriving.is_reused:
            self.idle_counts[name] -= 1
        response = MemoryResponse(self, name, provider.plan(arriving), arriving)
        try:
            await response.receive_head()
        except BaseException:
            response.close()
            raise
        return response

    async def _connect(
        self, name: ProviderName, request: SimulatedRequest, connect_s: float
    ) -> None:
        provider = self.providers[name]
        kind = provider.connect_fault(request.at_s)
        lives_on = kind in (FaultKind.TLS_FAILURE, FaultKind.DNS_FAILURE)
        if kind is None or (lives_on and request.is_reused):
            return
        if not lives_on:
            self.idle_counts[name] = 0
        provider.log_unreached(request, kind)
        if kind is FaultKind.BLACKHOLE:
            await asyncio.sleep(connect_s)
        raise ConnectFailedError(f"simulated: {kind.value}")

    def _headers(self, name: ProviderName, request: OutboundRequest) -> dict[str, str]:
        kind = self._kind(name)
        headers = dict(kind.fixed_headers)
        headers |= {header.lower(): value for header, value in request.headers}
        key = self._keys[name]
        if key is not None:
            headers[kind.auth_header] = kind.auth_prefix + key
        return headers

    def classify(
        self, endpoint: EndpointId, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """Say what a failed answer means, by the table of the provider's kind; never raises."""
        return self.classify_passed(self._provider_of[endpoint], status, headers, body)

    def classify_passed(
        self, provider: ProviderName, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """As ``classify``."""
        wall_now = self.providers[provider].wall_start_s + clock.now()
        return classify(self._kind(provider), status, headers, body, wall_now)

    def rate_limits(self, headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
        """Return what an answer's headers say of the account's limits; never raises."""
        return rate_limits(headers, WALL_START_S + clock.now())

    def free_probe_path(self, endpoint: EndpointId) -> str | None:
        """Return the path of a GET that costs nothing, None if the provider has none."""
        return self._kind(self._provider_of[endpoint]).free_probe_path

    def credential_version(self, provider: ProviderName) -> int:
        """Return how often the provider's key was set anew."""
        return self._key_versions[provider]

    def _kind(self, name: ProviderName) -> Kind:
        return KINDS[KIND_NAMES[self.providers[name].format]]

    def give_back(self, name: ProviderName, *, is_reusable: bool) -> None:
        """Count an answer as closed, and its connection as idle if it may be used again."""
        self.open_count -= 1
        if is_reusable and self.idle_counts[name] < IDLE_CONNECTIONS_MAX:
            self.idle_counts[name] += 1


class MemoryResponse:
    """``engine.ports.UpstreamResponse`` that performs a plan; made by ``MemoryUpstream.open``
    alone.

    Owns the place in the plan and settles the provider's log entry, once. A cancelled ``read`` or
    ``receive_head`` goes on where it was.
    """

    def __init__(
        self,
        upstream: MemoryUpstream,
        name: ProviderName,
        plan: Plan,
        request: SimulatedRequest,
    ) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._upstream = upstream
        self._name = name
        self._plan = plan
        self._is_reused = request.is_reused
        self._timeline = Timeline(plan.steps, request.at_s)
        self._wake: Callable[[], None] | None = None
        self._is_closed = False

    async def receive_head(self) -> None:
        """Perform the steps up to the head; for ``MemoryUpstream`` alone."""
        while True:
            step = await self._timeline.next()
            match step:
                case Head():
                    self.status, self.headers = step.status, dict(step.headers)
                    return
                case Garbage():
                    self._fail(Ended.EOF, ProtocolBrokenError("simulated: not HTTP"))
                case Reset() | Eof() if self._is_reused:
                    error = StaleConnectionError("simulated: the kept connection was dead")
                    self._fail(Ended.RESET, error)
                case _:
                    self._break(step)

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at a proper end; raises as the port says."""
        return self._given(await self._timeline.next())

    def take(self) -> bytes | None:
        """As ``read`` without waiting: None before the next step is due."""
        timeline = self._timeline
        data = self._given(timeline.take()) if timeline.is_here() else None
        if self._wake is not None and data != b"":
            timeline.call_when_here(self._wake)
        return data

    def watch(self, wake: Callable[[], None] | None) -> None:
        """See the port."""
        self._wake = wake
        if wake is None:
            self._timeline.call_off()

    def _given(self, step: Step | None) -> bytes:
        if isinstance(step, Data):
            self._plan.entry.output_tokens += step.tokens
            return step.data
        if isinstance(step, Pulse):
            return step.data
        if step is not None:
            self._break(step)
        self._settle(Ended.COMPLETE)
        return b""

    def close(self) -> None:
        """Give the connection back if nothing is left to read, else cut it; may repeat."""
        if self._is_closed:
            return
        self._is_closed = True
        self._settle(Ended.COMPLETE if self._timeline.is_at_end else Ended.CANCELLED)
        is_reusable = self._plan.entry.ended is Ended.COMPLETE
        self._upstream.give_back(self._name, is_reusable=is_reusable)

    def _break(self, step: Step | None) -> NoReturn:
        ended = Ended.RESET if isinstance(step, Reset) else Ended.EOF
        self._fail(ended, ConnectionBrokenError(f"simulated: {ended.value}"))

    def _fail(self, ended: Ended, error: AttemptError) -> NoReturn:
        self._settle(ended)
        raise error

    def _settle(self, ended: Ended) -> None:
        entry = self._plan.entry
        if entry.ended is Ended.OPEN:
            provider = self._upstream.providers[self._name]
            provider.settle(entry, ended, clock.now())
