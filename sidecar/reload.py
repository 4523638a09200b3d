"""Another configuration while calls are under way: when it is read, and what became of it.

The file is looked at every two seconds (``config/watch.py``), and SIGHUP asks for it to be read
whether it changed or not, which is how new list prices are learned too. Reading takes a tenth of a
second and more, most of it in a child process, so a thread does it, and compares it with what there
is; what comes out is applied on the loop in one step, between two steps of all calls. What cannot
be used is refused: the last good
configuration stays, all mistakes are logged once, and said in ``/readyz`` until a good file comes.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.errors import ConfigError
from sidecar.metrics import Kind, Observed, single
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.model import Config
    from sidecar.config.watch import Watched

log = logging.getLogger("sidecar")

PROBLEMS_SHOWN_MAX = 20
RESTART: tuple[tuple[str, Callable[[Config], object]], ...] = (
    ("listen, allow_remote and token", lambda config: config.listen),
    ("telemetry", lambda config: config.telemetry),
)
"""What a running process cannot change, and how to see that it was to."""


@value
class Origin:
    """Where a configuration comes from: how it is read, and which file to look at, None if none.

    ``load`` is called in a thread; it raises ``ConfigError`` for what cannot be used.
    """

    load: Callable[[], Config]
    watched: Watched | None = None


@value
class ConfigStatus:
    """What became of the last attempts to read the configuration.

    ``loaded_at`` is the wall clock's time when the one in force was read, ``problems`` why the
    latest was refused, ``needs_restart`` names what is not in force yet.
    """

    loaded_at: float
    problems: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    reloads_count: int = 0
    refused_count: int = 0

    def shown(self, generation: int) -> dict[str, object]:
        """Return it as ``/readyz`` and the state have it; what is empty is left out."""
        said: dict[str, object] = {
            "generation": generation,
            "loaded_at": datetime.fromtimestamp(self.loaded_at, UTC).isoformat(timespec="seconds"),
        }
        if self.problems:
            more = len(self.problems) - PROBLEMS_SHOWN_MAX
            tail = (f"and {more} more, see the log",) if more > 0 else ()
            said["error"] = (*self.problems[:PROBLEMS_SHOWN_MAX], *tail)
        if self.needs_restart:
            said["needs_restart"] = self.needs_restart
        return said


class Reloader:
    """Owns the status. ``apply`` puts a configuration in force, at once; ``run`` it as a task."""

    def __init__(self, origin: Origin, config: Config, apply: Callable[[Config], None]) -> None:
        self.status = ConfigStatus(loaded_at=clock.wall())
        self._origin = origin
        self._started = config  # with which the process began
        self._config = config
        self._apply = apply
        self._asked = asyncio.Event()

    def observed(self, generation: Callable[[], int]) -> tuple[Observed, ...]:
        """Return what is shown as metrics; ``generation`` is that of the configuration in force."""
        table: tuple[tuple[str, Kind, str, Callable[[], int]], ...] = (
            ("generation", Kind.GAUGE, "Which configuration is in force.", generation),
            (
                "reloads",
                Kind.COUNTER,
                "Configurations put in force.",
                lambda: self.status.reloads_count,
            ),
            (
                "refused_reloads",
                Kind.COUNTER,
                "Configurations that could not be used.",
                lambda: self.status.refused_count,
            ),
        )
        return tuple(
            [
                Observed(
                    name=f"sidecar.config.{name}",
                    kind=kind,
                    unit="{config}",
                    meaning=meaning,
                    read=single(read),
                )
                for name, kind, meaning, read in table
            ]
        )

    def ask(self) -> None:
        """Read the configuration again, changed or not (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            if await self._is_due():
                await self._read()

    async def _is_due(self) -> bool:
        """Wait until it is time to look, or somebody asks; return whether to read."""
        watched = self._origin.watched
        try:
            async with asyncio.timeout(None if watched is None else watched.pause_s):
                await self._asked.wait()
        except TimeoutError:
            return watched is not None and watched.look()
        self._asked.clear()
        if watched is not None:
            watched.take()
        return True

    async def _read(self) -> None:
        try:
            config = await asyncio.to_thread(self._changed)
            if config is None:
                log.info("configuration read again: nothing changed")
                self.status = replace(self.status, problems=())
                return
            self._apply(config)
        except ConfigError as error:
            self._refuse(error.problems)
        except Exception as error:
            # A defect of ours must not end the watch, nor the calls of a good configuration.
            log.exception("configuration could not be applied")
            self._refuse((f"{self._config.source}: internal error {type(error).__name__}",))
        else:
            self._accept(config)

    def _changed(self) -> Config | None:
        """Return the configuration as it is now, None if it is the one in force; in a thread."""
        config = self._origin.load()
        return None if config == self._config else config

    def _accept(self, config: Config) -> None:
        self._config = config
        needs = tuple(what for what, of in RESTART if of(config) != of(self._started))
        self.status = replace(
            self.status,
            loaded_at=clock.wall(),
            problems=(),
            needs_restart=needs,
            reloads_count=self.status.reloads_count + 1,
        )
        for warning in config.warnings:
            log.warning("%s", warning)
        if needs:
            log.warning("configuration needs a restart for: %s", "; ".join(needs))

    def _refuse(self, problems: tuple[str, ...]) -> None:
        self.status = replace(
            self.status, problems=problems, refused_count=self.status.refused_count + 1
        )
        log.error(
            "configuration refused, the last good one stays; %d problems: %s",
            len(problems),
            "; ".join(problems),
        )
