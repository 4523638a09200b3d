"""The caller's ``"sidecar": {…}`` object: taken out of the body before any provider sees it.

Nearly every body has none, so a plain search for the key comes first; only a hit (it may be words
of a prompt) pays for finding the top-level members.
"""

from __future__ import annotations

from sidecar.wire.splice import remove_member

_KEY = "sidecar"


def take_sidecar(body: bytes) -> tuple[bytes, bytes | None]:
    """Return ``body`` without its top-level ``sidecar`` member, and that member's raw JSON.

    Raises:
        WireError: the body may have the member, but is not a JSON object.
    """
    if b'"sidecar"' not in body:
        return body, None
    return remove_member(body, _KEY)
