"""One attempt, and perhaps a hedge beside it: the first content wins.

An attempt never raises for a provider's fault, so nothing but its result crosses the race. The
loser is cancelled, which cuts its connection, and settled by itself: its waiting is evidence about
latency, and what it may have cost is counted. If the first to finish failed, the other goes on,
unless the first attempt found the request itself at fault: then the hedge is given up too.
Whatever ends the race from outside, a result that nobody took is given back. Attempts are kept by
number and cancelled in that order; sets would make runs differ.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Fault, OutcomeClass
from sidecar.engine.attempt import Committed, Failed
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.domain import Outcome
    from sidecar.engine.attempt import AttemptResult
    from sidecar.engine.launch import Entrant

LOST = "another attempt of the call was faster"


@value
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
    finish = None
    try:
        runs.start(first)
        if not await runs.any_done(hedge_at):
            second = hedge()
            if second is not None:
                runs.start(second)
        finish = await runs.finish()
    finally:
        await runs.aclose(None if finish is None else finish.entrant)
    return finish


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
        """Wait for the first success, the caller's own fault, or the last failure."""
        while True:
            for number, task in enumerate(self._tasks):
                if task.done() and _is_end(number, task.result()):
                    return await self._won(number)
            pending = [task for task in self._tasks if not task.done()]
            if not pending:
                return await self._won(len(self._tasks) - 1)
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    async def _won(self, number: int) -> Finish:
        others: list[tuple[Entrant, Failed]] = []
        for index, entrant in enumerate(self._entrants):
            if index != number:
                entrant.attempt.has_lost = True
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
        return _discard(entrant, task.result())

    async def aclose(self, taken: Entrant | None) -> None:
        """Cancel what still runs, in order, and give back every result but the one ``taken``."""
        for task in self._tasks:
            if not task.done():
                task.cancel()
        running = [task for task in self._tasks if not task.done()]
        try:
            if running:
                await asyncio.wait(running)
        finally:
            for entrant, task in zip(self._entrants, self._tasks, strict=True):
                is_left = task.done() and not task.cancelled() and entrant is not taken
                # Asking for an exception is what marks it as seen.
                if is_left and task.exception() is None:
                    _discard(entrant, task.result())


def _is_end(number: int, result: AttemptResult) -> bool:
    """Return whether there is nothing left to wait for; error bodies are of callers' faults."""
    return not isinstance(result, Failed) or (number == 0 and result.error_body is not None)


def _discard(entrant: Entrant, result: AttemptResult) -> Outcome:
    """Give up a result that nobody takes: a stream is cut, its outcome told."""
    if not isinstance(result, Committed):
        return result.outcome
    result.stream.response.close()
    if entrant.settlement.outcome is not None:
        return entrant.settlement.outcome
    usage = result.stream.tally.usage(entrant.plan.call.facts.prompt_tokens)
    return entrant.settlement.settle(Fault(cls=OutcomeClass.CANCEL, message=LOST), usage)
