"""Has the file changed? Asked by looking at it, every two seconds: no thread, no inotify.

What is looked at is what the path leads to. So a ConfigMap's symlink swap is seen, an editor that
writes another file and renames it over the old one, and one that writes in place. A change is tried
once it looks the same twice in a row: a file that is still being written would be half of one. A
file that is missing is waited for a whole look longer, since it may be on its way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOOK_S = 2.0
SETTLE_S = 0.25
"""How soon a change is looked at a second time: whoever writes a few kilobytes is done by then."""

_Stamp = tuple[str, int, int, int, int]


class Watched:
    """One file. Owns how it looked when it was last read, and at the last look.

    Make it before the file is read for the first time: what changes in between is seen, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tried = self._seen = _stamp(path)

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look."""
        is_settling = self._seen is not None and self._seen != self._tried
        return SETTLE_S if is_settling else LOOK_S

    def take(self) -> None:
        """Note that the file is read now, however it looks."""
        self._tried = self._seen = _stamp(self._path)

    def look(self) -> bool:
        """Return whether there is something to be read that has not been tried, or no file."""
        before, self._seen = self._seen, _stamp(self._path)
        if self._seen == self._tried or self._seen != before:
            return False
        self._tried = self._seen
        return True


def _stamp(path: Path) -> _Stamp | None:
    """Return what tells one state of the file from another, None if there is none."""
    try:
        real = os.path.realpath(path)
        stat = os.stat(real)  # noqa: PTH116 - the path that was resolved, not the one given
    except (OSError, ValueError):
        return None
    return real, stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
