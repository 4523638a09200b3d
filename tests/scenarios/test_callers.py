"""Rows 32 to 34, 41 and 43 of the fault catalogue: what callers do, and providers are not to
answer for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.core.spend import SpendSettings
from sidecar.domain import Constraints, Route, RouteName, WireFormat
from sidecar.engine.relay import Relay
from sidecar.engine.settings import EngineSettings
from sidecar.simulate.evidence import (
    answered_by,
    changes,
    opened_at,
    outcomes,
    probes,
    requests,
    started,
)
from sidecar.simulate.world import ALPHA, BETA, GAMMA, LARGE, World, play
from sidecar.upstream.simulated import Ended, Fault, FaultKind, SimulatedModel

if TYPE_CHECKING:
    from sidecar.upstream.simulated_exchange import LogEntry

ALPHA_HOST = "http://alpha.test:80"
CALLERS = (WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES)
SLOW = SimulatedModel(
    ttft_s=3.0, ttft_sigma=0.1, itl_s=0.02, output_tokens=20, input_usd=3.0, output_usd=15.0
)
UNPROBED = EngineSettings(spend=SpendSettings(daily_usd=0.0))
"""Without money for probes the callers themselves are the trials."""


# --- row 32 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_row_32_hasty_callers_of_a_slow_model(is_stream: bool) -> None:
    """Row 32: forty calls with a second for a model of three: each is refused in time, and not one
    breaker moves: those who wait are served as ever.
    """
    hasty = Constraints(within_s=1.0)

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = SLOW
        async with asyncio.TaskGroup() as group:
            group.create_task(world.load(60, rate_per_s=0.5, route="alone", is_even=True))
            for _ in range(40):
                group.create_task(world.call("alone", is_stream=is_stream, constraints=hasty))
                await asyncio.sleep(1.0)

    world = play(scenario)

    impatient = [one for one in world.seen if one.deadline_at - one.started_at < 2.0]
    patient = [one for one in world.seen if one.deadline_at - one.started_at > 2.0]
    assert len(impatient) == 40
    # Who is first gets to try; once it is known that three seconds are needed, 422 says so.
    assert {one.status for one in impatient} <= {504, 422}
    assert all(one.took_s <= 1.05 for one in impatient)
    assert all(one.is_good for one in patient)
    assert changes(world, ALPHA) == changes(world, ALPHA_HOST) == []
    assert {one.cls.value for one in outcomes(world, ALPHA)} <= {"OK", "CALLER_SHORT"}
    assert probes(world, ALPHA, kind="paid") == [], "haste raises no suspicion"


def test_row_32_hasty_callers_get_the_faster_model() -> None:
    """Row 32: where a faster model follows, a second is enough: the ladder answers, marked."""
    routes = (Route(name=RouteName("chain"), tiers=((ALPHA,), (GAMMA,)), within_s=30.0),)

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = SLOW
        await world.load(20, rate_per_s=1.0, route="chain", is_even=True)
        for _ in range(20):
            await world.call("chain", constraints=Constraints(within_s=1.0))

    world = play(scenario, routes=routes)

    hasty = world.seen[-20:]
    assert all(one.is_good and one.endpoint == GAMMA for one in hasty)
    assert all(one.degraded is not None and one.degraded.startswith("L3;") for one in hasty)
    assert changes(world, ALPHA) == []


# --- row 33 ------------------------------------------------------------------------------------


def _goodbyes(world: World) -> list[float]:
    """Return when each cut exchange with alpha ended."""
    return [
        entry.ended_at_s
        for entry in world.alpha.log
        if entry.ended is Ended.CANCELLED and entry.ended_at_s is not None
    ]


def test_row_33_callers_that_leave_after_a_long_silence() -> None:
    """Row 33: callers that give up after 70 s of silence: the silence is the provider's failure,
    and what still runs is cut within 50 ms.
    """
    left_at: list[float] = []

    async def leave(world: World) -> None:
        patient = Constraints(within_s=300.0)
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(world.call("alone", constraints=patient))
            await asyncio.sleep(70.0)
            calling.cancel()
            left_at.append(now())

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.HANG),)
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(leave(world))
                await asyncio.sleep(1.0)

    world = play(scenario)

    blamed = [one for one in outcomes(world, ALPHA) if one.cls.value == "HANG"]
    assert len(blamed) >= 6, "each silence is credited"
    assert opened_at(world, ALPHA) < left_at[0], "before the first of them gave up"
    assert max(_goodbyes(world)) <= left_at[-1] + 0.05
    assert all(entry.ended is not Ended.OPEN for entry in world.alpha.log)


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("after_s", [0.2, 0.6])
def test_row_33_callers_that_leave_early_blame_nobody(after_s: float, is_stream: bool) -> None:
    """Row 33: who leaves before the answer is due has seen no failure; upstream is cut at once."""
    left_at: list[float] = []

    async def scenario(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                calling = group.create_task(world.call("alone", is_stream=is_stream))
                await asyncio.sleep(after_s)
                calling.cancel()
                left_at.append(now())

    world = play(scenario)

    assert {one.cls.value for one in outcomes(world, ALPHA)} <= {"CANCEL", "OK"}
    assert changes(world, ALPHA) == []
    goodbyes = _goodbyes(world)
    assert len(goodbyes) >= 10
    # Somebody left within 50 ms before each connection was cut.
    assert all(any(0.0 <= at - left <= 0.05 for left in left_at) for at in goodbyes)


# --- row 34 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", CALLERS)
def test_row_34_caller_whose_every_request_is_wrong(
    format: WireFormat,  # noqa: A002 - the word of the domain
) -> None:
    """Row 34: a caller's own mistake comes back to it as it is: no failover, no trip, no cost."""
    refusal = Fault(
        kind=FaultKind.STATUS,
        status=400,
        error_type="invalid_request_error",
        message="temperature: must be a number",
    )

    async def scenario(world: World) -> None:
        for provider in world.providers.values():
            provider.faults = (refusal,)
        for _ in range(60):
            await world.call("reason", format=format)
            await asyncio.sleep(1.0)
        for provider in world.providers.values():
            provider.faults = ()
        await world.load(10, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    wrong, right = world.seen[:60], world.seen[60:]
    assert all(one.status == 400 and one.attempts == (f"{ALPHA}:CALLER",) for one in wrong)
    assert all(b"must be a number" in one.raw for one in wrong), "in the provider's own words"
    assert requests(world.beta, is_probe=False) == requests(world.gamma, is_probe=False) == []
    assert sum(entry.cost_usd for entry in world.beta.log + world.gamma.log) == 0.0
    assert changes(world, ALPHA) == changes(world, ALPHA_HOST) == []
    assert answered_by(right) == {ALPHA: len(right)}, "others are served there as ever"
    assert max(one.took_s for one in wrong) < 0.1


# --- row 41 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.5])
def test_row_41_trial_whose_caller_leaves(after_s: float) -> None:
    """Row 41: a trial that its caller cancels, even before it is sent, gives its lease back: the
    next caller is the next trial, and two successes close the breaker.
    """

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, end_s=12.0),)
        await world.load(12, rate_per_s=1.0, route="alone", is_even=True)
        reopens_at = changes(world, ALPHA, to="open")[-1].reopens_at
        assert reopens_at is not None
        await asyncio.sleep(max(0.0, reopens_at - now()))
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                trial = group.create_task(world.call("alone", is_stream=True))
                await asyncio.sleep(after_s)
                trial.cancel()
        for _ in range(4):
            await world.call("alone")

    world = play(scenario, settings=UNPROBED)

    after = world.seen[-4:]
    assert all(one.is_good and one.attempts == (f"{ALPHA}:OK",) for one in after)
    assert changes(world, ALPHA, to="closed"), "the trials were made"
    assert changes(world, ALPHA)[-1].new == "closed"


def test_row_41_trial_that_never_ends() -> None:
    """Row 41: while a trial hangs nobody else is a trial; after it the next one is."""
    second_at = 12.0

    async def scenario(world: World) -> None:
        world.alpha.faults = (
            Fault(kind=FaultKind.STATUS, status=500, end_s=second_at),
            Fault(kind=FaultKind.HANG, start_s=second_at, end_s=second_at + 20.0),
        )
        await world.load(100, rate_per_s=1.0, route="strong", is_even=True)

    world = play(scenario, settings=UNPROBED)

    assert all(one.is_good for one in world.seen)
    hung = requests(world.alpha, second_at, second_at + 20.0)
    for one in hung:
        assert one.ended_at_s is not None
        beside = [other for other in hung if one.at_s < other.at_s < one.ended_at_s]
        assert beside == [], "one trial at a time"
    assert changes(world, ALPHA)[-1].new == "closed", "it is never stuck"
    late = started(world.seen, 90.0)
    assert answered_by(late)[ALPHA] > 0


# --- row 43 ------------------------------------------------------------------------------------


class _SlowCaller:
    """A ``Sink`` that takes its time after each chunk; ``ahead``: tokens that were read in that."""

    def __init__(self, pause_s: float, entry: LogEntry | None = None) -> None:
        self._pause_s = pause_s
        self._entry = entry
        self.raw = bytearray()
        self.ahead: list[int] = []

    def push(self, chunk: bytes) -> bool:
        self.raw += chunk
        return False

    async def room(self) -> None:
        taken = self._read_so_far()
        await asyncio.sleep(self._pause_s)
        self.ahead.append(self._read_so_far() - taken)

    def _read_so_far(self) -> int:
        return 0 if self._entry is None else self._entry.output_tokens


@pytest.mark.parametrize("route", ["alone", "alone-beta"])
@pytest.mark.parametrize("pause_s", [3.0, 45.0])
def test_row_43_caller_that_reads_slowly(route: str, pause_s: float) -> None:
    """Row 43: while a caller takes its time its provider is not read: nothing piles up, and the
    time is not held against the provider, though it exceeds the stall limit.
    """
    name = ALPHA if route == "alone" else BETA
    callers: list[_SlowCaller] = []

    async def read(world: World) -> None:
        call = world.make_call(route, is_stream=True, constraints=Constraints(within_s=3600.0))
        answer = await world.engine.answer(call)
        assert isinstance(answer, Relay)
        provider = world.alpha if name == ALPHA else world.beta
        sink = _SlowCaller(pause_s, provider.log[-1])
        callers.append(sink)
        try:
            await answer.send_to(sink)
        finally:
            await answer.aclose()

    async def scenario(world: World) -> None:
        await world.load(20, rate_per_s=1.0, route=route, is_even=True)
        await read(world)

    world = play(scenario)

    (caller,) = callers
    assert bytes(caller.raw).rstrip().endswith(b"[DONE]")
    assert max(caller.ahead) == 0, "nothing was read while the caller was busy"
    assert len(caller.ahead) > LARGE.output_tokens
    assert {one.cls.value for one in outcomes(world, name)} == {"OK"}
    assert changes(world, name) == []


def test_row_43_pause_of_the_caller_is_no_stall_of_a_slow_provider() -> None:
    """Row 43: a word 12 s after the last, of which 8 s are the caller's, is no stall of 10 s."""

    async def scenario(world: World) -> None:
        await world.load(20, rate_per_s=1.0, route="alone", is_even=True)
        world.alpha.faults = (Fault(kind=FaultKind.DRIP, factor=12.0 / LARGE.itl_s),)
        call = world.make_call("alone", is_stream=True, constraints=Constraints(within_s=3600.0))
        answer = await world.engine.answer(call)
        assert isinstance(answer, Relay)
        try:
            await answer.send_to(_SlowCaller(8.0))
        finally:
            await answer.aclose()

    world = play(scenario)

    assert outcomes(world, ALPHA)[-1].cls.value == "OK"


def test_row_43_slow_readers_spoil_no_estimate() -> None:
    """Row 43: slow readers do not make the endpoint look slow to those who read at once."""

    async def drawl(world: World) -> None:
        call = world.make_call("pair", is_stream=True, constraints=Constraints(within_s=3600.0))
        answer = await world.engine.answer(call)
        assert isinstance(answer, Relay)
        try:
            await answer.send_to(_SlowCaller(2.0))
        finally:
            await answer.aclose()

    async def scenario(world: World) -> None:
        await world.warm_up()
        for _ in range(5):
            await drawl(world)
        await world.load(20, rate_per_s=1.0, route="pair", is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    for name in (ALPHA, BETA):
        latency = world.engine.health.endpoints[name].latency
        assert latency.itl_s(0.0) == pytest.approx(LARGE.itl_s, rel=1.0), "the model's own pace"
        assert latency.stall_s(0.0) == 10.0
