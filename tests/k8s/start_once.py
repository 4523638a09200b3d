"""Start a sidecar by a command with the ConfigMap's configuration, on ports of its own; say how
long it took until it was ready; stop it.

``python start_once.py [--config-in FOLDER] COMMAND...``

Exit code 0: it became ready, and ended with 0 when it was told to. Runs where only the package is
installed, so without any of the tests' tools but YAML.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

CONFIG_MAP = Path(__file__).parents[2] / "k8s" / "base" / "configmap.yaml"
PORTS = {"4180": "14180", "4181": "14181", "4182": "14182"}
POLLS, POLL_S = 600, 0.05
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def configuration(folder: Path) -> Path:
    """Write the configuration and its keys, readable to whoever the sidecar is."""
    text = yaml.safe_load(CONFIG_MAP.read_text(encoding="utf-8"))["data"]["sidecar.yaml"]
    for port, other in PORTS.items():
        text = text.replace(f":{port}", f":{other}")
    for name in ("openai", "anthropic"):
        (folder / name).write_text("no-key\n", encoding="utf-8")
    file = folder / "sidecar.yaml"
    file.write_text(text.replace("/var/run/secrets/llm", str(folder)), encoding="utf-8")
    folder.chmod(0o755)
    return file


def is_ready() -> bool:
    """Ask the health plane."""
    try:
        with OPENER.open("http://127.0.0.1:14182/readyz", timeout=1) as answer:
            return bool(json.load(answer)["ready"])
    except (OSError, urllib.error.URLError):
        return False


def main(folder: Path, command: list[str]) -> int:
    """Start, wait, stop."""
    file = configuration(folder)
    began = time.perf_counter()
    process = subprocess.Popen([*command, "run", "--config", str(file)])
    try:
        for _ in range(POLLS):
            if is_ready():
                print(f"ready after {time.perf_counter() - began:.2f} s")  # noqa: T201 - its result
                process.send_signal(signal.SIGTERM)
                return process.wait(timeout=60)
            if process.poll() is not None:
                break
            time.sleep(POLL_S)
        return 1
    finally:
        process.kill()


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "--config-in":
        sys.exit(main(Path(words[1]), words[2:]))
    with tempfile.TemporaryDirectory() as made:
        sys.exit(main(Path(made), words))
