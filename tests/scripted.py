"""The whole sidecar in memory, in front of providers that answer with given bytes.

A request's bytes go in at the data plane, the provider's recorded or hand-made bytes come in behind
the engine's port, and what the caller would have received comes out. Everything between is the
production code, on the clock of the simulated loop.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sidecar.catalogue import Catalogue, Reach
from sidecar.domain import (
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    ProviderName,
    Route,
    RouteName,
    WireFormat,
)
from sidecar.engine.admission import Admission, AdmissionSettings
from sidecar.engine.engine import Engine
from sidecar.engine.settings import EngineSettings
from sidecar.server.data import DataPlane
from sidecar.server.guard import Guard, GuardSettings
from sidecar.server.intake import Intake
from sidecar.simulate.loop import simulate, throttle_on_loop_time
from sidecar.simulate.world import Recorder
from sidecar.upstream.classify import classify
from sidecar.upstream.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.domain import Fault
    from sidecar.engine.ports import OutboundRequest, PassedRequest, RateLimit

PATH_OF = {
    WireFormat.OPENAI_CHAT: "/v1/chat/completions",
    WireFormat.OPENAI_RESPONSES: "/v1/responses",
    WireFormat.ANTHROPIC_MESSAGES: "/v1/messages",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a provider says: ``chunks`` as they come off the connection."""

    chunks: tuple[bytes, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Caller:
    """An ``Exchange`` whose caller keeps what it received."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""
    method: str = "POST"
    status: int = 0
    sent_headers: dict[str, str] = field(default_factory=dict)
    received: bytes = b""
    is_whole: bool = False

    @property
    def header_lines(self) -> tuple[tuple[str, str], ...]:
        """Return the headers."""
        return tuple(self.headers.items())

    @property
    def is_started(self) -> bool:
        """Return whether an answer has begun."""
        return self.status > 0

    @property
    def body_bytes(self) -> int | None:
        """Return the body's length."""
        return len(self.body)

    async def read_chunk(self) -> bytes:
        """Return the whole body at once, then nothing."""
        body, self.body = self.body, b""
        return body

    async def read_body(self, bytes_max: int) -> bytes:
        """Return the request's body."""
        assert len(self.body) <= bytes_max
        return self.body

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Take a whole answer."""
        self.status, self.sent_headers, self.received = status, dict(headers), body
        self.is_whole = True

    async def start_stream(self, status: int, headers: Mapping[str, str]) -> None:
        """Take a head."""
        self.status, self.sent_headers = status, dict(headers)

    async def write(self, chunk: bytes) -> None:
        """Take a chunk."""
        self.received += chunk

    def push(self, chunk: bytes) -> bool:
        """Take a chunk."""
        self.received += chunk
        return True

    async def room(self) -> None:
        """Have room."""

    async def end_stream(self) -> None:
        """Take the proper end."""
        self.is_whole = True

    def abort(self) -> None:
        """Take the cut, which no test here expects."""
        raise AssertionError("the answer was cut")


class _Response:
    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._left = list(answer.chunks)
        self._wake: Callable[[], None] | None = None

    async def read(self) -> bytes:
        return self.take()

    def take(self) -> bytes:
        data = self._left.pop(0) if self._left else b""
        if data and self._wake is not None:
            asyncio.get_running_loop().call_soon(self._wake)
        return data

    def watch(self, wake: Callable[[], None] | None) -> None:
        self._wake = wake

    def close(self) -> None:
        self._left = []


class ScriptedUpstream:
    """``engine.ports.Upstream`` that gives each endpoint's answer; keeps what was asked."""

    def __init__(self, answers: Mapping[EndpointId, Answer], kind: str) -> None:
        self._answers = answers
        self._kind = KINDS[kind]
        self.asked: list[OutboundRequest] = []
        self.passed: list[PassedRequest] = []

    async def open(self, request: OutboundRequest, *, connect_s: float) -> _Response:
        """Answer at once."""
        self.asked.append(request)
        return _Response(self._answers[request.endpoint])

    async def pass_on(self, request: PassedRequest, *, connect_s: float) -> _Response:
        """Answer what is passed on, at once."""
        self.passed.append(request)
        return _Response(next(iter(self._answers.values())))

    def classify_passed(
        self, provider: ProviderName, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """As ``classify``."""
        return classify(self._kind, status, headers, body, 0.0)

    def classify(
        self, endpoint: EndpointId, status: int, headers: Mapping[str, str], body: bytes
    ) -> Fault:
        """Say what a failed answer means."""
        return classify(self._kind, status, headers, body, 0.0)

    def rate_limits(self, headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
        """Say nothing of limits."""
        return ()

    def free_probe_path(self, endpoint: EndpointId) -> str | None:
        """Offer no probe."""
        return None

    def credential_version(self, provider: ProviderName) -> int:
        """Never change a key."""
        return 0


def endpoint(name: str, wire_format: WireFormat, *, model: str | None = None) -> Endpoint:
    """Return an endpoint at a provider of its own; ``model`` is the provider's name for it."""
    return Endpoint(
        id=EndpointId(f"{name}/m"),
        provider=ProviderName(name),
        model=ModelName("m"),
        upstream_model=model or "m",
        format=wire_format,
        host=HostName(f"https://{name}.test:443"),
    )


class Sidecar:
    """One engine and its data plane; ``route`` names what callers ask for, tiers in order."""

    def __init__(
        self,
        answers: Mapping[Endpoint, Answer] | list[tuple[Endpoint, Answer]],
        *,
        route: Route | None = None,
        route_name: str = "r",
        kind: str = "openai",
    ) -> None:
        pairs = list(answers.items()) if not isinstance(answers, list) else answers
        tiers = tuple((one.id,) for one, _ in pairs)
        name = RouteName(route_name)
        base = route or Route(name=name, tiers=tiers)
        catalogue = Catalogue(
            endpoints={one.id: one for one, _ in pairs},
            routes={name: replace(base, name=name, tiers=tiers)},
            providers={one.provider: Reach(host=one.host) for one, _ in pairs},
        )
        self.upstream = ScriptedUpstream({one.id: answer for one, answer in pairs}, kind)
        self.recorder = Recorder()
        self.engine = Engine(
            catalogue=catalogue,
            settings=EngineSettings(),
            upstream=self.upstream,
            observer=self.recorder,
            rng=random.Random(1),
        )
        intake = Intake(lambda: catalogue, random.Random(2))
        admission = Admission(AdmissionSettings())
        self._plane = DataPlane(self.engine, admission, intake, Guard(GuardSettings()))

    def ask(self, caller: Caller) -> Caller:
        """Make one call, in simulated time; the host is one that the guard knows."""
        caller.headers.setdefault("host", "127.0.0.1:4180")

        async def main() -> None:
            await self._plane.handle(caller)

        with throttle_on_loop_time():
            simulate(main())
        return caller
