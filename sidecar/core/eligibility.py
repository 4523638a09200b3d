"""Which endpoints can take a call at all: hard facts, one reason for each that cannot.

The most lasting reason comes first, so that a call no endpoint could ever serve is told apart from
one that came at a bad moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sidecar.core.routing import CallNeeds, EndpointView, RoutingSettings
    from sidecar.domain import Endpoint, EndpointId


class Survey:
    """Looks at endpoints for one question and keeps why some are out."""

    __slots__ = ("_look", "_now", "_settings", "has_unfit", "is_drawn", "needs", "rejected", "shut")

    def __init__(
        self,
        look: Callable[[EndpointId], EndpointView],
        needs: CallNeeds,
        now: float,
        settings: RoutingSettings,
    ) -> None:
        self.needs = needs
        self.rejected: list[tuple[EndpointId, Gate]] = []
        self.shut: list[tuple[float, Gate]] = []
        self.has_unfit = False
        self.is_drawn = False
        self._look = look
        self._now = now
        self._settings = settings

    def eligible(self, names: Iterable[EndpointId]) -> list[EndpointView]:
        """Return the views of those that can take the call."""
        look, needs, settings = self._look, self.needs, self._settings
        eligible = []
        for endpoint_id in names:
            view = look(endpoint_id)
            reason = rejection(view, needs, settings)
            if reason is None:
                eligible.append(view)
            else:
                self._note(view, reason)
        return eligible

    def _note(self, view: EndpointView, reason: Gate) -> None:
        self.rejected.append((view.endpoint.id, reason))
        self.has_unfit = self.has_unfit or reason is view.unfit
        if reason is view.gate and view.opens_at is not None and view.opens_at > self._now:
            self.shut.append((view.opens_at, reason))

    def opens_at(self) -> tuple[float | None, float | None]:
        """Return when the first shut gate may open, and the first of those of accounts' rates."""
        if not self.shut:
            return None, None
        rates = [at for at, gate in self.shut if gate is Gate.ACCOUNT_RATE]
        return min(at for at, _ in self.shut), min(rates, default=None)


def rejection(view: EndpointView, needs: CallNeeds, settings: RoutingSettings) -> Gate | None:
    """Return why ``view`` cannot take the call, None if it can; the most lasting reason first."""
    return (
        (needs.excluded.get(view.endpoint.id) if needs.excluded else None)
        or view.unfit
        or _unable(view.endpoint, needs, settings)
        or (None if needs.budget_usd is None else _unaffordable(view, needs.budget_usd))
        or (Gate.TOO_SLOW if is_too_slow(view, needs.remaining_s, settings) else None)
        or view.gate
    )


def _unable(endpoint: Endpoint, needs: CallNeeds, settings: RoutingSettings) -> Gate | None:
    spoken = endpoint.format_for(needs.format)
    if spoken is None or (needs.untranslatable and spoken is not needs.format):
        return Gate.UNSUPPORTED
    if needs.space is not None and endpoint.space != needs.space:
        return Gate.OTHER_SPACE
    wanted_tokens = needs.prompt_tokens * settings.context_margin
    if endpoint.context_tokens is not None and wanted_tokens > endpoint.context_tokens:
        return Gate.CONTEXT_TOO_SMALL
    return None


def _unaffordable(view: EndpointView, budget_usd: float) -> Gate | None:
    if view.cost_usd is None:
        return Gate.PRICE_UNKNOWN
    return Gate.TOO_DEAR if view.cost_usd > budget_usd else None


def is_too_slow(view: EndpointView, remaining_s: float, settings: RoutingSettings) -> bool:
    """Return whether it would be late even in a good hour."""
    return (
        remaining_s <= 0.0
        or view.typical_ttft_s * settings.optimism > remaining_s
        or view.usual_chance < settings.chance_hopeless
    )
