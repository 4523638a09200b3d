"""Spend caps: what a provider or a route may cost in a day (UTC), kept whatever runs at once.

What an attempt is expected to cost is reserved before it starts and settled by what it cost, so
that a hundred calls of the same moment cannot each find the last cent free. The day's money can so
be overshot only by what estimates were wrong: an answer that came out longer than usual. An attempt
that costs nothing always fits; a lesser model may fit where the best one does not, which is how a
route degrades by itself as its money ends.

A day begins at midnight UTC. An attempt counts on the day that it ends on. The wall clock may step
back over midnight: then the day stays, since starting it anew would give the money out twice.

Whoever is not named has no cap and costs no look.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sidecar.domain import Gate
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sidecar.domain import ProviderName, RouteName

N = TypeVar("N", "ProviderName", "RouteName")
DAY_S = 86_400.0
CAP_GATES = frozenset({Gate.PROVIDER_SPEND_CAP, Gate.ROUTE_SPEND_CAP})
PROVIDER, ROUTE = "provider", "route"
CRUMB_USD = 1e-9
"""Sums of floating-point numbers: a billionth of a dollar is nothing."""


@value
class CapSettings:
    """Most US dollars a day, by name; whoever is not named may spend without bound."""

    by_provider: Mapping[ProviderName, float] = field(default_factory=dict)
    by_route: Mapping[RouteName, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Cap:
    """One cap. ``spent_usd`` on this day, ``reserved_usd`` for attempts under way,
    ``elsewhere_usd`` what other pods of the fleet spent of it today, 0.0 where nothing is shared.

    ``is_reached``: somebody was refused for want of money since the day began. ``is_recalled``:
    what was spent today before it was watched is known.
    """

    usd_per_day: float
    spent_usd: float = 0.0
    reserved_usd: float = 0.0
    elsewhere_usd: float = 0.0
    is_reached: bool = False
    is_recalled: bool = False

    @property
    def left_usd(self) -> float:
        """What nobody has spent or reserved, never below 0."""
        gone_usd = self.spent_usd + self.reserved_usd + self.elsewhere_usd
        return max(0.0, self.usd_per_day - gone_usd)

    def has_room(self, usd: float) -> bool:
        """Return whether ``usd`` more fits, as nothing always does; remember a no."""
        if usd <= 0.0 or usd <= self.left_usd + CRUMB_USD:
            return True
        self.is_reached = True
        return False

    def reserve(self, usd: float) -> None:
        """Set ``usd`` aside for an attempt that starts now."""
        self.reserved_usd += usd

    def settle(self, reserved_usd: float, paid_usd: float) -> None:
        """Enter what an attempt cost, in place of what was set aside for it."""
        self.reserved_usd = max(0.0, self.reserved_usd - reserved_usd)
        self.spent_usd += paid_usd

    def adapt(self, usd_per_day: float) -> None:
        """Allow so much a day from now on; what was spent stays spent."""
        if usd_per_day > self.usd_per_day:
            self.is_reached = False
        self.usd_per_day = usd_per_day


@value
class CapNews:
    """A cap was reached, or is free again: the day is over, or it was raised."""

    scope: str
    name: str
    is_reached: bool
    spent_usd: float
    usd_per_day: float


class SpendCaps:
    """All caps of one sidecar. Owns one ``Cap`` a provider and route that has any."""

    def __init__(self, settings: CapSettings, day: int) -> None:
        self.providers: dict[ProviderName, Cap] = {}
        self.routes: dict[RouteName, Cap] = {}
        self.day = day
        self._told: set[tuple[str, str]] = set()
        self.adapt(settings)

    def adapt(self, settings: CapSettings) -> None:
        """Go by ``settings`` from now on."""
        self.providers = _adapted(self.providers, settings.by_provider)
        self.routes = _adapted(self.routes, settings.by_route)

    def turn(self, day: int) -> None:
        """Begin ``day`` (since the epoch, UTC) if it is another one; what is reserved stays so."""
        if day == self.day or day == self.day - 1:
            return
        is_new, self.day = day > self.day, day
        if is_new:
            for _, _, cap in self.all():
                cap.spent_usd, cap.elsewhere_usd, cap.is_reached = 0.0, 0.0, False

    def recall(
        self, by_provider: Mapping[ProviderName, float], by_route: Mapping[RouteName, float]
    ) -> None:
        """Take in what was spent today by those whose caps are new; each is told once."""
        _recall(self.providers, by_provider)
        _recall(self.routes, by_route)

    # --- attempts ------------------------------------------------------------------------------

    def refusal(
        self, provider: ProviderName, route: RouteName | None, usd: float | None
    ) -> Gate | None:
        """Return whose cap has no room for an attempt of ``usd``, None if there is room.

        An unknown price counts as none: money that cannot be counted cannot be kept.
        """
        cap = self.providers.get(provider)
        if cap is not None and not cap.has_room(usd or 0.0):
            return Gate.PROVIDER_SPEND_CAP
        cap = None if route is None else self.routes.get(route)
        return None if cap is None or cap.has_room(usd or 0.0) else Gate.ROUTE_SPEND_CAP

    def is_spent(self, provider: ProviderName) -> bool:
        """Return whether nothing is left of a provider's cap."""
        cap = self.providers.get(provider)
        return cap is not None and cap.left_usd <= CRUMB_USD

    def reserve(self, provider: ProviderName, route: RouteName | None, usd: float) -> None:
        """Set ``usd`` aside; ``settle`` follows exactly once."""
        for cap in self._of(provider, route):
            cap.reserve(usd)

    def settle(
        self, provider: ProviderName, route: RouteName | None, reserved_usd: float, paid_usd: float
    ) -> None:
        """Enter what an attempt cost."""
        for cap in self._of(provider, route):
            cap.settle(reserved_usd, paid_usd)

    # --- telling -------------------------------------------------------------------------------

    def all(self) -> Iterator[tuple[str, str, Cap]]:
        """Yield scope, name and cap of each."""
        for provider, cap in self.providers.items():
            yield PROVIDER, provider, cap
        for route, cap in self.routes.items():
            yield ROUTE, route, cap

    def news(self) -> list[CapNews]:
        """Return which caps were reached or came free since the last question."""
        reached = {(scope, name): cap for scope, name, cap in self.all() if cap.is_reached}
        if not reached and not self._told:
            return []
        caps = {(scope, name): cap for scope, name, cap in self.all()}
        changed = [key for key in caps if (key in reached) is not (key in self._told)]
        self._told = set(reached)
        return [
            CapNews(
                scope=key[0],
                name=key[1],
                is_reached=key in reached,
                spent_usd=caps[key].spent_usd,
                usd_per_day=caps[key].usd_per_day,
            )
            for key in changed
        ]

    def _of(self, provider: ProviderName, route: RouteName | None) -> Iterator[Cap]:
        if (cap := self.providers.get(provider)) is not None:
            yield cap
        if route is not None and (cap := self.routes.get(route)) is not None:
            yield cap


def _adapted(known: dict[N, Cap], wanted: Mapping[N, float]) -> dict[N, Cap]:
    """Return a cap for each of ``wanted``, the known ones with all they know."""
    caps: dict[N, Cap] = {}
    for name, usd in wanted.items():
        cap = caps[name] = known.get(name) or Cap(usd_per_day=usd)
        cap.adapt(usd)
    return caps


def _recall(caps: dict[N, Cap], spent: Mapping[N, float]) -> None:
    for name, cap in caps.items():
        if not cap.is_recalled:
            cap.spent_usd, cap.is_recalled = spent.get(name, 0.0), True
