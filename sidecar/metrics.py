"""The instruments: counters, histograms and readings with bounded label sets, in one registry.

What Prometheus pulls and what is pushed by OTLP is read from the same instruments, so that both
say the same. They are our own since an SDK for metrics costs a process 14 MiB and a tenth of a
second whether anybody looks or not, and ten times as much a measurement; these are dictionaries.

**To add a metric** that follows from a number which somebody keeps anyway, add an ``Observed`` to
your layer's list (``ledger/showing.py``, ``telemetry/readings.py``): it is read when somebody
looks, and costs nothing in between. What follows from an event is counted in
``telemetry/counting.py``. Either way add a row to the table in ``docs/telemetry.md``: a test
compares.

Names are dotted, units as OpenTelemetry writes them (``s``, ``By``, ``USD``, ``{call}``, ``1``);
Prometheus's names follow by its own rules (``prometheus_name``).
"""

from __future__ import annotations

from bisect import bisect_left
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SERIES_MAX = 2000
"""Series of one instrument; a configuration that is reloaded without end could make any number."""
OTHER = "(other)"
"""What all labels of the series say that came too late."""
_UNITS = {"s": "seconds", "By": "bytes", "USD": "usd", "1": "ratio"}

Labels = tuple[str, ...]


class Kind(Enum):
    """What may be done with a number: summed up, or looked at."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@value
class TracePoint:
    """The span that a measurement was made in; ``at`` is seconds since the epoch."""

    trace_id: str
    span_id: str
    at: float


@value
class Exemplar:
    """A measurement that stands for its bucket."""

    amount: float
    point: TracePoint


class Buckets:
    """How many measurements fell where: ``counts`` by bound, the last above all of them."""

    __slots__ = ("counts", "exemplars", "total")

    def __init__(self, size: int) -> None:
        self.counts = [0] * (size + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}


@value
class Family:
    """All series of one instrument at one moment."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: Labels
    points: Sequence[tuple[Labels, float | Buckets]]
    bounds: tuple[float, ...] = ()


class Counter:
    """Only grows."""

    def __init__(self, name: str, unit: str, meaning: str, labels: Labels = ()) -> None:
        self.name, self.unit, self.meaning, self.labels = name, unit, meaning, labels
        self.series: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Count ``amount`` more."""
        series = self.series
        known = series.get(labels)
        if known is None and len(series) >= SERIES_MAX:
            labels = (OTHER,) * len(self.labels)
            known = series.get(labels)
        series[labels] = amount if known is None else known + amount

    def family(self) -> Family:
        """Return the sums as they are now."""
        return Family(
            name=self.name,
            kind=Kind.COUNTER,
            unit=self.unit,
            meaning=self.meaning,
            labels=self.labels,
            points=list(self.series.items()),
        )


class Histogram:
    """Sorts measurements into buckets; ``bounds`` are inclusive upper ones, ascending."""

    def __init__(
        self, name: str, unit: str, meaning: str, bounds: tuple[float, ...], labels: Labels = ()
    ) -> None:
        self.name, self.unit, self.meaning, self.labels = name, unit, meaning, labels
        self.bounds = bounds
        self.series: dict[Labels, Buckets] = {}

    def record(self, labels: Labels, amount: float, point: TracePoint | None = None) -> None:
        """Count one measurement; a bucket keeps its latest exemplar."""
        series = self.series
        buckets = series.get(labels)
        if buckets is None:
            if len(series) >= SERIES_MAX:
                labels = (OTHER,) * len(self.labels)
            buckets = series.setdefault(labels, Buckets(len(self.bounds)))
        index = bisect_left(self.bounds, amount)
        buckets.counts[index] += 1
        buckets.total += amount
        if point is not None:
            buckets.exemplars[index] = Exemplar(amount=amount, point=point)

    def family(self) -> Family:
        """Return the buckets as they are now."""
        return Family(
            name=self.name,
            kind=Kind.HISTOGRAM,
            unit=self.unit,
            meaning=self.meaning,
            labels=self.labels,
            points=[(labels, _copy(buckets)) for labels, buckets in self.series.items()],
            bounds=self.bounds,
        )


@value
class Observed:
    """A number that somebody keeps anyway: ``read`` yields it by labels when somebody looks."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    read: Callable[[], Iterable[tuple[Labels, float]]]
    labels: Labels = ()

    def family(self) -> Family:
        """Return the numbers as they are now."""
        points = [point for point, _ in zip(self.read(), range(SERIES_MAX), strict=False)]
        return Family(
            name=self.name,
            kind=self.kind,
            unit=self.unit,
            meaning=self.meaning,
            labels=self.labels,
            points=points,
        )


def single(read: Callable[[], float]) -> Callable[[], Iterable[tuple[Labels, float]]]:
    """Return what reads one number without labels."""
    return lambda: [((), read())]


Instrument = Counter | Histogram | Observed


class Registry:
    """All instruments of a process, by name."""

    def __init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}

    def add(self, *instruments: Instrument) -> None:
        """Register ``instruments``."""
        for one in instruments:
            assert one.name not in self.instruments, f"{one.name} is there already"
            self.instruments[one.name] = one

    def collect(self) -> list[Family]:
        """Return everything as it is now."""
        return [one.family() for one in self.instruments.values()]


def prometheus_name(name: str, unit: str, kind: Kind) -> str:
    """Return a metric's name in Prometheus: ``sidecar.call.duration`` in ``s`` is
    ``sidecar_call_duration_seconds``, counters end in ``_total``.
    """
    said = name.replace(".", "_")
    word = _UNITS.get(unit, "")
    if word and not (unit == "1" and kind is not Kind.GAUGE) and not said.endswith(f"_{word}"):
        said = f"{said}_{word}"
    return f"{said}_total" if kind is Kind.COUNTER else said


def _copy(buckets: Buckets) -> Buckets:
    made = Buckets(len(buckets.counts) - 1)
    made.counts, made.total = list(buckets.counts), buckets.total
    made.exemplars = dict(buckets.exemplars)
    return made
