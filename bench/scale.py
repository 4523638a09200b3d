"""``python -m bench scale``: does a call cost more when the configuration is larger?

Real processes with 3 to 300 endpoints and 1 to 1,000 routes, all up at once and measured in turn.
Logarithmic is taken to mean: no doubling adds more than a tenth of what the smallest configuration
costs a call. Anything linear is far beyond that at these sizes. A route has three endpoints in two
tiers; for information there is also one route that has all endpoints, where each call weighs them.
"""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.asking import PLAIN
from bench.candidates import HERE, SIDECAR
from bench.figures import median_of
from bench.load import saturate
from bench.processes import memory
from bench.running import provider, started

if TYPE_CHECKING:
    from bench.figures import Round
    from bench.processes import Cores
    from bench.running import Running

RESULTS = HERE / "results" / "scale.json"
GROWTH_PER_DOUBLING = 0.1
ROUNDS = 7
CALLS_S = 1.0
WARM_S = 0.5
CONNECTIONS = 8
NS_PER_US = 1000
HEAD = """\
listen: {data: "127.0.0.1:$port", admin: "127.0.0.1:$admin", health: "127.0.0.1:$health"}
defaults: {admission: {calls_max: 4000}}
providers:
  one: {kind: openai, base_url: "http://127.0.0.1:$one/v1"}
  two: {kind: openai, base_url: "http://127.0.0.1:$two/v1"}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a configuration is. ``is_wide``: its one route has all endpoints."""

    endpoints: int
    routes: int
    is_wide: bool = False

    @property
    def name(self) -> str:
        """Return it as a candidate's name."""
        wide = ", one route has all" if self.is_wide else ""
        return f"{self.endpoints} endpoints, {self.routes} routes{wide}"


SIZES = (
    Size(endpoints=3, routes=1),
    Size(endpoints=30, routes=1),
    Size(endpoints=300, routes=1),
    Size(endpoints=3, routes=30),
    Size(endpoints=3, routes=1000),
    Size(endpoints=300, routes=1000),
    Size(endpoints=30, routes=1, is_wide=True),
    Size(endpoints=300, routes=1, is_wide=True),
)
SMALLEST, *_ = SIZES


def config(size: Size) -> str:
    """Return the configuration; the route that is called stands last and has the last endpoints."""
    models = [
        f"  m{number}: {{provider: {('one', 'two')[number % 2]}, model: bench, quality: 0.8,"
        " price: {input: 1, output: 2}, context: 100000}"
        for number in range(size.endpoints)
    ]
    names = ["bench", *(f"route{number}" for number in range(1, size.routes))][::-1]
    routes = [f"  {name}: {_route(size, number)}" for number, name in enumerate(names)]
    return "\n".join((HEAD.rstrip(), "models:", *models, "routes:", *routes, ""))


def _route(size: Size, number: int) -> str:
    if size.is_wide:
        first, second = [f"m{one}" for one in range(size.endpoints - 1)], f"m{size.endpoints - 1}"
    else:
        last = size.endpoints - 1 - 3 * (size.routes - 1 - number)
        a, b, second = (f"m{(last - back) % size.endpoints}" for back in (2, 1, 0))
        first = [a, b]
    return f"{{tiers: [[{', '.join(first)}], [{second}]], within: 60s, budget: 0.05}}"


def allowed(size: Size) -> float:
    """Return how often a call may cost what it costs in the smallest configuration.

    From 3 to 300 endpoints are 6.6 doublings: 1.66 times.
    """
    doublings = math.log2(size.endpoints / SMALLEST.endpoints) + math.log2(size.routes)
    return 1 + GROWTH_PER_DOUBLING * doublings


def scale(cores: Cores) -> int:
    """Measure, print and keep; return 1 if a configuration costs more than is allowed."""
    rounds, resident = _measured(cores)
    base = median_of(rounds, SMALLEST.name, "call_us")
    assert base is not None
    sizes, lines, failed = [], [], 0
    for size in SIZES:
        us = median_of(rounds, size.name, "call_us")
        assert us is not None
        is_met = us / base <= allowed(size)
        failed += not is_met and not size.is_wide
        verdict = "for information" if size.is_wide else "met" if is_met else "NOT MET"
        lines.append(f"{size.name}: {us / base:.2f} times, allowed {allowed(size):.2f}: {verdict}")
        print(f"{us:8.1f} us  {lines[-1]}")
        sizes.append(
            {
                "name": size.name,
                "endpoints": size.endpoints,
                "routes": size.routes,
                "call_us": round(us, 1),
                "mib": round(resident[size.name], 1),
            }
        )
    RESULTS.write_text(json.dumps({"sizes": sizes, "lines": lines}, indent=1) + "\n")
    return 1 if failed else 0


def _measured(cores: Cores) -> tuple[list[Round], dict[str, float]]:
    with ExitStack() as stack:
        upstream = stack.enter_context(provider(cores))
        running: dict[str, Running] = {}
        for size in SIZES:
            candidate = replace(
                SIDECAR, name=size.name, configs=(), texts={"sidecar.yaml": config(size)}
            )
            running[size.name] = stack.enter_context(started(candidate, upstream, cores))
        resident = {name: memory(one.pid).resident for name, one in running.items()}
        for one in running.values():
            saturate(one.address, PLAIN, connections=CONNECTIONS, duration_s=WARM_S)
        rounds = [
            {name: {"call_us": _call_us(one)} for name, one in running.items()}
            for _ in range(ROUNDS)
        ]
    return rounds, resident


def _call_us(running: Running) -> float:
    window = saturate(
        running.address,
        PLAIN,
        connections=CONNECTIONS,
        duration_s=CALLS_S,
        cpu_ns=running.cpu_ns,
    )
    return window.cpu_ns / NS_PER_US / window.calls
