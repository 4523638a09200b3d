"""A provider's key: read from the environment or a file, shown to nobody.

A file is how clusters rotate keys: it is read again when its inode, size or time of change differs,
looked at no more than once a second, on use: no watcher, no thread. A Kubernetes secret is a
symlink swap, which ``stat`` sees as another inode. While a rewritten file is missing, empty or
unusable the last good key stays: a rotation in progress must not fail calls.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from sidecar import clock
from sidecar.errors import ConfigError

_CHECK_EVERY_S: Final = 1.0
_log = logging.getLogger(__name__)


class Credential:
    """A key, by environment variable name or by file path: exactly one of both.

    Raises:
        ConfigError: the variable or file is missing, empty, or holds what no header can carry.
    """

    __slots__ = ("_checked_at", "_env", "_file", "_stamp", "_value", "_version")

    def __init__(self, *, env: str | None = None, file: str | None = None) -> None:
        if (env is None) == (file is None):
            raise ConfigError(("api_key: give either env or file",))
        self._env = env
        self._file = None if file is None else Path(file)
        self._checked_at: float | None = None
        self._version = 1
        self._stamp = self._seen_stamp()
        self._value = self._read()

    def value(self) -> str:
        """Return the key as of now; must be called under a running loop."""
        self._refresh()
        return self._value

    @property
    def version(self) -> int:
        """A number that grows whenever the key has changed; must be read under a running loop."""
        self._refresh()
        return self._version

    def __repr__(self) -> str:
        return f"Credential({self._origin()})"

    def _origin(self) -> str:
        return f"env {self._env}" if self._file is None else f"file {self._file}"

    def _refresh(self) -> None:
        if self._file is None:
            return
        now = clock.now()
        if self._checked_at is not None and now - self._checked_at < _CHECK_EVERY_S:
            return
        self._checked_at = now
        stamp = self._seen_stamp()
        if stamp is None or stamp == self._stamp:
            return
        try:
            value = self._read()
        except ConfigError as error:
            _log.warning("the last good key stays in use: %s", error)
            self._stamp = stamp
            return
        self._stamp = stamp
        if value != self._value:
            self._value = value
            self._version += 1

    def _seen_stamp(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        try:
            stat = self._file.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _read(self) -> str:
        if self._file is None:
            raw = os.environ.get(self._env or "")
            if raw is None:
                raise ConfigError((f"api_key: {self._origin()} is not set",))
            return self._checked(raw)
        try:
            raw = self._file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            problem = f"api_key: {self._origin()} cannot be read: {error.strerror}"
            raise ConfigError((problem,)) from error
        return self._checked(raw)

    def _checked(self, raw: str) -> str:
        value = raw.strip()
        if not value:
            raise ConfigError((f"api_key: {self._origin()} is empty",))
        if not all(char.isprintable() and char <= "\xff" for char in value):
            problem = f"api_key: {self._origin()} holds line breaks or non-Latin characters"
            raise ConfigError((problem,))
        return value
