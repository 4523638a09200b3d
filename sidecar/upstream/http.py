"""Providers over HTTP: aiohttp behind the engine's port.

Decisions: two sessions, one that keeps connections alive and one that never does, for the retry
after a stale connection. No total or read timeout: only connecting is limited here, the engine's
timers bound the rest by cancelling, which cuts the connection. Nothing is sent that aiohttp would
add by itself: no cookies, no compression, no environment credentials (``trust_env`` would read
``.netrc``, so proxies are passed by hand), no redirects, since they would carry the key elsewhere.
Caller headers pass through the kind's list alone.
"""

from __future__ import annotations

import io
import math
import urllib.request
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from sidecar import clock
from sidecar.errors import AttemptError, ConfigError
from sidecar.upstream.classify import classify
from sidecar.upstream.failures import TRANSLATED, translate
from sidecar.upstream.http_response import HttpResponse
from sidecar.upstream.inflate import Inflater
from sidecar.upstream.passed import below, outgoing, pieces
from sidecar.upstream.predictions import Predictions
from sidecar.upstream.pushback import rate_limits
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import SimpleNamespace

    from sidecar.domain import Endpoint, EndpointId, Fault, ProviderName
    from sidecar.engine.ports import OutboundRequest, PassedRequest, RateLimit, UpstreamResponse
    from sidecar.upstream.credentials import Credential
    from sidecar.upstream.kind import Kind
    from sidecar.upstream.signing import Signer

_KEEPALIVE_S: Final = 55.0  # below the 60 s after which common load balancers drop idle connections
_READ_BUFFER_BYTES: Final = 65_536
_BODY_IN_ONE_WRITE_BYTES_MAX: Final = (
    1_048_576  # aiohttp warns above: one write would hold the loop
)
_AUTO_HEADERS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_ENGINE_HEADERS: Final = frozenset({"accept", "content-type", "traceparent", "tracestate"})
_ALWAYS_SENT: Final = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "user-agent": "llm-resilience-sidecar",
}
_KEY_CHARS_TO_MASK_MIN: Final = 4


@value
class ProviderTarget:
    """Where a provider is and how to enter; ``base_url`` with or without a trailing slash.

    With a ``signer`` there is no ``credential``.
    """

    name: ProviderName
    kind: Kind
    base_url: str
    credential: Credential | None = None
    verify_tls: bool = True
    signer: Signer | None = None


@dataclass(slots=True)
class _Progress:
    """How far one request came; written by the trace hooks."""

    is_connecting: bool = True
    was_reused: bool = False


@value
class _Entry:
    """A provider's target with what is computed from it once."""

    target: ProviderTarget
    proxy: URL | None
    headers: dict[str, str] = field(default_factory=dict)


@value
class _Sending:
    """A request in the words of aiohttp."""

    method: str
    url: URL
    headers: tuple[tuple[str, str], ...]
    data: bytes | io.BytesIO | AsyncIterator[bytes] | None
    is_fresh: bool


class HttpUpstream:
    """The providers of a configuration: ``start`` it under its loop, ``aclose`` it at the end.

    Raises:
        ConfigError: a base URL is not an HTTP URL.
    """

    def __init__(
        self,
        *,
        providers: Mapping[ProviderName, ProviderTarget],
        endpoints: Mapping[EndpointId, Endpoint],
    ) -> None:
        self._entries = {name: _entry(target) for name, target in providers.items()}
        self._provider_of = {name: endpoint.provider for name, endpoint in endpoints.items()}
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._predictions = Predictions()

    async def start(self) -> None:
        """Open the sessions; they belong to the running loop."""
        self._kept = _session(
            aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=30)
        )
        self._fresh = _session(aiohttp.TCPConnector(limit=0, force_close=True, ttl_dns_cache=30))

    async def aclose(self) -> None:
        """Close every connection, those still being read included; may repeat."""
        await self._predictions.aclose()
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()

    async def open(self, request: OutboundRequest, *, connect_s: float) -> UpstreamResponse:
        """Send ``request`` and return once the head is in; raises as the port says."""
        target = self._entries[self._provider_of[request.endpoint]].target
        if target.kind.makes_predictions and request.method == "POST":
            base = URL(target.base_url)
            _, _, domain = (base.host or "").partition(".")
            return await self._predictions.open(
                self._ask,
                request,
                connect_s=connect_s,
                base=base,
                domain=domain if target.kind.is_own(target.base_url) else "",
            )
        return await self._ask(request, connect_s=connect_s)

    async def _ask(
        self, request: OutboundRequest, *, connect_s: float, url: URL | None = None
    ) -> HttpResponse:
        entry = self._entries[self._provider_of[request.endpoint]]
        url = url or _url(entry.target.base_url, request.path)
        sending = _Sending(
            method=request.method,
            url=url,
            headers=tuple(_request_headers(entry, request, url).items()),
            data=_payload(request.body),
            is_fresh=request.needs_fresh_connection,
        )
        return HttpResponse(await self._send(entry, sending, connect_s))

    async def pass_on(self, request: PassedRequest, *, connect_s: float) -> HttpResponse:
        """Send ``request`` as it is but for credentials; raises as the port says."""
        entry = self._entries[request.provider]
        target, body = entry.target, request.body
        key = None if target.credential is None else target.credential.value()
        sending = _Sending(
            method=request.method,
            url=URL(below(target.base_url, request.path), encoded=True),
            headers=tuple(outgoing(request.headers, target.kind, key=key, length=request.length)),
            data=_payload(body) if body is None or isinstance(body, bytes) else pieces(body),
            is_fresh=request.needs_fresh_connection,
        )
        return HttpResponse(await self._send(entry, sending, connect_s), is_raw=True)

    async def _send(
        self, entry: _Entry, sending: _Sending, connect_s: float
    ) -> aiohttp.ClientResponse:
        session = self._fresh if sending.is_fresh else self._kept
        if session is None:
            raise RuntimeError("a request before start()")
        progress = _Progress()
        try:
            return await session.request(
                sending.method,
                sending.url,
                data=sending.data,
                headers=sending.headers,
                timeout=aiohttp.ClientTimeout(connect=connect_s, ceil_threshold=math.inf),
                ssl=entry.target.verify_tls,
                proxy=entry.proxy,
                allow_redirects=False,
                trace_request_ctx=progress,
            )
        except TRANSLATED as error:
            raise translate(
                error,
                is_connecting=progress.is_connecting,
                was_reused=progress.was_reused,
                bytes_seen=_head_bytes_seen(error),
            ) from error

    def classify(
        self, endpoint: EndpointId, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """Say what a failed answer means, by the table of the provider's kind; never raises."""
        return self.classify_passed(self._provider_of[endpoint], status, headers, body)

    def classify_passed(
        self, provider: ProviderName, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """As ``classify``."""
        target = self._entries[provider].target
        body = _inflated(body, headers)
        for key in _secrets(target):
            if len(key) >= _KEY_CHARS_TO_MASK_MIN:
                body = body.replace(key.encode("latin-1"), b"***")
        return classify(target.kind, status, headers, body, clock.wall())

    def rate_limits(self, headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
        """Return what an answer's headers say of the account's limits; never raises."""
        return rate_limits(headers, clock.wall())

    def free_probe_path(self, endpoint: EndpointId) -> str | None:
        """Return the path of a GET that costs nothing, None if the provider has none."""
        return self._entries[self._provider_of[endpoint]].target.kind.free_probe_path

    def credential_version(self, provider: ProviderName) -> int:
        """Return a number that grows when the provider's key changed; 0 without a key."""
        target = self._entries[provider].target
        credential = target.credential or target.signer
        return 0 if credential is None else credential.version


# --- what goes out -----------------------------------------------------------------------------


def _entry(target: ProviderTarget) -> _Entry:
    try:
        url = URL(target.base_url)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host or url.user or url.password:
        problem = f"providers.{target.name}.base_url: expected http(s)://host/…, without a user"
        raise ConfigError((problem,))
    headers = {**_ALWAYS_SENT, **dict(target.kind.fixed_headers)}
    return _Entry(target=target, proxy=_proxy_for(url), headers=headers)


def _proxy_for(url: URL) -> URL | None:
    proxy = urllib.request.getproxies().get(url.scheme)
    if not proxy or urllib.request.proxy_bypass(url.host or ""):
        return None
    return URL(proxy)


def _secrets(target: ProviderTarget) -> tuple[str, ...]:
    if target.signer is not None:
        return target.signer.secrets()
    return () if target.credential is None else (target.credential.value(),)


def _request_headers(entry: _Entry, request: OutboundRequest, url: URL) -> dict[str, str]:
    target, kind = entry.target, entry.target.kind
    headers = dict(entry.headers)
    if request.body is not None:
        headers["content-type"] = "application/json"
    for name, text in request.headers:
        lowered = name.lower()
        if lowered in kind.forward_headers or lowered in _ENGINE_HEADERS:
            headers[lowered] = text
    if kind.accept is not None:
        headers["accept"] = kind.accept
    if target.credential is not None:
        headers[kind.auth_header] = kind.auth_prefix + target.credential.value()
    if target.signer is not None:
        body = request.body or b""
        headers |= target.signer.sign(request.method, str(url), headers, body, clock.wall())
    return headers


@lru_cache(maxsize=256)
def _url(base_url: str, path: str) -> URL:
    # What is escaped in a path stays so: a signature is of these very bytes.
    return URL(str(URL(base_url)).rstrip("/") + path, encoded=True)


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    if body is None or len(body) <= _BODY_IN_ONE_WRITE_BYTES_MAX:
        return body
    return io.BytesIO(body)


def _inflated(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return an error's body without its content encoding, nothing where it is an unknown one."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        return body
    try:
        return Inflater(encoding).feed(body)
    except AttemptError:
        return b""


# --- what comes in -----------------------------------------------------------------------------


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_AUTO_HEADERS,
        auto_decompress=False,
        read_bufsize=_READ_BUFFER_BYTES,
        trace_configs=[_progress_trace()],
    )


def _progress_trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reused)
    trace.on_connection_create_end.append(_note_created)
    return trace


async def _note_reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.is_connecting = False
    context.trace_request_ctx.was_reused = True


async def _note_created(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.is_connecting = False
    context.trace_request_ctx.was_reused = False  # aiohttp itself may have replaced a dead one


def _head_bytes_seen(error: BaseException) -> int:
    """Tell from aiohttp's error whether a part of the head had come: then it carries that part."""
    is_partial = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(
        error.message, str
    )
    return 1 if is_partial else 0
