"""Texts of the configuration with a grammar of their own: durations, addresses, base URLs, names.

Each parser takes any plain value and returns what the schema stores, or raises ``ValueError`` with
the line to show: what was expected, what stands there, what to do.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from sidecar.config.problems import shown
from sidecar.durations import EXPECTED, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PORT_MAX = 65535
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"
_NAME = re.compile(NAME_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)
SHARE_EXPECTED = 'a share such as "5%" or 0.05'
SHARE_PATTERN = r"^[0-9]{1,3}(\.[0-9]{1,6})? ?%$"
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


def read_duration(value: object) -> float:
    """Return the seconds of a duration."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return parse_duration(str(value))
    if not isinstance(value, str):
        message = f"expected {EXPECTED}, got {shown(value)}"
        raise ValueError(message)  # noqa: TRY004 - a wrong value of a file, not of a program
    return parse_duration(value)


def read_address(value: object) -> str:
    """Return ``host:port`` as given, known to be one."""
    wrong = f'expected an address such as "127.0.0.1:4180", got {shown(value)}'
    if not isinstance(value, str):
        raise ValueError(f"{wrong}; write host and port")  # noqa: TRY004 - as above
    host, port = split_address(value)
    if not host or not port.isdecimal():
        raise ValueError(f"{wrong}; write host and port")
    if int(port) > PORT_MAX:
        raise ValueError(f"{wrong}; a port is at most {PORT_MAX}")
    if not _is_ip(host) and _HOST.fullmatch(host) is None:
        raise ValueError(f"{wrong}; {shown(host)} is no host")
    return value


def read_url(value: object) -> str:
    """Return a base URL without a slash at its end."""
    safe = value.partition("?")[0] if isinstance(value, str) else value
    if isinstance(safe, str) and "@" in safe:
        raise ValueError(
            "expected a URL without credentials; give the key as `api_key: {env: NAME}`"
        )
    wrong = f'expected a URL such as "https://api.example.com/v1", got {shown(safe)}'
    url = _split_url(value) if isinstance(value, str) else None
    if url is None or url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"{wrong}; it starts with http:// or https:// and names a host")
    if url.query or url.fragment:
        raise ValueError(f"{wrong}; remove what follows ? or #")
    return str(value).rstrip("/")


def read_name(value: object) -> str:
    """Return a name of a provider, model, route or alias."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    message = f"expected a name, got {shown(value)}; use letters, digits and . _ : - (at most 100)"
    raise ValueError(message)


def read_share(value: object) -> float:
    """Return a share, 0..1, given as such or in per cent: ``0.05`` or ``"5%"``."""
    wrong = f"expected {SHARE_EXPECTED}, got {shown(value)}"
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value.strip())):
        share = float(found[1]) / 100.0
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    else:
        raise ValueError(f"{wrong}; write a number and %")
    if not 0.0 <= share <= 1.0:  # NaN is outside too
        raise ValueError(f"{wrong}; it is from 0% to 100%")
    return share


def split_address(address: str) -> tuple[str, str]:
    """Return host (without brackets) and port text of ``host:port``; empty where missing."""
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return ("", port) if ":" in host else (host, port)


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine whatever DNS says."""
    if host == "localhost":
        return True
    return _is_ip(host) and ipaddress.ip_address(host).is_loopback


def is_private(host: str) -> bool:
    """Return whether ``host`` is inside: a private address, or no public domain."""
    if _is_ip(host):
        return ipaddress.ip_address(host).is_private
    labels = host.rstrip(".").split(".")
    return len(labels) == 1 or labels[-1] in {"svc", "local", "localhost", "internal"}


def _is_ip(host: str) -> bool:
    """Return whether ``host`` is an address in figures."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _split_url(value: str) -> SplitResult | None:
    """Return the parts of a URL; None if it has none or its port is no port."""
    if any(char.isspace() or not char.isprintable() for char in value):
        return None
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        return None
    return url


PARSERS: Mapping[str, Callable[[object], object]] = {
    "duration": read_duration,
    "address": read_address,
    "url": read_url,
    "name": read_name,
    "share": read_share,
}
