"""Every mistake of a configuration at once: collected with the place of each, raised together.

A configuration error is read by somebody who fixes it in the next minute, so each problem is one
line that says where (file, line, path), what was expected, what stands there, and what to do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROBLEMS_MAX = 100
_PLAIN_KEY = re.compile(r"[\w-]{1,100}")


class Problems:
    """Problems of one file in the order of its lines."""

    def __init__(self, source: str, lines: Mapping[str, int]) -> None:
        self._source = source
        self._lines = lines
        self._found: list[tuple[int, str]] = []

    def add(self, path: str, message: str, *, line: int | None = None) -> None:
        """Note that ``message`` is wrong with the value at ``path``."""
        line = line_of(path, self._lines) if line is None else line
        self._found.append((line, f"{self._source}:{line}: {path}: {message}"))

    def place(self, path: str) -> str:
        """Return ``path`` and its line, for a message about another place."""
        return f"{path} (line {line_of(path, self._lines)})"

    def texts(self) -> tuple[str, ...]:
        """Return what was found, a line each, and beyond ``PROBLEMS_MAX`` a count."""
        ordered = [text for _, text in sorted(self._found, key=lambda found: found[0])]
        more = len(ordered) - PROBLEMS_MAX
        tail = (f"{self._source}: and {more} more",) if more > 0 else ()
        return (*ordered[:PROBLEMS_MAX], *tail)

    def raise_any(self) -> None:
        """Raise what was found.

        Raises:
            ConfigError: there was at least one problem.
        """
        if self._found:
            raise ConfigError(self.texts())


def member(path: str, key: str | int) -> str:
    """Return the path of a member: ``$.models.small``, ``$.models["gpt-4.1"]``, ``$.tiers[0]``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}"
    return f'{path}["{_printable(key, 100)}"]'


def line_of(path: str, lines: Mapping[str, int]) -> int:
    """Return the line of ``path``, or of the nearest thing around it that has one."""
    while path not in lines and path != "$":
        path = path[: max(path.rfind("."), path.rfind("["), 1)]
    return lines.get(path, 1)


def shown(value: object) -> str:
    """Return ``value`` as a message may show it: short, one line, collections by their kind."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{_printable(value, 60)}"'
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return str(value)[:60]


def suggestion(name: str, known: Iterable[str], *, otherwise: str = "one of") -> str:
    """Return the hint for a misspelt ``name``: the nearest known one, else the list."""
    import difflib  # noqa: PLC0415 - only where something is misspelt

    names = list(known)
    near = difflib.get_close_matches(name[:100], names, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    if not names:
        return "there is none yet"
    more = ", …" if len(names) > 20 else ""  # noqa: PLR2004 - a line stays readable
    return f"{otherwise} {', '.join(names[:20])}{more}"


def _printable(text: str, chars_max: int) -> str:
    """Return the start of ``text`` with control characters escaped."""
    short = text if len(text) <= chars_max else text[:chars_max] + "…"
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in short)
