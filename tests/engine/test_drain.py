"""A drain in simulated time: who may still call, until when, and what those hear who may not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.engine.admission import Admission, AdmissionSettings
from sidecar.engine.drain import QUIET_S, Drain, DrainSettings
from sidecar.errors import DrainingError
from sidecar.simulate.loop import simulate

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sidecar.errors import CallError


class House:
    """A door, callers behind it, and the end of both. Notes when what happened."""

    def __init__(self, apps: int = 1) -> None:
        self.admission = Admission(AdmissionSettings())
        self.said: list[tuple[str, float]] = []
        self.ended: list[CallError] = []
        self.leave_on_error = True
        self._gone = asyncio.Event()
        if not apps:
            self._gone.set()
        self.drain = Drain(self.admission, self._deserted, self._interrupt)

    async def _deserted(self) -> None:
        await self._gone.wait()

    def disconnect(self) -> None:
        """Let the last app go."""
        self._gone.set()

    def _interrupt(self, error: CallError) -> None:
        self.ended.append(error)
        self.said.append(("interrupted", now()))
        while self.leave_on_error and self.admission.calls:
            self.admission.leave(10)

    def is_open(self) -> bool:
        """Say whether a call is let in, and let it out at once."""
        try:
            self.admission.enter(10)
        except DrainingError:
            return False
        self.admission.leave(10)
        return True

    async def stop(self, settings: DrainSettings, *, is_hasty: bool = False) -> float:
        """Drain; return how long it took."""
        await self.drain.run(settings, is_hasty=is_hasty)
        return now()


def run(main: Coroutine[object, object, None]) -> None:
    """Run in simulated time, which starts at 0."""
    simulate(main)


@pytest.mark.parametrize(
    ("grace_s", "refuse_s", "end_s"), [(25.0, 10.0, 20.0), (90.0, 75.0, 85.0), (10.0, 4.0, 8.0)]
)
def test_the_grace_is_divided(grace_s: float, refuse_s: float, end_s: float) -> None:
    """Fifteen seconds before its end new calls are refused, five before it open ones are ended;
    a short grace keeps the shares of the default one.
    """
    settings = DrainSettings(grace_s=grace_s)
    assert (settings.refuse_after_s, settings.end_after_s) == (refuse_s, end_s)


def test_who_is_connected_may_go_on_calling() -> None:
    """An app that was told to stop together with us finishes its work: calls are taken until it
    hangs up, though readiness says no from the start.
    """

    async def main() -> None:
        house = House()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(house.stop(DrainSettings()))
            await asyncio.sleep(7.0)
            assert house.drain.has_begun
            assert house.is_open()
            house.disconnect()
        assert not house.is_open()
        assert stopping.result() == 7.0 + QUIET_S
        assert house.ended == []

    run(main())


def test_who_never_hangs_up_is_refused_in_time() -> None:
    """A connection that is merely kept holds nobody up longer than until calls are refused."""

    async def main() -> None:
        house = House()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(house.stop(DrainSettings()))
            await asyncio.sleep(9.9)
            assert house.is_open()
        assert not house.is_open()
        assert stopping.result() == 10.0

    run(main())


def test_without_an_app_there_is_nothing_to_wait_for() -> None:
    """A native sidecar's app has ended before the signal: the end is at hand."""

    async def main() -> None:
        assert await House(apps=0).stop(DrainSettings()) == QUIET_S

    run(main())


def test_an_app_that_keeps_no_connection_is_heard() -> None:
    """Who connects for each call alone may go on as long as the calls follow each other."""

    async def main() -> None:
        house = House(apps=0)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(house.stop(DrainSettings()))
            for _ in range(10):
                await asyncio.sleep(QUIET_S * 0.9)
                assert house.is_open()
        assert not house.is_open()
        assert QUIET_S * 9 < stopping.result() <= QUIET_S * 11

    run(main())


def test_an_open_call_gets_its_time_and_then_a_reason() -> None:
    """A call that outlives the grace ends with an error, five seconds before the kill."""

    async def main() -> None:
        house = House()
        house.admission.enter(10)
        assert await house.stop(DrainSettings()) == 20.0
        assert house.said == [("interrupted", 20.0)]
        assert isinstance(house.ended[0], DrainingError)

    run(main())


def test_a_call_that_ends_in_time_is_not_interrupted() -> None:
    """What finishes within the grace hears of nothing."""

    async def main() -> None:
        house = House()
        house.admission.enter(10)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(house.stop(DrainSettings()))
            await asyncio.sleep(15.0)
            house.admission.leave(10)
        assert stopping.result() == 15.0
        assert house.ended == []

    run(main())


def test_nothing_outlives_the_grace() -> None:
    """A call that does not even take its error is left behind when the grace is over."""

    async def main() -> None:
        house = House()
        house.leave_on_error = False
        house.admission.enter(10)
        assert await house.stop(DrainSettings()) == 25.0

    run(main())


def test_haste_refuses_at_once() -> None:
    """Who asks from a terminal does not wait for apps that might call; open calls still end."""

    async def main() -> None:
        house = House()
        house.admission.enter(10)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(house.stop(DrainSettings(), is_hasty=True))
            await asyncio.sleep(1.0)
            assert not house.is_open()
            house.admission.leave(10)
        assert stopping.result() == 1.0

    run(main())
