"""How good calls take models to be: as configured, or as learned of whom enough is known.

Calls read it off the endpoint, one lookup more and only where something was learned; the beliefs
(``core/quality.py``) are worked out every few seconds beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.core.quality import QualityBook
    from sidecar.domain import Endpoint, EndpointId

REFRESH_S = 5.0


class Qualities:
    """Writes what is learned into the endpoints; ``is_stale``: they are others than before."""

    def __init__(self, book: QualityBook) -> None:
        self.is_stale = True
        self._book = book
        self._refreshed_at = 0.0

    def refresh(self, endpoints: Mapping[EndpointId, Endpoint], now: float) -> None:
        """Work the numbers out anew if that was a few seconds ago."""
        if not self.is_stale and now - self._refreshed_at < REFRESH_S:
            return
        self.is_stale, self._refreshed_at = False, now
        believed = self._book.believed(now)
        for endpoint in endpoints.values():
            endpoint.quality.learned.clear()
        for (route, name), quality in believed.items():
            known = endpoints.get(name)
            if known is not None:
                known.quality.learned[route] = quality
