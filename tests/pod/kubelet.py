"""A small model of a kubelet: runs the pod of a manifest on ``sandbox``.

As a kubelet does: volumes with the ``..data`` link that is swapped; variables from fields; native
sidecars first, each until its startup probe passes; probes from outside the pod; an exited sidecar
is started again at once; when the pod ends, the main containers get SIGTERM, and the sidecars
theirs once those are gone, all within one grace; a Job's pod ends when its main containers have.
Not: an API server, back-off, hooks, liveness, limits of CPU.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.pod.sandbox import MemoryGroup, Process, image

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pod.sandbox import Network

POLLS, POLL_S = 1200, 0.05
ENTRYPOINTS = {"llm-resilience-sidecar": [sys.executable, "-m", "sidecar"]}
"""What images start when the manifest names no command."""
UNITS = {"Mi": 1024**2, "Gi": 1024**3}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def until(holds: Callable[[], bool], what: str) -> None:
    """Return once ``holds``; fail after a minute."""
    for _ in range(POLLS):
        if holds():
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"it never came to this: {what}")


class Volume:
    """A mounted ConfigMap or Secret: files are links through ``..data``, which is swapped."""

    def __init__(self, folder: Path, mode: int) -> None:
        self.folder = folder
        self._mode = mode
        folder.mkdir(parents=True)
        folder.chmod(0o755)

    def write(self, files: dict[str, str]) -> None:
        """Replace all files at once."""
        fresh = Path(tempfile.mkdtemp(prefix="..", dir=self.folder))
        fresh.chmod(0o755)
        for name, text in files.items():
            (fresh / name).write_text(text, encoding="utf-8")
            (fresh / name).chmod(self._mode)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)
        link = self.folder / "..data_tmp"
        link.symlink_to(fresh.name)
        link.rename(self.folder / "..data")


class Container:
    """A container of the pod through all its runs; ``runs`` are its processes, in order."""

    def __init__(self, manifest: dict[str, Any], memory: MemoryGroup) -> None:
        self.manifest = manifest
        self.name: str = manifest["name"]
        self.memory = memory
        self.runs: list[Process] = []

    @property
    def process(self) -> Process:
        """Return the run of now."""
        return self.runs[-1]

    def is_over(self) -> bool:
        """Say whether the last run has ended."""
        return bool(self.runs) and self.process.exit_code() is not None

    def said(self) -> str:
        """Return all output of all runs."""
        return "".join(run.log.read_text(encoding="utf-8", errors="replace") for run in self.runs)


class Pod:
    """A pod. ``files`` are the ConfigMaps and Secrets by name; ``told`` what was done, in order."""

    def __init__(
        self,
        template: dict[str, Any],
        files: dict[str, dict[str, str]],
        network: Network,
        folder: Path,
    ) -> None:
        self.spec = template["spec"]
        self.labels = template["metadata"].get("labels", {})
        self.told: list[str] = []
        self.network = network
        self._files = files
        self._folder = folder
        self._is_ending = False
        self._tending: asyncio.Task[None] | None = None
        self.volumes = {volume["name"]: self._volume(volume) for volume in self.spec["volumes"]}
        self.sidecars = [self._container(one) for one in self.spec["initContainers"]]
        self.apps = [self._container(one) for one in self.spec["containers"]]

    def _volume(self, manifest: dict[str, Any]) -> Volume:
        kind = manifest.get("configMap") or manifest["secret"]
        volume = Volume(self._folder / "volumes" / manifest["name"], kind.get("defaultMode", 0o644))
        volume.write(self._files[kind.get("name") or kind["secretName"]])
        return volume

    def _container(self, manifest: dict[str, Any]) -> Container:
        amount = re.fullmatch(r"(\d+)(\w+)", manifest["resources"]["limits"]["memory"])
        assert amount is not None
        name = f"pod-{os.getpid()}-{manifest['name']}"
        return Container(manifest, MemoryGroup(name, int(amount[1]) * UNITS[amount[2]]))

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything in its order."""
        for sidecar in self.sidecars:
            self._launch(sidecar)
            await self._started(sidecar)
            self.told.append(f"{sidecar.name} has started")
        for app in self.apps:
            self._launch(app)
        self._tending = asyncio.get_running_loop().create_task(self._tend())

    async def _started(self, sidecar: Container) -> None:
        def has_started() -> bool:
            assert not sidecar.is_over(), sidecar.said()
            return self.probe(sidecar, "startupProbe")

        await until(has_started, f"{sidecar.name} has started")

    async def _tend(self) -> None:
        while not self._is_ending:
            for sidecar in self.sidecars:
                if sidecar.is_over():
                    self._launch(sidecar)
            if self.spec.get("restartPolicy") == "Never" and all(a.is_over() for a in self.apps):
                self.told.append("all apps are done")
                self._is_ending = True
            await asyncio.sleep(POLL_S)
        await self._stop(self.sidecars)

    async def completed(self) -> None:
        """Wait until a Job's pod is over."""
        await until(lambda: self._tending is not None and self._tending.done(), "it is complete")

    async def delete(self) -> None:
        """End the pod as a kubelet does: apps first, sidecars after them."""
        await self._stop(self.apps)
        self._is_ending = True
        if self._tending is not None:
            await self._tending

    async def delete_at_once(self) -> None:
        """End the pod as one of plain containers ends: everybody is told at the same time."""
        await self._stop_tending()
        await self._stop([*self.apps, *self.sidecars])

    async def _stop(self, containers: list[Container]) -> None:
        for container in containers:
            if not container.is_over():
                self.told.append(f"SIGTERM {container.name}")
                container.process.tell(signal.SIGTERM)
        for container in containers:
            await until(container.is_over, f"{container.name} ends")
            self.told.append(f"{container.name} ended with {container.process.exit_code()}")

    async def _stop_tending(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending])

    async def close(self) -> None:
        """Leave nothing behind."""
        await self._stop_tending()
        for container in (*self.apps, *self.sidecars):
            for run in container.runs:
                run.kill()
            container.memory.close()

    # --- looking ---------------------------------------------------------------------------------

    def probe(self, container: Container, which: str) -> bool:
        """Ask one of a container's probes, from outside the pod."""
        request = container.manifest[which]["httpGet"]
        return self.get(container, request["path"]) is not None

    def get(self, container: Container, path: str) -> str | None:
        """Return what the health port says, None unless it is a yes."""
        (port,) = (p["containerPort"] for p in container.manifest["ports"] if p["name"] == "health")
        try:
            url = f"http://{self.network.inside}:{port}{path}"
            with OPENER.open(url, timeout=1) as answer:
                text: str = answer.read().decode()
                return text
        except (OSError, urllib.error.URLError):
            return None

    # --- containers ------------------------------------------------------------------------------

    def _launch(self, container: Container) -> None:
        manifest = container.manifest
        context = {**self.spec.get("securityContext", {}), **manifest["securityContext"]}
        assert context["runAsNonRoot"]
        command = manifest.get("command") or ENTRYPOINTS[manifest["image"].partition(":")[0]]
        mounts = manifest.get("volumeMounts", ())
        spec = {
            "image": image(),
            "mounts": [[str(self.volumes[m["name"]].folder), m["mountPath"]] for m in mounts],
            "user": context["runAsUser"],
            "group": context["runAsGroup"],
            "is_read_only": context["readOnlyRootFilesystem"],
            "env": self._env(manifest),
            "command": [*command, *manifest.get("args", ())],
            "workdir": "/",
            "cgroups": container.memory.folders,
        }
        folder = self._folder / container.name / str(len(container.runs))
        self.told.append(f"start {container.name}")
        container.runs.append(Process(spec, self.network, folder))

    def _env(self, manifest: dict[str, Any]) -> dict[str, str]:
        env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
        env |= {"PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
        for entry in manifest.get("env", ()):
            if "valueFrom" in entry:
                value = self._field(entry["valueFrom"]["fieldRef"]["fieldPath"])
            else:
                value = re.sub(r"\$\((\w+)\)", lambda m: env.get(m[1], m[0]), entry["value"])
            env[entry["name"]] = value
        return env

    def _field(self, path: str) -> str:
        label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path)
        if label is not None:
            found: str = self.labels.get(label[1], "")
            return found
        return {
            "metadata.name": "example-abc12",
            "metadata.namespace": "default",
            "metadata.uid": "00000000-0000-4000-8000-000000000001",
            "spec.nodeName": "node-1",
        }[path]
