"""New list prices while calls are under way: the price list's latest edition, fetched now and then.

Off unless configured, since it asks a host that is no provider. A child process of its own fetches
and reads it, bounded in time and memory, and knows no keys; the moments are spread, so that
hundreds of pods do not ask at once. Where a price is another one, the configuration is read again,
so that there is one way for a price to change. What fails changes nothing: the old prices stay, it
is said once in the log and in the state, and tried again a period later.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import field
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.config import prices
from sidecar.value import value

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from sidecar.config.model import PriceSettings

log = logging.getLogger("sidecar")

FIRST_S = (60.0, 900.0)
"""The first time: soon, as an image may be old, but not all pods of a deployment at once."""
SPREAD = (0.9, 1.1)
REASON_CHARS_MAX = 200


@value
class PriceStatus:
    """What became of the last fetch; ``fetched_at`` on the wall clock, None: none succeeded."""

    fetched_at: float | None = None
    problem: str | None = None
    changes_count: int = field(default=0)


class PriceRefresh:
    """Owns its status. Calls ``on_change`` after a fetch that brought other prices."""

    def __init__(
        self, settings: PriceSettings, on_change: Callable[[], None], rng: random.Random
    ) -> None:
        self.status = PriceStatus()
        self._settings = settings
        self._on_change = on_change
        self._rng = rng
        self._adapted = asyncio.Event()

    def adapt(self, settings: PriceSettings) -> None:
        """Go by ``settings`` from now on."""
        if settings != self._settings:
            self._settings = settings
            self._adapted.set()

    async def run(self) -> None:
        """Fetch in due time until cancelled."""
        is_first = True
        while True:
            period_s = self._settings.refresh_s
            wait_s = None if period_s is None else self._rng.uniform(*SPREAD) * period_s
            if is_first and wait_s is not None:
                wait_s = min(wait_s, self._rng.uniform(*FIRST_S))
            try:
                async with asyncio.timeout(wait_s):
                    await self._adapted.wait()
                self._adapted.clear()
            except TimeoutError:
                is_first = False
                await self.fetch()

    async def fetch(self) -> None:
        """Fetch the list once; a failure changes nothing but the status."""
        status = self.status
        try:
            is_changed = await _fetched(self._settings.url)
        except (OSError, ValueError, TimeoutError) as error:
            reason = (str(error) or type(error).__name__)[:REASON_CHARS_MAX]
            if status.problem is None:
                log.warning("price list could not be fetched, the old prices stay: %s", reason)
            self.status = PriceStatus(
                fetched_at=status.fetched_at, problem=reason, changes_count=status.changes_count
            )
            return
        self.status = PriceStatus(
            fetched_at=clock.wall(), changes_count=status.changes_count + is_changed
        )
        if is_changed:
            log.info("price list fetched: there are other prices")
            self._on_change()


async def _fetched(url: str | None) -> bool:
    """Fetch the list in a child process; return whether there is anything new.

    Raises:
        OSError: there is no process to be had.
        TimeoutError: it took too long.
        ValueError: it could not be fetched, or is no list.
    """
    command, asked = prices.fetch(url)
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=prices.child_environment(),
    )
    try:
        async with asyncio.timeout(prices.CHILD_S):
            answer, complaint = await child.communicate(asked)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        # The last line of a traceback says what it was.
        raise ValueError(complaint.decode(errors="replace").strip().rpartition("\n")[2])
    return prices.take(asked, answer)
