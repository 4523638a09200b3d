"""The engine's one seam to the outside: how an attempt reaches a provider.

Sockets stand behind it in production (``upstream/http.py``), a scripted provider in memory in
simulation (``upstream/simulated_memory.py``). Bytes and headers cross it, no library types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.domain import Call, EndpointId, Fault, ProviderName
    from sidecar.errors import CallError


@value
class RateLimit:
    """One dimension of an account's limits (``requests``, ``tokens``, …); None where unsaid."""

    dimension: str
    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


@value
class OutboundRequest:
    """One request to a provider. ``path`` is below the provider's base URL; credentials are added
    beyond.

    ``needs_fresh_connection``: do not reuse a kept-alive connection (the retry after a stale one).
    """

    endpoint: EndpointId
    path: str
    body: bytes | None
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    needs_fresh_connection: bool = False


class Sampler(Protocol):
    """Who looks at a share of answers after their calls."""

    def wants(self, call: Call) -> bool:
        """Draw whether the answer to ``call``, of a route with a grader, will be looked at."""

    def take(self, call: Call, text: str | None, shadow: EndpointId | None = None) -> None:
        """Take a drawn answer; None: it has no text. ``shadow``: who gave it to nobody."""


class BodySource(Protocol):
    """A body on its way from a caller, read piece by piece.

    ``failure``: what the caller is told if its side broke, None as long as it did not.
    """

    failure: CallError | None

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end."""


@value
class PassedRequest:
    """A request that is passed on as it came. ``path`` is what follows the provider's base URL,
    still encoded, query included; credentials are exchanged beyond.

    ``body``: whole, or a source of ``length`` bytes (None: unknown); None where there is none.
    """

    provider: ProviderName
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | BodySource | None = None
    length: int | None = None
    needs_fresh_connection: bool = False


class UpstreamResponse(Protocol):
    """An answer under way: the head is in, the body is read chunk by chunk. Header names are lower
    case.

    One reader at a time: either it waits in ``read``, or it is woken and takes. The second way
    costs no turn of the loop, which is what a stream's chunk has to save.
    """

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at a proper end.

        Raises:
            ConnectionBrokenError: the connection broke, or ended before the framing said so.
            ProtocolBrokenError: the bytes are not HTTP.
        """

    def take(self) -> bytes | None:
        """As ``read`` without waiting: None if nothing has come since."""

    def watch(self, wake: Callable[[], None] | None) -> None:
        """Have ``wake`` called when something can be taken, and again if a ``take`` left something;
        None ends that. What is there already does not wake.
        """

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else cut it. Never raises, may
        repeat.
        """


class Upstream(Protocol):
    """Providers, reachable by endpoint id."""

    async def open(self, request: OutboundRequest, *, connect_s: float) -> UpstreamResponse:
        """Send ``request`` and return once the head of the answer is in.

        Only connecting (DNS, TCP, TLS) is limited here, by ``connect_s``; all else by the caller's
        cancellation, which closes the connection.

        Raises:
            ConnectFailedError: no connection within ``connect_s``.
            StaleConnectionError: a reused connection turned out dead before any byte of an answer.
            ConnectionBrokenError: a fresh connection broke before the head.
            ProtocolBrokenError: the answer is not HTTP.
        """

    async def pass_on(self, request: PassedRequest, *, connect_s: float) -> UpstreamResponse:
        """Send ``request`` as it is; raises as ``open``. The answer's bytes are those of the wire,
        a content encoding included.
        """

    def classify_passed(
        self, provider: ProviderName, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """As ``classify``, for an answer of ``pass_on``."""

    def classify(
        self, endpoint: EndpointId, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """Say what a failed answer means, by the table of the provider's kind; pure, never raises.

        ``status`` 200 with the data of an in-stream error event is classified likewise.
        """

    def rate_limits(self, headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
        """Return what an answer's headers say of the account's limits; never raises."""

    def free_probe_path(self, endpoint: EndpointId) -> str | None:
        """Return the path of a GET that costs nothing (``/models``), None if the provider has
        none.
        """

    def credential_version(self, provider: ProviderName) -> int:
        """Return a number that grows when the provider's credential changed (a key file was
        rewritten).
        """
