"""Which HTTP proxy the environment names for a provider.

The rules of ``http_proxy``, ``https_proxy`` and ``no_proxy`` are those that Python programs are
used to: the lower-case name wins, ``HTTP_PROXY`` in capitals counts for nothing where a CGI server
could have set it, an entry of ``no_proxy`` excludes a host and everything below it, ``*`` excludes
all. They are read here and not by ``urllib.request``, whose import costs more than this file.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from sidecar.upstream.address import Address, parse_address
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

_CGI: Final = "REQUEST_METHOD"


@value
class Proxy:
    """A proxy; ``authorization`` is the value of ``Proxy-Authorization``, if it wants one."""

    address: Address
    authorization: str | None = None


def proxy_for(address: Address, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy on the way to ``address``, None if there is none.

    Raises:
        ValueError: what the environment names is no HTTP proxy; its words are not quoted.
    """
    url = _said(f"{address.scheme}_proxy", environ)
    if not url or _is_excluded(address, _said("no_proxy", environ)):
        return None
    return _proxy(url if "://" in url else f"http://{url}")


def _said(name: str, environ: Mapping[str, str]) -> str:
    if name in environ:
        return environ[name]
    if name == "http_proxy" and _CGI in environ:
        return ""
    return environ.get(name.upper(), "")


def _is_excluded(address: Address, no_proxy: str) -> bool:
    if no_proxy.strip() == "*":
        return True
    names = (address.host, f"{address.host}:{address.port}")
    for entry in no_proxy.split(","):
        excluded = entry.strip().lower().lstrip(".").replace("[", "").replace("]", "")
        if excluded and any(name == excluded or name.endswith(f".{excluded}") for name in names):
            return True
    return False


def _proxy(url: str) -> Proxy:
    parts = urlsplit(url)
    credentials, _, netloc = parts.netloc.rpartition("@")
    try:
        address = parse_address(f"{parts.scheme}://{netloc}")
    except ValueError:
        raise ValueError("the environment names a proxy that is no http(s) URL") from None
    if not credentials:
        return Proxy(address=address)
    user, _, password = credentials.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return Proxy(address=address, authorization=f"Basic {b64encode(pair).decode()}")
