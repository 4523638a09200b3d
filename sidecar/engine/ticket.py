"""Leave to make one attempt, from its admission to its settlement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.core.breaker import Permit
    from sidecar.domain import Endpoint


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """Leave to make one attempt; settled exactly once, by ``Health.settle``.

    ``weight`` is 1 for live traffic and 0.5 for probes. ``hang_s`` is the hang budget of this
    request, of which ``silent_s`` is the time a plain answer may take to be written. A panic trial
    has no permits: it goes past shut breakers and can at most make their own trial due.
    ``is_spilled``: the call's route prefers another endpoint. ``level`` and ``number`` as in
    ``core/limit.py``; a probe has number 0.
    """

    endpoint: Endpoint
    permit: Permit | None
    host_permit: Permit | None
    admitted_at: float
    prompt_tokens: int
    hang_s: float
    silent_s: float = 0.0
    weight: float = 1.0
    is_spilled: bool = False
    level: int = 1
    number: int = 0
    sent_at: float | None = None
    first_content_at: float | None = None
    is_settled: bool = False

    @property
    def is_probe(self) -> bool:
        """Return whether no caller waits for it.

        A probe takes no place of the concurrency limit: it asks for next to nothing, and calls that
        hang must not keep it from finding out.
        """
        return self.weight < 1.0

    @property
    def is_usual(self) -> bool:
        """Return whether it is a call's, through a closed breaker."""
        return self.permit is not None and not (self.permit.is_trial or self.is_probe)
