"""The three CSV formats: what is written is read, what is wrong is told with file and line."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import ConfigError
from sidecar.simulate.whatif.inputs import (
    INCIDENT_COLUMNS,
    KINDS,
    LATENCY_COLUMNS,
    WORKLOAD_COLUMNS,
    Flow,
    Incident,
    read_incidents,
    read_latencies,
    read_workload,
)
from sidecar.simulate.whatif.sheet import Sheet, instant, spelled
from sidecar.upstream.simulated_faults import FaultKind

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[3] / "sidecar" / "simulate" / "whatif" / "examples"
READERS: dict[str, Callable[[Path], object]] = {
    "incidents": read_incidents,
    "latencies": read_latencies,
    "workload": read_workload,
}
NAMES = st.text("abcxyz-., \"'", min_size=1, max_size=8).map(str.strip).filter(bool)
SECONDS = st.integers(min_value=0, max_value=2_000_000_000)


def written(path: Path, text: str) -> Path:
    """Return ``path`` with ``text`` in it."""
    path.write_text(text, encoding="utf-8")
    return path


def problems(read: Callable[[Path], object], path: Path) -> tuple[str, ...]:
    """Return what ``read`` has against ``path``."""
    with pytest.raises(ConfigError) as caught:
        read(path)
    return caught.value.problems


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    """Draw an incident."""
    start_s = draw(SECONDS)
    return Incident(
        start_s=float(start_s),
        end_s=float(start_s + draw(st.integers(min_value=1, max_value=10**6))),
        provider=draw(NAMES),
        kind=draw(st.sampled_from(KINDS)),
        share=draw(st.floats(0.0, 1.0)),
        model=draw(st.none() | NAMES),
        status=draw(st.integers(min_value=400, max_value=599)),
        factor=draw(st.floats(1.0, 1000.0)),
    )


@settings(max_examples=60, deadline=None)
@given(some=st.lists(incidents(), min_size=1, max_size=5), order=st.randoms())
def test_incidents_are_read_as_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, some: list[Incident], order: object
) -> None:
    """Whatever the order of columns and the characters in names."""
    columns = [*INCIDENT_COLUMNS.needed, *INCIDENT_COLUMNS.optional]
    order.shuffle(columns)  # type: ignore[attr-defined] # a random.Random
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    for one in some:
        writer.writerow(
            {
                "start": spelled(one.start_s),
                "end": spelled(one.end_s),
                "provider": one.provider,
                "kind": one.kind.value,
                "share": repr(one.share),
                "model": one.model,
                "status": one.status,
                "factor": repr(one.factor),
            }
        )
    path = tmp_path_factory.mktemp("incidents") / "a.csv"
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    assert sorted(map(repr, read_incidents(path))) == sorted(map(repr, some))


@settings(max_examples=150, deadline=None)
@given(
    what=st.sampled_from(sorted(READERS)),
    lines=st.lists(
        st.lists(st.sampled_from(["", "*", "1", "-1", "nan", "1e400", "x", '"', "openai", "é"])),
        max_size=5,
    ),
    has_header=st.booleans(),
)
def test_no_text_is_more_than_a_mistake(
    tmp_path_factory: pytest.TempPathFactory, what: str, lines: list[list[str]], has_header: bool
) -> None:
    """Any text is read or refused with messages that begin with file and line."""
    columns = {
        "incidents": INCIDENT_COLUMNS,
        "latencies": LATENCY_COLUMNS,
        "workload": WORKLOAD_COLUMNS,
    }
    header = [",".join(columns[what].needed)] if has_header else []
    path = tmp_path_factory.mktemp("any") / "a.csv"
    written(path, "\n".join([*header, *(",".join(cells) for cells in lines)]))
    try:
        READERS[what](path)
    except ConfigError as error:
        for problem in error.problems:
            assert re.match(rf"{re.escape(str(path))}:(\d+: .| and \d+ more)", problem)


@pytest.mark.parametrize("what", READERS)
def test_the_examples_are_right(what: str) -> None:
    """What is shipped can be read."""
    assert READERS[what](EXAMPLES / f"{what}.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.csv:1: empty; expected a header: start,end,provider,kind,share"),
        ("start,end,provider,kind,shar", "a.csv:1: unknown column 'shar'; known are start, "),
        ("start,end,provider,kind", "a.csv:1: missing column share"),
        ("start,start,end,provider,kind,share", "a.csv:1: column 'start' stands there twice"),
        (
            "start,end,provider,kind,share\n\n2024-01-01,2024-01-02,a,status,30",
            "a.csv:3: share: expected a number from 0 to 1, got '30'",
        ),
        (
            "start,end,provider,kind,share\n2024-01-01,2024-01-02,a,statos,0.3",
            "a.csv:2: kind: got 'statos'; known are refuse, blackhole",
        ),
        (
            "start,end,provider,kind,share\n2024-01-02,2024-01-01,a,status,0.3",
            "a.csv:2: end: expected a time after start",
        ),
        (
            "start,end,provider,kind,share\nyesterday,2024-01-01,a,status,0.3",
            "a.csv:2: start: expected a time as 2024-01-31T13:00:00Z, got 'yesterday'",
        ),
        ("start,end,provider,kind,share\n2024-01-01,2024-01-02,,status,1", "a.csv:2: provider: mi"),
        ("start,end,provider,kind,share\n1,2,3,4,5,6", "a.csv:2: 6 cells under 5 columns"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """File, line, column, what was expected."""
    found = problems(read_incidents, written(tmp_path / "a.csv", text))
    assert any(str(one).startswith(str(tmp_path / said)) for one in found), found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Several lines, several problems."""
    head = "hour,route,calls_per_s,prompt_tokens,output_tokens\n"
    path = written(tmp_path / "w.csv", head + "168,a,1,10,10\n5-3,a,1,10,10\n*,a,-1,0,10\n")
    assert [one.split(": ")[1] for one in problems(read_workload, path)][:4] == [
        *("hour", "hour", "calls_per_s", "prompt_tokens")
    ]


def test_other_mistakes_of_files(tmp_path: Path) -> None:
    """A file that is missing, no text, or says a thing twice."""
    (missing,) = problems(read_incidents, tmp_path / "none.csv")
    assert missing.endswith("cannot be read (No such file or directory); name another file")
    (tmp_path / "b.csv").write_bytes(b"start,end\n\xff\xfe")
    (binary,) = problems(read_incidents, tmp_path / "b.csv")
    assert binary.endswith("b.csv:2: not UTF-8; save it as UTF-8")
    head = "provider,model,ttft_p50_s,ttft_p95_s,tokens_per_s\n"
    twice = written(tmp_path / "l.csv", head + "a,*,1,2,50\na,*,1,2,60\nb,*,3,2,60\n")
    found = problems(read_latencies, twice)
    assert [one.partition(".csv:")[2] for one in found] == [
        "4: expected ttft_p50_s <= ttft_p95_s <= ttft_p99_s",
        "3: 'a/*' has a row already; remove one",
    ]


def test_a_workload_has_calls(tmp_path: Path) -> None:
    """Nothing but zeros is a mistake; rows of zero are left out."""
    head = "hour,route,calls_per_s,prompt_tokens,output_tokens\n"
    (none,) = problems(read_workload, written(tmp_path / "w.csv", head + "*,a,0,10,10\n"))
    assert "no calls at all" in none
    both = written(tmp_path / "w.csv", head + "*,a,0,10,10\n9-17,b,2,10,20\n")
    assert read_workload(both) == (
        Flow(hours=(9, 17), route="b", calls_per_s=2.0, prompt_tokens=10, output_tokens=20),
    )


def test_a_missing_tail_is_that_of_a_lognormal(tmp_path: Path) -> None:
    """Without ttft_p99_s the distribution goes on as it was."""
    head = "provider,model,ttft_p50_s,ttft_p95_s,tokens_per_s\n"
    (row,) = read_latencies(written(tmp_path / "l.csv", head + "a,*,1,5.18,50\n"))
    assert row.ttft_p99_s == pytest.approx(10.24, rel=0.01)  # e^2.326 after e^1.645


def test_instants_are_utc_unless_they_say_otherwise() -> None:
    """A date, a time with a blank, a zone."""
    assert instant("1970-01-02") == instant("1970-01-02 00:00:00") == 86_400.0
    assert instant("1970-01-02T02:00:00+02:00") == 86_400.0
    assert instant("soon") is None
    assert spelled(86_400.0) == "1970-01-02T00:00:00Z"


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    """Spreadsheets write one."""
    sheet = Sheet("a.csv", "\ufeffstart,end,provider,kind,share\n", INCIDENT_COLUMNS)
    assert sheet.problems == []


def test_every_kind_of_fault_is_known_or_left_out_on_purpose() -> None:
    """A new kind of fault is one that incidents can be of."""
    assert {one.value for one in FaultKind} - {one.value for one in KINDS} == {
        *("token_rate", "slice", "stale")
    }
