"""Imports point one way: cli, app, then the edges, then the engine, then the pure core and wire.

Read from the sources alone, so that a file counts from the moment it exists. Imports for type
checking count for the direction of the layers; the ban of clocks, chance and I/O in the pure layers
is about run time.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sidecar"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]

BASE = {"abilities", "catalogue", "clock", "decisions", "domain", "errors", "events", "tracing"}
ALL = {path.parent.name if path.name == "__init__.py" else path.stem for path in PACKAGE.iterdir()}

ALLOWED = {
    "abilities": set(),
    "value": set(),
    "verdicts": set(),
    "tracing": set(),
    "metrics": set(),
    "names": set(),
    "shares": {"names"},
    "amounts": set(),
    "domain": {"abilities", "amounts", "names", "shares", "tracing", "verdicts"},
    "clock": set(),
    "durations": set(),
    "log": {"domain", "events"},
    "log_lines": {"errors"},
    "errors": {"domain"},
    "decisions": {"domain"},
    "events": {"decisions", "domain", "tracing"},
    "catalogue": {"domain", "errors"},
    "core": {"abilities", "domain", "errors", "events", "shares"},
    "wire": {"abilities", "domain", "errors"},
    "engine": BASE | {"core", "metrics", "shares", "wire"},
    "upstream": BASE | {"wire", "engine"},
    "server": BASE | {"durations", "wire", "engine"},
    "config": {
        *("abilities", "core", "catalogue", "domain", "durations"),
        *("errors", "engine", "upstream", "ledger", "shares", "telemetry"),
    },
    "targets": {"config", "upstream"},
    "process": {"app", "log_lines"},
    "reload": {"clock", "config", "errors", "metrics"},
    "telemetry": BASE | {"core", "engine", "metrics"},
    "ledger": BASE | {"metrics"},
    "operations": BASE | {"config", "engine", "ledger", "metrics", "server", "upstream"},
    "repricing": {"clock", "config"},
    "fleet": BASE | {"core", "engine", "metrics"},
    "membership": {
        "config",
        "domain",
        "engine",
        "events",
        "fleet",
        "metrics",
        "targets",
        "upstream",
    },
    "quality": BASE | {"core", "engine", "ledger", "metrics", "wire"},
    "simulate": ALL - {"cli"},
    "app": ALL - {"cli"},
    "cli": ALL,
    "__main__": ALL,
    "sidecar": set(),
}
"""Layer: the layers it may import, beside itself."""

ONLY_IN = {
    "httptools": (
        *("server/request_reader", "upstream/connection.py", "upstream/framing.py"),
        "cli/demo_post",
    ),
    "pybreaker": ("core/breaker_machine.py",),
    # The simulated loop gives the library its clock.
    "asyncio_throttle": ("engine/pacer.py", "simulate/loop.py"),
    "opentelemetry": ("telemetry/",),
    "redis": ("fleet/redis_store.py",),
}
"""Library: where alone it may appear."""

IMPURE = ("asyncio", "logging", "time", "random", "os")


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module, or name of a module. ``line`` is where."""

    module: str
    name: str | None
    line: int
    is_typing_only: bool

    @property
    def path(self) -> tuple[str, ...]:
        """Return the dotted path with the name, which may be a submodule or not."""
        return (*self.module.split("."), *(() if self.name is None else (self.name,)))


def imports_of(source: str) -> list[Import]:
    """Return every import of a source, those within functions too."""
    tree = ast.parse(source)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        pairs: list[tuple[str, str | None]] = []
        if isinstance(node, ast.Import):
            pairs = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            pairs = [("." * node.level + (node.module or ""), alias.name) for alias in node.names]
        found += [
            Import(
                module=module, name=name, line=node.lineno, is_typing_only=id(node) in typing_only
            )
            for module, name in pairs
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
    return found


def layer_of(file: str) -> str:
    """Return the layer of a file given by its path below the package."""
    first = Path(file).parts[0]
    return "sidecar" if first == "__init__.py" else first.removesuffix(".py")


def direction_faults(file: str, source: str) -> list[str]:
    """Return the imports of ``source`` that point the wrong way."""
    layer = layer_of(file)
    faults = []
    for found in imports_of(source):
        if found.module.startswith("."):
            faults.append(f"{file}:{found.line} relative import")
        if found.path[0] != "sidecar" or len(found.path) == 1:
            continue
        target = found.path[1]
        is_allowed = target in {layer, "value"} or target in ALLOWED[layer]
        if not is_allowed or not _is_seam_respected(layer, found):
            faults.append(f"{file}:{found.line} imports {'.'.join(found.path)}")
    return faults


def _is_seam_respected(layer: str, found: Import) -> bool:
    """Two layers see no more of the engine than a seam: its port, or its settings and defaults."""
    part = found.path[1:3]
    if layer == "upstream" and part[0] == "engine":
        return part == ("engine", "ports")
    if layer == "config" and part[0] == "engine":
        return found.name is not None and (found.name.endswith("Settings") or found.name.isupper())
    if layer == "config" and part[0] in ("ledger", "telemetry"):
        return part[1] == "settings"
    if layer == "config" and part[0] == "upstream":
        return part in (("upstream", "kind"), ("upstream", "kinds"), ("upstream", "kinds_native"))
    return True


def library_faults(file: str, source: str) -> list[str]:
    """Return the imports of libraries, and of impure modules, in places where they must not be."""
    faults = []
    for found in imports_of(source):
        library = found.path[0]
        places = ONLY_IN.get(library)
        is_impure = library in IMPURE and layer_of(file) in ("core", "wire")
        if places is not None and not file.startswith(places):
            faults.append(f"{file}:{found.line} imports {library}")
        if is_impure and not found.is_typing_only:
            faults.append(f"{file}:{found.line} imports {library} at run time")
    return faults


@pytest.mark.parametrize("file", NAMES)
def test_imports_point_one_way(file: str) -> None:
    """No layer imports one that is above it or beside it."""
    assert direction_faults(file, (PACKAGE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", NAMES)
def test_libraries_stay_behind_their_files(file: str) -> None:
    """Each library has its place, and the pure layers touch neither clock, chance nor I/O."""
    assert library_faults(file, (PACKAGE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/a.py", "from sidecar.engine import call"),
        ("core/a.py", "from sidecar.wire.sse import Event"),
        ("core/a.py", "import sidecar.clock"),
        ("wire/a.py", "from sidecar import core"),
        ("wire/a.py", "if TYPE_CHECKING:\n    from sidecar.core.ring import CountRing"),
        ("engine/a.py", "def f():\n    from sidecar.upstream.http import Http"),
        ("server/a.py", "from sidecar.core.ring import CountRing"),
        ("upstream/a.py", "from sidecar.engine.call import run"),
        ("config/a.py", "from sidecar.engine.call import Engine"),
        ("config/a.py", "from sidecar.upstream.http import Http"),
        ("app.py", "from sidecar.cli.main import main"),
        ("simulate/a.py", "from sidecar.cli.main import main"),
        ("domain.py", "from sidecar.errors import CallError"),
        ("core/a.py", "from .ring import CountRing"),
    ],
)
def test_wrong_direction_is_seen(file: str, source: str) -> None:
    """The check itself finds each kind of wrong import."""
    assert len(direction_faults(file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("engine/a.py", "import httptools"),
        ("upstream/http.py", "import httptools"),
        ("core/ring.py", "from pybreaker import CircuitBreaker"),
        ("server/a.py", "import asyncio_throttle"),
        ("engine/a.py", "import opentelemetry.trace"),
        ("core/a.py", "import random"),
        ("wire/a.py", "from os.path import join"),
        ("core/a.py", "if TYPE_CHECKING:\n    x = 1\nelse:\n    import time"),
    ],
)
def test_wrong_library_is_seen(file: str, source: str) -> None:
    """The check itself finds each kind of misplaced library."""
    assert len(library_faults(file, source)) == 1


def test_right_imports_pass() -> None:
    """What the layers are for is not reported."""
    typing_only = "if TYPE_CHECKING:\n    import random"
    assert library_faults("core/a.py", typing_only) == []
    assert library_faults("core/breaker_machine.py", "import pybreaker") == []
    assert direction_faults("core/a.py", "from sidecar.core.ring import CountRing") == []
    assert direction_faults("config/a.py", "from sidecar.engine.a import ASettings") == []
    assert direction_faults("upstream/a.py", "from sidecar.engine.ports import Upstream") == []
    assert direction_faults("cli/a.py", "from sidecar.app import App") == []
