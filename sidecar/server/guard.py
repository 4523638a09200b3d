"""Who may drive a plane: programs on this machine, no web page, strangers with a token only.

A page in a browser on the same machine can send requests to loopback. Two things give it away: a
script's request carries an ``Origin`` that is not loopback, and after DNS rebinding the ``Host`` is
the attacker's name. So both are checked, on the data and the admin plane (the health plane is
read-only and open). A plane bound elsewhere (``allow_remote``) has names we cannot know; there a
bearer token takes the place of the ``Host`` check.

The token may come as ``Authorization: Bearer`` or ``x-api-key``: the two places where SDKs put
their key.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from sidecar.errors import ForbiddenError, UnauthorizedError
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
GOOD_HOSTS_MAX = 64
"""Callers say one or two; more are checked anew each time."""
_SHOWN_CHARS_MAX = 100


@value
class GuardSettings:
    """``host_names`` are further names (lower case, no port) under which callers reach the plane.

    ``token`` is what every caller must present where it is set; kept out of ``repr``.
    """

    allow_remote: bool = False
    host_names: tuple[str, ...] = ()
    token: bytes | None = None

    def __repr__(self) -> str:
        return f"GuardSettings(allow_remote={self.allow_remote}, host_names={self.host_names})"


class Guard:
    """Checks the head of every request. Owns what it remembers of that: hosts that may pass."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._names = (*LOOPBACK_NAMES, *settings.host_names)
        self._good_hosts: set[str] = set()

    def check(self, headers: Mapping[str, str]) -> None:
        """Let a request pass.

        Raises:
            ForbiddenError: its ``Host`` or ``Origin`` is foreign.
            UnauthorizedError: its token is missing or wrong.
        """
        host = headers.get("host", "")
        if host not in self._good_hosts:
            self._check_host(host)
        origin = headers.get("origin")
        if origin is not None and _name(origin.partition("://")[2]) not in LOOPBACK_NAMES:
            shown = origin[:_SHOWN_CHARS_MAX]
            raise ForbiddenError(f"pages of origin {shown!r} may not call this sidecar")
        if self._settings.token is not None:
            self._check_token(headers, self._settings.token)

    def _check_host(self, host: str) -> None:
        if not self._settings.allow_remote and _name(host) not in self._names:
            shown = host[:_SHOWN_CHARS_MAX]
            raise ForbiddenError(
                f"host {shown!r} is not a name of this sidecar; call it by localhost"
            )
        if len(self._good_hosts) < GOOD_HOSTS_MAX:
            self._good_hosts.add(host)

    def _check_token(self, headers: Mapping[str, str], token: bytes) -> None:
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            credential = headers.get("x-api-key") or headers.get("x-goog-api-key", "")
        # surrogateescape: what arrives may be any bytes; the comparison takes the same time for all
        given = credential.strip().encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, token):
            raise UnauthorizedError(
                "this sidecar asks for its bearer token, which is missing or wrong"
            )


def _name(authority: str) -> str:
    """Return the host of ``host[:port]``, lower case; ``""`` if the port is not one."""
    name, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return authority.lower()
    return name.lower() if port.isdecimal() else ""
