"""What pods learn of answers' quality, pooled: scores and faults by route and model.

Each pod tells what it heard itself, as its own totals of the day (``sharing.py`` says why totals);
what came from others is never told on, so that no word goes round in circles. What others heard is
added to one's own evidence once a minute, at full weight: a caller's score says the same whichever
pod it reached. A pod that restarts with its ledger counts its own words of that day a second time;
evidence of a week fades over that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.core.quality import Evidence
from sidecar.fleet.names import short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.quality import QualityBook
    from sidecar.domain import EndpointId, RouteName
    from sidecar.fleet.names import Names
    from sidecar.fleet.push import Push
    from sidecar.fleet.view import View

EVERY_S = 60.0
PAIRS_MAX = 64
"""Of route and model, those heard of last: the store holds 512 sums for a fleet."""
NEWS_MAX = 1000.0
"""More a minute, of a pair, is not believed."""
PARTS = "swfj"
"""Scored, weight, faulty, judged."""


@dataclass(slots=True)
class _Pair:
    """Four numbers each: as the book had them last, own ones of the day, others' of the day."""

    seen: list[float]
    own: list[float] = field(default_factory=lambda: [0.0] * 4)
    others: list[float] = field(default_factory=lambda: [0.0] * 4)


class Opinions:
    """Owns which part of the evidence is one's own."""

    def __init__(self) -> None:
        self._pairs: dict[str, _Pair] = {}
        self._told_at: float | None = None
        self._day: int | None = None

    def tell(self, push: Push, book: QualityBook, names: Names, *, day: int, now: float) -> bool:
        """Add what was heard here since the last minute; return whether it was time for it."""
        if self._told_at is not None and now - self._told_at < EVERY_S:
            return False
        self._told_at, push.y = now, day
        if day != self._day:
            self._day = day
            for pair in self._pairs.values():
                pair.own, pair.others = [0.0] * 4, [0.0] * 4
        for key, _, _, evidence in _evidence(book, names):
            pair = self._pairs.setdefault(key, _Pair(seen=[0.0] * 4))
            current = _numbers(evidence)
            for place, (new, old) in enumerate(zip(current, pair.seen, strict=True)):
                pair.own[place] += max(0.0, new - old)
            pair.seen = current
            push.u |= {key + part: own for part, own in zip(PARTS, pair.own, strict=True) if own}
        return True

    def hear(self, view: View, book: QualityBook, names: Names, now: float) -> None:
        """Add what others heard to one's own evidence."""
        if view.day != self._day:
            return
        for route in list(names.routes):
            for model in names.routes[route]:
                key = _key(route, model, names)
                if any(key + part in view.sums for part in PARTS):
                    self._add(key, route, model, view, book, now)

    def _add(
        self,
        key: str,
        route: RouteName,
        model: EndpointId,
        view: View,
        book: QualityBook,
        now: float,
    ) -> None:
        if key not in self._pairs and len(self._pairs) >= PAIRS_MAX:
            return
        pair = self._pairs.setdefault(key, _Pair(seen=[0.0] * 4))
        news = []
        for place, part in enumerate(PARTS):
            others = max(0.0, view.sums.get(key + part, 0.0) - pair.own[place])
            news.append(min(NEWS_MAX, max(0.0, others - pair.others[place])))
            pair.others[place] = max(others, pair.others[place])
        scored, weight, faulty, judged = news
        if weight <= 0.0 and faulty <= 0.0 and judged <= 0.0:
            return
        evidence = Evidence(
            scored=min(scored, weight), weight=weight, faulty=faulty, judged=judged, at=now
        )
        book.restore(route, model, evidence, now)
        pair.seen = [old + new for old, new in zip(pair.seen, _numbers(evidence), strict=True)]


def _evidence(
    book: QualityBook, names: Names
) -> Iterator[tuple[str, RouteName, EndpointId, Evidence]]:
    known = [one for one in book.export() if one[1] in names.subjects]
    for route, model, evidence in known[-PAIRS_MAX:]:
        yield _key(route, model, names), route, model, evidence


def _key(route: RouteName, model: EndpointId, names: Names) -> str:
    return short("quality", route, names.subjects[model])


def _numbers(one: Evidence) -> list[float]:
    return [one.scored, one.weight, one.faulty, one.judged]
