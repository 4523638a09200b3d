"""The only place that reads time.

Monotonic seconds come from the running event loop, so that production, tests and simulation share
one code: under the simulated loop the clock jumps, under uvloop it flows. The wall clock serves
HTTP dates and log lines alone; no limit, window or deadline is computed from it, since it steps.
"""

from __future__ import annotations

import time
from asyncio import get_running_loop


def now() -> float:
    """Return monotonic seconds of the running loop; starts at 0.0 in simulation."""
    return get_running_loop().time()


def wall() -> float:
    """Return seconds since the epoch; for HTTP dates and human eyes only."""
    return time.time()
