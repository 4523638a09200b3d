"""Who answers a caller in a played row: a sidecar, or the oracle in its place.

Each has its own kept-alive connections, so that one pod can lose its network alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sidecar.clock import now as loop_now
from sidecar.domain import WireFormat
from sidecar.engine.admission import Admission, AdmissionSettings
from sidecar.engine.answer import PlainAnswer
from sidecar.engine.drain import Drain, DrainSettings
from sidecar.errors import CallError, ConnectFailedError
from sidecar.simulate.client import HTTP_OK
from sidecar.simulate.faults.oracle import BAD_REQUEST
from sidecar.simulate.seen import Seen, read_plain, read_stream
from sidecar.upstream.simulated_memory import MemoryUpstream

if TYPE_CHECKING:
    from sidecar.domain import Call, ProviderName
    from sidecar.engine.engine import Engine
    from sidecar.engine.ports import OutboundRequest
    from sidecar.simulate.client import Result
    from sidecar.simulate.faults.oracle import FaultOracle
    from sidecar.simulate.faults.staging import Caller
    from sidecar.upstream.simulated_memory import MemoryResponse


class PodUpstream(MemoryUpstream):
    """The way out of one pod. ``is_severed``: it leads nowhere, and no provider hears of it.
    ``severed_from``: it does not reach that one. ``unkept``: whose connections are cut as soon as
    they are idle.
    """

    is_severed = False
    severed_from: ProviderName | None = None
    unkept: ProviderName | None = None

    async def open(self, request: OutboundRequest, *, connect_s: float) -> MemoryResponse:
        """Send ``request``, or fail to connect."""
        is_lost = request.endpoint.partition("/")[0] == self.severed_from
        if self.is_severed or is_lost:
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
        """End as on SIGTERM."""


class OraclePod:
    """The oracle behind the face of a pod."""

    def __init__(self, oracle: FaultOracle, upstream: PodUpstream) -> None:
        self.upstream = upstream
        self._oracle = oracle

    async def answer(self, call: Call, result: Result, caller: Caller) -> bool:  # noqa: ARG002 - a caller's slowness costs the oracle nothing
        """Answer as one who knows."""
        return await self._oracle.answer(call, result)

    async def background(self) -> None:
        """Do nothing."""

    async def drain(self) -> None:
        """Let everything end."""


class EnginePod:
    """The production engine and its door."""

    def __init__(self, engine: Engine, upstream: PodUpstream) -> None:
        self.upstream = upstream
        self._engine = engine
        self._admission = Admission(AdmissionSettings())

    async def answer(self, call: Call, result: Result, caller: Caller) -> bool:
        """Answer by the engine and look at the bytes as a caller would."""
        seen = Seen(route=call.route.name, started_at=loop_now(), deadline_at=call.deadline_at)
        try:
            self._admission.enter(len(call.body))
        except CallError:
            return False
        try:
            answer = await self._engine.answer(call)
            if isinstance(answer, PlainAnswer):
                read_plain(seen, answer, WireFormat.OPENAI_CHAT)
            else:
                await read_stream(seen, answer, WireFormat.OPENAI_CHAT, caller.pause_s)
        except CallError as error:
            seen.code, seen.status = error.code, error.status
            return False
        finally:
            self._admission.leave(len(call.body))
            # A refusal is no content, though it comes as a whole answer.
            result.first_at = seen.first_at if seen.status == HTTP_OK else None
            result.endpoint = seen.endpoint
        is_said = "tools" in caller.extra or bool(seen.text.strip("/ "))
        result.is_whole = seen.is_complete and is_said
        result.is_delivered = seen.code is None and seen.status == HTTP_OK
        return seen.status == BAD_REQUEST and seen.code is None

    async def background(self) -> None:
        """Run the engine's loops."""
        await self._engine.background()

    async def drain(self) -> None:
        """End as the application does, within the default grace; nobody calls any more."""
        await Drain(self._admission, _nobody, self._engine.interrupt).run(DrainSettings())


async def _nobody() -> None:
    """Say that no app is connected any more."""
