"""Pods of the example manifests, and simulated providers outside of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.k8s.manifests import ROOT, only, template, with_component
from tests.pod.kubelet import Container, Pod, until
from tests.pod.sandbox import Network, obstacle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Start = "Callable[..., Awaitable[World]]"
KEYS = {"openai": "key-of-openai", "anthropic": "key-of-anthropic"}
MODELS = {
    "openai": ("openai-chat", ("gpt-6.1-sol", "gpt-6-luna")),
    "anthropic": ("anthropic-messages", ("claude-sonnet-5-5", "claude-haiku-5-5")),
}


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """The pod's network; one for all pods, which come one after the other."""
    why = obstacle()
    if why is not None:
        pytest.skip(why)
    made = Network()
    made.open()
    yield made
    made.close()


class Provider:
    """A simulated provider at the outer end of the cable."""

    def __init__(self, name: str, address: str, itl_s: float) -> None:
        wire, models = MODELS[name]
        fields = [f"model={model},itl_s={itl_s},output_tokens=20" for model in models]
        command = [sys.executable, "-m", "sidecar.upstream.simulated_server", "--name", name]
        options = ["--format", wire, "--host", address, "--key", KEYS[name], "--models", *fields]
        self._process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        self.base_url: str = json.loads(self._process.stdout.readline())["base_url"]

    def kill(self) -> None:
        """Let it be gone."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class World:
    """A pod, and what is outside of it."""

    def __init__(self, pod: Pod, providers: dict[str, Provider], config: str) -> None:
        self.pod = pod
        self.providers = providers
        self.config = config

    @property
    def sidecar(self) -> Container:
        """Return the sidecar."""
        (found,) = self.pod.sidecars
        return found

    @property
    def app(self) -> Container:
        """Return the app."""
        (found,) = self.pod.apps
        return found

    def lines(self) -> list[dict[str, Any]]:
        """Return what the app has said."""
        return [json.loads(line) for line in self.app.said().splitlines()]

    def errors(self) -> list[Any]:
        """Return what went wrong for the app."""
        return [line for line in self.lines() if "error" in line]

    async def more(self, count: int, **what: str) -> None:
        """Wait for so many answers more, those of a model if one is named."""

        def counted() -> int:
            return sum(what.items() <= line.items() and "text" in line for line in self.lines())

        goal = counted() + count
        await until(lambda: counted() >= goal, f"{count} answers more {what}: {self.app.said()}")

    def readiness(self) -> dict[str, Any]:
        """Return what readiness says, which has to be a yes."""
        text = self.pod.get(self.sidecar, "/readyz")
        assert text is not None, "not ready"
        said: dict[str, Any] = json.loads(text)
        return said


@pytest.fixture
async def start(network: Network, tmp_path: Path) -> AsyncIterator[Any]:
    """Start an example's pod with our providers, and with our app in the Python example's place."""
    worlds: list[World] = []

    async def start_one(
        example: str = "python",
        *,
        callers: int = 2,
        after: int = 0,
        prompt_bytes: int = 10,
        itl_s: float = 0.002,
        keys: dict[str, str] = KEYS,
    ) -> World:
        providers = {name: Provider(name, network.outside, itl_s) for name in MODELS}
        config: str = only("base/configmap.yaml")["data"]["sidecar.yaml"]
        for name, provider in providers.items():
            kind = f"{{kind: {name},"
            assert kind in config
            config = config.replace(kind, f'{kind} base_url: "{provider.base_url}",')
        settings = {"callers": callers, "after": after, "prompt_bytes": prompt_bytes}
        source = Path(__file__).with_name("app.py").read_text(encoding="utf-8")
        files = {
            "llm-sidecar": {"sidecar.yaml": config},
            "llm-keys": keys,
            "example-app": {"app.py": source, "settings.json": json.dumps(settings)},
        }
        pod = Pod(with_component(template(example)), files, network, tmp_path)
        worlds.append(World(pod, providers, config))
        await pod.start()
        return worlds[-1]

    yield start_one
    for world in worlds:
        await world.pod.close()
        for provider in world.providers.values():
            provider.kill()
