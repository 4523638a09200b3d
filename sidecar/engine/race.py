"""One attempt, and perhaps a hedge beside it: the first content wins.

The first attempt runs in the caller's own task; only a hedge, which one call in twenty needs, gets
a task of its own. If the hedge wins, it ends the first attempt as a timeout would: by cancelling
the task, which ``race`` takes back. An attempt never raises for a provider's fault, so nothing but
its result crosses the race. The loser is cancelled, which cuts its connection, and settled by
itself: its waiting is evidence about latency, and what it may have cost is counted. If the first to
finish failed, the other goes on, unless the first attempt found the request itself at fault: then
the hedge is given up too. Whatever ends the race from outside, a result that nobody took is given
back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.domain import Fault, OutcomeClass
from sidecar.engine.attempt import Committed, Failed
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.domain import Outcome
    from sidecar.engine.attempt import AttemptResult
    from sidecar.engine.launch import Entrant

    Consider = Callable[[], Entrant | float | None]

LOST = "another attempt of the call was faster"


@value
class Finish:
    """How a race ended: the winner's result, or the last failure; what became of the others."""

    entrant: Entrant
    result: AttemptResult
    others: tuple[tuple[Entrant, Failed], ...] = ()


async def race(first: Entrant, consider_at: float | None, consider: Consider) -> Finish:
    """Run ``first``; from ``consider_at`` on, also what ``consider`` returns: a second attempt, an
    instant at which to ask again, or None.

    Raises:
        CallError: the sidecar itself ended the attempts (drain).
    """
    if consider_at is None:
        return Finish(entrant=first, result=await first.attempt.run())
    hedge = _Hedge(first, consider)
    result = finish = None
    hedge.ask_at(consider_at)
    try:
        try:
            result = await first.attempt.run()
        except asyncio.CancelledError:
            if not hedge.took_over():
                raise
        finally:
            hedge.owner = None  # from here on the hedge's end interrupts nobody
        if hedge.task is None and result is not None:
            finish = Finish(entrant=first, result=result)
        else:
            finish = await hedge.finish(result)
    finally:
        if hedge.timer is not None:
            hedge.timer.cancel()
            hedge.timer = None
        if finish is None and result is not None:
            _discard(first, result)
        if hedge.task is not None:
            await hedge.aclose(None if finish is None else finish.entrant)
    return finish


class _Hedge:
    """The second half of a race: its timer, and from then on perhaps its task."""

    __slots__ = (
        "_cancels",
        "_consider",
        "_entrant",
        "_first",
        "_has_won",
        "owner",
        "task",
        "timer",
    )

    def __init__(self, first: Entrant, consider: Consider) -> None:
        self._first = first
        self._consider = consider
        self.owner = owner = asyncio.current_task()
        assert owner is not None, "a race without a task"
        self._cancels = owner.cancelling()
        self.timer: asyncio.TimerHandle | None = None
        self._entrant: Entrant | None = None
        self._has_won = False
        self.task: asyncio.Task[AttemptResult] | None = None

    # --- while the first attempt is alone ------------------------------------------------------

    def ask_at(self, at: float) -> None:
        """Ask at ``at`` whether to start a second attempt."""
        self.timer = asyncio.get_running_loop().call_at(at, self._ask)

    def _ask(self) -> None:
        self.timer = None
        second = self._consider()
        if isinstance(second, float):
            self.ask_at(second)
        elif second is not None:
            self._entrant = second
            self.task = asyncio.get_running_loop().create_task(second.attempt.run())
            self.task.add_done_callback(self._on_done)

    # --- while both run ------------------------------------------------------------------------

    def took_over(self) -> bool:
        """Return whether it was the hedge, and nobody else, that cancelled the first attempt; then
        that is taken back.
        """
        owner = self.owner
        return self._has_won and owner is not None and owner.uncancel() <= self._cancels

    def _on_done(self, task: asyncio.Task[AttemptResult]) -> None:
        """End the first attempt if it is still silent and the hedge is not."""
        is_answer = not task.cancelled() and (
            task.exception() is not None or not isinstance(task.result(), Failed)
        )
        if self.owner is not None and is_answer and not self._first.settlement.is_done:
            self._first.attempt.has_lost = self._first.attempt.is_outrun = True
            self._has_won = True
            self.owner.cancel()

    async def finish(self, result: AttemptResult | None) -> Finish:
        """Return the end of the race, the first attempt having come to ``result``."""
        first, second, task = self._first, self._entrant, self.task
        assert task is not None, "nobody else can have won"
        assert second is not None, "a task without an attempt"
        if result is None:
            outcome = first.settlement.outcome
            lost = () if outcome is None else ((first, Failed(outcome=outcome)),)
            return Finish(entrant=second, result=task.result(), others=lost)
        if isinstance(result, Failed) and result.error_body is None:
            await asyncio.wait([task])
            return Finish(entrant=second, result=task.result(), others=((first, result),))
        second.attempt.has_lost = True
        ended = await self._end(task, second)
        others = () if ended is None else ((second, Failed(outcome=ended)),)
        return Finish(entrant=first, result=result, others=others)

    async def _end(self, task: asyncio.Task[AttemptResult], second: Entrant) -> Outcome | None:
        """Return what became of the hedge, which nobody needs any more."""
        await _cancelled(task, second)
        if task.cancelled():
            return second.settlement.outcome
        return _discard(second, task.result())

    async def aclose(self, taken: Entrant | None) -> None:
        """Leave no task behind, and give back a result that nobody took."""
        task, second = self.task, self._entrant
        if task is None or second is None:
            return
        try:
            await _cancelled(task, second)
        finally:
            is_left = task.done() and not task.cancelled() and second is not taken
            # Asking for an exception is what marks it as seen.
            if is_left and task.exception() is None:
                _discard(second, task.result())


async def _cancelled(task: asyncio.Task[AttemptResult], entrant: Entrant) -> None:
    """End the task of ``entrant`` if it still runs; one that never ran has its ticket to return."""
    if task.done():
        return
    task.cancel()
    try:
        await asyncio.wait([task])
    finally:
        if not entrant.attempt.is_begun:
            entrant.attempt.abandon()


def _discard(entrant: Entrant, result: AttemptResult) -> Outcome:
    """Give up a result that nobody takes: a stream is cut, its outcome told."""
    if not isinstance(result, Committed):
        return result.outcome
    result.stream.response.close()
    if entrant.settlement.outcome is not None:
        return entrant.settlement.outcome
    usage = entrant.settlement.usage_of(result.stream.tally)
    return entrant.settlement.settle(Fault(cls=OutcomeClass.CANCEL, message=LOST), usage)
