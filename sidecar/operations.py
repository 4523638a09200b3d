"""What an operator does with a running sidecar: ask what it would do, take endpoints out, drill."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.engine.explaining import explain
from sidecar.errors import ForbiddenError, NotFoundError
from sidecar.ledger.records import CallQuery
from sidecar.metrics import Kind, Observed
from sidecar.server.explain_asked import call_asked
from sidecar.upstream.drills import DrilledUpstream, Drills

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sidecar.config.model import Config
    from sidecar.domain import EndpointId
    from sidecar.engine.engine import Engine
    from sidecar.engine.ports import Upstream
    from sidecar.events import Observer
    from sidecar.ledger.ledger import Ledger
    from sidecar.metrics import Labels
    from sidecar.server.calls_asked import CallsAsked
    from sidecar.server.drill_asked import DrillAsked
    from sidecar.server.intake import Intake
    from sidecar.upstream.drills import Drill

_SHOWN_CHARS_MAX = 200


def drillable(upstream: Upstream, drills: Drills | None) -> Upstream:
    """Return ``upstream``, with drills in front of it where there may be any."""
    return upstream if drills is None else DrilledUpstream(upstream, drills)


def drills_of(config: Config, observer: Observer, drills: Drills | None = None) -> Drills | None:
    """Return the drills that ``config`` permits: those there are, new ones, or none."""
    if not config.may_drill:
        if drills is not None:
            drills.end_all()
        return None
    # Chance of its own: a drill must not shift what a seed makes of everything else.
    return drills or Drills(random.Random(), observer)


def observed(drills: Callable[[], Drills | None]) -> tuple[Observed, ...]:
    """Return the drills under way as metrics; ``drills`` are those of the moment."""

    def active() -> Iterator[tuple[Labels, float]]:
        known = drills()
        for drill in () if known is None else known.active():
            yield (drill.endpoint, drill.fault), drill.share

    return (
        Observed(
            name="sidecar.drill_share",
            kind=Kind.GAUGE,
            unit="",
            meaning="Share of an endpoint's attempts that a drill hits, while it lasts.",
            labels=("endpoint", "fault"),
            read=active,
        ),
    )


class Operations:
    """Acts upon ``engine``; ``drills`` tells those that are permitted now, None if none are."""

    def __init__(
        self, engine: Engine, ledger: Ledger, intake: Intake, drills: Callable[[], Drills | None]
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._intake = intake
        self._drills = drills

    def isolate(self, name: EndpointId) -> bool:
        """Take an endpoint out of service; return whether there is such a one."""
        return self._operate(name, self._engine.isolate)

    def restore(self, name: EndpointId) -> bool:
        """Put an endpoint back; return whether there is such a one."""
        return self._operate(name, self._engine.restore)

    def _operate(self, name: EndpointId, verb: Callable[[EndpointId, float], None]) -> bool:
        if name not in self._engine.catalogue.endpoints:
            return False
        verb(name, clock.now())
        return True

    async def calls(self, asked: CallsAsked) -> Sequence[object]:
        """Return the calls asked for, newest first."""
        since_at = None if asked.since_s is None else clock.wall() - asked.since_s
        return await self._ledger.calls(
            CallQuery(
                route=asked.route,
                since_at=since_at,
                is_failed_only=asked.is_failed_only,
                before=asked.before,
                limit=asked.limit,
            )
        )

    def explain(self, query: str) -> dict[str, object]:
        """Return what would become of the call that ``query`` describes.

        Raises:
            CallError: it describes none.
        """
        now = clock.now()
        return explain(self._engine, call_asked(query, self._intake, now), now)

    # --- drills --------------------------------------------------------------------------------

    def drills(self) -> dict[str, object]:
        """Return the drills under way, and whether there may be any."""
        drills = self._drills()
        return {
            "enabled": drills is not None,
            "drills": [] if drills is None else [_shown(one) for one in drills.active()],
        }

    def drill(self, asked: DrillAsked) -> dict[str, object]:
        """Begin a drill and return it.

        Raises:
            ForbiddenError: the configuration permits none.
            NotFoundError: there is no such endpoint.
        """
        drills = self._permitted()
        if asked.endpoint not in self._engine.catalogue.endpoints:
            known = ", ".join(self._engine.catalogue.endpoints)
            shown = asked.endpoint[:_SHOWN_CHARS_MAX]
            raise NotFoundError(f"no endpoint is called {shown!r}; there are {known}")
        made = drills.start(asked.endpoint, asked.fault, for_s=asked.for_s, share=asked.share)
        return _shown(made)

    def end_drill(self, name: EndpointId) -> dict[str, object]:
        """End the drill at an endpoint; raises as ``drill``."""
        if not self._permitted().end(name):
            raise NotFoundError(f"no drill is under way at {name[:_SHOWN_CHARS_MAX]!r}")
        return {"endpoint": name, "ended": True}

    def _permitted(self) -> Drills:
        drills = self._drills()
        if drills is None:
            raise ForbiddenError("drills are off; write `drills: enabled` into the configuration")
        return drills


def _shown(drill: Drill) -> dict[str, object]:
    return {
        "endpoint": drill.endpoint,
        "fault": drill.fault,
        "share": drill.share,
        "ends_in_s": round(max(0.0, drill.ends_at - clock.now()), 1),
    }
