"""How an answer says what happened: response headers, and the last comment line of a stream.

A stream's head leaves before its end is known, so cost and the last attempt's outcome ride in an
SSE comment after the final bytes, which every SSE reader skips; after a broken stream as well.
Every value is cut to a bound and to what a header may hold: names come from configuration, but a
header is no place for a surprise.

    x-sidecar-attempts: anthropic/claude:HANG,openai/gpt-4o:OK
    : sidecar {"call_id":"call_…","model":"openai/gpt-4o","attempts":[…],"cost_usd":0.0123,…}
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import WireFormat
from sidecar.wire.sse import encode_comment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.engine.answer import Disclosure

HEADER_CHARS_MAX = 512
"""Some HTTP clients bound the whole head at 8 KiB; ours stays well below with all nine headers
full."""
NAMES_MAX = 256
"""So many names of the configuration, and lists of them, are remembered as they are written."""


def headers_of(disclosure: Disclosure, *, is_stream: bool) -> dict[str, str]:
    """Return the ``x-sidecar-…`` headers of an answer; what is not known is left out."""
    headers = {
        "x-sidecar-call-id": clean(disclosure.call_id),
        "x-sidecar-route": _clean_name(disclosure.route),
    }
    if disclosure.endpoint is not None:
        headers["x-sidecar-model"] = _clean_name(disclosure.endpoint)
        if disclosure.is_pinned:
            headers["x-sidecar-pinned"] = _clean_name(disclosure.endpoint)
    if disclosure.attempts:
        headers["x-sidecar-attempts"] = _listed_labels(disclosure.attempts)
    if disclosure.degraded is not None:
        headers["x-sidecar-degraded"] = clean(disclosure.degraded)
    if disclosure.cost_usd is not None and not is_stream:
        headers["x-sidecar-cost-usd"] = usd(disclosure.cost_usd)
        if disclosure.is_cost_estimated:
            headers["x-sidecar-cost-estimated"] = "true"
    if disclosure.dropped:
        headers["x-sidecar-dropped"] = listed(disclosure.dropped)
    return headers


def may_comment(form: WireFormat) -> bool:
    """Return whether a stream's last comment may be sent: Google's Python SDK fails at any line
    that is not data.
    """
    return form is not WireFormat.GEMINI


def closing_comment(disclosure: Disclosure) -> bytes:
    """Return the comment that ends a stream, with its final figures."""
    figures: dict[str, object] = {
        "call_id": disclosure.call_id,
        "model": disclosure.endpoint,
        "attempts": disclosure.attempts,
        "degraded": disclosure.degraded,
        "cost_usd": disclosure.cost_usd,
    }
    if disclosure.is_cost_estimated:
        figures["cost_estimated"] = True
    if disclosure.invalid_output is not None:
        figures["invalid_output"] = disclosure.invalid_output
    return encode_comment("sidecar " + msgspec.json.encode(figures).decode())


def listed(items: Sequence[str]) -> str:
    """Return ``items`` joined by commas; those that do not fit are counted: ``a,b,+3``."""
    kept: list[str] = []
    room = HEADER_CHARS_MAX
    for item in map(clean, items):
        room -= len(item) + 1
        if room < 0:
            break
        kept.append(item)
    if len(kept) < len(items):
        kept.append(f"+{len(items) - len(kept)}")
    return ",".join(kept)


def clean(value: str) -> str:
    """Return ``value`` as any header may carry it: printable ASCII, bounded; else ``?``."""
    if len(value) <= HEADER_CHARS_MAX and value.isascii() and value.isprintable():
        return value
    kept = "".join(char if char.isprintable() else "?" for char in value[:HEADER_CHARS_MAX])
    return kept.encode("ascii", "replace").decode("ascii")


_clean_name = lru_cache(NAMES_MAX)(clean)
_listed_labels = lru_cache(NAMES_MAX)(listed)


def usd(amount: float) -> str:
    """Return ``0.0123`` for 0.0123, ``0`` for nothing: at most six decimals, no trailing zeros."""
    return f"{amount:.6f}".rstrip("0").rstrip(".")
