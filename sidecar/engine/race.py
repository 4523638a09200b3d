"""One attempt, and perhaps a hedge beside it: the first content wins.

An attempt never raises for a provider's fault, so nothing but its result crosses the race. The
loser is cancelled, which cuts its connection, and settled by itself: its waiting is evidence about
latency, and what it may have cost is counted. If the first to finish failed, the other goes on.
Attempts are kept by number and cancelled in that order; sets would make runs differ.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Fault, OutcomeClass
from sidecar.engine.attempt import Answered, Committed, Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.domain import Outcome
    from sidecar.engine.attempt import AttemptResult
    from sidecar.engine.launch import Entrant

LOST = "another attempt of the call was faster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How a race ended: the winner's result, or the last failure; what became of the others."""

    entrant: Entrant
    result: AttemptResult
    others: tuple[tuple[Entrant, Failed], ...] = ()


async def race(
    first: Entrant, hedge_at: float | None, hedge: Callable[[], Entrant | None]
) -> Finish:
    """Run ``first``, and from ``hedge_at`` on what ``hedge`` returns too, if it returns anything.

    Raises:
        CallError: the sidecar itself ended the attempts (drain).
    """
    if hedge_at is None:
        return Finish(entrant=first, result=await first.attempt.run())
    runs = _Runs()
    try:
        runs.start(first)
        if not await runs.any_done(hedge_at):
            second = hedge()
            if second is not None:
                runs.start(second)
        return await runs.finish()
    finally:
        await runs.aclose()


class _Runs:
    """Owns the tasks of one race; ``aclose`` leaves none behind."""

    def __init__(self) -> None:
        self._entrants: list[Entrant] = []
        self._tasks: list[asyncio.Task[AttemptResult]] = []

    def start(self, entrant: Entrant) -> None:
        self._entrants.append(entrant)
        task = asyncio.get_running_loop().create_task(entrant.attempt.run())
        self._tasks.append(task)

    async def any_done(self, by: float) -> bool:
        """Wait until an attempt ends, at most until ``by``; return whether one did."""
        done, _ = await asyncio.wait(self._tasks, timeout=max(0.0, by - loop_now()))
        return bool(done)

    async def finish(self) -> Finish:
        """Wait for the first success, or the last failure."""
        while True:
            for number, task in enumerate(self._tasks):
                if task.done() and not isinstance(task.result(), Failed):
                    return await self._won(number)
            pending = [task for task in self._tasks if not task.done()]
            if not pending:
                return await self._won(len(self._tasks) - 1)
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    async def _won(self, number: int) -> Finish:
        others: list[tuple[Entrant, Failed]] = []
        for index, entrant in enumerate(self._entrants):
            if index != number:
                entrant.attempt.is_outrun = index < number
                outcome = await self._lost(index)
                if outcome is not None:
                    others.append((entrant, Failed(outcome=outcome)))
        return Finish(
            entrant=self._entrants[number],
            result=self._tasks[number].result(),
            others=tuple(others),
        )

    async def _lost(self, index: int) -> Outcome | None:
        """Return what became of an attempt that did not win; one still running is cancelled."""
        task, entrant = self._tasks[index], self._entrants[index]
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if task.cancelled():
            return entrant.settlement.outcome
        result = task.result()
        return result.outcome if isinstance(result, Failed) else _discard(entrant, result)

    async def aclose(self) -> None:
        """Cancel what still runs, in order, and wait until each has settled."""
        for task in self._tasks:
            if not task.done():
                task.cancel()
        running = [task for task in self._tasks if not task.done()]
        if running:
            await asyncio.wait(running)


def _discard(entrant: Entrant, result: Answered | Committed) -> Outcome:
    """Give up an answer that came in the same moment as the winner's."""
    if isinstance(result, Answered):
        return result.outcome
    result.stream.response.close()
    usage = result.stream.tally.usage(entrant.plan.call.facts.prompt_tokens)
    return entrant.settlement.settle(Fault(cls=OutcomeClass.CANCEL, message=LOST), usage)
