"""Providers over HTTP/1.1: connections of our own behind the engine's port.

Decisions: no total or read timeout: only connecting is limited here, the engine's timers bound the
rest by cancelling, which cuts the connection. A retry after a stale connection gets a new one that
is not kept. Nothing is sent but what is written in ``request_head.py``: no cookies, no compression,
no credentials of the environment. No redirects are followed, since they would carry the key
elsewhere. Caller headers pass through the kind's list alone.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sidecar import clock
from sidecar.errors import AttemptError, ConfigError, StaleConnectionError
from sidecar.upstream.address import parse_address
from sidecar.upstream.classify import classify
from sidecar.upstream.connecting import Connector, Way
from sidecar.upstream.http_response import NO_ENCODING, answered, passed_on
from sidecar.upstream.inflate import Inflater
from sidecar.upstream.pool import Pool
from sidecar.upstream.predictions import Predictions
from sidecar.upstream.proxies import proxy_for
from sidecar.upstream.pushback import rate_limits
from sidecar.upstream.request_head import Heads
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.domain import Endpoint, EndpointId, Fault, ProviderName
    from sidecar.engine.ports import OutboundRequest, PassedRequest, RateLimit, UpstreamResponse
    from sidecar.upstream.address import Address
    from sidecar.upstream.credentials import Credential
    from sidecar.upstream.exchange import Exchange
    from sidecar.upstream.kind import Kind
    from sidecar.upstream.proxies import Proxy
    from sidecar.upstream.signing import Signer

_KEY_CHARS_TO_MASK_MIN: Final = 4
_POOLS_MAX: Final = 64
"""Beyond the providers' own; only predictions' streams have hosts that nobody configured."""


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


@value
class _Entry:
    """A provider's target with what is computed from it once. ``creates_in`` is the domain of its
    predictions' streams, None where it makes none.
    """

    target: ProviderTarget
    base: Address
    proxy: Proxy | None
    heads: Heads
    creates_in: str | None


class HttpUpstream:
    """The providers of a configuration: ``start`` it under its loop, ``aclose`` it at the end.

    Owns the pools of connections.

    Raises:
        ConfigError: a base URL is not an HTTP URL, or its proxy's is not.
    """

    def __init__(
        self,
        *,
        providers: Mapping[ProviderName, ProviderTarget],
        endpoints: Mapping[EndpointId, Endpoint],
    ) -> None:
        self._entries = {name: _entry(target) for name, target in providers.items()}
        self._entry_of = {
            name: self._entries[endpoint.provider] for name, endpoint in endpoints.items()
        }
        self._pools: dict[Way, Pool] = {}
        self._pool_of: dict[ProviderName, Pool] = {}
        self._connector: Connector | None = None
        self._predictions = Predictions()
        self._retired: list[Pool] = []
        self._versions_before: dict[ProviderName, int] = {}

    async def start(self) -> None:
        """Take the running loop for all that follows."""
        self._connector = Connector()
        self._open_pools(self._connector)

    def successor(
        self,
        *,
        providers: Mapping[ProviderName, ProviderTarget],
        endpoints: Mapping[EndpointId, Endpoint],
    ) -> HttpUpstream:
        """Return the upstream of another configuration; this one still serves who began with it.

        They share all connections, and what is known of names; those that lead to nobody any more
        are not kept. Must be called after ``start``; from then on the successor is to be closed.

        Raises:
            ConfigError: as for a new one.
        """
        assert self._connector is not None, "a successor before start()"
        heir = HttpUpstream(providers=providers, endpoints=endpoints)
        heir._pools, heir._connector = self._pools, self._connector
        heir._predictions = self._predictions
        heir._open_pools(self._connector)
        for name, entry in heir._entries.items():
            if name in self._entries:
                seen = self.credential_version(name)
                is_kept = _keys_of(entry.target) is _keys_of(self._entries[name].target)
                base = self._versions_before.get(name, 0)
                heir._versions_before[name] = base if is_kept else seen + 1
        heir._retired = [pool for pool in self._retired if not pool.is_empty]
        in_use = tuple(heir._pool_of.values())
        for way, pool in tuple(self._pools.items()):
            if pool in self._pool_of.values() and pool not in in_use:
                del self._pools[way]
                pool.retire()
                heir._retired.append(pool)
        return heir

    def _open_pools(self, connector: Connector) -> None:
        for name, entry in self._entries.items():
            way = _way(entry, entry.base)
            if way.is_tls:
                connector.context(verifies=way.verifies)  # not while a call waits
            self._pool_of[name] = self._pools.setdefault(way, Pool(way, connector))

    async def aclose(self) -> None:
        """Close every connection, those still being read included; may repeat."""
        await self._predictions.aclose()
        if self._connector is not None:
            self._connector.close()
        for pool in (*self._pools.values(), *self._retired):
            await pool.aclose()
        self._pools.clear()
        self._retired.clear()
        self._pool_of.clear()
        self._connector = None

    async def open(self, request: OutboundRequest, *, connect_s: float) -> UpstreamResponse:
        """Send ``request`` and return once the head is in; raises as the port says."""
        entry = self._entry_of[request.endpoint]
        if entry.creates_in is not None and request.method == "POST":
            return await self._predictions.open(
                self._ask,
                request,
                connect_s=connect_s,
                base=entry.base,
                domain=entry.creates_in,
            )
        return await self._ask(request, connect_s=connect_s)

    async def _ask(
        self, request: OutboundRequest, *, connect_s: float, url: Address | None = None
    ) -> UpstreamResponse:
        entry = self._entry_of[request.endpoint]
        pool = self._pool(entry) if url is None else self._pool_at(_way(entry, url))
        head = entry.heads.of(request, url)
        try:
            return answered(await _exchange(pool, request, head, None, connect_s))
        except StaleConnectionError:
            if request.method != "GET":
                raise
            # For one look at a prediction the engine would create it anew.
            again = replace(request, needs_fresh_connection=True)
            return answered(await _exchange(pool, again, head, None, connect_s))

    async def pass_on(self, request: PassedRequest, *, connect_s: float) -> UpstreamResponse:
        """Send ``request`` as it is but for credentials; raises as the port says."""
        entry = self._entries[request.provider]
        head = entry.heads.of_passed(request)
        pool = self._pool(entry)
        return passed_on(await _exchange(pool, request, head, request.length, connect_s))

    def _pool_at(self, way: Way) -> Pool:
        """Return the pool of a way that may be nobody's base URL."""
        pool = self._pools.get(way)
        if pool is not None:
            return pool
        if self._connector is None:
            raise RuntimeError("a request before start()")
        for other, one in tuple(self._pools.items()):
            is_spare = one.is_empty and one not in self._pool_of.values()
            if is_spare and len(self._pools) - len(self._pool_of) >= _POOLS_MAX:
                del self._pools[other]
        pool = self._pools[way] = Pool(way, self._connector)
        return pool

    def _pool(self, entry: _Entry) -> Pool:
        pool = self._pool_of.get(entry.target.name)
        if pool is None:
            raise RuntimeError("a request before start()")
        return pool

    def classify(
        self, endpoint: EndpointId, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """Say what a failed answer means, by the table of the provider's kind; never raises."""
        return self.classify_passed(self._entry_of[endpoint].target.name, status, headers, body)

    def classify_passed(
        self, provider: ProviderName, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """As ``classify``."""
        target = self._entries[provider].target
        keys = [key.encode("latin-1") for key in _secrets(target)]
        keys = [key for key in keys if len(key) >= _KEY_CHARS_TO_MASK_MIN]
        text, shown = _inflated(body, headers), body
        for key in keys:
            text = text.replace(key, b"***")
            shown = shown.replace(key, b"*" * len(key))
        fault = classify(target.kind, status, headers, text, clock.wall())
        return fault if shown is body else replace(fault, body=shown)

    def rate_limits(self, headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
        """Return what an answer's headers say of the account's limits; never raises."""
        return rate_limits(headers, clock.wall())

    def free_probe_path(self, endpoint: EndpointId) -> str | None:
        """Return the path of a GET that costs nothing, None if the provider has none."""
        return self._entry_of[endpoint].target.kind.free_probe_path

    def credential_version(self, provider: ProviderName) -> int:
        """Return a number that grows when the provider's key changed; 0 without a key."""
        keys = _keys_of(self._entries[provider].target)
        return self._versions_before.get(provider, 0) + (0 if keys is None else keys.version)


async def _exchange(
    pool: Pool,
    request: OutboundRequest | PassedRequest,
    head: bytes,
    length: int | None,
    connect_s: float,
) -> Exchange:
    """Return the answer to ``request`` once its head is in; raises as the port says."""
    is_kept = not request.needs_fresh_connection
    connection = pool.take() if is_kept else None
    if connection is None:
        connection = await pool.connect(connect_s, is_kept=is_kept)
    exchange = connection.ask(
        head, request.body, length=length, has_no_body=request.method == "HEAD"
    )
    try:
        await exchange.arrive()
    except BaseException:
        exchange.close()
        raise
    return exchange


def _entry(target: ProviderTarget) -> _Entry:
    where = f"providers.{target.name}.base_url"
    try:
        base = parse_address(target.base_url)
    except ValueError:
        problem = f"{where}: expected http(s)://host/…, without a user"
        raise ConfigError((problem,)) from None
    try:
        proxy = proxy_for(base, os.environ)
    except ValueError as error:
        raise ConfigError((f"{where}: {error}",)) from None
    _, _, domain = base.host.partition(".")
    is_own = target.kind.is_own(target.base_url)
    return _Entry(
        target=target,
        base=base,
        proxy=proxy,
        heads=Heads(
            kind=target.kind,
            base=base,
            proxy=proxy,
            credential=target.credential,
            signer=target.signer,
        ),
        creates_in=(domain if is_own else "") if target.kind.makes_predictions else None,
    )


def _way(entry: _Entry, address: Address) -> Way:
    return Way(
        scheme=address.scheme,
        host=address.host,
        port=address.port,
        proxy=entry.proxy,
        verifies=entry.target.verify_tls,
    )


def _keys_of(target: ProviderTarget) -> Credential | Signer | None:
    return target.credential or target.signer


def _secrets(target: ProviderTarget) -> tuple[str, ...]:
    if target.signer is not None:
        return target.signer.secrets()
    return () if target.credential is None else (target.credential.value(),)


def _inflated(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return an error's body without its content encoding, nothing where it is an unknown one."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in NO_ENCODING:
        return body
    try:
        return Inflater(encoding).feed(body)
    except AttemptError:
        return b""
