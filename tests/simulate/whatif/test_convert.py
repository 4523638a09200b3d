"""Other people's data become our CSVs: tiny samples of the same shape, made up here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.cli.main import main
from sidecar.simulate.whatif.inputs import read_incidents, read_latencies, read_workload

if TYPE_CHECKING:
    from pathlib import Path

FAILS = """incident_id,provider,impact,start,close,investigating,services,title
a1,openai,3,2030-01-01 10:00:00,2030-01-01 11:00:00,,API|ChatGPT,"Down, all of it"
a2,openai,2,2030-01-02 10:00:00,2030-01-02 10:30:00,,API,Elevated errors
a3,openai,2,2030-01-03 10:00:00,2030-01-03 10:30:00,,ChatGPT,Elevated errors
a4,openai,1,2030-01-04 10:00:00,2030-01-04 10:30:00,,API,Pictures are slow
a5,anthropic,0,2030-01-05 10:00:00,2030-01-05 10:00:00,,,Brief errors
a6,anthropic,4,2030-01-06 10:00:00,2030-01-06 11:00:00,,,Maintenance
a7,anthropic,1,2030-01-07 10:00:00,2030-01-07 11:00:00,,,Elevated errors
"""
ASSUMED = "none 0.05, minor 0.1, major 0.3, critical 1, maintenance 0"


def converted(tmp_path: Path, what: str, text: str, *options: str) -> Path:
    """Return what the command makes of ``text``."""
    source, target = tmp_path / "theirs.csv", tmp_path / "ours.csv"
    source.write_text(text, encoding="utf-8")
    arguments = ["simulate", "convert", what, "--from", str(source), "--to", str(target)]
    assert main([*arguments, *options]) == 0
    return target


def test_incidents_of_status_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Impact becomes a share; other services, titles and moments are left out, and counted."""
    path = converted(tmp_path, "incidents", FAILS, "--services", "API", "--exclude", "pictures")
    found = [(one.provider, one.end_s - one.start_s, one.share) for one in read_incidents(path)]
    assert found == [
        ("openai", 3600.0, 1.0),
        ("openai", 1800.0, 0.3),
        ("anthropic", 3600.0, 0.1),
    ]
    assert capsys.readouterr().out.splitlines()[:4] == [
        "1 left out: of other services",
        "1 left out: excluded by title",
        "1 left out: without length",
        f"assumed shares of failed requests: {ASSUMED}",
    ]


def test_shares_are_the_users_to_assume(tmp_path: Path) -> None:
    """``--share`` replaces ours."""
    path = converted(tmp_path, "incidents", FAILS, "--share", "minor=0", "--share", "major=0.5")
    assert [one.share for one in read_incidents(path)] == [1.0, 0.5, 0.5]


def test_an_incident_may_be_down_for_its_share_of_the_time(tmp_path: Path) -> None:
    """``--phases``: of each ten minutes three are down, and the share of time stays."""
    path = converted(tmp_path, "incidents", FAILS, "--services", "API", "--phases", "10m")
    found = [one for one in read_incidents(path) if one.provider == "openai"]
    assert [(one.end_s - one.start_s, one.share) for one in found] == [
        (3600.0, 1.0),
        *[(180.0, 1.0)] * 3,
        *[(60.0, 1.0)] * 3,
    ]
    assert found[2].start_s - found[1].start_s == 600.0


def test_a_wrong_impact_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their files have mistakes too."""
    source = tmp_path / "theirs.csv"
    source.write_text("provider,impact,start,close\na,9,2030-01-01,2030-01-02\n")
    target = tmp_path / "ours.csv"
    arguments = ["simulate", "convert", "incidents", "--from", str(source), "--to", str(target)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said == f"{source}:2: impact: expected 0 to 4 or a word, got '9'\n"
    assert not target.exists()
    assert main([*arguments, "--share", "huge=1"]) == 2
    assert "--share: expected none|minor|major|critical|maintenance=0..1" in capsys.readouterr().err


def test_latencies_of_single_requests(tmp_path: Path) -> None:
    """llmperf's: quantiles of the good requests, by provider and size; too few are left out."""
    rows = [f"acme,7b,,{0.1 + 0.01 * n:.2f},0.02,1,550,150" for n in range(100)]
    header = (
        "provider,size,error_code,ttft_s,inter_token_latency_s,end_to_end_latency_s,"
        "input_tokens,output_tokens"
    )
    text = "\n".join([header, *rows, "acme,7b,429,,,,,", "acme,70b,,1,1,1,1,1"])
    (row,) = read_latencies(converted(tmp_path, "latencies", text))
    assert (row.provider, row.model, row.tokens_per_s) == ("acme", "7b", 50.0)
    quantiles = (row.ttft_p50_s, row.ttft_p95_s, row.ttft_p99_s)
    assert quantiles == pytest.approx((0.6, 1.05, 1.09))


def test_latencies_by_the_providers_own_clock(tmp_path: Path) -> None:
    """Streams alone tell of first tokens."""
    rows = [f"api.acme.com,/v1,m,1,200,{n * 10},h,5,s" for n in range(1, 41)]
    header = "host,path,model,stream,status,processing_ms,header,output_tokens,source"
    others = ["api.acme.com,/v1,m,0,200,90000,h,5,s", "api.acme.com,/v1,m,1,500,90000,h,,s"]
    (row,) = read_latencies(converted(tmp_path, "latencies", "\n".join([header, *rows, *others])))
    assert (row.provider, row.model) == ("acme", "m")
    assert (row.ttft_p50_s, row.ttft_p99_s) == pytest.approx((0.21, 0.4))


@pytest.mark.parametrize(
    "header",
    ["t_ms,context_tokens,generated_tokens", "t_ms,input_tokens,output_tokens,blocks_512"],
)
def test_workload_of_a_trace(tmp_path: Path, header: str) -> None:
    """Calls in five classes of length; all their tokens and their rate are kept."""
    tail = ",1" if "blocks" in header else ""
    rows = [f"{n * 500},{100 * (n % 10 + 1)},{n % 7 + 1}{tail}" for n in range(1, 101)]
    flows = read_workload(converted(tmp_path, "workload", "\n".join([header, *rows])))
    assert len(flows) == 5
    assert sum(flow.calls_per_s for flow in flows) == pytest.approx(2.0)
    prompts = sum(flow.calls_per_s * flow.prompt_tokens for flow in flows)
    assert prompts == pytest.approx(2.0 * 550, rel=0.001)
    path = converted(tmp_path, "workload", "\n".join([header, *rows]), "--calls-per-s", "1")
    assert sum(flow.calls_per_s for flow in read_workload(path)) == pytest.approx(1.0)


@pytest.mark.parametrize("what", ["incidents", "latencies", "workload"])
def test_what_is_of_no_known_format_is_refused(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of other columns, or none."""
    source = tmp_path / "theirs.csv"
    source.write_text("a,b\n1,2\n")
    for path in (source, tmp_path / "none.csv"):
        arguments = ["simulate", "convert", what, "--from", str(path), "--to", str(tmp_path / "o")]
        assert main(arguments) == 2
        assert str(path) in capsys.readouterr().err
