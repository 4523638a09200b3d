"""The main job: an ``App`` run until SIGTERM or SIGINT, then drained; and how its process is tuned.

SIGHUP has the configuration read again.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING

from sidecar.log_lines import tell_loop_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.app import App

GC_THRESHOLDS = (5_000, 5, 200)
"""Objects of a generation before it is looked at; usually 700, 10, 10. The middle one holds 25,000
at most then, a look of some 8 ms; one at all of them takes 30, and comes hardly ever."""
SWITCH_S = 0.0001
"""How long a thread may run on while the loop wants to, each time it wakes; usually 5 ms. While
1,000 routes were read, twenty turns of the loop took 147 ms, now 10."""


async def serve(app: App, on_start: Callable[[App], None]) -> None:
    """Run ``app`` until SIGTERM or SIGINT, then drain; a second one ends the grace at once.

    SIGINT comes from a terminal, where nobody waits for an app that may go on calling.

    Raises:
        OSError: a plane's address is taken.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    hurry = asyncio.Event()

    is_hasty = False

    def on_signal(number: int) -> None:
        nonlocal is_hasty
        if not stopping.is_set():
            is_hasty = number == signal.SIGINT
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    loop.set_exception_handler(tell_loop_error)
    loop.add_signal_handler(signal.SIGHUP, app.reloader.ask)
    try:
        await app.start()
        _settle_memory()
        sys.setswitchinterval(SWITCH_S)
        on_start(app)
        await stopping.wait()
        await _until_either(app.drain(is_hasty=is_hasty), hurry.wait())
    finally:
        await app.stop()
        gc.freeze()  # or the interpreter's end looks for garbage in all of it, for 0.2 s and more


def _settle_memory() -> None:
    """Let the garbage collector look at young objects alone, and less often.

    What exists now stays; and a call leaves no cycles behind, so that there is little to find:
    looking for it at the usual pace took a tenth of a call's time. Whoever starts may have
    switched it off for as long as that lasts.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


async def _until_either(*waits: object) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
