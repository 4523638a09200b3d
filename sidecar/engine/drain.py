"""Drain: how a sidecar that was told to stop comes to its end, without a call lost.

In Kubernetes a native sidecar gets its SIGTERM when the app has ended: nobody is left, and there is
nothing to wait for. Everywhere else (older clusters, Compose, a shell) both are told at once, and
an app that finishes its own work goes on calling for a while. So, counted from the signal:

1. New calls are accepted until nobody has been connected or called for ``QUIET_S``, and at most up
   to ``refuse_before_s`` before the grace is over. Readiness already says no. The pause is for apps
   without connections to keep, which are nowhere to be seen between two calls.
2. From then on they are refused as ``draining``; open ones go on, up to ``end_before_s`` before it.
3. What is left then ends in an explicit error (event), and has what remains to write it.

A grace too short for that is divided as the default one is: two fifths, four fifths. Whoever is in
a hurry skips the first step. Knows no sockets: ``deserted`` returns when no app is connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.errors import DrainingError
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.engine.admission import Admission
    from sidecar.errors import CallError

log = logging.getLogger("sidecar")

REFUSE_SHARE_MIN, END_SHARE_MIN = 0.4, 0.8
QUIET_S = 0.5
"""Long enough for the next of several calls to come; short beside what ending a pod takes."""


@value
class DrainSettings:
    """``grace_s``: from SIGTERM until whoever sent it will have killed us; below the 30 s of a
    kubelet. ``refuse_before_s`` and ``end_before_s`` count back from its end: when new calls begin
    to be refused, and when open ones are ended so that their callers still hear of it.
    """

    grace_s: float = 25.0
    refuse_before_s: float = 15.0
    end_before_s: float = 5.0

    @property
    def refuse_after_s(self) -> float:
        """Return for how long new calls are accepted: 10 s of 25, 4 s of 10."""
        return max(self.grace_s - self.refuse_before_s, REFUSE_SHARE_MIN * self.grace_s)

    @property
    def end_after_s(self) -> float:
        """Return for how long open calls go on: 20 s of 25, 8 s of 10."""
        return max(self.grace_s - self.end_before_s, END_SHARE_MIN * self.grace_s)


class Drain:
    """One end. ``has_begun`` is for readiness."""

    def __init__(
        self,
        admission: Admission,
        deserted: Callable[[], Awaitable[None]],
        interrupt: Callable[[CallError], None],
    ) -> None:
        self.has_begun = False
        self._admission = admission
        self._deserted = deserted
        self._interrupt = interrupt

    async def run(self, settings: DrainSettings, *, is_hasty: bool = False) -> None:
        """Return when no call is left, or when the grace is over."""
        began_at = clock.now()
        self.has_begun = True
        log.info("draining calls=%d grace_s=%.1f", self._admission.calls, settings.grace_s)
        if not is_hasty:
            await _until(began_at + settings.refuse_after_s, self._quiet())
        self._admission.is_draining = True
        if await _until(began_at + settings.end_after_s, self._admission.idle()):
            return
        log.warning("grace is over, ending calls=%d", self._admission.calls)
        message = f"the sidecar stopped; its grace of {settings.grace_s:.3g} s is over"
        self._interrupt(DrainingError(message))
        await _until(began_at + settings.grace_s, self._admission.idle())

    async def _quiet(self) -> None:
        """Return when nobody has been connected or called for a while."""
        entered = -1
        while entered != self._admission.entered:
            entered = self._admission.entered
            await asyncio.sleep(QUIET_S)
            await self._deserted()


async def _until(at: float, event: Awaitable[None]) -> bool:
    """Wait for ``event``, an instant at most; return whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(at):
            await event
            return True
    return False
