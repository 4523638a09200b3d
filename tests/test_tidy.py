"""Habits that linters do not check: sizes, a pure core, docstrings, no file without a reader."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from sidecar.cli.main import COMMANDS
from sidecar.wire.formats import CODECS, EMBEDDING_CODECS, PROVIDER_CODECS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sidecar"
NAMES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))

FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def source_of(file: str) -> str:
    """Return the text of a file of the package."""
    return (PACKAGE / file).read_text(encoding="utf-8")


def module_of(file: str) -> str:
    """Return the dotted name of a file of the package."""
    parts = ("sidecar", *Path(file).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def long_functions(source: str) -> list[str]:
    """Return the functions of more than ``FUNCTION_LINES_MAX`` lines, with their length."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                found.append(f"{node.name}: {lines} lines")
    return found


def awaits(source: str) -> list[int]:
    """Return the lines that are asynchronous."""
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]


def loose_signatures(source: str) -> list[str]:
    """Return the functions that take ``**kwargs``."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
    return [node.name for node in nodes if node.args.kwarg is not None]


def sleeps(source: str) -> list[int]:
    """Return the lines that name ``asyncio.sleep``."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        is_attribute = isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.sleep"
        is_import = (
            isinstance(node, ast.ImportFrom)
            and node.module == "asyncio"
            and any(alias.name == "sleep" for alias in node.names)
        )
        if (is_attribute or is_import) and isinstance(node, ast.expr | ast.stmt):
            lines.append(node.lineno)
    return sorted(lines)


@cache
def modules_imported(source: str) -> set[str]:
    """Return the dotted names a source imports; a name from a module may be a submodule."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def entry_points() -> set[str]:
    """Return the modules that are started, not imported: commands by name, simulations by tests."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    simulation = {module_of(name) for name in NAMES if name.startswith("simulate/")}
    commands = {f"sidecar.cli.{name}" for name, *_ in COMMANDS}
    return {
        "sidecar.__main__",
        *simulation,
        *commands,
        *re.findall(r'"(sidecar[\w.]*):\w+"', project),
    }


@pytest.mark.parametrize("file", NAMES)
def test_file_is_short(file: str) -> None:
    """A file is one noun and fits in a head."""
    assert len(source_of(file).splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("file", NAMES)
def test_functions_are_short(file: str) -> None:
    """A function fits on a screen."""
    assert long_functions(source_of(file)) == []


@pytest.mark.parametrize("file", NAMES)
def test_module_says_what_it_is(file: str) -> None:
    """Every module opens with a docstring."""
    assert ast.get_docstring(ast.parse(source_of(file)))


@pytest.mark.parametrize("file", [name for name in NAMES if name.startswith(("core/", "wire/"))])
def test_pure_layers_do_not_wait(file: str) -> None:
    """Decisions and translations never await."""
    assert awaits(source_of(file)) == []


@pytest.mark.parametrize("file", NAMES)
def test_signatures_name_their_arguments(file: str) -> None:
    """No function takes whatever it is given."""
    assert loose_signatures(source_of(file)) == []


@pytest.mark.parametrize("file", NAMES)
def test_only_engine_and_simulation_sleep(file: str) -> None:
    """A sleep elsewhere would be a hidden timer; simulated callers and the demo's do sleep, a
    provider that does not say when it is done must be asked again, a drill slows on purpose, and a
    page is not told of each of a thousand calls a second.
    """
    asking = ("upstream/simulated", "upstream/predictions", "upstream/drills", "server/live")
    if not file.startswith(("engine/", *asking, "simulate/", "cli/demo")):
        assert sleeps(source_of(file)) == []


@pytest.mark.parametrize("file", [name for name in NAMES if not name.endswith("__init__.py")])
def test_file_has_a_reader(file: str) -> None:
    """What nothing imports and nobody starts is dead."""
    read: set[str] = set()
    for other in NAMES:
        if other != file:
            read |= modules_imported(source_of(other))
    for known in (CODECS, PROVIDER_CODECS, EMBEDDING_CODECS):
        read |= {type(known[wire_format]).__module__ for wire_format in known}
    assert module_of(file) in read | entry_points()


def test_checks_see_what_they_look_for() -> None:
    """Each check finds an example of its own mistake."""
    assert long_functions("def f():\n" + "    x = 1\n" * 50) == ["f: 51 lines"]
    assert awaits("async def f():\n    await g()") == [1, 2]
    assert loose_signatures("def f(**kwargs): ...\ndef g(*args): ...") == ["f"]
    assert sleeps("import asyncio\nasyncio.sleep(1)\nfrom asyncio import sleep") == [2, 3]
    assert modules_imported("from sidecar.core import ring\nimport sidecar.app") == {
        "sidecar.core",
        "sidecar.core.ring",
        "sidecar.app",
    }
    assert "sidecar.cli.main" in entry_points()
