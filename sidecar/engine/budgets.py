"""What extra work may cost, over all calls: hedges, repeated attempts, tokens nobody gets.

One owner of the three guards, so that every attempt is entered in all of them exactly once.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.core.amplification import AmplificationGuard, AmplificationSettings
from sidecar.core.caps import DAY_S, CapSettings, SpendCaps
from sidecar.core.hedging import HedgeBudget, HedgeSettings
from sidecar.core.waste import WasteBudget, WasteSettings
from sidecar.domain import OutcomeClass
from sidecar.events import FIRST_KINDS
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import Outcome

HEDGE = "hedge"
"""The kind of an attempt that was started beside another."""


@value
class BudgetSettings:
    """The bounds of extra work."""

    hedge: HedgeSettings = field(default_factory=HedgeSettings)
    amplification: AmplificationSettings = field(default_factory=AmplificationSettings)
    waste: WasteSettings = field(default_factory=WasteSettings)
    caps: CapSettings = field(default_factory=CapSettings)


class Budgets:
    """Enters what is started and what it cost. ``caps`` is None where nobody has any."""

    def __init__(self, settings: BudgetSettings) -> None:
        self.caps: SpendCaps | None = _caps(None, settings.caps)
        self.hedge = HedgeBudget(settings.hedge)
        self.amplification = AmplificationGuard(settings.amplification)
        self.waste = WasteBudget(settings.waste)

    def adapt(self, settings: BudgetSettings) -> None:
        """Go by ``settings`` from now on; what was spent stays spent."""
        self.hedge.adapt(settings.hedge)
        self.amplification.adapt(settings.amplification)
        self.waste.adapt(settings.waste)
        self.caps = _caps(self.caps, settings.caps)

    def started(self, kind: str, predicted_usd: float | None, now: float) -> None:
        """Note an attempt of ``kind``; a hedge reserves what it is expected to cost."""
        if kind in FIRST_KINDS:
            self.amplification.request(now)
            self.hedge.deposit_primary()
            return
        self.amplification.extra(now)  # noqa: S610 - no Django here
        if kind == HEDGE:
            self.hedge.withdraw()
            self.hedge.hedge_spent(predicted_usd or 0.0, now)

    def ended(self, kind: str, predicted_usd: float | None, outcome: Outcome) -> None:
        """Note what an attempt came to; money for an answer that nobody got is wasted."""
        now = outcome.ended_at
        self.hedge.spent(outcome.cost_usd, now)
        self.waste.spent(outcome.cost_usd, now)
        if outcome.cls is not OutcomeClass.OK:
            self.waste.wasted(outcome.cost_usd, now)
        if kind == HEDGE:
            self.hedge.hedge_spent(outcome.cost_usd - (predicted_usd or 0.0), now)


def _caps(known: SpendCaps | None, settings: CapSettings) -> SpendCaps | None:
    if not settings.by_provider and not settings.by_route:
        return None
    if known is None:
        return SpendCaps(settings, day=int(clock.wall() // DAY_S))
    known.adapt(settings)
    return known
