"""Run clients of other vendors and frameworks against the real sidecar, in their environments.

``python -m tests.client_zoo.run [GROUP …] [--environments FOLDER] [--thorough]``. A group is a
folder here with a ``requirements.txt`` (pip, wheels only, pytest) or a ``package.json`` (npm,
node's test runner). Their dependencies contradict each other and ours, so nothing is shared: the
sidecar and the providers run in this interpreter's environment (``world``), the clients in their
own, and between them are sockets. Where they are is in the environment variable ``CLIENT_ZOO``.

Groups run at the same time, each with a sidecar of its own, since tests count requests. With
``--environments`` what was installed is kept for the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.client_zoo.world import world

HERE = Path(__file__).parent
PINS = ("requirements.txt", "package.json")
GROUPS = sorted(found.parent.name for name in PINS for found in HERE.glob(f"*/{name}"))
LARGE = {"servers"}
"""They run only where they are named."""
QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "NO_COLOR": "1"}


class GroupError(Exception):
    """A group failed; the text is what it printed."""


def command(arguments: list[str], cwd: Path, more: dict[str, str] | None = None) -> str:
    """Run a command; return what it printed.

    Raises:
        GroupError: it ended with an error.
    """
    ended = subprocess.run(
        arguments,
        cwd=cwd,
        env={**os.environ, **QUIET, **(more or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    if ended.returncode:
        raise GroupError(ended.stdout)
    return ended.stdout


def install(group: Path, place: Path) -> None:
    """Bring the environment of ``group`` in ``place`` to what is pinned."""
    (pins,) = (group / name for name in PINS if (group / name).exists())
    stamp = place / "installed"
    if stamp.exists() and stamp.read_bytes() == pins.read_bytes():
        return
    place.mkdir(parents=True, exist_ok=True)
    if pins.suffix == ".json":
        shutil.copy(pins, place)
        quiet = ("--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
        command(["npm", "install", *quiet], place)
    else:
        command([sys.executable, "-m", "venv", "--clear", "venv"], place)
        # bytecode of what is never imported would take longer than the tests
        wheels = ("--quiet", "--no-compile", "--only-binary", ":all:")
        command(["venv/bin/pip", "install", *wheels, "--requirement", str(pins)], place)
    shutil.copy(pins, stamp)


def test(group: Path, place: Path, given: dict[str, str]) -> str:
    """Run the tests of ``group``; return what they printed."""
    if (group / "package.json").exists():
        # node looks for packages beside the file that wants them
        files = [str(shutil.copy(file, place)) for file in sorted(group.glob("*.mjs"))]
        tests = [file for file in files if file.endswith(".test.mjs")]
        return command(["node", "--test", "--test-reporter=spec", *tests], place, given)
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(place / "bytecode")}
    pytest = [str(place / "venv/bin/python"), "-m", "pytest", "-c", str(HERE / "pytest.ini")]
    return command([*pytest, str(group)], HERE, {**given, **bytecode})


def run(name: str, environments: Path, *, is_thorough: bool) -> tuple[str, bool]:
    """Install and test one group; return what to print and whether all is well."""
    group, place = HERE / name, environments / name
    if (group / "package.json").exists() and not shutil.which("npm"):
        return f"== {name}: skipped, there is no npm\n", True
    began = installed = time.perf_counter()
    is_well = True
    try:
        install(group, place)
        installed = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as where:
            given = {**where, "is_thorough": is_thorough}
            text = test(group, place, {"CLIENT_ZOO": json.dumps(given)})
    except GroupError as error:
        text, is_well = str(error), False
    took = f"{installed - began:.0f} s to install, {time.perf_counter() - installed:.0f} s to run"
    return f"== {name}: {'ok' if is_well else 'FAILED'}, {took}\n{text}", is_well


def main() -> None:
    """Run the groups that are named, or all but the large ones."""
    parser = argparse.ArgumentParser(description="Real clients against the real sidecar.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--environments", type=Path, help="keep what is installed there")
    parser.add_argument("--thorough", action="store_true", help="take minutes, not seconds")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.groups) - set(GROUPS)):
        parser.error(f"no such group: {', '.join(unknown)}")
    are_well = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        environments = (arguments.environments or Path(folder)).absolute()
        names = arguments.groups or [name for name in GROUPS if name not in LARGE]
        run_one = partial(run, environments=environments, is_thorough=arguments.thorough)
        for text, is_well in pool.map(run_one, names):
            sys.stdout.write(text)
            sys.stdout.flush()
            are_well.append(is_well)
    sys.exit(not all(are_well))


if __name__ == "__main__":
    main()
