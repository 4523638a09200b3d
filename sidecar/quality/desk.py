"""Where everything about quality meets: scores come in, beliefs, grades and advice go out.

A score's call is one of the last, or one in the ledger's file; between finding it and counting its
score nothing is awaited, so that two scores of one call are counted one after the other. Graders
and the advisor are imported with the first need of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.ledger.records import FEEDBACK
from sidecar.metrics import Kind, Observed
from sidecar.quality import showing
from sidecar.quality.hearing import Hearing, given_now

if TYPE_CHECKING:
    from sidecar.engine.engine import Engine
    from sidecar.ledger.ledger import Ledger
    from sidecar.quality.grading import Graders
    from sidecar.quality.hearing import Heard


class Desk:
    """Joins engine and ledger in what is learned of quality. Owns ``hearing`` and ``graders``."""

    def __init__(self, engine: Engine, ledger: Ledger) -> None:
        self.hearing = Hearing(engine.parts.quality)
        self.graders: Graders | None = None
        self._engine = engine
        self._ledger = ledger
        ledger.learner = self.hearing
        self.adopt()

    def adopt(self) -> None:
        """Have answers graded if a route of the configuration asks for it."""
        has_grader = any(one.grader is not None for one in self._engine.catalogue.routes.values())
        if has_grader and self.graders is None:
            from sidecar.quality.grading import Graders  # noqa: PLC0415 - with the first grader

            self.graders = Graders(self._engine, self._ledger, self)
        self._engine.parts.sampler = self.graders

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

    async def advice(self, since_s: float | None) -> dict[str, object]:
        """Return the advice on the last ``since_s``, on a week where that is None."""
        from sidecar.quality.advisor import SINCE_S, Advisor  # noqa: PLC0415 - seldom asked for

        advisor = Advisor(lambda: self._engine.catalogue, self._ledger, self.hearing)
        return await advisor.advice(SINCE_S if since_s is None else since_s)

    def shown(self) -> dict[str, object]:
        """Return what operators see."""
        graders = {} if self.graders is None else {"graders": self.graders.shown()}
        return {"quality": showing.shown(self.hearing, clock.now()), **graders}

    def observed(self) -> tuple[Observed, ...]:
        """Return the same as metrics."""
        grades = Observed(
            name="sidecar.grades",
            kind=Kind.COUNTER,
            unit="{answer}",
            meaning="Sampled answers, by what became of their grading.",
            labels=("route", "result"),
            read=lambda: () if self.graders is None else iter(self.graders.ended.items()),
        )
        return (*showing.observed(self.hearing), grades)

    async def aclose(self) -> None:
        """Grade no more; may repeat."""
        if self.graders is not None:
            await self.graders.aclose()
