"""On which terms a route learns: by trying (``core/adaptive.py``), by grades, by a shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.names import EndpointId


@value
class Adaptive:
    """What an answer is worth to the route, and what finding out may cost.

    * ``worth_usd`` 0.02: an answer of quality 1 rather than 0. So a tenth of quality is worth 0.2
      cents, about what a short answer of a large model costs more than a small one's.
    * ``usd_per_s`` 0.001: a second of waiting. Ten seconds weigh as much as half of ``worth_usd``.
    * ``share`` 0.1: so many of the calls that may explore are left to the draw.
    * ``usd_per_day`` 1: what exploring may cost above the incumbent's price, in any 24 hours.
    """

    worth_usd: float = 0.02
    usd_per_s: float = 0.001
    share: float = 0.1
    usd_per_day: float = 1.0


@value
class Grader:
    """Who grades a share (0..1) of a route's answers, by which rubric, for how much a day."""

    model: EndpointId
    rubric: str
    share: float
    usd_per_day: float


@value
class Shadow:
    """Who gets a copy of a ``share`` (0..1) of the calls, to be judged; nobody gets its answers."""

    endpoint: EndpointId
    share: float
    usd_per_day: float
