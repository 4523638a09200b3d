"""Who draws conclusions from what the ledger hears: the seam to what is learned of quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.ledger.records import EvidenceRow, Kept


class Learner(Protocol):
    """Who draws conclusions from what the ledger hears, and has them kept in its file."""

    def hear(self, event: Kept) -> None:
        """Take note of an event; its instants are on the loop's clock."""

    def settle(self, now: float) -> None:
        """Draw conclusions from what was heard since the last time."""

    def changed(self, wall: float) -> Iterable[EvidenceRow]:
        """Return what is to be kept that is another than at the last time."""

    def restore(self, rows: Iterable[EvidenceRow], wall: float) -> None:
        """Take over what earlier processes learned."""
