"""The commands that only look: exit codes and what is printed where."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from sidecar.cli.main import main
from sidecar.durations import parse_duration
from sidecar.ledger.settings import LedgerSettings
from sidecar.ledger.store import Store
from tests.ledger.events import call

EXAMPLES = Path(__file__).parents[2] / "config"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
        monkeypatch.delenv(f"{name}_BASE_URL", raising=False)


@pytest.fixture
def risky(tmp_path: Path) -> Path:
    """Return a file that is right but has a single model."""
    path = tmp_path / "risky.yaml"
    path.write_text(
        "providers: {a: {kind: openai, base_url: http://127.0.0.1:1}}\n"
        "models: {m: {provider: a, model: m}}\n"
    )
    return path


def test_a_right_file_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo's file needs no key and passes even strictly."""
    assert main(["check", "--strict", "--config", str(EXAMPLES / "demo.yaml")]) == 0
    out, err = capsys.readouterr()
    *models, verdict = out.splitlines()
    assert (verdict, err) == ("ok: 3 providers, 3 models, 3 routes", "")
    assert [line.partition(" (")[0] for line in models] == [
        *("model alpha/alpha-large", "model beta/beta-large", "model gamma/gamma-small")
    ]


def test_the_example_is_ok_with_its_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commented example passes strictly as soon as its variables are set."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    assert main(["check", "--strict", "--config", str(EXAMPLES / "sidecar.yaml")]) == 0
    *models, verdict = capsys.readouterr().out.splitlines()
    assert verdict == "ok: 2 providers, 4 models, 3 routes"
    assert len(models) == 4
    assert not [line for line in models if "context unknown" in line or "price unknown" in line]


def test_a_wrong_file_exits_2_with_every_problem_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Problems go to stderr, one a line, without a traceback."""
    path = EXAMPLES / "sidecar.yaml"
    assert main(["check", "--config", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ", 2)[1] for line in err.splitlines()] == [
        *("$.providers.anthropic.api_key.env", "$.providers.openai.api_key.env")
    ]


def test_warnings_fail_only_a_strict_check(risky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Advice is printed; with --strict it decides the exit code."""
    warning = (
        "model a/m (m): price unknown; context unknown; output unknown; abilities assumed\n"
        f"warning: {risky}:2: $.models: there is a single model: nothing can take over from it;"
        " add one at another provider\n"
    )
    assert main(["check", "--config", str(risky)]) == 0
    assert capsys.readouterr().out == f"{warning}ok: 1 provider, 1 model, 0 routes\n"
    assert main(["check", "--config", str(risky), "--strict"]) == 1
    assert capsys.readouterr().out == f"{warning}not ok: 1 provider, 1 model, 0 routes\n"


def test_without_a_file_the_default_is_checked_and_can_be_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is built from keys is described; printed and saved, it is a file like any other."""
    assert main(["check"]) == 2
    assert "set ANTHROPIC_API_KEY, OPENAI_API_KEY" in capsys.readouterr().err
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("providers: openai (OPENAI_API_KEY, http://127.0.0.1:1/v1)\n")
    assert out.endswith("ok: 1 provider, 2 models, 5 routes\n")
    assert main(["check", "--print-default"]) == 0
    saved = tmp_path / "saved.yaml"
    saved.write_text(capsys.readouterr().out)
    assert main(["check", "--config", str(saved)]) == 0


def test_the_schema_describes_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Every reference leads somewhere; durations are text with a pattern and a readable default."""
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    definitions = schema["$defs"]
    references = _references(schema)
    assert references
    assert all(name.removeprefix("#/$defs/") in definitions for name in references)
    opens = definitions["Breaker"]["properties"]["open_base"]
    assert (opens["type"], opens["default"]) == ("string", "5s")
    assert parse_duration(definitions["DefaultsEntry"]["properties"]["within"]["default"]) == 120
    assert definitions["File"]["required"] == ["providers", "models"]
    assert msgspec.json.encode(schema)


def _references(node: object) -> list[str]:
    """Return every ``$ref`` below ``node``."""
    if isinstance(node, list):
        return [found for item in node for found in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [found for item in node.values() for found in _references(item)]


def test_a_wrong_command_line_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing command is told by argparse with the same code as a wrong file."""
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """--version says the name, and ends well."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("sidecar ")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--limit", "0"], ["--limit", "x"], ["--since", "1"], ["--json", "--jsonl"]),
        ["--ledger", "a.db", "--admin", "http://127.0.0.1:1"],
    ],
)
def test_calls_refuses_arguments_that_mean_nothing(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong filter or two places to look are mistakes of the command line."""
    with pytest.raises(SystemExit) as caught:
        main(["calls", *arguments])
    assert caught.value.code == 2
    assert "usage: sidecar calls" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--admin", "http://127.0.0.1:1"], ["--ledger", "/none.db"]])
def test_calls_says_where_it_found_nobody(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a sidecar or a file there is one line that says what to name instead."""
    assert main(["calls", *arguments]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert arguments[1] in err


def test_calls_pages_through_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An export holds every call once, newest first, though a page holds fewer; a screen twenty."""
    path, export = tmp_path / "ledger.db", tmp_path / "out.jsonl"
    store = Store(LedgerSettings(path=str(path)))
    store.save([(0.0, call(f"c{number}")) for number in range(2345)], {})
    store.close()
    assert main(["calls", "--ledger", str(path), "--export", str(export)]) == 0
    names = [json.loads(line)["call_id"] for line in export.read_text().splitlines()]
    assert names == [f"c{number}" for number in range(2344, -1, -1)]
    assert capsys.readouterr() == ("", f"2345 calls written to {export}\n")
    assert main(["calls", "--ledger", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert lines[0] == "1970-01-01T00:00:10Z reason ok a/big 3.000s $0.000000 -"
    assert main(["calls", "--ledger", str(path), "--limit", "1500", "--jsonl"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1500
