"""The caller's ``"sidecar": {…}`` object: taken out of the body before any provider sees it.

Nearly every body has none, so it is looked for first, with the rest skipped over; only a hit pays
for finding the places of the top-level members. (A plain search for the key would take longer: it
looks at each byte, also of texts.)
"""

from __future__ import annotations

import msgspec

from sidecar.wire.splice import remove_member

_KEY = "sidecar"
_ABSENT = msgspec.Raw(b"")


class _Envelope(msgspec.Struct, gc=False):
    sidecar: msgspec.Raw = _ABSENT


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def take_sidecar(body: bytes) -> tuple[bytes, bytes | None]:
    """Return ``body`` without its top-level ``sidecar`` member, and that member's raw JSON.

    What is no JSON object is returned as it is: whoever reads it next says so.
    """
    try:
        envelope = _ENVELOPE.decode(body)
    except (ValueError, RecursionError):
        return body, None
    return (body, None) if envelope.sidecar is _ABSENT else remove_member(body, _KEY)
