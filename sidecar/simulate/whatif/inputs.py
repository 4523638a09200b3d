"""The three inputs of a what-if, in formats of our own: incidents, latencies, workload.

``docs/simulate.md`` has the columns. What a file says is checked here as far as it can be without a
configuration; names of providers, models and routes are looked up later (``fleet.py``), since one
file serves several configurations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.simulate.whatif.sheet import Columns, Row, Sheet, read_sheet, shown
from sidecar.upstream.simulated_faults import FaultKind
from sidecar.value import value

if TYPE_CHECKING:
    from pathlib import Path

HOURS_A_WEEK = 168
EVERY = "*"
INCIDENT_COLUMNS = Columns(
    needed=("start", "end", "provider", "kind", "share"), optional=("model", "status", "factor")
)
LATENCY_COLUMNS = Columns(
    needed=("provider", "model", "ttft_p50_s", "ttft_p95_s", "tokens_per_s"),
    optional=("ttft_p99_s",),
)
WORKLOAD_COLUMNS = Columns(
    needed=("hour", "route", "calls_per_s", "prompt_tokens", "output_tokens"),
    optional=("stream_share",),
)
_UNFIT = (FaultKind.TOKEN_RATE, FaultKind.SLICE, FaultKind.STALE)
KINDS = tuple(kind for kind in FaultKind if kind not in _UNFIT)
"""Those that a row can say all about."""
STATUS_USUAL, FACTOR_USUAL, STREAM_SHARE_USUAL = 500, 5.0, 0.5
ERROR_STATUS_LEAST, ERROR_STATUS_MOST = 400, 599
PROMPT_TOKENS_MAX, OUTPUT_TOKENS_MAX = 1_000_000, 100_000
CALLS_PER_S_MAX = 1000.0
TTFT_S_MAX = 600.0


@value
class Incident:
    """A provider, or one of its models, failed ``share`` of the requests from ``start_s`` to
    ``end_s`` (since 1970).
    """

    start_s: float
    end_s: float
    provider: str
    kind: FaultKind
    share: float
    model: str | None = None
    status: int = STATUS_USUAL
    factor: float = FACTOR_USUAL

    def sickness(self) -> tuple[str, str, float, str, int, float]:
        """Return what is wrong, whenever it is: equal for incidents that do the same harm."""
        model = self.model or EVERY
        return (self.provider, self.kind.value, self.share, model, self.status, self.factor)


@value
class Latency:
    """How fast a model answers: quantiles of the time to the first token, then tokens a second.

    ``provider`` and ``model`` are names, or ``*`` for all without a row of their own.
    """

    provider: str
    model: str
    ttft_p50_s: float
    ttft_p95_s: float
    ttft_p99_s: float
    tokens_per_s: float


@value
class Flow:
    """Calls of one sort: so many a second in each of ``hours`` (of the week; Monday 0:00 UTC is 0).

    ``output_tokens`` are the mean of an answer, ``prompt_tokens`` those of every prompt.
    """

    hours: tuple[int, int]
    route: str
    calls_per_s: float
    prompt_tokens: int
    output_tokens: int
    stream_share: float = STREAM_SHARE_USUAL

    def is_in(self, hour: int) -> bool:
        """Return whether the flow flows in ``hour`` of the week."""
        return self.hours[0] <= hour <= self.hours[1]


USUAL_LATENCY = Latency(
    provider=EVERY,
    model=EVERY,
    ttft_p50_s=0.6,
    ttft_p95_s=1.5,
    ttft_p99_s=4.0,
    tokens_per_s=60.0,
)
"""For models without a row: of the size that public benchmarks of hosted models show."""


def read_incidents(path: Path) -> tuple[Incident, ...]:
    """Return the incidents in ``path``, by their start.

    Raises:
        ConfigError: with every mistake, its line and what was expected.
    """
    sheet = read_sheet(path, INCIDENT_COLUMNS)
    found = [_incident(sheet, row) for row in sheet.rows]
    sheet.raise_any()
    return tuple(sorted((one for one in found if one is not None), key=_by_start))


def _by_start(one: Incident) -> tuple[float, float, tuple[str, str, float, str, int, float]]:
    return one.start_s, one.end_s, one.sickness()


def _incident(sheet: Sheet, row: Row) -> Incident | None:
    start_s, end_s = sheet.moment(row, "start"), sheet.moment(row, "end")
    share = sheet.number(row, "share", most=1.0)
    status = sheet.number(row, "status", least=ERROR_STATUS_LEAST, most=ERROR_STATUS_MOST)
    factor = sheet.number(row, "factor", least=1.0, most=1000.0)
    kind = next((one for one in KINDS if one.value == row.cells.get("kind")), None)
    if kind is None and "kind" in row.cells:
        known = ", ".join(one.value for one in KINDS)
        sheet.problem(row.line, f"kind: got {shown(row.cells['kind'])}; known are {known}")
    if start_s is not None and end_s is not None and end_s <= start_s:
        sheet.problem(row.line, "end: expected a time after start")
    if start_s is None or end_s is None or share is None or kind is None:
        return None
    return Incident(
        start_s=start_s,
        end_s=end_s,
        provider=row.cells.get("provider", ""),
        kind=kind,
        share=share,
        model=row.cells.get("model"),
        status=STATUS_USUAL if status is None else int(status),
        factor=FACTOR_USUAL if factor is None else factor,
    )


def read_latencies(path: Path) -> tuple[Latency, ...]:
    """Return the latencies in ``path``.

    Raises:
        ConfigError: with every mistake, its line and what was expected.
    """
    sheet = read_sheet(path, LATENCY_COLUMNS)
    found = [_latency(sheet, row) for row in sheet.rows]
    seen: set[tuple[str, str]] = set()
    for row in sheet.rows:
        name = (row.cells.get("provider", ""), row.cells.get("model", ""))
        if name in seen:
            sheet.problem(row.line, f"{shown('/'.join(name))} has a row already; remove one")
        seen.add(name)
    sheet.raise_any()
    return tuple(one for one in found if one is not None)


def _latency(sheet: Sheet, row: Row) -> Latency | None:
    p50, p95, p99 = (
        sheet.number(row, f"ttft_{name}_s", least=0.001, most=TTFT_S_MAX)
        for name in ("p50", "p95", "p99")
    )
    speed = sheet.number(row, "tokens_per_s", least=0.1, most=100_000.0)
    if p50 is None or p95 is None or speed is None:
        return None
    p99 = p95 * (p95 / p50) ** 0.414 if p99 is None else p99  # a lognormal goes on so
    if not p50 <= p95 <= p99:
        sheet.problem(row.line, "expected ttft_p50_s <= ttft_p95_s <= ttft_p99_s")
    return Latency(
        provider=row.cells.get("provider", ""),
        model=row.cells.get("model", ""),
        ttft_p50_s=p50,
        ttft_p95_s=p95,
        ttft_p99_s=min(p99, TTFT_S_MAX),
        tokens_per_s=speed,
    )


def read_workload(path: Path) -> tuple[Flow, ...]:
    """Return the flows of calls in ``path``.

    Raises:
        ConfigError: with every mistake, its line and what was expected.
    """
    sheet = read_sheet(path, WORKLOAD_COLUMNS)
    found = [_flow(sheet, row) for row in sheet.rows]
    if not any(one is not None and one.calls_per_s > 0 for one in found):
        sheet.problem(1, "no calls at all; expected a row with calls_per_s above 0")
    sheet.raise_any()
    return tuple(one for one in found if one is not None and one.calls_per_s > 0)


def _flow(sheet: Sheet, row: Row) -> Flow | None:
    hours = _hours(sheet, row)
    rate = sheet.number(row, "calls_per_s", most=CALLS_PER_S_MAX)
    prompt = sheet.number(row, "prompt_tokens", least=1, most=PROMPT_TOKENS_MAX)
    output = sheet.number(row, "output_tokens", least=1, most=OUTPUT_TOKENS_MAX)
    streams = sheet.number(row, "stream_share", most=1.0)
    if hours is None or rate is None or prompt is None or output is None:
        return None
    return Flow(
        hours=hours,
        route=row.cells.get("route", ""),
        calls_per_s=rate,
        prompt_tokens=round(prompt),
        output_tokens=round(output),
        stream_share=STREAM_SHARE_USUAL if streams is None else streams,
    )


def _hours(sheet: Sheet, row: Row) -> tuple[int, int] | None:
    """Return the first and the last hour of ``*``, ``9`` or ``9-17``."""
    text = row.cells.get("hour", "")
    if text == EVERY:
        return 0, HOURS_A_WEEK - 1
    first, _, last = text.partition("-")
    if first.isdecimal() and (last or first).isdecimal():
        hours = int(first), int(last or first)
        if hours[0] <= hours[1] < HOURS_A_WEEK:
            return hours
    if text:
        message = (
            f"hour: expected * or hours of the week as 9 or 9-17 (0 to 167), got {shown(text)}"
        )
        sheet.problem(row.line, message)
    return None
