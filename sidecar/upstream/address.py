"""Where a URL leads: scheme, host and port to connect to, and what to ask for there.

A small reading of URLs, since what is escaped in a path must leave as it came: requests are signed
over these very bytes. Host names beyond ASCII go out in IDNA, as DNS, TLS and the Host header want
them. A fragment stays here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
"""Of the schemes that are spoken."""
_HOST: Final = re.compile(r"[a-z0-9._~!$&'()*+,;=:%-]+")
_KEPT_IN_PATH: Final = "/%:@!$&'()*+,;=~?"


@value
class Address:
    """A place on the web. ``host`` is lower-case ASCII, an IPv6 literal without its brackets;
    ``path`` is escaped, with the query.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """What the Host header says: brackets around IPv6, the port unless it is the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host.rstrip(".")
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_address(url: str) -> Address:
    """Return where ``url`` leads; what is escaped stays so, what should be gets escaped.

    Raises:
        ValueError: it is no http(s) URL with a host, or holds a user.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("expected http(s)://host/…, without a user")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    if not _HOST.fullmatch(host):
        raise ValueError("a host name holds what no host name can")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return Address(
        scheme=parts.scheme,
        host=host,
        port=PORTS[parts.scheme] if parts.port is None else parts.port,
        path=quote(path, safe=_KEPT_IN_PATH),
    )
