"""Whether the store that pods share can be used: its URL, the library, the certificates."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sidecar.config.problems import shown

if TYPE_CHECKING:
    from sidecar.config.problems import Problems
    from sidecar.config.references import Mapped

PACKAGE = "redis"
SCHEMES = frozenset(
    f"{name}{kind}"
    for name in ("redis", "rediss", "valkey", "valkeys")
    for kind in ("", "+cluster", "+sentinel")
)


def check_fleet(fleet: Mapped, problems: Problems) -> None:
    """Note what is wrong with the section ``fleet``; a URL is shown only if no key can be in it."""
    url = fleet.get("url")
    if url is None:
        for key in ("username", "password", "ca"):
            if fleet.get(key) is not None:
                message = "is of no use without url; add `url: valkey://HOST:6379`"
                problems.add(f"$.fleet.{key}", message)
        return
    if isinstance(url, str):
        _check_url(url, problems)
    if find_spec(PACKAGE) is None:
        message = f"a fleet needs the package {PACKAGE}, which is not installed"
        problems.add("$.fleet", f"{message}; install llm-resilience-sidecar[fleet]")
    ca_file = fleet.get("ca")
    if isinstance(ca_file, str) and ("\0" in ca_file or not Path(ca_file).is_file()):
        message = f"certificates {shown(ca_file)} do not exist"
        problems.add("$.fleet.ca", f"{message}; mount them or correct the path")


def _check_url(url: str, problems: Problems) -> None:
    path = "$.fleet.url"
    if "@" in url:
        hint = "name them as `username:` and `password: {env: NAME}`"
        problems.add(path, f"expected a URL without credentials; {hint}")
        return
    parts = None
    try:
        parts = urlsplit(url)
        is_url = bool(parts.netloc) and parts.scheme in SCHEMES and not parts.query
        if "," not in parts.netloc:
            is_url = is_url and parts.port != 0
    except ValueError:
        is_url = False
    if parts is None or not is_url:
        hint = "as valkey://HOST:6379, valkeys:// for TLS, valkey+cluster://, valkey+sentinel://"
        problems.add(path, f"expected the URL of a store, got {shown(url)}; write it {hint}")
        return
    database = parts.path.rpartition("/")[2] if parts.path.strip("/") else "0"
    is_master = "+sentinel" in parts.scheme and parts.path.strip("/").count("/") == 0
    if not is_master and not database.isdigit():
        problems.add(path, f"expected the number of a database, got {shown(database)}; write /0")
