"""A real server of Debian's, started by the test: Valkey or Redis; skipped where neither is."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = shutil.which("valkey-server") or shutil.which("redis-server")
ALL = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--daemonize", "no")


class Server:
    """A store's process."""

    def __init__(self, directory: Path, *more: str, plain: bool = True) -> None:
        assert SERVER is not None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._directory, self._more = directory, more
        number = str(self.port)
        self._ports = ("--port", number) if plain else ("--port", "0", "--tls-port", number)
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Start it, or start it again on the same port; it listens on return."""
        assert SERVER is not None
        command = [SERVER, *self._ports, *ALL, "--dir", str(self._directory)]
        self.process = subprocess.Popen(
            [*command, *self._more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if b"Ready to accept connections" in line:
                return
        pytest.fail("the server did not start")

    def pause(self) -> None:
        """Let it do nothing, connections and all."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own."""
    if SERVER is None:
        pytest.skip("neither valkey-server nor redis-server is installed")
    one = Server(tmp_path)
    yield one
    one.stop()
