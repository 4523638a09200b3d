"""How well the predicted chances of being in time are kept: ``make calibration``.

Random worlds in simulated time: endpoints of random speed and scatter (lognormal first contents and
lengths), callers with random deadlines and prompts, no faults. Right before each call the engine is
asked, as its own choice asks, how likely the endpoint is to be in time; then the call is made. Of
those told 0.9, nine of ten should be in time.

A call that its deadline cuts shows no latency but a lower bound, and a call refused as infeasible
shows nothing: both are part of what is tested, as they are part of what the engine has to learn
from.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Constraints, RouteName
from sidecar.engine.views import Sight
from sidecar.simulate.world import ALPHA, LARGE, World, default_endpoints, default_routes, play
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.upstream.simulated import SimulatedModel

EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)
"""Between these lie the chances of one row of the table."""
CALLS = 300
WARM_UP_CALLS = 30
BEGIN, END = "<!-- calibration -->", "<!-- end of calibration -->"
ROUTE = "alone"


@value
class Told:
    """One call: the chance it was given, and whether it was in time."""

    chance: float
    is_in_time: bool


@value
class Kind:
    """A kind of worlds: streams or plain answers, how much scatters."""

    name: str
    is_stream: bool
    ttft_sigma: float
    output_sigma: float


KINDS = (
    Kind(name="streams", is_stream=True, ttft_sigma=0.3, output_sigma=0.5),
    Kind(name="plain answers", is_stream=False, ttft_sigma=0.3, output_sigma=0.5),
    Kind(name="erratic first tokens", is_stream=True, ttft_sigma=0.7, output_sigma=0.2),
    Kind(name="lengths all alike", is_stream=False, ttft_sigma=0.3, output_sigma=0.0),
)


@value
class Row:
    """Calls whose chances lay between two edges: their mean, and how many were in time."""

    calls: int
    told: float
    kept: float


def observe(kind: Kind, seed: int, *, calls: int = CALLS) -> list[Told]:
    """Return what callers of one random world were told, and what became of them."""
    told: list[Told] = []

    async def scenario(world: World) -> None:
        rng = random.Random(seed)
        model = world.alpha.models["alpha-large"] = _model(kind, rng)
        usual_s = model.ttft_s + model.output_tokens * model.itl_s
        gap_s = 3.0 * usual_s
        for number in range(WARM_UP_CALLS + calls):
            within_s = usual_s * rng.uniform(0.5, 3.0)
            if number < WARM_UP_CALLS:
                within_s = 60.0 * usual_s
            chance = _chance(world, kind, within_s)
            wishes = Constraints(within_s=within_s, may_hedge=False)
            seen = await world.call(ROUTE, is_stream=kind.is_stream, constraints=wishes)
            if number >= WARM_UP_CALLS and seen.code != "infeasible":
                told.append(Told(chance=chance, is_in_time=seen.is_good))
            await asyncio.sleep(rng.expovariate(1.0 / gap_s))

    routes = tuple(route for route in default_routes() if route.name == RouteName(ROUTE))
    play(scenario, seed=seed, endpoints=default_endpoints(), routes=routes)
    return told


def _model(kind: Kind, rng: random.Random) -> SimulatedModel:
    return replace(
        LARGE,
        ttft_s=rng.uniform(0.2, 2.0),
        itl_s=rng.uniform(0.005, 0.05),
        output_tokens=rng.randrange(20, 300),
        ttft_sigma=kind.ttft_sigma,
        output_sigma=kind.output_sigma,
    )


def _chance(world: World, kind: Kind, within_s: float) -> float:
    """Return the chance that a call made now would be given."""
    wishes = Constraints(within_s=within_s)
    call = world.make_call(ROUTE, is_stream=kind.is_stream, constraints=wishes)
    sight = Sight(world.engine.parts, call, loop_now(), least=0.0, may_try=False)
    return sight.look(ALPHA).chance


def rows(told: Iterable[Told]) -> list[Row]:
    """Return the figures by chance told, of bins that nobody fell into none."""
    bins: list[list[Told]] = [[] for _ in EDGES[1:]]
    for one in told:
        number = next(i for i, edge in enumerate(EDGES[1:]) if one.chance <= edge)
        bins[number].append(one)
    return [
        Row(
            calls=len(each),
            told=sum(one.chance for one in each) / len(each),
            kept=sum(one.is_in_time for one in each) / len(each),
        )
        for each in bins
        if each
    ]


def table(by_kind: Sequence[tuple[str, list[Row]]]) -> str:
    """Return the figures as Markdown."""
    lines = ["| worlds | calls | told | were in time |", "|---|---|---|---|"]
    for name, figures in by_kind:
        lines += [f"| {name} | {row.calls} | {row.told:.2f} | {row.kept:.2f} |" for row in figures]
    return "\n".join(lines)


def main() -> None:
    """Print the table, or write it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="worlds of each kind")
    parser.add_argument("--write", type=Path, help="the page that holds the table")
    asked = parser.parse_args()
    figures = []
    for kind in KINDS:
        told = [one for seed in range(asked.seeds) for one in observe(kind, seed)]
        figures.append((kind.name, rows(told)))
    text = table(figures)
    if asked.write is None:
        sys.stdout.write(text + "\n")
        return
    page = asked.write.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    asked.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
