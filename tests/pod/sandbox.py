"""What a pod's containers share and what each has alone: network, cgroup, root, user.

A network namespace joined to this machine by a virtual cable, so that probes and providers are
outside the pod, as in a cluster. Nothing here leads to any other network.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "container.py"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ssl")
CGROUPS = Path("/sys/fs/cgroup")


def obstacle() -> str | None:
    """Return why no pod can be run here, None if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a pod needs Linux and root, for namespaces and users"
    for tool in ("ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            return f"a pod needs `{tool}`"
    name = f"pod-try-{os.getpid()}"
    if _quietly("ip", "netns", "add", name):
        return "network namespaces cannot be made here"
    cable = _quietly("ip", "link", "add", f"t{os.getpid()}", "type", "veth", "peer", "netns", name)
    mounts = _quietly("unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "x", "/mnt")
    _quietly("ip", "netns", "del", name)
    if cable or mounts:
        return "virtual cables or mounts cannot be made here"
    return None


def _quietly(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def image() -> list[str]:
    """Return the paths that stand for an image: the system's libraries, this Python, the package.

    The members of our own folders and not these, which only their owner may be allowed to enter.
    """
    folders = {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib")}
    own = [str(member) for folder in sorted(folders) for member in Path(folder).iterdir()]
    return [path for path in (*SYSTEM, *own, str(ROOT / "sidecar")) if Path(path).exists()]


class Network:
    """A pod's network namespace; ``outside`` and ``inside`` are the two ends' addresses."""

    def __init__(self) -> None:
        number = os.getpid() % 60000
        self.name = f"pod-{os.getpid()}"
        self._link = f"pod{os.getpid()}"
        net = f"10.{200 + number // 16000}.{number // 64 % 250}"
        self.outside = f"{net}.{number % 64 * 4 + 1}"
        self.inside = f"{net}.{number % 64 * 4 + 2}"

    def open(self) -> None:
        """Make it.

        Raises:
            CalledProcessError: the kernel refuses.
        """
        self.close()
        name, link = self.name, self._link
        for command in (
            ["ip", "netns", "add", name],
            ["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name],
            ["ip", "addr", "add", f"{self.outside}/30", "dev", link],
            ["ip", "link", "set", link, "up"],
            ["ip", "-n", name, "addr", "add", f"{self.inside}/30", "dev", "eth0"],
            ["ip", "-n", name, "link", "set", "eth0", "up"],
            ["ip", "-n", name, "link", "set", "lo", "up"],
        ):
            subprocess.run(command, check=True, capture_output=True)

    def close(self) -> None:
        """Take it away, cable and all."""
        _quietly("ip", "link", "del", self._link)
        _quietly("ip", "netns", "del", self.name)


class MemoryGroup:
    """A cgroup with a limit, where cgroups can be made; ``folders`` is empty elsewhere."""

    def __init__(self, name: str, limit_bytes: int) -> None:
        is_first = (CGROUPS / "memory").is_dir()
        self._folder = (CGROUPS / "memory" if is_first else CGROUPS) / name
        self._limit = "memory.limit_in_bytes" if is_first else "memory.max"
        self._peak = "memory.max_usage_in_bytes" if is_first else "memory.peak"
        self._kills = "memory.oom_control" if is_first else "memory.events"
        self.folders: list[str] = []
        try:
            self._folder.mkdir()
            (self._folder / self._limit).write_text(str(limit_bytes))
            self.folders = [str(self._folder)]
        except OSError:
            self.close()

    def peak_bytes(self) -> int:
        """Return the most that was in use at once."""
        return int((self._folder / self._peak).read_text())

    def kills(self) -> int:
        """Return how many processes the limit has cost."""
        lines = (self._folder / self._kills).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def close(self) -> None:
        """Take it away."""
        if self._folder.is_dir():
            self._folder.rmdir()


class Process:
    """One run of a container; ``pid`` is its first process, seen from outside."""

    def __init__(self, spec: dict[str, Any], network: Network, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "root").mkdir()
        self._pid_file = folder / "pid"
        spec = {**spec, "root": str(folder / "root"), "pid": str(self._pid_file)}
        (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        self.log = folder / "log.txt"
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        program = [sys.executable, "-S", str(PROGRAM), str(folder / "spec.json")]
        with self.log.open("wb") as sink:
            self._runner = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{network.name}", *namespaces, *program],
                stdout=sink,
                stderr=sink,
                stdin=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int | None:
        """Return the first process, None before it is there."""
        return int(self._pid_file.read_text()) if self._pid_file.exists() else None

    def exit_code(self) -> int | None:
        """Return the exit code, minus a signal's number, None while it runs."""
        return self._runner.poll()

    def tell(self, number: int) -> None:
        """Send the first process a signal, as from outside its namespace."""
        if self.exit_code() is None and self.pid is not None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and all it has started: a namespace ends with its first process."""
        if self.pid is None:
            self._runner.kill()
        else:
            self.tell(signal.SIGKILL)
        self._runner.wait()
