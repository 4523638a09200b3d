"""The ledger: takes note of every call, attempt and probe, sums them up, and saves them.

On the path of a call stands one append to a bounded buffer. Once a second, or after so many events
that it takes a fraction of a millisecond, the loop empties the buffer into the sums and the memory.
With a file, batches go to a thread of their own once a second: a process that is killed loses no
more than that. A disk that is full, missing or slow costs records at worst, never a call: what
cannot be saved waits, bounded, and the oldest of it is dropped and counted. The sums are not
dropped with the records; they are added when the disk is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.domain import ProviderName, RouteName
from sidecar.ledger.memory import Memory
from sidecar.ledger.records import KEPT
from sidecar.ledger.sums import DAY_S, OTHER, Sums, count, merge

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor
    from typing import TypeVar

    from sidecar.events import Event
    from sidecar.ledger.delivered import Delivered
    from sidecar.ledger.learner import Learner
    from sidecar.ledger.records import (
        CallQuery,
        CallRecord,
        EvidenceRow,
        Kept,
        Remembered,
        ScoreGiven,
    )
    from sidecar.ledger.settings import LedgerSettings
    from sidecar.ledger.store import Store
    from sidecar.ledger.sums import Key

    T = TypeVar("T")

log = logging.getLogger("sidecar")

BUFFER_MAX = 20_000
COUNT_AT = 128
"""Events after which the buffer is emptied early: at 2 us each the loop is held for 0.3 ms."""
UNSAVED_MAX = 20_000
"""Events that wait for a disk: some ten MiB."""
SAVE_S = 1.0
RETRY_S = 5.0
GOODBYE_S = 2.0
"""How long the last batch may take; a disk that hangs must not hold up the end of the pod."""
SERIES_MAX = 2000
"""Pairs of route and endpoint that are summed apart; more come only of reloads without end."""


class Ledger:
    """Owns the buffer, the sums and what waits to be saved. An ``Observer``.

    ``totals`` are the sums since the process began by route and endpoint; ``days`` those of each
    day, with what the file held.
    """

    def __init__(self, settings: LedgerSettings) -> None:
        self.totals: dict[tuple[str, str], Sums] = {}
        self.days: dict[Key, Sums] = {}
        self.lost = 0
        self.problem: str | None = None
        self.settings = settings
        self._buffer: deque[Kept] = deque(maxlen=BUFFER_MAX)
        self._memory = Memory(settings.memory_calls)
        self._unsaved: deque[tuple[float, Kept]] = deque()
        self._unsaved_sums: dict[Key, Sums] = {}
        self._store: Store | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._saving = asyncio.Lock()
        self._is_loaded = False
        self.learner: Learner | None = None
        self._unsaved_evidence: dict[tuple[str, str, str], EvidenceRow] = {}
        self._today: int | None = None
        self._enough = asyncio.Event()
        self._closing = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    # --- taking note ---------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take note of a call, an attempt or a probe; everything else is no matter of accounts."""
        if event.__class__ in KEPT:
            buffer = self._buffer
            waiting = len(buffer)
            buffer.append(event)  # type: ignore[arg-type]  # its class is one of those kept
            if waiting >= COUNT_AT:
                self._enough.set()
                self.lost += waiting == BUFFER_MAX

    def note(self, given: ScoreGiven) -> None:
        """Take note of a score, in the file too."""
        self._buffer.append(given)

    def absorb(self, now: float, wall: float) -> None:
        """Count and remember what came, at ``now`` on the loop's clock, ``wall`` on the wall's."""
        offset_s, buffer, keep = wall - now, self._buffer, self._memory.keep
        fresh: dict[Key, Sums] = {}
        has_file, learner = self.settings.path is not None, self.learner
        while buffer:
            event = buffer.popleft()
            if learner is not None:
                learner.hear(event)
            count(fresh, event, offset_s)
            keep(event, offset_s)
            if has_file:
                self._unsaved.append((offset_s, event))
        if learner is not None:
            learner.settle(now)
        if fresh:
            self._add(fresh, int(wall // DAY_S))
        self._bound()

    def _add(self, fresh: dict[Key, Sums], today: int) -> None:
        known = self.totals
        bounded: dict[Key, Sums] = {}
        for (day, *pair), sums in fresh.items():
            route, endpoint = pair
            if (route, endpoint) not in known and len(known) >= SERIES_MAX:
                route = endpoint = OTHER
            merge(bounded, {(day, route, endpoint): sums})
            known.setdefault((route, endpoint), Sums()).add(sums)
        merge(self.days, bounded)
        if self.settings.path is not None:
            merge(self._unsaved_sums, bounded)
        if today != self._today:
            self._today, first = today, today - self.settings.keep_days
            self.days = {key: sums for key, sums in self.days.items() if key[0] >= first}

    def _bound(self) -> None:
        """Drop the oldest of what waits too long for the disk."""
        over = len(self._unsaved) - UNSAVED_MAX
        for _ in range(over):
            self._unsaved.popleft()
        self.lost += max(0, over)

    # --- asking --------------------------------------------------------------------------------

    async def calls(self, query: CallQuery) -> list[CallRecord]:
        """Return the calls that ``query`` asks for, newest first: from the file, from memory while
        it cannot be used.
        """
        self.catch_up()
        if self.settings.path is not None and self.problem is None:
            await self.save()
            found = await self._tried(lambda store: store.calls(query))
            if found is not None:
                return found
        return self._memory.calls(query)

    async def delivered(self, since_at: float) -> dict[tuple[str, str], Delivered]:
        """Return what models delivered on routes since then, by route and endpoint."""
        self.catch_up()
        if self.settings.path is not None and self.problem is None:
            await self.save()
            found = await self._tried(lambda store: store.delivered(since_at))
            if found is not None:
                return found
        return self._memory.delivered(since_at)

    async def remembered(self, call_id: str) -> Remembered | None:
        """Return the call of this id: one of the last, or one in the file; None: there is none."""
        self.catch_up()
        found = self._memory.remembered(call_id)
        if found is not None or self.settings.path is None or self.problem is not None:
            return found
        await self.save()
        return await self._tried(lambda store: store.remembered(call_id))

    def spent_on(self, day: int) -> tuple[dict[ProviderName, float], dict[RouteName, float]]:
        """Return what was spent on ``day`` (since the epoch), by provider and by route."""
        self.catch_up()
        by_provider: dict[ProviderName, float] = {}
        by_route: dict[RouteName, float] = {}
        for (of, route, endpoint), sums in self.days.items():
            if of == day:
                provider, name = ProviderName(endpoint.partition("/")[0]), RouteName(route)
                by_provider[provider] = by_provider.get(provider, 0.0) + sums.cost_usd
                by_route[name] = by_route.get(name, 0.0) + sums.cost_usd
        return by_provider, by_route

    async def load(self) -> bool:
        """Read the sums of earlier processes before anything else, for a moment at most; return
        whether all that there are is known.
        """
        if self.settings.path is None:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S), self._saving:
                if not self._is_loaded:
                    await self._load()
        return self._is_loaded

    @property
    def unsaved_count(self) -> int:
        """Return how many events wait for the disk."""
        return len(self._unsaved)

    # --- running -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to count and to save."""
        loop = asyncio.get_running_loop()
        self._closing.clear()
        # Owned here and ended in `aclose`.
        loops = (self._count_on, self._save_on) if self.settings.path else (self._count_on,)
        self._tasks = tuple([loop.create_task(one()) for one in loops])
        for task in self._tasks:
            task.add_done_callback(_tell_death)

    async def aclose(self) -> None:
        """Save what is left, for a moment at most, and let go of the file; may repeat."""
        tasks, self._tasks = self._tasks, ()
        if not tasks:
            return
        self._closing.set()
        self._enough.set()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await asyncio.wait(tasks)
                    self.catch_up()
                    await self.save()
                    if self._store is not None:
                        await self._tried(lambda store: store.close())
        finally:
            for task in tasks:
                task.cancel()
            if self._writer is not None:
                self._writer.shutdown(wait=False, cancel_futures=True)
                self._writer = self._store = None

    async def _count_on(self) -> None:
        while not self._closing.is_set():
            await _for(SAVE_S, self._enough)
            self._enough.clear()
            self.catch_up()

    async def _save_on(self) -> None:
        while not self._closing.is_set():
            await self.save()
            await _for(SAVE_S if self.problem is None else RETRY_S, self._closing)

    def catch_up(self) -> None:
        """Count what came until now."""
        self.absorb(clock.now(), clock.wall())

    # --- saving --------------------------------------------------------------------------------

    async def save(self) -> None:
        """Hand everything unsaved to the writer; what it cannot write waits for the next time."""
        if self.settings.path is None:
            return
        async with self._saving:
            if not self._is_loaded:
                await self._load()
            self._gather_evidence()
            has_news = self._unsaved or self._unsaved_sums or self._unsaved_evidence
            if not has_news or not self._is_loaded:
                return
            evidence, self._unsaved_evidence = self._unsaved_evidence, {}
            events, self._unsaved = self._unsaved, deque()
            sums, self._unsaved_sums = self._unsaved_sums, {}
            saved = await self._tried(
                lambda store: store.save(events, sums, list(evidence.values()))
            )
            if saved is None:
                events.extend(self._unsaved)
                self._unsaved = events
                merge(self._unsaved_sums, sums)
                self._unsaved_evidence = evidence | self._unsaved_evidence
                self._bound()
                return
            await self._tried(lambda store: store.retain(clock.wall()))

    def _gather_evidence(self) -> None:
        if self.learner is not None and self._is_loaded:
            for row in self.learner.changed(clock.wall()):
                self._unsaved_evidence[row.route, row.endpoint, row.arm] = row

    async def _load(self) -> None:
        """Read the sums of earlier processes once; a process that asks today's spend wants them.

        Evidence too: what was learned since the start is added to it.
        """
        found = await self._tried(lambda store: (store.days(), store.evidence()))
        if found is not None:
            days, evidence = found
            merge(self.days, days)
            if self.learner is not None:
                self.learner.restore(evidence, clock.wall())
            self._is_loaded = True

    async def _tried(self, act: Callable[[Store], T]) -> T | None:
        """Do ``act`` in the writer's thread; None and a problem noted if that failed."""
        from sidecar.ledger.store import StoreError  # noqa: PLC0415 - SQLite: only with a path

        store = self._store or self._open()
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._writer, act, store)
        except StoreError as error:
            self._has(str(error))
            return None
        self._has(None)
        return done

    def _open(self) -> Store:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above

        from sidecar.ledger.store import Store  # noqa: PLC0415 - as above

        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._store = Store(self.settings)
        return self._store

    def _has(self, problem: str | None) -> None:
        """Say once that the file cannot be used, and once that it can again."""
        before, self.problem = self.problem, problem
        path = self.settings.path
        if problem is not None and before is None:
            log.warning("ledger path=%s state=memory reason=%s", path, problem)
        elif problem is None and before is not None:
            log.info("ledger path=%s state=file lost_records=%d", path, self.lost)


async def _for(seconds: float, event: asyncio.Event) -> None:
    """Wait for ``event``, ``seconds`` at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _tell_death(task: asyncio.Task[None]) -> None:
    """These loops never end by an error: if one does, that is a defect to be seen."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a loop of the ledger died", exc_info=error)
