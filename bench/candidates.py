"""The candidates as data: how each is configured, started and asked.

In commands, headers and the files of ``configs/``: ``$port`` is the candidate's, ``$admin`` and
``$health`` two more, ``$one`` and ``$two`` the provider's, ``$folder`` the files' own folder,
``$peers`` where the peers are installed, ``$python`` the interpreter that runs the harness.
"""

from __future__ import annotations

import os
import shutil
import string
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PEERS = HERE / ".peers"
CONFIGS = HERE / "configs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One proxy. ``needs``: files without which it is left out; ``configs``: names in ``configs/``;
    ``texts``: further files with their contents.

    ``streams``: how many are open side by side when a chunk's cost is measured;
    ``streams_of_memory``: when memory is. ``rounds_max``: slow ones take part in the last rounds
    alone, since they keep their core busy for long.
    """

    name: str
    title: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    translates: bool = False
    start_s_max: float = 20.0
    streams: int = 50
    streams_of_memory: int = 1000
    rounds_max: int = 100

    def is_there(self) -> bool:
        """Return whether all that it needs is installed."""
        return all(shutil.which(filled(name, {})) is not None for name in self.needs)


ENVOY = ("$peers/envoy/bin/envoy", "--concurrency", "1", "--disable-hot-restart", "-l", "off", "-c")
CANDIDATES = (
    Candidate(
        name="sidecar",
        title="the sidecar, everything on",
        command=("$python", "-m", "sidecar", "run", "--config", "$folder/sidecar.yaml"),
        configs=("sidecar.yaml",),
        translates=True,
    ),
    Candidate(
        name="envoy",
        title="Envoy, plain",
        command=(*ENVOY, "$folder/envoy.yaml"),
        needs=("$peers/envoy/bin/envoy",),
        configs=("envoy.yaml",),
    ),
    Candidate(
        name="envoy-full",
        title="Envoy with health checks, outlier detection, retries",
        command=(*ENVOY, "$folder/envoy-full.yaml"),
        needs=("$peers/envoy/bin/envoy",),
        configs=("envoy-full.yaml",),
    ),
    Candidate(
        name="nginx",
        title="nginx",
        command=("nginx", "-p", "$folder", "-c", "$folder/nginx.conf", "-e", "stderr"),
        needs=("nginx",),
        configs=("nginx.conf",),
    ),
    Candidate(
        name="haproxy",
        title="HAProxy",
        command=("haproxy", "-db", "-f", "$folder/haproxy.cfg"),
        needs=("haproxy",),
        configs=("haproxy.cfg",),
    ),
    Candidate(
        name="bare-loop",
        title="bare loop: Protocol + httptools",
        command=("$python", str(HERE / "bare_loop.py"), "$port", "$one"),
    ),
    Candidate(
        name="bare-aiohttp",
        title="bare aiohttp proxy",
        command=("$python", str(HERE / "bare_proxy.py"), "$port", "$one"),
    ),
    Candidate(
        name="portkey",
        title="Portkey",
        command=(
            "node",
            "$peers/portkey/node_modules/@portkey-ai/gateway/build/start-server.js",
            "--headless",
            "--port=$port",
        ),
        needs=("node", "$peers/portkey/node_modules/.bin/gateway"),
        env={"NODE_ENV": "production"},
        headers={
            "authorization": "Bearer none",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": "http://127.0.0.1:$one/v1",
        },
        streams_of_memory=300,
        rounds_max=3,
    ),
    Candidate(
        name="litellm",
        title="LiteLLM",
        command=(
            "$peers/litellm/bin/litellm",
            *("--config", "$folder/litellm.yaml", "--host", "127.0.0.1", "--port", "$port"),
            *("--num_workers", "1"),
        ),
        needs=("$peers/litellm/bin/litellm",),
        configs=("litellm.yaml",),
        env={
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        headers={"authorization": "Bearer sk-bench"},
        translates=True,
        start_s_max=90.0,
        streams=10,
        streams_of_memory=100,
        rounds_max=1,
    ),
)
SIDECAR, *_ = CANDIDATES


def filled(text: str, places: dict[str, str]) -> str:
    """Put ports and folders in the place of their names."""
    known = {"peers": str(PEERS), "python": sys.executable, "user": _user(), **places}
    return string.Template(text).safe_substitute(known)


def written(candidate: Candidate, folder: Path, places: dict[str, str]) -> None:
    """Write the candidate's configuration into ``folder``."""
    texts = {name: (CONFIGS / name).read_text(encoding="utf-8") for name in candidate.configs}
    for name, text in (texts | candidate.texts).items():
        (folder / name).write_text(filled(text, places), encoding="utf-8")


def _user() -> str:
    """Return a line that keeps nginx from changing its user where it could: temporary folders."""
    return "user root;" if os.geteuid() == 0 else ""
