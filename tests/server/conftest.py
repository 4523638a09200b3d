"""A caller in memory, a scripted engine, and the data plane between them; the plane on a socket."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.catalogue import Catalogue
from sidecar.domain import Call, CallId, EndpointId, Route, RouteName
from sidecar.engine.admission import Admission, AdmissionSettings
from sidecar.engine.answer import CountAnswer, Disclosure, PlainAnswer, Sink, StreamAnswer
from sidecar.errors import BodyTooLargeError
from sidecar.server.data import DataPlane
from sidecar.server.front import Front, FrontSettings, Plane
from sidecar.server.guard import Guard, GuardSettings
from sidecar.server.intake import Intake

if TYPE_CHECKING:
    from sidecar.engine.passing import Passage, PassageRun

CLAUDE = EndpointId("anthropic/claude")
OPENAI_BODY = b'{"model":"reason","messages":[{"role":"user","content":"hi"}]}'
ANTHROPIC_BODY = b'{"model":"reason","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'


@dataclass
class MemoryExchange:
    """An ``Exchange`` whose caller is the test; ``sent`` is what it received."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""
    status: int | None = None
    sent_headers: dict[str, str] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)
    pushed: list[bytes] = field(default_factory=list)
    is_ended: bool = False
    is_aborted: bool = False
    is_body_read: bool = False
    may_write: asyncio.Event | None = None

    @property
    def header_lines(self) -> tuple[tuple[str, str], ...]:
        """Return the headers."""
        return tuple(self.headers.items())

    @property
    def is_started(self) -> bool:
        """Return whether an answer has begun."""
        return self.status is not None

    async def read_body(self, bytes_max: int) -> bytes:
        """Return the body if it is within the bound."""
        self.is_body_read = True
        if len(self.body) > bytes_max:
            raise BodyTooLargeError(f"the body exceeds {bytes_max} bytes")
        return self.body

    @property
    def body_bytes(self) -> int | None:
        """Return the body's length."""
        return len(self.body)

    async def read_chunk(self) -> bytes:
        """Return the whole body at once, then nothing."""
        body, self.body = self.body, b""
        return body

    async def answer(self, status: int, headers: Any, body: bytes) -> None:
        """Take a whole answer."""
        assert self.status is None, "answered twice"
        self.status, self.sent_headers, self.sent = status, dict(headers), [body]
        self.is_ended = True

    async def start_stream(self, status: int, headers: Any) -> None:
        """Take a head."""
        assert self.status is None, "answered twice"
        self.status, self.sent_headers = status, dict(headers)

    async def write(self, chunk: bytes) -> None:
        """Take a chunk, when the test lets the caller read."""
        if self.may_write is not None:
            await self.may_write.wait()
        if self.is_aborted:
            raise ConnectionResetError
        self.sent.append(chunk)

    def push(self, chunk: bytes) -> bool:
        """Take a chunk; the caller reads it when the test lets it."""
        self.pushed.append(chunk)
        has_room = self.may_write is None
        if has_room:
            self._read()
        return has_room

    async def room(self) -> None:
        """Wait until the test lets the caller read."""
        if self.may_write is not None:
            await self.may_write.wait()
        if self.is_aborted:
            raise ConnectionResetError
        self._read()

    def _read(self) -> None:
        self.sent += self.pushed
        self.pushed.clear()

    async def end_stream(self) -> None:
        """Take the proper end."""
        self.is_ended = True

    def abort(self) -> None:
        """Take the cut; who waits to write learns of it."""
        self.is_aborted = True
        if self.may_write is not None:
            self.may_write.set()

    def text(self) -> str:
        """Return what arrived, as text."""
        return b"".join(self.sent).decode()

    def json(self) -> Any:
        """Return what arrived, as JSON."""
        return json.loads(self.text())


@dataclass
class ScriptedStream:
    """A committed stream; ``reads`` counts what was pulled, ``closes`` how often it was closed."""

    chunks: list[bytes]
    disclosure: Disclosure
    at_end: Disclosure
    is_endless: bool = False
    stalls: bool = False
    error: Exception | None = None
    reads: int = 0
    closes: int = 0
    pulled: asyncio.Event = field(default_factory=asyncio.Event)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def send_to(self, sink: Sink) -> None:
        """Send the chunks of the script."""
        while chunk := await self._next():
            if not sink.push(chunk):
                await sink.room()

    async def _next(self) -> bytes:
        self.reads += 1
        self.pulled.set()
        if self.is_endless:
            return self.chunks[0]
        if self.reads <= len(self.chunks):
            return self.chunks[self.reads - 1]
        if self.stalls:
            self.stalled.set()
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.disclosure = self.at_end
        return b""

    async def aclose(self) -> None:
        """Count the closing."""
        self.closes += 1
        self.closed.set()


Script = Callable[[Call], Awaitable[PlainAnswer | StreamAnswer]]


@dataclass
class ScriptedEngine:
    """Answers every call by ``script``, or with a small whole answer."""

    script: Script | None = None
    error: Exception | None = None
    stream: ScriptedStream | None = None
    calls: list[Call] = field(default_factory=list)
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: bool = False

    async def answer(self, call: Call) -> PlainAnswer | StreamAnswer:
        """Answer as scripted."""
        self.calls.append(call)
        if self.hangs:
            await self._hang()
        if self.error is not None:
            raise self.error
        if self.stream is not None:
            return self.stream
        if self.script is not None:
            return await self.script(call)
        return PlainAnswer(status=200, body=b'{"ok":true}', disclosure=disclosure(call))

    async def count_tokens(self, call: Call) -> CountAnswer:
        """Count as scripted."""
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return CountAnswer(input_tokens=7, is_estimate=True, disclosure=disclosure(call))

    def passage(self, passage: Passage) -> PassageRun:
        """Pass nothing on: no catalogue here names a provider."""
        raise AssertionError(passage.id)

    async def _hang(self) -> None:
        self.hung.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


def disclosure(call: Call) -> Disclosure:
    """Return the facts of a usual answer."""
    return Disclosure(
        call_id=call.id,
        route=call.route.name,
        endpoint=CLAUDE,
        attempts=("anthropic/claude:OK",),
        cost_usd=0.0123,
    )


@dataclass
class World:
    """The data plane, what stands behind it, and a way to call it."""

    engine: ScriptedEngine
    admission: Admission
    plane: DataPlane

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        query: str = "",
    ) -> MemoryExchange:
        """Drive one exchange to its end; admission must be even afterwards."""
        exchange = MemoryExchange(
            method=method,
            path=path,
            query=query,
            body=body,
            headers={"host": "localhost"} | (headers or {}),
        )
        await self.plane.handle(exchange)
        assert self.admission.calls == 0, "a call is still counted after its end"
        assert self.admission.bodies_bytes == 0, "bytes are still counted after the call"
        return exchange


def make_catalogue() -> Catalogue:
    """Return one task, one model, one alias."""
    reason = Route(name=RouteName("reason"), tiers=((CLAUDE,),), within_s=60.0, budget_usd=0.5)
    claude = Route(name=RouteName("claude"), tiers=((CLAUDE,),), is_task=False)
    return Catalogue(
        endpoints={}, routes={"reason": reason, "claude": claude}, aliases={"gpt-4o": "reason"}
    )


@pytest.fixture
def catalogue() -> Catalogue:
    """What callers may name."""
    return make_catalogue()


@pytest.fixture
def make_exchange() -> type[MemoryExchange]:
    """The caller in memory, to be made by the test."""
    return MemoryExchange


@pytest.fixture
async def world() -> World:
    """The data plane in front of a scripted engine."""
    engine = ScriptedEngine()
    settings = AdmissionSettings(calls_max=50, body_bytes_max=100_000, bodies_bytes_max=1_000_000)
    admission = Admission(settings)
    intake = Intake(make_catalogue, random.Random(1))
    plane = DataPlane(engine, admission, intake, Guard(GuardSettings()))
    return World(engine, admission, plane)


@pytest.fixture
def make_stream() -> Callable[..., ScriptedStream]:
    """Return a maker of streams: chunks and switches in, a stream with both disclosures out."""

    def make(*chunks: bytes, **switches: Any) -> ScriptedStream:
        first = Disclosure(
            call_id=CallId("call_1"),
            route=RouteName("reason"),
            endpoint=CLAUDE,
            attempts=("anthropic/claude:COMMITTED",),
        )
        last = replace(first, attempts=("anthropic/claude:OK",), cost_usd=0.25)
        return ScriptedStream(list(chunks), first, last, **switches)

    return make


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    """A front with short limits, closed at the end of the test."""
    front = Front(FrontSettings(body_s=5.0, linger_s=1.0))
    yield front
    await front.close()


@pytest.fixture
async def port(front: Front, world: World) -> int:
    """The port on which the world's data plane listens."""
    plane = Plane(name="data", host="127.0.0.1", port=0, handler=world.plane.handle)
    return await front.open(plane)


@pytest.fixture
def bodies() -> dict[str, bytes]:
    """A well-formed body by path."""
    return {
        "/v1/chat/completions": OPENAI_BODY,
        "/v1/messages": ANTHROPIC_BODY,
        "/v1/messages/count_tokens": ANTHROPIC_BODY,
    }
