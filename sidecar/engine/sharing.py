"""What lots are drawn for and asked about: kept apart, so that routes without any load no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from sidecar.core.routing import CallNeeds, EndpointView
    from sidecar.domain import EndpointId, Route


@dataclass(slots=True, kw_only=True)
class Exploration:
    """Whom a call asks instead of the incumbent, which would cost ``incumbent_usd``, and what was
    set aside for that, US dollars.
    """

    endpoint: EndpointId
    incumbent_usd: float
    reserved_usd: float
    is_settled: bool = False


@dataclass(slots=True, kw_only=True)
class Lot:
    """What was drawn for one call. ``has_rival``: others could have taken it from the newcomer."""

    canary: EndpointId | None = None
    has_rival: bool = False
    explores: bool = False
    exploration: Exploration | None = None

    @property
    def is_blank(self) -> bool:
        """Whether the call goes where such calls go."""
        return self.canary is None and not self.explores


@dataclass(slots=True, kw_only=True)
class Asked:
    """One question of a call of ``route`` to the router, which was asked ``needs``."""

    route: Route
    lot: Lot
    look: Callable[[EndpointId], EndpointView]
    needs: CallNeeds
    now: float
    rng: random.Random
