"""The engine's seam to other pods: who probes, and what is known elsewhere.

Production puts the agent of ``sidecar/fleet`` behind it where a store is configured, and ``ALONE``
where none is: that knows nobody, leases everything at once and costs nothing. Nothing of this is
asked on a call's way: the prober asks, between calls. What a fleet tells unasked comes through
``hearsay.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sidecar.core.probing import ProbeNeed
    from sidecar.domain import EndpointId


class Fleet(Protocol):
    """The other pods."""

    @property
    def is_up(self) -> bool:
        """Whether they can be heard now."""

    def rate_per_s(self, endpoint: EndpointId) -> float:
        """Return how many outcomes a second the whole fleet has of ``endpoint``, 0.0 unknown."""

    def sampled_at(self, endpoint: EndpointId) -> float | None:
        """Return when any pod last had an answer of ``endpoint``, None if unknown."""

    async def lease(self, subject: str, need: ProbeNeed) -> float | None:
        """Return None if this pod is to make the probe, else until when it is left to others.

        ``subject`` is an endpoint id or a host. Bounded by a deadline of its own; never raises.
        """


class _Alone:
    """No other pods."""

    is_up = False

    def rate_per_s(self, endpoint: EndpointId) -> float:  # noqa: ARG002 - nobody else asks it
        return 0.0

    def sampled_at(self, endpoint: EndpointId) -> float | None:  # noqa: ARG002 - as above
        return None

    async def lease(self, subject: str, need: ProbeNeed) -> float | None:  # noqa: ARG002 - as above
        return None


ALONE: Fleet = _Alone()
