"""Who answers a caller in a played row: a sidecar, or the oracle in its place.

Each has its own kept-alive connections, so that one pod can lose its network alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sidecar.engine.drain import Drain, DrainSettings
from sidecar.errors import ConnectFailedError
from sidecar.upstream.simulated_memory import MemoryUpstream

if TYPE_CHECKING:
    from sidecar.domain import Call, ProviderName
    from sidecar.engine.answer import StreamAnswer
    from sidecar.engine.ports import OutboundRequest
    from sidecar.simulate.client import Result
    from sidecar.simulate.faults.staging import Caller
    from sidecar.upstream.simulated_memory import MemoryResponse


class PodUpstream(MemoryUpstream):
    """The way out of one pod. ``is_severed``: it leads nowhere, and no provider hears of it.
    ``unkept``: whose connections are cut as soon as they are idle.
    """

    is_severed = False
    unkept: ProviderName | None = None

    async def open(self, request: OutboundRequest, *, connect_s: float) -> MemoryResponse:
        """Send ``request``, or fail to connect."""
        if self.is_severed:
            raise ConnectFailedError("simulated: no network")
        return await super().open(request, connect_s=connect_s)

    def give_back(self, name: ProviderName, *, is_reusable: bool) -> None:
        """Count an answer as closed."""
        super().give_back(name, is_reusable=is_reusable and name != self.unkept)


class Pod(Protocol):
    """Answers callers."""

    upstream: PodUpstream

    async def answer(self, call: Call, result: Result, caller: Caller) -> bool:
        """Write into ``result`` what the caller got; return whether it was told that its request
        is malformed.
        """

    async def background(self) -> None:
        """Run until cancelled."""

    async def drain(self) -> None:
        """End as the application does, within the default grace; nobody calls any more."""
        await Drain(self._admission, _nobody, self._engine.interrupt).run(DrainSettings())


async def _nobody() -> None:
    """Say that no caller is connected any more."""


class _Paced:
    """A stream whose reader takes its time after each chunk."""

    def __init__(self, answer: StreamAnswer, pause_s: float) -> None:
        self.disclosure = answer.disclosure
        self._answer = answer
        self._pause_s = pause_s
        self._is_begun = False

    async def read(self) -> bytes:
        """Return the next bytes."""
        if self._is_begun and self._pause_s:
            await asyncio.sleep(self._pause_s)
        self._is_begun = True
        chunk = await self._answer.read()
        self.disclosure = self._answer.disclosure
        return chunk

    async def aclose(self) -> None:
        """Release everything."""
        await self._answer.aclose()
        self.disclosure = self._answer.disclosure
