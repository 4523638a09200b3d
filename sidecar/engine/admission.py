"""The door: how many calls and how many body bytes may be inside, and whether new ones are let in
at all.

A bound on everything that can grow: calls in flight and the memory their replayable bodies hold.
Refusing here is the sidecar's own shedding (429), the only 429 it ever makes. One owner of the
counts: this class.
"""

from __future__ import annotations

import asyncio

from sidecar.errors import DrainingError, ShedError
from sidecar.value import value

SHED_RETRY_AFTER_S = 1.0
DRAINING_RETRY_AFTER_S = 1.0


@value
class AdmissionSettings:
    """``calls_max`` bounds calls in flight; ``bodies_bytes_max`` the request bodies held for
    replay.
    """

    calls_max: int = 1000
    body_bytes_max: int = 32 * 1024 * 1024
    bodies_bytes_max: int = 256 * 1024 * 1024


class Admission:
    """Counts calls in and out. ``enter`` and ``leave`` pair exactly; ``idle`` fires when the last
    call left; ``entered`` are all so far. ``is_draining``: no new one is let in any more, for good.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        self.settings = settings
        self.calls = 0
        self.entered = 0
        self.bodies_bytes = 0
        self.is_draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self, body_bytes: int) -> None:
        """Let a call in.

        Raises:
            DrainingError: the sidecar is stopping.
            ShedError: the sidecar is full.
        """
        if self.is_draining:
            message = "the sidecar is stopping and takes no new calls"
            raise DrainingError(message, retry_after_s=DRAINING_RETRY_AFTER_S)
        if self.calls >= self.settings.calls_max:
            message = f"the sidecar already serves its {self.settings.calls_max} calls at once"
            raise ShedError(message, retry_after_s=SHED_RETRY_AFTER_S)
        if self.bodies_bytes + body_bytes > self.settings.bodies_bytes_max:
            message = "the sidecar holds as many request bytes as it may"
            raise ShedError(message, retry_after_s=SHED_RETRY_AFTER_S)
        self.calls += 1
        self.entered += 1
        self.bodies_bytes += body_bytes
        self._idle.clear()

    def leave(self, body_bytes: int) -> None:
        """Note that a call which had entered is over."""
        assert self.calls > 0, "leave without enter"
        self.calls -= 1
        self.bodies_bytes -= body_bytes
        if self.calls == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Return when no call is inside."""
        await self._idle.wait()
