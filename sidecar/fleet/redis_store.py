"""Valkey or Redis as the store: two scripts, connections that end when the deadline does.

The library comes with the extra ``fleet`` and is imported with the first store: who shares nothing
pays nothing. Schemes: ``redis`` and ``valkey`` (with an ``s``: TLS), ``…+cluster`` for a cluster
found through any of its nodes, ``…+sentinel`` with the master's name as path
(``valkey+sentinel://a:26379,b:26379/mymaster/0``). A cancelled question drops its connection, or
its answer would be taken for the next one's.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sidecar.errors import FleetStoreError
from sidecar.fleet.store import PREFIX
from sidecar.fleet.view import read_view
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.fleet.settings import FleetSettings
    from sidecar.fleet.view import View

HERE = Path(__file__).parent
ANSWER_BYTES_MAX = 4 * 1024 * 1024
SENTINEL_PORT, PORT = 26379, 6379
CONNECTIONS_MAX = 4


@value
class StoreAddress:
    """Where the store is and how to enter. ``password`` is asked for as each connection begins."""

    url: str
    namespace: str = "default"
    username: str | None = None
    password: Callable[[], str] | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify_tls: bool = True


class _Script:
    """A Lua text and its digest."""

    def __init__(self, name: str) -> None:
        self.text = (HERE / f"{name}.lua").read_text(encoding="utf-8")
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class RedisStore:
    """``Store`` over redis-py. Owns the client and its connections."""

    def __init__(self, address: StoreAddress, settings: FleetSettings) -> None:
        self._prefix = PREFIX.format(namespace=address.namespace)
        self._address = address
        self._settings = settings
        self._sync, self._lease = _Script("sync"), _Script("lease")
        self._client: Any = None
        self._sentinel: Any = None

    async def sync(self, push: bytes) -> View:
        """Tell and hear in one trip."""
        answer = await self._run(self._sync, push)
        if not isinstance(answer, list) or len(answer) != 3:  # noqa: PLR2004 - view, warm, ms
            raise FleetStoreError("the store's answer is none of ours")
        text, warm, server_ms = answer
        if not isinstance(text, bytes) or not isinstance(warm, bytes):
            raise FleetStoreError("the store's answer is none of ours")
        if len(text) + len(warm) > ANSWER_BYTES_MAX or not isinstance(server_ms, int):
            raise FleetStoreError("the store's answer is too large")
        return read_view(text, warm, float(server_ms))

    async def lease(self, subject: str, slot: str, pod: str, lease_s: float) -> float:
        """Ask for a probe."""
        answer = await self._run(self._lease, subject, slot, pod, round(lease_s * 1000))
        if not isinstance(answer, int):
            raise FleetStoreError("the store's answer is none of ours")
        return max(0.0, answer / 1000.0)

    async def aclose(self) -> None:
        """Close the connections."""
        sentinels = () if self._sentinel is None else tuple(self._sentinel.sentinels)
        clients = (*sentinels, *(() if self._client is None else (self._client,)))
        self._client = self._sentinel = None
        for client in clients:
            await _close(client)

    async def _run(self, script: _Script, *arguments: object) -> object:
        from redis.exceptions import NoScriptError, RedisError  # noqa: PLC0415 - an extra

        try:
            client = self._client or self._connect()
            try:
                return await client.evalsha(script.digest, 1, self._prefix, *arguments)
            except NoScriptError:
                return await client.eval(script.text, 1, self._prefix, *arguments)
        except (RedisError, OSError, ValueError, UnicodeError) as error:
            raise FleetStoreError(_said(error)) from error

    def _connect(self) -> Any:  # noqa: ANN401 - a client of either class
        from redis import asyncio as redis  # noqa: PLC0415 - an extra

        url = urlsplit(self._address.url)
        kind = url.scheme.partition("+")[2]
        options = self._options(is_tls=url.scheme.partition("+")[0] in ("rediss", "valkeys"))
        if kind == "sentinel":
            from redis.asyncio.sentinel import Sentinel  # noqa: PLC0415 - an extra

            name, _, database = url.path.strip("/").partition("/")
            hosts = [_host_port(one, SENTINEL_PORT) for one in url.netloc.split(",")]
            # Sentinels hold no data, and seldom have users of their own.
            bare = {k: v for k, v in options.items() if k not in ("username", "password")}
            make: Any = Sentinel
            self._sentinel = make(hosts, sentinel_kwargs=bare, **options)
            self._client = self._sentinel.master_for(name or "mymaster", db=int(database or 0))
            return self._client
        host, port = _host_port(url.netloc, PORT)
        if kind == "cluster":
            from redis.asyncio.cluster import RedisCluster  # noqa: PLC0415 - an extra

            self._client = RedisCluster(host=host, port=port, **options)
        else:
            number = int(url.path.strip("/") or 0)
            options["max_connections"] = CONNECTIONS_MAX
            self._client = redis.Redis(host=host, port=port, db=number, **options)
        return self._client

    def _options(self, *, is_tls: bool) -> dict[str, Any]:
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra

        address, settings = self._address, self._settings
        options: dict[str, Any] = {
            "socket_timeout": settings.op_s,
            "socket_connect_timeout": settings.connect_s,
            "retry": Retry(NoBackoff(), 0),  # the next second tries again
            "username": address.username,
            "password": None if address.password is None else address.password(),
        }
        if is_tls:
            options |= {"ssl": True, "ssl_ca_certs": address.ca_file}
            if not address.verify_tls:
                options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
        return options


async def _close(client: Any) -> None:  # noqa: ANN401 - a client of any class
    from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

    try:
        await client.aclose()
    except (RedisError, OSError):
        return  # what cannot be closed is gone


def _host_port(text: str, default: int) -> tuple[str, int]:
    """Return host and port of ``host``, ``host:port`` or ``[::1]:port``."""
    url = urlsplit(f"//{text}")
    return url.hostname or "localhost", url.port or default


def _said(error: Exception) -> str:
    """Return what went wrong without what was sent: a driver may quote commands."""
    return f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
