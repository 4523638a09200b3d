"""Where scores come in: finds the call a score is for, has it counted and kept.

The call is one of the last, or one in the ledger's file; between finding it and counting its score
nothing is awaited, so that two scores of one call are counted one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.ledger.records import FEEDBACK
from sidecar.quality.hearing import Hearing, given_now

if TYPE_CHECKING:
    from sidecar.core.quality import QualityBook
    from sidecar.ledger.ledger import Ledger
    from sidecar.quality.hearing import Heard


class Desk:
    """Joins the ledger and what is learned from it. Owns ``hearing``."""

    def __init__(self, ledger: Ledger, book: QualityBook) -> None:
        self.hearing = Hearing(book)
        self._ledger = ledger
        ledger.learner = self.hearing

    async def take(
        self, call_id: str, score: float, *, comment: str | None = None, source: str = FEEDBACK
    ) -> Heard | None:
        """Count a score (0..1) of a call; None: no such call is known."""
        call = await self._ledger.remembered(call_id)
        if call is None:
            self.hearing.heard["unknown"] += 1
            return None
        kept = comment if self._ledger.settings.keep_comments else None
        given = given_now(call, score, source, kept)
        heard = self.hearing.score(given, call)
        if heard.is_counted:
            self._ledger.note(given)
        return heard
