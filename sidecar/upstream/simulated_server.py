"""A simulated provider on a real socket, as a library (``SimulatedServer``) and as a program.

``python -m sidecar.upstream.simulated_server --name a --format openai-chat --models
model=gpt-sim,itl_s=0.01`` prints one line of JSON, ``{"name": …, "port": …, "base_url": …}``,
when it is ready, and serves until SIGTERM.

Besides the provider's own paths it serves ``POST /_sim/faults`` (a JSON list that replaces all
faults; its windows count from now) and ``GET /_sim/log`` (``{"now_s", "in_flight", "entries":
[…]}``). The provider's clock counts seconds since the server started. Faults of connecting act on
the whole port, so their ``share`` is not heeded; those of DNS and TLS cannot be staged here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import signal
import sys
from typing import TYPE_CHECKING, Self, assert_never

import msgspec

from sidecar import clock
from sidecar.domain import WireFormat
from sidecar.upstream.simulated import SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_door import Door, DoorState
from sidecar.upstream.simulated_exchange import (
    Data,
    Ended,
    Eof,
    Garbage,
    Head,
    LogEntry,
    Never,
    Plan,
    Pulse,
    Reset,
    SimulatedRequest,
    Step,
    Wait,
)
from sidecar.upstream.simulated_faults import Fault, FaultKind, decode_faults
from sidecar.upstream.simulated_http import (
    AnswerWriter,
    ReceivedRequest,
    left_within,
    read_request,
    reset,
)
from sidecar.upstream.simulated_memory import KIND_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

DOOR_STATES = {
    FaultKind.REFUSE: DoorState.REFUSING,
    FaultKind.BLACKHOLE: DoorState.BLACKHOLE,
}
JSON = (("content-type", "application/json"),)


class SimulatedServer:
    """Serves one provider; ``async with SimulatedServer(provider) as server: server.base_url``.

    Owns the door, the task that moves it by the faults' windows, and every connection.
    """

    def __init__(self, provider: SimulatedProvider, host: str = "127.0.0.1", port: int = 0) -> None:
        self.provider = provider
        self._host = host
        self._port = port
        self._started_at = 0.0
        self._faults_changed = asyncio.Event()
        # writer -> whether it waits for its next request; insertion-ordered
        self._connections: dict[asyncio.StreamWriter, bool] = {}
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._stack = contextlib.AsyncExitStack()

    @property
    def port(self) -> int:
        """The port, chosen by the system if none was asked for."""
        return self._door.port

    @property
    def base_url(self) -> str:
        """Where a client of the provider's format points to."""
        suffix = "/v1" if self.provider.format is WireFormat.OPENAI_CHAT else ""
        return f"http://{self._host}:{self.port}{suffix}"

    @property
    def now_s(self) -> float:
        """Seconds since the start: the provider's clock."""
        return clock.now() - self._started_at

    async def __aenter__(self) -> Self:
        self._started_at = clock.now()
        self.provider.wall_start_s = clock.wall()
        self._door = Door(self._host, self._port, self._serve)
        self._stack.callback(self._door.close)
        await self._door.turn(self._door_state())
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        keeper = group.create_task(self._keep_door())
        self._stack.callback(keeper.cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()
        for writer in tuple(self._connections):
            writer.transport.abort()
        await self.all_gone()

    async def set_faults(self, faults: Sequence[Fault]) -> None:
        """Replace all faults, windows on the provider's clock; in force on return."""
        self.provider.faults = tuple(faults)
        self._faults_changed.set()
        await self._turn_door()

    async def all_gone(self) -> None:
        """Return when no connection is open."""
        await self._is_empty.wait()

    # --- the door --------------------------------------------------------------------------

    def _door_state(self) -> DoorState:
        for fault in self.provider.faults:
            if fault.kind in DOOR_STATES and fault.is_active(self.now_s):
                return DOOR_STATES[fault.kind]
        return DoorState.OPEN

    async def _turn_door(self) -> None:
        state = self._door_state()
        await self._door.turn(state)
        if state is not DoorState.OPEN:
            self._cut_idle()

    def _next_turn_s(self) -> float | None:
        """Return the seconds until a window of a connect fault begins or ends."""
        edges = [
            edge
            for fault in self.provider.faults
            if fault.kind in DOOR_STATES
            for edge in (fault.start_s, fault.end_s)
            if self.now_s < edge < math.inf
        ]
        return min(edges) - self.now_s if edges else None

    async def _keep_door(self) -> None:
        while True:
            self._faults_changed.clear()
            await self._turn_door()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_turn_s()):
                    await self._faults_changed.wait()

    def _cut_idle(self) -> None:
        """Reset the connections that wait for a request: their host is gone."""
        for writer, is_idle in tuple(self._connections.items()):
            if is_idle:
                reset(writer)

    # --- one connection --------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = True
        self._is_empty.clear()
        is_reused = False
        try:
            while (request := await read_request(reader)) is not None:
                self._connections[writer] = False
                if not await self._answer(request, reader, writer, is_reused=is_reused):
                    break
                if self._door.state is not DoorState.OPEN and not request.is_administrative:
                    break  # its host is gone: what was kept alive dies with it
                is_reused = True
                self._connections[writer] = not request.is_administrative
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass  # the other side left or does not speak HTTP: nobody is there to be told
        finally:
            writer.close()
            self._connections.pop(writer)
            if not self._connections:
                self._is_empty.set()

    async def _answer(
        self,
        request: ReceivedRequest,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_reused: bool,
    ) -> bool:
        """Answer one request; return whether the connection may be kept."""
        if request.is_administrative:
            await self._administer(request, AnswerWriter(writer))
            return request.keeps_alive
        plan = self.provider.plan(
            SimulatedRequest(
                path=request.path,
                headers=request.headers,
                body=request.body,
                at_s=self.now_s,
                method=request.method,
                is_reused=is_reused,
            )
        )
        ended = Ended.CANCELLED
        try:
            ended = await self._perform(plan, reader, writer)
        finally:
            self.provider.settle(plan.entry, ended, self.now_s)
        return ended is Ended.COMPLETE and request.keeps_alive

    async def _perform(
        self, plan: Plan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Ended:
        answer = AnswerWriter(writer)
        for step in plan.steps:
            ended = await self._step(step, plan.entry, answer, reader)
            if ended is Ended.RESET:
                reset(writer)
            if ended is not Ended.OPEN:
                return ended
        await answer.end()
        return Ended.COMPLETE

    async def _step(
        self,
        step: Step,
        entry: LogEntry,
        answer: AnswerWriter,
        reader: asyncio.StreamReader,
    ) -> Ended:
        """Perform one step; anything but OPEN ends the exchange."""
        match step:
            case Wait() | Never():
                seconds = step.seconds if isinstance(step, Wait) else None
                return Ended.CANCELLED if await left_within(reader, seconds) else Ended.OPEN
            case Pulse():
                while not await left_within(reader, step.seconds):
                    await answer.data(step.data)
                return Ended.CANCELLED
            case Reset() | Eof():
                return Ended.RESET if isinstance(step, Reset) else Ended.EOF
            case Garbage():
                await answer.raw(step.data)
                return Ended.EOF
            case Head():
                await answer.head(step)
            case Data():
                await answer.data(step.data)
                entry.output_tokens += step.tokens
            case _:
                assert_never(step)
        return Ended.CANCELLED if reader.at_eof() else Ended.OPEN

    async def _administer(self, request: ReceivedRequest, answer: AnswerWriter) -> None:
        status, body = 404, b'{"error": "no such path"}'
        if (request.method, request.path) == ("POST", "/_sim/faults"):
            try:
                faults = decode_faults(request.body)
            except msgspec.DecodeError as error:
                status, body = 400, msgspec.json.encode({"error": str(error)})
            else:
                await self.set_faults([fault.delayed(self.now_s) for fault in faults])
                status, body = 200, b"{}"
        elif (request.method, request.path) == ("GET", "/_sim/log"):
            said = {
                "now_s": self.now_s,
                "in_flight": self.provider.in_flight,
                "entries": self.provider.log,
            }
            status, body = 200, msgspec.json.encode(said)
        await answer.head(Head(status, (*JSON, ("content-length", str(len(body))))))
        await answer.data(body)


def parse_model(text: str) -> tuple[str, SimulatedModel]:
    """Read ``model=gpt-sim,ttft_s=0.2,itl_s=0.02``; fields not named keep their defaults.

    Raises:
        ValueError: no ``model=``, or a field that ``SimulatedModel`` does not have.
    """
    fields = dict(pair.partition("=")[::2] for pair in text.split(","))
    name = fields.pop("model", "")
    unknown = sorted(set(fields) - set(SimulatedModel.__dataclass_fields__))
    if not name or unknown:
        raise ValueError(f"expected model=NAME,field=value…: {text!r}")
    return name, msgspec.convert(fields, SimulatedModel, strict=False)


async def _run(arguments: argparse.Namespace) -> None:
    provider = SimulatedProvider(
        arguments.name,
        WireFormat(arguments.format),
        dict(arguments.models),
        seed=arguments.seed,
        api_key=arguments.key,
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with SimulatedServer(provider, arguments.host, arguments.port) as server:
        ready = {"name": provider.name, "port": server.port, "base_url": server.base_url}
        sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
        sys.stdout.flush()
        await stopped.wait()


def main(argv: Sequence[str] | None = None) -> None:
    """Serve one simulated provider until SIGTERM."""
    parser = argparse.ArgumentParser(description="A simulated LLM provider on a socket.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--format", choices=[known.value for known in KIND_NAMES], required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--key", default=None)
    parser.add_argument("--models", nargs="+", type=parse_model, required=True)
    asyncio.run(_run(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
