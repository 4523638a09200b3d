# ruff: noqa: INP001 - a script, run by its path

"""Makes the transcript in ``docs/advise.md``: ``python docs/make_advise.py``.

Starts a simulated provider and ``sidecar run``, makes calls and gives feedback by HTTP like any
program, half of them while one model is isolated, and writes down what the commands printed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "advise.md"
BEGIN, END = "<!-- made by docs/make_advise.py -->", "<!-- end -->"
CONFIG = """\
providers:
  alpha: {kind: openai, base_url: http://127.0.0.1:4191/v1}

models:
  gpt-4o: {provider: alpha, model: large, quality: 0.9, price: {input: 2.5, output: 10}, context: 128000}
  small: {provider: alpha, model: small, quality: 0.7, price: {input: 0.1, output: 0.4}, context: 128000}
  tiny: {provider: alpha, model: tiny, quality: 0.5, price: {input: 0.02, output: 0.05}, context: 32000}

routes:
  classify:
    tiers: [[gpt-4o], [small], [tiny]]   # best first
    within: 5s
"""  # noqa: E501 - as a reader would write it
CALLS = 1500
GOOD = {"alpha/gpt-4o": 0.93, "alpha/small": 0.935, "alpha/tiny": 0.7}
"""How often the simulated callers like an answer: what the advice has to find out."""
PLANES = {"data": 4180, "admin": 4181}


@contextlib.contextmanager
def running(*command: str, port: int) -> Iterator[None]:
    """Run ``command`` until the port is closed again."""
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT)  # noqa: S603 - our own
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                asked(port, "GET", "/")
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def asked(port: int, method: str, path: str, body: object = None) -> tuple[dict[str, str], str]:
    """Return headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent = None if body is None else json.dumps(body)
    connection.request(method, path, body=sent)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return {name.lower(): value for name, value in answer.getheaders()}, text


def call_and_tell(rng: random.Random, count: int) -> None:
    """Classify, and say of each answer whether it was right."""
    for _ in range(count):
        body = {"input": f"Is this spam? {rng.getrandbits(64):x}"}
        headers, _ = asked(PLANES["data"], "POST", "/v1/tasks/classify", body)
        is_good = rng.random() < GOOD[headers["x-sidecar-model"]]
        said = {"call_id": headers["x-sidecar-call-id"], "label": "good" if is_good else "bad"}
        asked(PLANES["data"], "POST", "/v1/feedback", said)


def transcript() -> str:
    """Return what the commands printed."""
    rng = random.Random(1)
    models = ["--models", "model=large,ttft_s=0.004", "model=small", "model=tiny"]
    named = ["--name", "alpha", "--format", "openai-chat", "--port", "4191", *models]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sidecar.yaml"
        file.write_text(CONFIG)
        with (
            running("sidecar.upstream.simulated_server", *named, port=4191),
            running("sidecar", "run", "--config", str(file), "--log-level", "error", port=4181),
        ):
            call_and_tell(rng, CALLS)
            for model, count in (("gpt-4o", CALLS), ("small", 12)):
                asked(PLANES["admin"], "POST", f"/api/v1/endpoints/alpha/{model}/isolate")
                call_and_tell(rng, count)
            return "".join(
                shown(folder, *arguments)
                for arguments in (
                    ["advise"],
                    ["advise", "--config", "sidecar.yaml", "--apply", "--write"],
                )
            )


def shown(folder: str, *arguments: str) -> str:
    """Return a command and what it printed."""
    command = [sys.executable, "-m", "sidecar", *arguments]
    done = subprocess.run(  # noqa: S603 - our own
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    return f"$ sidecar {' '.join(arguments)}\n{done.stdout}{done.stderr}\n"


def main() -> None:
    """Put the transcript in its place."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    made = f"{BEGIN}\n```text\n{transcript().rstrip()}\n```\n{END}"
    PAGE.write_text(before + made + after, encoding="utf-8")


if __name__ == "__main__":
    main()
