"""The advisor beside a running sidecar, or on a ledger file: gathers, then advises.

The comparing is done in a thread: tens of milliseconds that calls need not wait for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.core.quality import Evidence, QualityBook
from sidecar.domain import EndpointId, RouteName
from sidecar.ledger.delivered import read_delivered
from sidecar.ledger.reading import look_into, read_evidence
from sidecar.quality.advice import advise
from sidecar.quality.hearing import ALL
from sidecar.quality.seen import Beliefs, Sources, gather

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sidecar.catalogue import Catalogue
    from sidecar.core.quality import PriorOf
    from sidecar.ledger.delivered import Delivered
    from sidecar.ledger.ledger import Ledger
    from sidecar.ledger.records import EvidenceRow
    from sidecar.quality.hearing import Hearing

SINCE_S = 7 * 86_400.0
UNCONFIGURED = 0.5


class Advisor:
    """Advises about a running sidecar."""

    def __init__(
        self, catalogue: Callable[[], Catalogue], ledger: Ledger, hearing: Hearing
    ) -> None:
        self._catalogue = catalogue
        self._ledger = ledger
        self._hearing = hearing

    async def advice(self, since_s: float = SINCE_S) -> dict[str, object]:
        """Return the advice on what was delivered in the last ``since_s``."""
        wall = clock.wall()
        delivery = await self._ledger.delivered(wall - since_s)
        hearing = self._hearing
        beliefs = Beliefs(book=hearing.book, chance=hearing.chance, now=clock.now())
        sources = Sources(catalogue=self._catalogue(), delivery=delivery, beliefs=beliefs)
        seen = gather(sources)
        advised = await asyncio.get_running_loop().run_in_executor(None, advise, seen)
        return {"at": round(wall, 3), "since_s": since_s, **advised}


def advice_on_file(
    path: Path, wall: float, since_s: float = SINCE_S, catalogue: Catalogue | None = None
) -> dict[str, object]:
    """Return the advice on a ledger file; ``catalogue`` says how routes are configured.

    Raises:
        NotALedgerError: there is no such file, or it is something else.
    """
    delivery, rows = look_into(path, lambda found, version: _read(found, version, wall - since_s))
    prior_of = _prior_of(catalogue)
    beliefs = Beliefs(
        book=_book(prior_of, (row for row in rows if row.arm == ALL), wall),
        chance=_book(prior_of, (row for row in rows if row.arm != ALL), wall),
        now=wall,
    )
    seen = gather(Sources(catalogue=catalogue, delivery=delivery, beliefs=beliefs))
    return {"at": round(wall, 3), "since_s": since_s, **advise(seen)}


def _read(
    connection: sqlite3.Connection, version: int, since_at: float
) -> tuple[dict[tuple[str, str], Delivered], list[EvidenceRow]]:
    has_evidence = version > 1
    rows = read_evidence(connection) if has_evidence else []
    return read_delivered(connection, since_at), rows


def _prior_of(catalogue: Catalogue | None) -> PriorOf:
    def prior(route: RouteName, model: EndpointId) -> float:
        endpoint = None if catalogue is None else catalogue.endpoints.get(model)
        return UNCONFIGURED if endpoint is None else endpoint.quality.configured(route)

    return prior


def _book(prior_of: PriorOf, rows: Iterable[EvidenceRow], wall: float) -> QualityBook:
    book = QualityBook(prior_of)
    for row in rows:
        evidence = Evidence(
            scored=row.scored,
            weight=row.weight,
            faulty=row.faulty,
            judged=row.judged,
            at=min(wall, row.at),
        )
        book.restore(RouteName(row.route), EndpointId(row.endpoint), evidence, wall)
    return book
