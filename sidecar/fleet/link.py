"""The store behind a breaker of its own: whether to ask it at all, and until when.

Three errors in a row pause the exchange, for longer each time up to a minute: a store that
struggles is not helped by a thousand pods that ask on. Each question has a deadline; no answer is
waited for beyond it, and nobody waits here but the fleet's own task and the prober.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from sidecar.clock import now as loop_now
from sidecar.errors import FleetStoreError

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine

    from sidecar.fleet.settings import FleetSettings
    from sidecar.fleet.store import Store
    from sidecar.fleet.view import View

T = TypeVar("T")


class Link:
    """Owns the store's breaker and what is counted of it. ``is_up``: the last exchange worked."""

    def __init__(self, store: Store, rng: random.Random, settings: FleetSettings) -> None:
        self._store = store
        self._rng = rng
        self._settings = settings
        self._errors_run = 0
        self.is_up = False
        self.paused_until: float | None = None
        self.syncs_count = 0
        self.errors_count = 0
        self.last_error = ""

    def is_paused(self, now: float) -> bool:
        """Return whether the store is left alone now."""
        return self.paused_until is not None and now < self.paused_until

    async def sync(self, push: bytes) -> View | None:
        """Return how the fleet stands, None if the store cannot say."""
        self.syncs_count += 1
        try:
            view = await _within(self._deadline_s(), self._store.sync(push))
        except (FleetStoreError, TimeoutError) as error:
            self._failed(error)
            return None
        self._errors_run, self.paused_until, self.is_up = 0, None, True
        return view

    async def lease(self, subject: str, slot: str, pod: str, lease_s: float) -> float | None:
        """Return how long the probe is another's, 0.0 if it is ours, None if the store is away."""
        if not self.is_up or self.is_paused(loop_now()):
            return None
        try:
            asked = self._store.lease(subject, slot, pod, lease_s)
            return await _within(self._settings.op_s, asked)
        except (FleetStoreError, TimeoutError) as error:
            self._failed(error)
            return None

    async def aclose(self) -> None:
        """Let the store go; what does not let go in time is left."""
        with contextlib.suppress(FleetStoreError, TimeoutError):
            await _within(self._settings.op_s, self._store.aclose())

    def _deadline_s(self) -> float:
        """The first exchange, and each after a pause, has to connect as well."""
        settings = self._settings
        return settings.op_s if self.is_up else settings.op_s + settings.connect_s

    def _failed(self, error: Exception) -> None:
        settings = self._settings
        self.errors_count += 1
        self._errors_run += 1
        self.is_up = False
        self.last_error = str(error) or "no answer within the deadline"
        if self._errors_run >= settings.errors_max:
            doublings = min(self._errors_run - settings.errors_max, 10)
            pause_s = min(settings.pause_s_max, settings.pause_s * 2.0**doublings)
            self.paused_until = loop_now() + pause_s * self._rng.uniform(0.75, 1.25)


async def _within(seconds: float, question: Coroutine[object, object, T]) -> T:
    """Return the answer to ``question``, in a task of its own that is left behind at the deadline.

    A client library may swallow a cancellation (``asyncio.wait_for`` of Python 3.11 does when the
    awaited is done in the same turn); then a deadline would be none, and a sidecar could not stop.

    Raises:
        TimeoutError: no answer within ``seconds``.
    """
    task = asyncio.get_running_loop().create_task(question)
    task.add_done_callback(_look_away)
    try:
        done, _ = await asyncio.wait((task,), timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise TimeoutError
    return task.result()


def _look_away(task: asyncio.Task[T]) -> None:
    """Read the exception of a task that nobody waits for any more, or asyncio complains."""
    if not task.cancelled():
        task.exception()
