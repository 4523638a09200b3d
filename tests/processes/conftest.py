"""Real processes: ``sidecar run`` with a file, providers with faults posted to them.

The providers live as long as the session and forget their faults after each test; every test has a
sidecar of its own, since breakers remember. What happens in another process can only be polled for;
``until`` does so, bounded.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

ROOT = Path(__file__).parents[2]
POLLS, POLL_S = 6000, 0.005
MODELS = {
    "sim": "itl_s=0",
    "slow": "itl_s=0.05,output_tokens=30",
    "long": "itl_s=0.05,output_tokens=4000",
}
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  alpha: {{kind: openai, base_url: "{alpha}"}}
  beta: {{kind: anthropic, base_url: "{beta}"}}
models:
{models}
routes:
  quick: {{tiers: [[alpha-sim], [beta-sim]], within: 20s}}
defaults:
  timers: {{connect: 400ms, first_content: 600ms, stall: 2s}}
  drain: {{grace: {grace_s}s}}
  probes: {{suspect_first: 20s}}
"""
MODEL = "  {0}-{1}: {{provider: {0}, model: {1}, price: {{input: 1, output: 2}}, context: 900000}}"


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return once ``holds``; fail after half a minute."""
    for _ in range(POLLS):
        if await holds():
            return
        await asyncio.sleep(POLL_S)
    pytest.fail(f"it never came to this: {what}")


class Provider:
    """A simulated provider in a process of its own, and its administration."""

    def __init__(self, name: str, wire: str) -> None:
        models = [f"model={model},{fields}" for model, fields in MODELS.items()]
        command = [sys.executable, "-m", "sidecar.upstream.simulated_server", "--name", name]
        self.process = subprocess.Popen(
            [*command, "--format", wire, "--models", *models], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.base_url: str = ready["base_url"]
        # One connection, kept: it is open still when the door is shut by a fault.
        self._administration = http.client.HTTPConnection("127.0.0.1", ready["port"], timeout=10)
        self._seen = 0

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        self._administration.request(method, path, None if body is None else json.dumps(body))
        answer = self._administration.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 200, said
        return said

    def break_by(self, *faults: dict[str, object]) -> None:
        """Replace all faults; in force on return."""
        self._ask("POST", "/_sim/faults", list(faults))

    def now_s(self) -> float:
        """Return the time on the provider's clock."""
        now_s: float = self._ask("GET", "/_sim/log")["now_s"]
        return now_s

    def completions(self) -> list[dict[str, Any]]:
        """Return the requests of this test for an answer, probes left out."""
        entries = self._ask("GET", "/_sim/log")["entries"][self._seen :]
        return [entry for entry in entries if not entry["is_probe"] and entry["model"]]

    def forget(self) -> None:
        """Take no more notice of what was."""
        self.break_by()
        self._seen = len(self._ask("GET", "/_sim/log")["entries"])

    def stop(self) -> None:
        """End the process."""
        self._administration.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def session_alpha() -> Iterator[Provider]:
    """A provider that speaks OpenAI."""
    provider = Provider("alpha", "openai-chat")
    yield provider
    provider.stop()


@pytest.fixture(scope="session")
def session_beta() -> Iterator[Provider]:
    """A provider that speaks Anthropic."""
    provider = Provider("beta", "anthropic-messages")
    yield provider
    provider.stop()


@pytest.fixture
def alpha(session_alpha: Provider) -> Iterator[Provider]:
    """The OpenAI provider, well."""
    session_alpha.forget()
    yield session_alpha
    session_alpha.forget()


@pytest.fixture
def beta(session_beta: Provider) -> Iterator[Provider]:
    """The Anthropic provider, well."""
    session_beta.forget()
    yield session_beta
    session_beta.forget()


@dataclass
class Answer:
    """What a caller got."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def attempts(self) -> list[str]:
        """What the sidecar tried, in order."""
        return self.headers.get("x-sidecar-attempts", "").split(",")


@dataclass
class Sidecar:
    """``sidecar run`` in a process of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    http: aiohttp.ClientSession
    ports: dict[str, int] = field(default_factory=dict)

    async def is_ready(self) -> bool:
        """Say whether it has announced its ports."""
        text = self.log.read_text()
        assert self.process.poll() is None, text
        self.ports = {name: int(p) for name, p in re.findall(r"(\w+) +http://.*:(\d+)", text)}
        return "callers may name" in text

    def url(self, plane: str = "data") -> str:
        """Return where a plane listens."""
        return f"http://127.0.0.1:{self.ports[plane]}"

    async def chat(self, model: str = "quick", **more: object) -> Answer:
        """Ask in OpenAI's format and read everything."""
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
        async with self.http.post(f"{self.url()}/v1/chat/completions", json=body) as answer:
            text = await answer.text()
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, text)

    async def state(self) -> dict[str, Any]:
        """Return what the admin plane shows."""
        async with self.http.get(f"{self.url('admin')}/api/v1/state") as answer:
            state: dict[str, Any] = await answer.json()
            return state

    def kill(self) -> None:
        """End the process if it has not ended yet."""
        self.process.kill()
        self.process.communicate()

    async def ended(self) -> int:
        """Return the exit code, once there is one."""

        async def is_over() -> bool:
            return self.process.poll() is not None

        await until(is_over, "the sidecar ends")
        return self.process.returncode


def spawn(config: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the sidecar with what it says in ``log``; a warning of Python's is an error there."""
    command = [sys.executable, "-m", "sidecar.cli.main", "run", "--config", str(config)]
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    with log.open("wb") as sink:
        return subprocess.Popen(command, stderr=sink, cwd=ROOT, env=env)


@pytest.fixture(name="until")
def poll() -> Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]:
    """Return ``until``."""
    return until


@pytest.fixture
async def http_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


async def launch(config: str, directory: Path, http: aiohttp.ClientSession) -> Sidecar:
    """Start a sidecar with ``config`` and return it once it listens."""
    file, log = directory / "sidecar.yaml", directory / "log.txt"
    file.write_text(config)
    sidecar = Sidecar(spawn(file, log), log, http)
    try:
        await until(sidecar.is_ready, "the sidecar listens")
    except BaseException:
        sidecar.kill()
        raise
    return sidecar


@pytest.fixture
async def start(
    tmp_path: Path, http_session: aiohttp.ClientSession
) -> AsyncIterator[Callable[[str], Awaitable[Sidecar]]]:
    """Start a sidecar with a configuration; killed at the end if it still runs."""
    started: list[Sidecar] = []

    async def start_one(config: str) -> Sidecar:
        started.append(await launch(config, tmp_path, http_session))
        return started[-1]

    yield start_one
    for sidecar in started:
        sidecar.kill()


@pytest.fixture(scope="session")
def launched() -> Iterator[list[Sidecar]]:
    """The sidecar that tests share, once one of them has started it."""
    sidecars: list[Sidecar] = []
    yield sidecars
    for sidecar in sidecars:
        sidecar.kill()


@pytest.fixture
def config(alpha: Provider, beta: Provider) -> Callable[..., str]:
    """Write a configuration of both providers."""

    def write(grace_s: int = 10) -> str:
        models = [MODEL.format(name, model) for name in ("alpha", "beta") for model in MODELS]
        return CONFIG.format(
            alpha=alpha.base_url, beta=beta.base_url, models="\n".join(models), grace_s=grace_s
        )

    return write


@pytest.fixture
async def sidecar(
    start: Callable[[str], Awaitable[Sidecar]], config: Callable[..., str]
) -> Sidecar:
    """A sidecar between both providers."""
    return await start(config())


@pytest.fixture
async def shared(
    launched: list[Sidecar],
    config: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
    http_session: aiohttp.ClientSession,
) -> Sidecar:
    """A sidecar between both providers, for tests after which its breakers are still closed."""
    if not launched:
        launched.append(await launch(config(), tmp_path_factory.mktemp("shared"), http_session))
    return replace(launched[0], http=http_session)


@pytest.fixture
def doomed() -> Iterator[Provider]:
    """A provider that its test may kill."""
    provider = Provider("doomed", "openai-chat")
    yield provider
    provider.stop()
