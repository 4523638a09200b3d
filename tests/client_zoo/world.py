"""One sidecar as a process, between two simulated providers and a mock that others wrote.

``alpha`` speaks OpenAI's format and ``beta`` Anthropic's; each has a model ``broken`` that always
answers 500. PyPI ``llmock`` stands behind ``gpt`` and ``claude``, each in its vendor's format.
``ollama`` and ``replicate`` are named for what is passed on to them (``workshop``).
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.server.doors import PATHS
from sidecar.wire.formats import CODECS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  alpha: {{kind: openai, base_url: "{alpha}"}}
  beta: {{kind: anthropic, base_url: "{beta}"}}
  ollama: {{kind: openai, base_url: "{workshop}"}}
  replicate: {{kind: openai, base_url: "{workshop}", api_key: {{file: {key}}}}}
  mock-openai: {{kind: openai, base_url: "{mock}/v1"}}
  mock-anthropic: {{kind: anthropic, base_url: "{mock}/anthropic"}}
models:
  alpha-model: {{provider: alpha, model: sim, price: {{input: 2, output: 8}}, context: 100000}}
  beta-model: {{provider: beta, model: sim, price: {{input: 3, output: 15}}, context: 100000}}
  alpha-broken: {{provider: alpha, model: broken, price: {{input: 2, output: 8}}, context: 100000}}
  beta-broken: {{provider: beta, model: broken, price: {{input: 3, output: 15}}, context: 100000}}
  gpt: {{provider: mock-openai, model: gpt-4o, price: {{input: 1, output: 2}}, context: 100000}}
  claude:
    {{provider: mock-anthropic, model: claude-sonnet-4-5, price: {{input: 1, output: 2}},
     context: 100000}}
defaults:
  probes: {{suspect_first: 20s}}
"""
BROKEN = [{"kind": "status", "status": 500, "model": "broken"}]
TRIES, TRY_S = 600, 0.05


@contextlib.contextmanager
def running(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module; what it says is in ``log``."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=sink, stderr=sink, cwd=ROOT
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def said(process: subprocess.Popen[bytes], log: Path, what: str) -> re.Match[str]:
    """Wait until ``log`` matches ``what``.

    Raises:
        RuntimeError: the process ended, or half a minute went by.
    """
    for _ in range(TRIES):
        if found := re.search(what, log.read_text(), re.DOTALL):
            return found
        if process.poll() is not None:
            break
        time.sleep(TRY_S)
    raise RuntimeError(f"no sign of {what!r} in: {log.read_text()}")


@contextlib.contextmanager
def simulated(name: str, wire: str, folder: Path) -> Iterator[str]:
    """Run a simulated provider; yield its base URL."""
    log = folder / f"{name}.log"
    models = ("--models", "model=sim", "model=broken")
    module = "sidecar.upstream.simulated_server"
    with running(log, module, "--name", name, "--format", wire, *models) as process:
        ready = json.loads(said(process, log, r"\{.*?\}\n").group())
        ask(f"http://127.0.0.1:{ready['port']}/_sim/faults", BROKEN)
        yield ready["base_url"]


@contextlib.contextmanager
def served(folder: Path, sign: str, *command: str) -> Iterator[str]:
    """Run a server that takes its port as its last argument, yield where it listens.

    ``sign`` is what it prints when it does.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / f"{command[0]}.log"
    with running(log, *command, str(port)) as process:
        said(process, log, sign)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def world(folder: Path) -> Iterator[dict[str, Any]]:
    """Run everything; yield where it is.

    ``{"url", "admin", "alpha", "beta", "llmock"}`` are addresses without ``/v1``, ``formats`` the
    names of the formats that callers may speak; ``passes_on``: other requests go to providers by
    their names. ``python`` in ``root`` can run another sidecar.
    """
    with (
        simulated("alpha", "openai-chat", folder) as alpha,
        simulated("beta", "anthropic-messages", folder) as beta,
        served(folder, "startup complete", "llmock.cli", "serve", "--port") as mock,
        served(folder, "Running on", "tests.client_zoo.workshop") as workshop,
    ):
        file, log, key = (folder / name for name in ("sidecar.yaml", "sidecar.log", "key"))
        key.write_text("workshop-key")
        key.chmod(0o600)
        file.write_text(
            CONFIG.format(alpha=alpha, beta=beta, mock=mock, workshop=workshop, key=key)
        )
        command = ("sidecar.cli.main", "run", "--config", str(file))
        with running(log, *command) as process:
            announced = said(process, log, ".*callers may name").group()
            planes = dict(re.findall(r"(\w+) +(http://[\w.:]+)", announced))
            yield {
                "url": planes["data"],
                "admin": planes["admin"],
                "alpha": alpha.removesuffix("/v1"),
                "beta": beta,
                "llmock": mock,
                "formats": [known.value for known in CODECS],
                "passes_on": any(path.startswith("* ") for path in PATHS),
                "python": sys.executable,
                "root": str(ROOT),
            }


def ask(url: str, body: object = None) -> Any:
    """Ask with ``body`` as JSON if there is one; return the decoded answer."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
        return json.load(answer)
