"""A caller that hangs up at any moment leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.domain import Constraints, OnBreak, RouteName
from sidecar.engine.answer import PlainAnswer
from sidecar.events import AttemptFinished, CallFinished
from sidecar.simulate.evidence import changes
from sidecar.simulate.loop import simulate
from sidecar.simulate.world import ALPHA, BETA, World
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from sidecar.domain import Call

AWAITS_MAX = 500


class LeavingCaller:
    """Awaits a coroutine and cancels its own task at one of its awaits.

    Either while it waits there, or in the instant in which what it waited for is ready: then the
    result is lost, which is where leaks come from. ``has_left`` is False if it was over before.
    """

    def __init__(
        self, calling: Coroutine[object, object, None], *, at: int, is_woken: bool
    ) -> None:
        self._calling = calling
        self._at = at
        self._is_woken = is_woken
        self.has_left = False

    def __await__(self) -> Generator[object, object, None]:
        inner = self._calling.__await__()
        error: BaseException | None = None
        awaits = 0
        while True:
            try:
                waited_for = next(inner) if error is None else inner.throw(error)
            except StopIteration:
                return
            error = None
            if awaits == self._at:
                self._leave(waited_for)
            awaits += 1
            try:
                yield waited_for
            except BaseException as thrown:  # noqa: BLE001 - passed on, whatever it is
                error = thrown

    def _leave(self, waited_for: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.has_left = True
        if self._is_woken and isinstance(waited_for, asyncio.Future):
            # Before the task's own callback: it finds itself cancelled when it wakes.
            waited_for.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)


class _Hesitant:
    """A ``Sink`` that has to be waited for after every chunk but the last."""

    def push(self, chunk: bytes) -> bool:
        assert chunk
        return b"[DONE]" in chunk or b'"error"' in chunk

    async def room(self) -> None:
        await asyncio.sleep(0)


async def _answer(world: World, call: Call) -> None:
    answer = await world.engine.answer(call)
    if isinstance(answer, PlainAnswer):
        return
    try:
        await answer.send_to(_Hesitant())
    finally:
        await answer.aclose()


@pytest.mark.parametrize("is_woken", [False, True], ids=["waiting", "waking"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "faults",
    [(), (Fault(kind=FaultKind.STATUS, status=500),), (Fault(kind=FaultKind.BLACKHOLE),)],
    ids=["healthy", "failing-over", "blackhole"],
)
def test_leaving_at_any_await_leaks_nothing(
    faults: tuple[Fault, ...], is_stream: bool, is_woken: bool
) -> None:
    """Wherever a caller leaves: no ticket, timer or open answer is left, and no one is blamed."""

    async def main() -> int:
        for at in range(AWAITS_MAX):
            world = World()
            world.alpha.faults = faults
            call = world.make_call("strong", is_stream=is_stream)
            caller = LeavingCaller(_answer(world, call), at=at, is_woken=is_woken)
            task = asyncio.get_running_loop().create_task(_run(caller))
            await asyncio.wait([task])
            world.check_invariants()
            assert _results(world) == (["cancelled"] if task.cancelled() else ["ok"]), f"await {at}"
            assert _blamed(world) <= {"OK", "CANCEL", "S5", "CONNECT"}
            assert changes(world, ALPHA) == changes(world, BETA) == []
            if not caller.has_left:
                return at
        pytest.fail("the call never ended")

    awaits = simulate(main())

    # One wait for the head and one for each token of a stream; a failed attempt may add its own.
    assert awaits >= (20 if is_stream else 1)


def _results(world: World) -> list[str]:
    return [event.result for event in world.recorder.events if isinstance(event, CallFinished)]


def _blamed(world: World) -> set[str]:
    return {
        event.outcome.cls.value
        for event in world.recorder.events
        if isinstance(event, AttemptFinished)
    }


async def _run(caller: LeavingCaller) -> None:
    await caller


MODES = pytest.mark.parametrize(
    ("is_stream", "on_break"), [(False, OnBreak.ERROR), *((True, mode) for mode in OnBreak)]
)
RACES = pytest.mark.parametrize(
    "faults",
    [
        ((Fault(kind=FaultKind.HANG),), ()),
        ((Fault(kind=FaultKind.SLOW_FIRST, factor=6.0),), (Fault(kind=FaultKind.HANG),)),
        ((Fault(kind=FaultKind.SLOW_FIRST, factor=7.0),), ()),
        ((Fault(kind=FaultKind.STATUS, delay_s=2.0),), (Fault(kind=FaultKind.STATUS),)),
    ],
    ids=["hedge-wins", "first-wins", "close", "both-fail"],
)


@pytest.mark.parametrize("is_woken", [False, True], ids=["waiting", "waking"])
@MODES
@RACES
def test_leaving_a_race_at_any_await_leaks_nothing(
    faults: tuple[tuple[Fault, ...], tuple[Fault, ...]],
    is_stream: bool,
    on_break: OnBreak,
    is_woken: bool,
) -> None:
    """Wherever a caller leaves a race of two attempts: both are settled, neither is left open."""

    async def main() -> int:
        for at in range(AWAITS_MAX):
            world = World()
            _know(world)
            world.alpha.faults, world.beta.faults = faults
            wishes = Constraints(on_break=on_break)
            call = world.make_call("reason", is_stream=is_stream, constraints=wishes)
            caller = LeavingCaller(_answer(world, call), at=at, is_woken=is_woken)
            task = asyncio.get_running_loop().create_task(_run(caller))
            await asyncio.wait([task])
            world.check_invariants()
            assert asyncio.all_tasks() == {asyncio.current_task()}, f"await {at}: a task is left"
            assert _results(world)[0] in {"cancelled", "ok", "degraded"}, f"await {at}"
            assert task.cancelled() == (_results(world) == ["cancelled"]), f"await {at}"
            if not caller.has_left:
                assert len(world.alpha.log) == len(world.beta.log) == 1, "no race took place"
                return at
        pytest.fail("the call never ended")

    assert simulate(main()) >= 1


@MODES
@RACES
def test_leaving_a_race_at_any_instant_leaks_nothing(
    faults: tuple[tuple[Fault, ...], tuple[Fault, ...]], is_stream: bool, on_break: OnBreak
) -> None:
    """As above, while either of them, both or neither of them waits: every tenth of a second."""

    async def main() -> int:
        raced = 0
        for tenths in range(100):
            world = World()
            _know(world)
            world.alpha.faults, world.beta.faults = faults
            wishes = Constraints(on_break=on_break)
            call = world.make_call("reason", is_stream=is_stream, constraints=wishes)
            loop = asyncio.get_running_loop()
            task = loop.create_task(_answer(world, call))
            loop.call_later(tenths / 10, task.cancel)
            await asyncio.wait([task])
            raced += len(world.alpha.log) + len(world.beta.log) == 2
            world.check_invariants()
            assert asyncio.all_tasks() == {asyncio.current_task()}, f"after {tenths}: a task left"
            assert task.cancelled() == (_results(world) == ["cancelled"]), f"after {tenths}"
            if not task.cancelled():
                break
        return raced

    assert simulate(main()) > 1, "no race took place"


def _know(world: World) -> None:
    """Let alpha and beta be known, as after some traffic: only then is hedged."""
    for _ in range(10):
        world.engine.output_model(RouteName("reason")).observe(20, now())
    for name in (ALPHA, BETA):
        for _ in range(10):
            world.engine.health.endpoints[name].latency.observe_first_content(10, 0.4, now())
