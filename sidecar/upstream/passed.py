"""What of a request that is passed on reaches its provider, and what of the answer its caller.

Everything but four things: headers that speak of one connection only (RFC 9110, 7.6.1), the
caller's credentials wherever SDKs put them (a provider's key is ours to add), what is addressed to
the sidecar itself, and cookies, which would tie callers of one pod together. Bodies are not looked
at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from sidecar.engine.ports import BodySource
    from sidecar.upstream.kind import Kind

_OF_A_CONNECTION: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "proxy-authenticate", "proxy-authorization", "expect"),
    }
)
_CREDENTIALS: Final = frozenset(
    {
        *("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"),
        *("openai-organization", "openai-project"),  # of the caller's account, not of ours
    }
)
_OURS: Final = "x-sidecar-"
_KEY_IN_QUERY: Final = re.compile(r"(?:^|&)(?:key|api_key|access_token)=[^&]*")
_VERSION: Final = re.compile(r"/v\d+(?:(?:alpha|beta)\d*)?$")


def outgoing(
    headers: Iterable[tuple[str, str]], kind: Kind, *, key: str | None, length: int | None
) -> list[tuple[str, str]]:
    """Return the headers for the provider, repeated ones included."""
    given = [(name.lower(), value) for name, value in headers]
    dropped = _OF_A_CONNECTION | _CREDENTIALS | _named_by_connection(given)
    dropped |= {"host", "content-length", kind.auth_header}
    kept = [(name, value) for name, value in given if name not in dropped and not _is_ours(name)]
    present = {name for name, _ in kept}
    kept += [(name, value) for name, value in kind.fixed_headers if name not in present]
    if key is not None:
        kept.append((kind.auth_header, kind.auth_prefix + key))
    if length is not None:
        kept.append(("content-length", str(length)))
    return kept


def incoming(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers for the caller by lower-case name, repeated ones joined."""
    given = [(name.lower(), value) for name, value in headers]
    dropped = _OF_A_CONNECTION | _named_by_connection(given) | {"set-cookie"}
    kept: dict[str, str] = {}
    for name, value in given:
        if name not in dropped and not _is_ours(name):
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


def below(base_url: str, path: str) -> str:
    """Return the URL of ``path`` (with its query) below a provider's base URL.

    A version that ends the base URL and begins the path as well is meant once: SDKs disagree on
    whether it belongs to the base URL. A key in the query is the caller's, and goes.
    """
    base = base_url.rstrip("/")
    version = _VERSION.search(base)
    if version is not None and path.startswith(version[0] + "/"):
        path = path.removeprefix(version[0])
    path, mark, query = path.partition("?")
    query = _KEY_IN_QUERY.sub("", query).removeprefix("&")
    return base + path + (mark + query if query else "")


async def pieces(source: BodySource) -> AsyncIterator[bytes]:
    """Yield a body as its caller sends it, no faster than it is taken."""
    while piece := await source.read():
        yield piece


def _named_by_connection(headers: list[tuple[str, str]]) -> frozenset[str]:
    values = ",".join(value for name, value in headers if name == "connection")
    return frozenset(name.strip().lower() for name in values.split(","))


def _is_ours(name: str) -> bool:
    return name.startswith(_OURS)
