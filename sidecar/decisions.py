"""What an event may tell of a call's inside: how it was decided, and what was said in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import Endpoint, EndpointId, Gate


class Candidate(Protocol):
    """An endpoint as the router saw it for one call; seconds and US dollars are predictions."""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""

    @property
    def ttft_s(self) -> float:
        """Time to the first content."""

    @property
    def total_s(self) -> float:
        """Time to the last."""

    @property
    def typical_ttft_s(self) -> float:
        """As ``ttft_s``, were it not slower or faster now than usual."""

    @property
    def cost_usd(self) -> float | None:
        """What the answer would cost, None where the price is unknown."""

    @property
    def reliability(self) -> float:
        """Expected success rate, 0..1."""

    @property
    def utilisation(self) -> float:
        """The used share of its limits, 0..1."""


class Decision(Protocol):
    """A choice of the router: the order to try endpoints in, and why others were out."""

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """Who could be asked, best first."""

    @property
    def rejected(self) -> tuple[tuple[EndpointId, Gate], ...]:
        """Who could not, and why."""

    @property
    def tier(self) -> int | None:
        """The winner's tier, 0 the best."""

    @property
    def is_drawn(self) -> bool:
        """Whether lots decided among several."""


@value
class Message:
    """What somebody said, for those who switched the recording of content on.

    ``parts`` are pairs of kind (``text``, ``reasoning``, ``tool_call``, …) and text.
    """

    role: str
    parts: tuple[tuple[str, str], ...]


@value
class Content:
    """What was asked and answered."""

    asked: tuple[Message, ...]
    answered: tuple[Message, ...]
