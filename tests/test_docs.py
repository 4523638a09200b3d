"""Prose that repeats code agrees with it: README.md and docs/."""

from __future__ import annotations

import dataclasses
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from sidecar import errors
from sidecar.cli.main import _parser
from sidecar.config.groups import key_of
from sidecar.config.schema import DefaultsEntry, ListenEntry
from sidecar.domain import OutcomeClass
from sidecar.durations import parse_duration
from sidecar.server import admin, constraints, doors, health
from sidecar.server.guard import Guard, GuardSettings
from sidecar.upstream.kinds import KINDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DECISIONS = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
DEMO = "python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/sidecar demo"
TESTS = (
    "python3 -m venv .venv && .venv/bin/pip install --quiet --editable '.[test]'"
    " && .venv/bin/python -m pytest -q"
)
CODE = r"`([^`]+)`"
MISSING = object()
BASES = (ROOT / "sidecar", ROOT)


def rows(text: str, header: str) -> list[list[str]]:
    """Return the cells of the table whose first header cell is ``header``."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {header} |"):
            break
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def default_of(setting: str) -> object:
    """Return the default of ``section.key`` under ``defaults:``, ``MISSING`` if there is none."""
    section, _, key = setting.rpartition(".")
    if not section:
        (member,) = (m for m in msgspec.structs.fields(DefaultsEntry) if m.name == key)
        return member.default
    hint = get_type_hints(DefaultsEntry, include_extras=True)[section]
    settings = hint.__metadata__[0].extra["settings"]
    for field in dataclasses.fields(settings):
        if key_of(field.name) == key:
            return field.default
    return MISSING


def layers() -> dict[str, set[str]]:
    """Return the import table that is enforced."""
    module = runpy.run_path(str(ROOT / "tests" / "test_imports.py"), run_name="imports")
    allowed: dict[str, set[str]] = module["ALLOWED"]
    everything: set[str] = module["ALL"]
    return {name: everything if names == everything else names for name, names in allowed.items()}


@pytest.mark.parametrize("name", ["architecture.md", "decisions.md"])
def test_files_that_are_named_exist(name: str) -> None:
    """Every file that the documentation names in backticks is there."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+\.(?:py|yaml|md|toml))`", text))
    assert len(named) > 15
    missing = [file for file in sorted(named) if not any((base / file).exists() for base in BASES)]
    assert missing == []


def test_links_lead_somewhere() -> None:
    """Every relative link of the README leads to a file or folder."""
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
    assert len(links) >= 4


def test_the_layer_table_is_the_enforced_one() -> None:
    """The architecture's table of layers equals the one that the imports are checked against."""
    enforced = layers()
    shown = {row[0].strip("`"): row[-1] for row in rows(ARCHITECTURE, "layer")}
    for name, cell in shown.items():
        allowed = enforced[name]
        if cell.startswith("everything"):
            assert allowed >= enforced["app"] - {"cli"}
            assert ("but cli" in cell) == ("cli" not in allowed)
        else:
            assert {word for word in re.split(r"[ ,|]+", cell) if word} == allowed, name
    built = {path.stem for path in (ROOT / "sidecar").iterdir() if path.name[0] not in "_."}
    assert shown.keys() == enforced.keys() & built


@pytest.mark.parametrize("row", rows(README, "setting"), ids=lambda row: row[0])
def test_the_defaults_are_those_of_the_code(row: list[str]) -> None:
    """The README's table of defaults equals the defaults beside the code."""
    setting, shown = row[0].strip("`"), row[1]
    default = default_of(setting)
    assert default is not MISSING
    if default is None:
        assert shown == "adaptive"
    elif shown[-1] in "ms":
        assert parse_duration(shown) == default
    else:
        assert float(shown) == default


def test_the_error_codes_are_those_of_the_code() -> None:
    """The reference lists every error of ours with its status."""
    kinds: tuple[type[errors.CallError], ...] = (
        errors.CallError,
        *errors.CallError.__subclasses__(),
    )
    shown = {(row[0].strip("`"), int(row[1])) for row in rows(API, "error")}
    assert shown == {(kind.code, kind.status) for kind in kinds}


def test_the_paths_are_those_of_the_planes() -> None:
    """The reference lists every path of the three planes, at its default address."""
    table = rows(API, "plane")
    shown = {path for row in table for path in re.findall(CODE, row[1])}
    operate = f"POST {admin.ENDPOINTS_PATH}{{id}}/"
    plane: Any = admin.AdminPlane(Guard(GuardSettings()), None)  # type: ignore[arg-type]  # unused
    assert shown == {
        *doors.PATHS,
        *(f"{method} {path}" for path, acts in plane._pages.items() for method in acts),
        f"DELETE {admin.DRILLS_PATH}/{{id}}",
        f"{operate}isolate",
        f"{operate}restore",
        *(f"GET {path}" for path in health.PATHS),
    }
    listen = ListenEntry()
    addresses = [row[0] for row in table if row[0]]
    assert addresses == [f"{name}, {getattr(listen, name)}" for name in ("data", "admin", "health")]


def test_the_constraints_are_those_of_the_code() -> None:
    """The reference shows every constraint with a value that is read."""
    (paragraph,) = re.findall(r"Constraints, as a header.*?\n\n", API, re.DOTALL)
    shown = dict(re.findall(r"`(x-sidecar-[a-z-]+): ([^`]+)`", paragraph))
    assert {name.removeprefix("x-sidecar-").replace("-", "_") for name in shown} == set(
        constraints.FIELDS
    )
    assert constraints.read_constraints(shown, None).is_quality_hard
    assert "without `!`" in paragraph


def test_the_response_headers_are_those_of_the_code() -> None:
    """The reference lists every header of ours that an answer may carry."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "sidecar/server").glob("*.py")]
    written = {name for text in sources for name in re.findall(r'"(x-sidecar-[a-z-]*[a-z])"', text)}
    shown = {name for row in rows(API, "response header") for name in re.findall(CODE, row[0])}
    assert shown == written


def test_the_attempts_shown_are_of_known_classes() -> None:
    """Outcome classes in the README's examples exist."""
    shown = set(re.findall(r"[\w.-]+/[\w.-]+:([A-Z_0-9]+)", README))
    assert shown
    assert shown <= {cls.value for cls in OutcomeClass}


def test_the_kinds_are_those_of_the_code() -> None:
    """The README names every kind of provider."""
    (paragraph,) = re.findall(r"\nKinds: .*?\n\n", README, re.DOTALL)
    assert KINDS.keys() <= set(re.findall(CODE, paragraph))


def test_the_dependencies_are_those_of_the_package() -> None:
    """The README gives a reason for each dependency and for no other."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [re.match(r"[\w-]+", line) for line in project["dependencies"]]
    shown = rows(README, "package")
    assert [row[0] for row in shown] == [found[0] for found in wanted if found]
    assert all(row[1] for row in shown)


def test_the_commands_are_those_of_the_program() -> None:
    """The README lists every command of the command line."""
    (commands,) = (action for action in _parser()._actions if action.dest == "command")
    assert commands.choices is not None
    (paragraph,) = re.findall(r"\nCommands:.*?\n\n", README, re.DOTALL)
    shown = re.findall(r"`sidecar (\w+)`", paragraph)
    assert shown == list(commands.choices)


def test_the_two_commands_stand_as_they_are_run() -> None:
    """The first screen has the two commands, and CI runs the second one's tests."""
    assert f"```sh\n{DEMO}\n```" in README
    assert f"```sh\n{TESTS}\n```" in README
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "-m pytest -q" in ci
    assert "--editable '.[test]'" in ci


def test_the_readme_stays_short() -> None:
    """Who wants more than 200 lines reads the documentation."""
    assert len(README.splitlines()) <= 200
