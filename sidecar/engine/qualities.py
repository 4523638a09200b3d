"""How good calls take models to be: as configured, or as learned of whom enough is known.

Looked up by calls, so it is one lookup and computes nothing; the beliefs (``core/quality.py``) are
worked out every few seconds beside them, and not at all while nobody has told us anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.quality import QualityBook
    from sidecar.domain import Endpoint, EndpointId, RouteName

REFRESH_S = 5.0


class Qualities:
    """Owns the numbers that calls go by; ``book`` is where they come from."""

    def __init__(self, book: QualityBook) -> None:
        self._book = book
        self._believed: dict[tuple[RouteName, EndpointId], float] = {}
        self._refreshed_at: float | None = None

    def of(self, endpoint: Endpoint, route: RouteName) -> float:
        """Return the expected quality (0..1) of an endpoint on a route."""
        believed = self._believed
        if believed and (known := believed.get((route, endpoint.id))) is not None:
            return known
        return endpoint.quality.of(route)

    def refresh(self, now: float) -> None:
        """Work the numbers out anew if that was a few seconds ago."""
        if self._refreshed_at is None or now - self._refreshed_at >= REFRESH_S:
            self._believed = self._book.believed(now)
            self._refreshed_at = now
