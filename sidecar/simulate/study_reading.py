"""What the figures say, in sentences made from them: wins, losses, and ideas that do not pay."""

from __future__ import annotations

from math import inf
from statistics import median
from typing import TYPE_CHECKING

from sidecar.simulate.ablations import ABLATIONS
from sidecar.simulate.plays import ENGINE
from sidecar.simulate.policies import BASELINES
from sidecar.simulate.scenarios import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sidecar.simulate.ablations import Ablation
    from sidecar.simulate.metrics import Figures

    World = tuple[str, float]
    Table = Mapping[World, Mapping[str, Figures]]

HARD = ("refused", "s500", "s503", "hang", "silent")
DETECT_TARGET_S = {1.0: 5.0, 0.1: 15.0}
WAITING = (
    " Nobody else was left: its calls were still waiting or retrying when the providers came back,"
    " where the engine had refused at once."
)
GOODPUT_SLACK, AMPLIFICATION_SLACK, MONEY_SLACK, SECONDS_SLACK = 0.002, 0.02, 0.01, 2.0
HEDGES_SLACK, SMALL_SLACK, P95_SLACK_S = 0.01, 0.01, 0.15


def readings(table: Table) -> Iterator[str]:
    """Yield one sentence after the other."""
    against = compared(table)
    yield _errors(against)
    yield from _broken(against)
    yield from _beaten(against)
    yield from _late(against)
    yield from _dear(against)
    yield from _ideas(table)


def compared(table: Table) -> Table:
    """Return the worlds that the baselines were played in."""
    return {world: found for world, found in table.items() if BASELINES[0] in found}


def _errors(table: Table) -> str:
    ours = sum(found[ENGINE].errors for found in table.values())
    calls = sum(found[ENGINE].calls for found in table.values())
    others = ", ".join(
        f"{name} {sum(found[name].errors for found in table.values())}" for name in BASELINES
    )
    where = _where(table, lambda found: found[ENGINE].errors > 0)
    found_in = f" (in: {where})" if where else ""
    return (
        f"Of {calls} calls during faults the engine lost {ours} before first content that the"
        f" oracle served{found_in}; {others}."
    )


def _broken(table: Table) -> Iterator[str]:
    cut = {name: sum(found[name].cut for found in table.values()) for name in (ENGINE, *BASELINES)}
    yield (
        f"Answers cut off that their callers took for whole: engine {cut[ENGINE]}, "
        + ", ".join(f"{name} {cut[name]}" for name in BASELINES)
        + "; a stream's missing terminal marker is an error only to the engine."
    )
    where = _where(table, lambda found: found[ENGINE].broken > 0)
    if where:
        yield (
            f"Streams that broke after content was shown (by default an explicit error): {where}."
            " Its provider breaks a stream, which nobody can undo without changing what was shown;"
            " or its deadline comes, because it failed over late."
        )


def _beaten(table: Table) -> Iterator[str]:
    for baseline in BASELINES:
        beaten = [world for world, found in table.items() if _beats(found[baseline], found[ENGINE])]
        if beaten:
            why = "" if any(BY_NAME[name].has_refuge for name, _ in beaten) else WAITING
            where = ", ".join(_labels(beaten))
            yield f"More goodput than the engine had *{baseline}*: {where}.{why}"


def _beats(other: Figures, engine: Figures) -> bool:
    return other.goodput > engine.goodput


def _late(table: Table) -> Iterator[str]:
    late = []
    for (name, rate_per_s), found in table.items():
        values = found[ENGINE].detect_s
        if name in HARD and values and median(values) > DETECT_TARGET_S[rate_per_s]:
            late.append(f"{_label(name, rate_per_s)} {_time(median(values))}")
    if late:
        yield (
            "Hard outages detected later than 5 s at 1/s or 15 s at 6/min (median): "
            + ", ".join(late)
            + ". At random arrivals the first call alone comes 1 or 10 s late on average; at even"
            " ones all are within the target (`tests/sim/test_study.py`)."
        )
    never = [
        _label(name, rate_per_s)
        for (name, rate_per_s), found in table.items()
        if inf in found[ENGINE].recover_s
    ]
    if never:
        yield (
            "In at least one play A did not get back 80 % of its traffic before the play ended: "
            + ", ".join(never)
            + ". What is remembered of reliability fades over minutes, and among equals nobody is"
            " owed traffic."
        )


def _dear(table: Table) -> Iterator[str]:
    dear = [
        f"{_label(*world)} {found[ENGINE].hedge_usd / found[ENGINE].oracle_usd:.1%}"
        for world, found in table.items()
        if found[ENGINE].hedge_usd > 0.03 * found[ENGINE].oracle_usd
    ]
    if dear:
        yield "Hedges above 3 % of the spend: " + ", ".join(dear) + "."
    probes = [
        f"{_label(*world)} {found[ENGINE].probe_usd / found[ENGINE].oracle_usd:.1%}"
        for world, found in table.items()
        if found[ENGINE].probe_usd > 0.005 * found[ENGINE].oracle_usd
    ]
    if probes:
        yield (
            "Probes above 0.5 % of the spend (minutes of few, short calls: a probe costs as much in"
            " a busy hour): " + ", ".join(probes) + "."
        )


def _ideas(table: Table) -> Iterator[str]:
    for ablation in ABLATIONS:
        worlds = [world for world, found in table.items() if ablation.name in found]
        if not worlds:
            continue
        worse = [said for world in worlds for said in _losses(table[world], world, ablation)]
        better = [said for world in worlds for said in _gains(table[world], world, ablation)]
        loses = "loses: " + "; ".join(worse) if worse else "does not lose in any world played"
        gains = ". It gains: " + "; ".join(better) if better else ""
        yield f"Without the idea, *{ablation.title}*, {loses}{gains}."


def _losses(found: Mapping[str, Figures], world: World, ablation: Ablation) -> Iterator[str]:
    said = ", ".join(_differences(found[ENGINE], found[ablation.name]))
    if said:
        yield f"{_label(*world)}: {said}"


def _gains(found: Mapping[str, Figures], world: World, ablation: Ablation) -> Iterator[str]:
    said = ", ".join(_differences(found[ablation.name], found[ENGINE], is_reversed=True))
    if said:
        yield f"{_label(*world)}: {said}"


def _differences(good: Figures, bad: Figures, *, is_reversed: bool = False) -> Iterator[str]:
    """Yield in which respects ``bad`` is clearly worse; figures as engine's, then the other's."""
    # Who never left a provider has nothing to come back to.
    is_left = (inf in good.detect_s) == (inf in bad.detect_s)
    times = [("detection", good.detect_s, bad.detect_s)]
    times += [("recovery", good.recover_s, bad.recover_s)] if is_left else []
    told = [
        (name, median(was), median(now), SECONDS_SLACK, _time)
        for name, was, now in times
        if was and now
    ]
    numbers: list[tuple[str, float, float, float, Callable[[float], str]]] = [
        ("lost goodput", 1.0 - good.goodput, 1.0 - bad.goodput, GOODPUT_SLACK, "{:.3f}".format),
        *told,
        ("requests a call", good.amplification, bad.amplification, AMPLIFICATION_SLACK, _plain),
        ("money", good.overhead, bad.overhead, MONEY_SLACK, "{:+.1%}".format),
        ("hedges", _hedges(good), _hedges(bad), HEDGES_SLACK, "{:.1%}".format),
        ("small answers", _small(good), _small(bad), SMALL_SLACK, "{:.1%}".format),
        ("p95", _p95_s(good), _p95_s(bad), P95_SLACK_S, "{:.1f} s".format),
    ]
    for name, was, now, slack, write in numbers:
        if now > was + slack:
            first, second = (now, was) if is_reversed else (was, now)
            yield f"{name} {write(first)} to {write(second)}"


def _hedges(one: Figures) -> float:
    return one.hedge_usd / one.oracle_usd if one.oracle_usd else 0.0


def _small(one: Figures) -> float:
    return one.small / one.calls if one.calls else 0.0


def _p95_s(one: Figures) -> float:
    return one.first_quantile_s(0.95) or 0.0


def _where(table: Table, holds: Callable[[Mapping[str, Figures]], bool]) -> str:
    return ", ".join(_labels(world for world, found in table.items() if holds(found)))


def _labels(worlds: Iterable[World]) -> Iterator[str]:
    for name, rate_per_s in worlds:
        yield _label(name, rate_per_s)


def _label(name: str, rate_per_s: float) -> str:
    return f"{BY_NAME[name].title} at {rate_label(rate_per_s)}"


def rate_label(rate_per_s: float) -> str:
    """Return a rate as readers count: ``10/s``, ``6/min``."""
    return f"{rate_per_s:.0f}/s" if rate_per_s >= 1.0 else f"{rate_per_s * 60:.0f}/min"


def _plain(value: float) -> str:
    return f"{value:.2f}"


def _time(value: float) -> str:
    return "never" if value == inf else f"{value:.0f} s"
