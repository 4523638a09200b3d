"""What a store says of the fleet, read with distrust: bounded, finite, and never from elsewhere.

``{"t": ms, "n": pods, "y": day, "f": full, "e": {id: [reporting, failing, age, ok, fail, …]}, "o":
{id: record}, "r": {id: [longest, second]}, "q": {id: [requests, tokens]}, "u": {name: total}}``.
Times are the server's milliseconds and used only as differences from the server's own now. What
does not fit this is an error as a whole: a store that says nonsense once is not to be trusted with
the rest.
"""

from __future__ import annotations

from dataclasses import field
from math import isfinite

import msgspec

from sidecar.errors import FleetStoreError
from sidecar.value import value

SUBJECTS_MAX = 4096
SERIES_S = 20
PODS_MAX = 1_000_000
COUNT_MAX = 1e9


@value
class Pooled:
    """Outcomes of all pods at one endpoint or host in the last 20 s.

    ``series``: (age in seconds, weight of successes, of failures), newest first. ``reporting``,
    ``failing``: how many pods, about.
    """

    series: tuple[tuple[float, float, float], ...] = ()
    reporting: int = 0
    failing: int = 0

    @property
    def rate_per_s(self) -> float:
        """Outcomes a second; 0 without any."""
        return sum(ok + fail for _, ok, fail in self.series) / SERIES_S


@value
class Record:
    """What the fleet agreed on an outage. All times in seconds from now, negative: ago.

    ``lease_s``: how long its trial is still somebody's.
    """

    gen: int
    is_open: bool
    since_s: float
    until_s: float
    lease_s: float
    changed_s: float


@value
class View:
    """The fleet as a store has it. ``rests``: (longest, second longest wait of two pods), s."""

    pods: int = 1
    day: int = 0
    is_full: bool = False
    pooled: dict[str, Pooled] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    rests: dict[str, tuple[float, float]] = field(default_factory=dict)
    demand: dict[str, tuple[float, float]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    warm: dict[str, tuple[float, float]] = field(default_factory=dict)


class _Record(msgspec.Struct, frozen=True):
    g: int
    s: str
    k: float
    a: float
    u: float
    l: float  # noqa: E741 - one letter each, as the store spells them
    c: float


class _View(msgspec.Struct, frozen=True):
    t: float
    n: int
    y: int
    e: dict[str, list[float]]
    o: dict[str, _Record]
    r: dict[str, tuple[float, float]]
    q: dict[str, tuple[float, float]]
    u: dict[str, float]
    f: int = 0


_VIEW = msgspec.json.Decoder(_View)
_WARM = msgspec.json.Decoder(dict[str, tuple[float, float]])


def read_view(text: bytes, warm: bytes, server_ms: float) -> View:
    """Return what ``text`` says at the server's ``server_ms``.

    Raises:
        FleetStoreError: it is not a view, or not one of now.
    """
    try:
        raw = _VIEW.decode(text)
        means = _WARM.decode(warm) if warm else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FleetStoreError("the store's view cannot be read") from error
    if max(len(raw.e), len(raw.o), len(raw.r), len(raw.q), len(raw.u), len(means)) > SUBJECTS_MAX:
        raise FleetStoreError("the store's view is too large")
    if not 0.0 <= server_ms - raw.t <= 5_000.0:  # noqa: PLR2004 - five seconds
        raise FleetStoreError("the store's view is of another time")
    return View(
        pods=min(PODS_MAX, max(1, raw.n)),
        day=raw.y,
        is_full=raw.f != 0,
        pooled={id_: _pooled(numbers) for id_, numbers in raw.e.items()},
        records={id_: _record(one, server_ms) for id_, one in raw.o.items()},
        rests={id_: (_s(a - server_ms), _s(b - server_ms)) for id_, (a, b) in raw.r.items()},
        demand={id_: (_count(a), _count(b)) for id_, (a, b) in raw.q.items()},
        sums={name: _count(total) for name, total in raw.u.items()},
        warm={id_: pair for id_, pair in means.items() if all(isfinite(x) for x in pair)},
    )


def _pooled(numbers: list[float]) -> Pooled:
    rest = numbers[2:]
    triples = zip(rest[0::3], rest[1::3], rest[2::3], strict=False)
    series = sorted(
        (age, _count(ok), _count(fail)) for age, ok, fail in triples if 0.0 <= age < SERIES_S
    )
    reporting, failing = (int(_count(x)) for x in (*numbers[:2], 0.0, 0.0)[:2])
    return Pooled(
        series=tuple(series[:SERIES_S]), reporting=reporting, failing=min(failing, reporting)
    )


def _record(one: _Record, server_ms: float) -> Record:
    return Record(
        gen=max(0, one.g),
        is_open=one.s == "open",
        since_s=_s(one.a - server_ms),
        until_s=_s(one.u - server_ms),
        lease_s=_s(one.l - server_ms),
        changed_s=_s(one.c - server_ms),
    )


def _s(ms: float) -> float:
    return min(1e6, max(-1e6, ms / 1000.0)) if isfinite(ms) else -1e6


def _count(number: float) -> float:
    return min(COUNT_MAX, max(0.0, number)) if isfinite(number) else 0.0
