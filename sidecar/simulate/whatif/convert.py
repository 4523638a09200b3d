"""From other people's data to our formats, for those who have such a file; none is part of this.

* incidents: FAILS (atlarge-research): status pages' incidents with ``provider, impact, start,
  close, services, title``.
* latencies: llmperf-leaderboard's single requests (``provider, size, ttft_s,
  inter_token_latency_s``), or calls with their provider's own ``processing_ms``.
* workload: traces of requests (``t_ms`` and tokens in and out: Azure's, Mooncake's).

Which of them a file is, its header says. A status page says how bad an incident was in a word; what
share of requests failed is an assumption, and ``SHARES`` is ours: a partial outage counts as 30 %
and a complete one as 100 % of downtime on the most usual kind of status page; what is called minor
counts nothing there and a tenth here.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from sidecar.errors import ConfigError
from sidecar.simulate.whatif.inputs import (
    EVERY,
    INCIDENT_COLUMNS,
    LATENCY_COLUMNS,
    USUAL_LATENCY,
    WORKLOAD_COLUMNS,
)
from sidecar.simulate.whatif.sheet import Columns, Row, Sheet, read_sheet, shown, spelled
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

IMPACTS = ("none", "minor", "major", "critical", "maintenance")
SHARES = {"none": 0.05, "minor": 0.1, "major": 0.3, "critical": 1.0, "maintenance": 0.0}
FAILS = Columns(needed=("provider", "impact", "start", "close"), optional=("services", "title"))
LLMPERF = Columns(needed=("provider", "size", "ttft_s", "inter_token_latency_s"))
RECORDED = Columns(needed=("host", "stream", "status", "processing_ms"), optional=("model",))
TRACES = (
    Columns(needed=("t_ms", "context_tokens", "generated_tokens")),
    Columns(needed=("t_ms", "input_tokens", "output_tokens")),
)
REQUESTS_MIN = 20
CLASSES = 5
HTTP_OK = 200
OUTPUT_TOKENS_LEAST = 1


@value
class Wishes:
    """How to convert.

    ``services``: only incidents of one of these (and those that name none); ``exclude``: none with
    such a word in its title. ``shares``: of failed requests, by impact. ``phase_s``: an incident of
    a share below 1 is not requests that fail by themselves, but a provider that is down for this
    share of each such time. ``route`` and ``calls_per_s`` (None: the trace's own) of a workload.
    """

    services: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    shares: Mapping[str, float] | None = None
    phase_s: float | None = None
    route: str = "reason"
    calls_per_s: float | None = None


@value
class Converted:
    """``text`` is the CSV; ``remarks`` say what was left out and what was assumed."""

    text: str
    rows: int
    remarks: tuple[str, ...]


def convert(what: str, path: Path, wishes: Wishes) -> Converted:
    """Convert the file at ``path`` to ``incidents``, ``latencies`` or ``workload``.

    Raises:
        ConfigError: it is of no known format, or has mistakes; with lines.
    """
    converters: dict[str, Callable[[Path, Wishes], Converted]] = {
        "incidents": _incidents,
        "latencies": _latencies,
        "workload": _workload,
    }
    return converters[what](path, wishes)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


# --- incidents ---------------------------------------------------------------------------------


def _incidents(path: Path, wishes: Wishes) -> Converted:
    sheet = read_sheet(path, FAILS, others=True)
    shares = SHARES | dict(wishes.shares or {})
    rows: list[tuple[float, float, str, float]] = []
    left = {"of other services": 0, "excluded by title": 0, "without length": 0}
    for row in sheet.rows:
        start_s, end_s = sheet.moment(row, "start"), sheet.moment(row, "close")
        share = _share(sheet, row, shares)
        if start_s is None or end_s is None or share is None:
            continue
        reason = _reason(row, wishes, end_s - start_s)
        if reason is not None:
            left[reason] += 1
        elif share > 0.0:
            rows += _phases(start_s, end_s, row.cells["provider"], share, wishes.phase_s)
    sheet.raise_any()
    told = tuple(f"{count} left out: {reason}" for reason, count in left.items() if count)
    assumed = ", ".join(f"{name} {share:g}" for name, share in shares.items())
    made = [(spelled(a), spelled(b), name, "status", f"{share:g}") for a, b, name, share in rows]
    return Converted(
        text=_csv(INCIDENT_COLUMNS.needed, made),
        rows=len(rows),
        remarks=(*told, f"assumed shares of failed requests: {assumed}"),
    )


def _share(sheet: Sheet, row: Row, shares: Mapping[str, float]) -> float | None:
    """Return the share of an impact, which is a number or a word."""
    text = row.cells.get("impact", "")
    known = [name for place, name in enumerate(IMPACTS) if text in (name, str(place))]
    if not known:
        sheet.problem(row.line, f"impact: expected 0 to 4 or a word, got {shown(text)}")
        return None
    return shares[known[0]]


def _reason(row: Row, wishes: Wishes, length_s: float) -> str | None:
    """Return why an incident is left out, None if it is not."""
    services = [name for name in row.cells.get("services", "").split("|") if name]
    if wishes.services and services and not set(services) & set(wishes.services):
        return "of other services"
    title = row.cells.get("title", "").lower()
    if any(word.lower() in title for word in wishes.exclude):
        return "excluded by title"
    return "without length" if length_s <= 0 else None


def _phases(
    start_s: float, end_s: float, provider: str, share: float, phase_s: float | None
) -> list[tuple[float, float, str, float]]:
    """Return an incident as it is, or as times in which everything fails."""
    if phase_s is None or share >= 1.0:
        return [(start_s, end_s, provider, share)]
    found = []
    at_s = start_s
    while at_s < end_s:
        until_s = min(end_s, at_s + phase_s)
        down_s = max(1.0, share * (until_s - at_s))
        found.append((at_s, at_s + down_s, provider, 1.0))
        at_s = until_s
    return found


# --- latencies ---------------------------------------------------------------------------------


def _latencies(path: Path, wishes: Wishes) -> Converted:  # noqa: ARG001 - as its siblings
    is_llmperf = _has(path, LLMPERF)
    # An error has no latency, so these cells may be empty in llmperf's.
    columns = Columns(needed=("provider", "size")) if is_llmperf else RECORDED
    sheet = read_sheet(path, columns, others=True)
    groups = _llmperf(sheet) if is_llmperf else _recorded(sheet)
    sheet.raise_any()
    rows, small = [], 0
    for (provider, model), (waits, gaps) in sorted(groups.items()):
        if len(waits) < REQUESTS_MIN:
            small += 1
            continue
        p50, p95, p99 = (_quantile(waits, share) for share in (0.5, 0.95, 0.99))
        speed = 1.0 / _quantile(gaps, 0.5) if gaps else USUAL_LATENCY.tokens_per_s
        cells = (provider, model, f"{p50:.3f}", f"{p95:.3f}", f"{speed:.1f}", f"{p99:.3f}")
        rows.append(cells)
    remarks = [f"{small} left out: fewer than {REQUESTS_MIN} requests"] if small else []
    if not is_llmperf:
        remarks.append(f"tokens_per_s is not in this data: {USUAL_LATENCY.tokens_per_s:g} assumed")
    header = (*LATENCY_COLUMNS.needed, "ttft_p99_s")
    return Converted(text=_csv(header, rows), rows=len(rows), remarks=tuple(remarks))


Groups = dict[tuple[str, str], tuple[list[float], list[float]]]
"""Provider and model to the times to the first token and between tokens, seconds."""


def _llmperf(sheet: Sheet) -> Groups:
    groups: Groups = {}
    for row in sheet.rows:
        if row.cells.get("error_code"):
            continue
        wait_s = sheet.number(row, "ttft_s")
        gap_s = sheet.number(row, "inter_token_latency_s")
        if wait_s:
            key = (row.cells.get("provider", EVERY), row.cells.get("size", EVERY))
            waits, gaps = groups.setdefault(key, ([], []))
            waits.append(wait_s)
            gaps += [gap_s] if gap_s else []
    return groups


def _recorded(sheet: Sheet) -> Groups:
    """Take streams alone: of a whole answer the time is not that of its first token."""
    groups: Groups = {}
    for row in sheet.rows:
        status = sheet.number(row, "status")
        took_ms = sheet.number(row, "processing_ms")
        if took_ms and status == HTTP_OK and row.cells.get("stream") == "1":
            provider = row.cells.get("host", "").removeprefix("api.").partition(".")[0]
            model = row.cells.get("model", EVERY)
            groups.setdefault((provider, model), ([], []))[0].append(took_ms / 1000.0)
    return groups


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# --- workload ----------------------------------------------------------------------------------


def _workload(path: Path, wishes: Wishes) -> Converted:
    """Return the calls in classes of prompt length, each with its mean tokens and its rate."""
    columns = next((one for one in TRACES if _has(path, one)), None)
    if columns is None:
        raise ConfigError(
            (f"{path}: no known trace; expected t_ms and tokens in and out as columns",)
        )
    sheet = read_sheet(path, columns, others=True)
    asked: list[tuple[float, float]] = []
    last_ms = 0.0
    for row in sheet.rows:
        at_ms, prompt, output = (sheet.number(row, name) for name in columns.needed)
        if at_ms is not None and prompt is not None and output is not None:
            last_ms = max(last_ms, at_ms)
            asked.append((max(1.0, prompt), max(float(OUTPUT_TOKENS_LEAST), output)))
    sheet.raise_any()
    if not asked or last_ms <= 0.0:
        raise ConfigError((f"{path}: expected requests over some time, got {len(asked)}",))
    own_rate = len(asked) / (last_ms / 1000.0)
    rate = own_rate if wishes.calls_per_s is None else wishes.calls_per_s
    asked.sort()
    rows = []
    for number in range(CLASSES):
        some = asked[number * len(asked) // CLASSES : (number + 1) * len(asked) // CLASSES]
        if some:
            prompt, output = (sum(one[at] for one in some) / len(some) for at in (0, 1))
            share = len(some) / len(asked)
            cells = (EVERY, wishes.route, f"{rate * share:.6g}", round(prompt), round(output))
            rows.append(cells)
    remarks = (f"{len(asked)} requests at {own_rate:.3g} a second in the trace; {rate:.3g} here",)
    return Converted(text=_csv(WORKLOAD_COLUMNS.needed, rows), rows=len(rows), remarks=remarks)


def _has(path: Path, columns: Columns) -> bool:
    """Return whether the header of ``path`` has all of ``columns``."""
    try:
        with path.open(encoding="utf-8") as file:
            names = {name.strip() for name in file.readline().split(",")}
    except (OSError, UnicodeDecodeError):
        return False
    return names.issuperset(columns.needed)
