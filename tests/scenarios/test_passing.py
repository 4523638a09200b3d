"""Requests that are passed on: gates that refuse them, verdicts that they leave behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now as loop_now
from sidecar.core.breaker import BreakerState
from sidecar.domain import CallId, Gate, HostName, ProviderName
from sidecar.engine.passing import Passage, PassageRun
from sidecar.engine.ports import PassedRequest
from sidecar.errors import (
    BadRequestError,
    CallError,
    DeadlineExceededError,
    DrainingError,
    UnavailableError,
    UpstreamInterruptedError,
)
from sidecar.events import PassageFinished
from sidecar.simulate.evidence import requests
from sidecar.simulate.world import World, play
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ALPHA, HOST = ProviderName("alpha"), HostName("http://alpha.test:80")
BODY = b'{"model":"alpha-large","messages":[{"role":"user","content":"hi"}]}'


class _Pieces:
    """A body on its way, or one that breaks."""

    def __init__(self, *pieces: bytes, failure: CallError | None = None) -> None:
        self.failure: CallError | None = None
        self._pieces = list(pieces)
        self._breaks_with = failure

    async def read(self) -> bytes:
        """Return the next piece."""
        if self._pieces:
            return self._pieces.pop(0)
        if self._breaks_with is not None:
            self.failure = self._breaks_with
            raise self._breaks_with
        return b""


def _run(
    world: World,
    body: bytes | _Pieces | None = BODY,
    *,
    path: str = "/chat/completions",
    within_s: float = 30.0,
) -> PassageRun:
    request = PassedRequest(
        provider=ALPHA,
        method="GET" if body is None else "POST",
        path=path,
        headers=(("content-type", "application/json"), ("authorization", "Bearer caller")),
        body=body,
        needs_fresh_connection=isinstance(body, _Pieces),
    )
    now = loop_now()
    return world.engine.passage(
        Passage(id=CallId("call_p"), arrived_at=now, deadline_at=now + within_s, request=request)
    )


async def _pass(run: PassageRun) -> bytes:
    try:
        await run.open()
        answer = b""
        while chunk := await run.read():
            answer += chunk
        return answer
    finally:
        await run.aclose()


def _classes(world: World) -> list[str]:
    return [
        outcome.label()
        for event in world.recorder.events
        if isinstance(event, PassageFinished)
        for outcome in event.attempts
    ]


def _play_and_check(scenario: Callable[[World], Awaitable[object]]) -> World:
    world = play(scenario)
    for host in world.engine.health.hosts.values():
        assert not host._unsettled, "a permit was not given back"
    return world


def test_an_answer_comes_back() -> None:
    """Whatever the provider says, with its status; what happened is told once, without a model."""

    async def scenario(world: World) -> None:
        run = _run(world)
        answer = await _pass(run)
        assert (run.status, run.attempts) == (200, ("alpha:OK",))
        assert b"chat.completion" in answer
        run = _run(world, path="/nowhere?x=1")
        assert b"Unknown request URL" in await _pass(run)
        assert (run.status, run.attempts) == (404, ("alpha:GONE",))
        (event, _) = [one for one in world.recorder.events if isinstance(one, PassageFinished)]
        assert (event.provider, event.method, event.status) == (ALPHA, "POST", 200)

    _play_and_check(scenario)


def test_a_stream_is_committed_before_it_is_judged() -> None:
    """While bytes flow nothing is known yet; the verdict is that of the end."""

    async def scenario(world: World) -> None:
        run = _run(world, BODY[:-1] + b',"stream":true}')
        await run.open()
        assert run.attempts == ("alpha:COMMITTED",)
        while await run.read():
            pass
        assert run.attempts == ("alpha:OK",)
        await run.aclose()
        await run.aclose()

    world = _play_and_check(scenario)
    assert _classes(world) == ["alpha:OK"]


def test_a_dead_host_is_shut_and_opens_again() -> None:
    """Failed connects trip the host's breaker for everybody; a passage may be its trial."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.REFUSE, end_s=20.0),)
        for _ in range(5):
            with pytest.raises(UnavailableError) as caught:
                await _pass(_run(world))
            assert caught.value.attempts[0].label() == "alpha:CONNECT"
        before = len(requests(world.alpha))
        with pytest.raises(UnavailableError, match="host_open") as caught:
            await _pass(_run(world))
        assert caught.value.retry_after_s is not None
        assert caught.value.attempts == ()
        assert len(requests(world.alpha)) == before
        assert (await world.call("alone")).status == 503
        await asyncio.sleep(60.0)
        assert b"chat.completion" in await _pass(_run(world))

    world = _play_and_check(scenario)
    assert world.engine.health.hosts[HOST].state(1e6) is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("status", "error_type", "gate"),
    [
        (429, None, Gate.ACCOUNT_RATE),
        (429, "insufficient_quota", Gate.ACCOUNT_QUOTA),
        (402, None, Gate.ACCOUNT_QUOTA),
    ],
)
def test_a_refused_account_is_blocked(status: int, error_type: str | None, gate: Gate) -> None:
    """The refusal itself is passed back whole; the next request is refused here."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=status, error_type=error_type),)
        run = _run(world)
        assert b"error" in await _pass(run)
        assert run.status == status
        assert world.engine.health.accounts[ALPHA].gate(loop_now()) is gate
        with pytest.raises(UnavailableError, match=gate.value):
            await _pass(_run(world))

    _play_and_check(scenario)


@pytest.mark.parametrize(("status", "is_blocked"), [(401, True), (403, False), (400, False)])
def test_only_the_keys_own_refusal_counts(status: int, is_blocked: bool) -> None:
    """A path may be forbidden to a key that is fine: 403 blocks nothing, 401 in a row does."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=status),)
        for _ in range(5):
            try:
                await _pass(_run(world))
            except UnavailableError:
                break
        gate = world.engine.health.accounts[ALPHA].gate(loop_now())
        assert (gate is Gate.ACCOUNT_AUTH) is is_blocked

    _play_and_check(scenario)


@pytest.mark.parametrize("body", [BODY, None])
def test_a_dead_connection_is_replaced_in_silence(body: bytes | None) -> None:
    """Where the body is at hand, once, on a fresh connection."""

    async def scenario(world: World) -> None:
        path = "/models" if body is None else "/chat/completions"
        await _pass(_run(world))
        world.alpha.faults = (Fault(kind=FaultKind.STALE),)
        run = _run(world, body, path=path)
        assert await _pass(run)
        assert run.attempts == ("alpha:STALE_CONN", "alpha:OK")

    _play_and_check(scenario)


def test_a_body_on_its_way_takes_a_fresh_connection() -> None:
    """It could not be sent twice, so no kept-alive connection is trusted with it."""

    async def scenario(world: World) -> None:
        await _pass(_run(world))
        world.alpha.faults = (Fault(kind=FaultKind.STALE),)
        run = _run(world, _Pieces(BODY[:20], BODY[20:]))
        assert b"chat.completion" in await _pass(run)
        assert run.attempts == ("alpha:OK",)

    _play_and_check(scenario)


def test_nothing_is_tried_twice() -> None:
    """A broken connection is an error, and so is garbage: no second attempt."""

    async def scenario(world: World) -> None:
        for kind, cls in ((FaultKind.GARBAGE, "TRUNC"), (FaultKind.RESET_AFTER, "RESET_MID")):
            world.alpha.faults = (Fault(kind=kind),)
            before = len(requests(world.alpha, is_probe=False))
            with pytest.raises(UpstreamInterruptedError) as caught:
                await _pass(_run(world))
            assert caught.value.attempts[-1].label() == f"alpha:{cls}"
            assert len(requests(world.alpha, is_probe=False)) == before + 1

    _play_and_check(scenario)


def test_a_deadline_blames_nobody() -> None:
    """How long a foreign path may take is not known; the caller's own time is up all the same."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.HANG),)
        for _ in range(10):
            started_at = loop_now()
            with pytest.raises(DeadlineExceededError) as caught:
                await _pass(_run(world, within_s=3.0))
            assert loop_now() - started_at == pytest.approx(3.0)
            assert caught.value.attempts[0].label() == "alpha:CALLER_SHORT"
        assert world.engine.health.hosts[HOST].refusal(loop_now()) is None

    _play_and_check(scenario)


def test_a_deadline_cuts_a_stream() -> None:
    """Also an answer that has begun ends by then."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.SILENT_STREAM),)
        run = _run(world, BODY[:-1] + b',"stream":true}', within_s=12.0)
        with pytest.raises(DeadlineExceededError):
            await _pass(run)
        assert run.attempts == ("alpha:CALLER_SHORT",)

    _play_and_check(scenario)


def test_a_caller_that_leaves_is_nobodys_fault() -> None:
    """The provider's connection is cut, the permit returned."""

    async def scenario(world: World) -> None:
        run = _run(world, BODY[:-1] + b',"stream":true}')
        await run.open()
        await run.read()
        await run.aclose()
        assert world.alpha.in_flight == 0
        world.alpha.faults = (Fault(kind=FaultKind.HANG),)
        waiting = asyncio.ensure_future(_pass(_run(world)))
        await asyncio.sleep(1.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    world = _play_and_check(scenario)
    assert _classes(world) == ["alpha:CANCEL", "alpha:CANCEL"]


def test_a_body_that_breaks_is_the_callers_fault() -> None:
    """The provider is not to blame for what its caller did not send."""

    async def scenario(world: World) -> None:
        broken = _Pieces(BODY[:20], failure=BadRequestError("broken"))
        with pytest.raises(BadRequestError, match="broken"):
            await _pass(_run(world, broken))

    world = _play_and_check(scenario)
    assert _classes(world) == ["alpha:CANCEL"]


def test_a_drain_ends_it() -> None:
    """When the grace is over, waiting and reading end at once, and nobody is blamed."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.HANG),)
        waiting = asyncio.ensure_future(_pass(_run(world)))
        await asyncio.sleep(1.0)
        world.engine.interrupt(DrainingError("the grace is over"))
        with pytest.raises(DrainingError):
            await waiting

    world = _play_and_check(scenario)
    assert _classes(world) == ["alpha:LOCAL"]


def test_a_provider_that_is_taken_away_answers_who_asked_before() -> None:
    """A reload lets a request under way end where it began; who comes after it is told at once."""

    async def scenario(world: World) -> None:
        run = _run(world)
        passing = asyncio.ensure_future(_pass(run))
        await asyncio.sleep(0.1)
        left = {name: one for name, one in world.endpoints.items() if one.provider != ALPHA}
        providers = {name: one for name, one in world.catalogue.providers.items() if name != ALPHA}
        routes = {name: one for name, one in world.catalogue.routes.items() if name == "alone-beta"}
        catalogue = replace(world.catalogue, endpoints=left, providers=providers, routes=routes)
        world.engine.reload(catalogue, world.engine.parts.settings)
        assert b"alpha:0" in await passing
        with pytest.raises(UnavailableError, match="taken out"):
            _run(world)

    world = _play_and_check(scenario)
    assert _classes(world) == ["alpha:OK"]
