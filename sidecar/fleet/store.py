"""The seam to the store: two questions, each answered within its deadline or by an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sidecar.fleet.view import View

PREFIX = "{{llm-sidecar:1:{namespace}}}:"
"""Of every key: versioned, and with a hash tag, so that all lie on one node of a cluster."""


class Store(Protocol):
    """A store that pods share. Errors are ``FleetStoreError``, whatever went wrong."""

    async def sync(self, push: bytes) -> View:
        """Tell ``push`` (``push.py``, as JSON) and return how the fleet stands.

        Raises:
            FleetStoreError: the store is away, too slow, or says what cannot be.
        """

    async def lease(self, subject: str, slot: str, pod: str, lease_s: float) -> float:
        """Ask for a probe; return 0.0 if it is ours, else for how many seconds it is another's.

        Raises:
            FleetStoreError: as above.
        """

    async def aclose(self) -> None:
        """Close the connections; may repeat."""
