"""A CSV file with a header, read with its lines: every mistake is told at once, with its place.

Columns are known by name and may stand in any order; one that nobody knows is a mistake and not a
comment, since a misspelt optional column would be left out in silence.
"""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sidecar.errors import ConfigError
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BYTES_MAX = 64 * 1024 * 1024
PROBLEMS_MAX = 20
SHOWN_CHARS_MAX = 60


@value
class Columns:
    """The names of the columns that must be there, and of those that may."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


@value
class Row:
    """One line; a cell that is empty or missing is not in ``cells``."""

    line: int
    cells: Mapping[str, str]


class Sheet:
    """Owns the problems of one file; ``raise_any`` ends the reading where there are some.

    ``others``: columns that ``columns`` does not name may be there, as in files of other people.
    """

    def __init__(self, source: str, text: str, columns: Columns, *, others: bool = False) -> None:
        self.source = source
        self.problems: list[str] = []
        self.rows: list[Row] = []
        self._read(text, columns, others=others)

    def problem(self, line: int, message: str) -> None:
        """Note a mistake."""
        self.problems.append(f"{self.source}:{line}: {message}")

    def raise_any(self) -> None:
        """Raise the problems noted so far, if any.

        Raises:
            ConfigError: with the first ``PROBLEMS_MAX`` of them.
        """
        if self.problems:
            more = len(self.problems) - PROBLEMS_MAX
            rest = (f"{self.source}: and {more} more",) if more > 0 else ()
            raise ConfigError((*self.problems[:PROBLEMS_MAX], *rest))

    def number(
        self, row: Row, column: str, *, least: float = 0.0, most: float = math.inf
    ) -> float | None:
        """Return a number of [least, most], None if the cell is empty or (noted) no such number."""
        text = row.cells.get(column)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if least <= number <= most and math.isfinite(number):
            return number
        bounds = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        self.problem(row.line, f"{column}: expected a number {bounds}, got {shown(text)}")
        return None

    def moment(self, row: Row, column: str) -> float | None:
        """Return an instant in seconds since 1970, None if it is not one (noted) or not given."""
        text = row.cells.get(column)
        if text is None:
            return None
        found = instant(text)
        if found is None:
            message = f"{column}: expected a time as 2024-01-31T13:00:00Z, got {shown(text)}"
            self.problem(row.line, message)
        return found

    def _read(self, text: str, columns: Columns, *, others: bool) -> None:
        reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
        names: list[str] | None = None
        try:
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if names is None:
                    names = [cell.strip() for cell in cells]
                    self._check_names(names, columns, reader.line_num, others=others)
                    if self.problems:
                        return
                else:
                    self._add(names, cells, columns, reader.line_num)
        except csv.Error as error:
            self.problem(reader.line_num, f"not CSV: {error}")
        if names is None:
            self.problem(1, f"empty; expected a header: {','.join(columns.needed)}")

    def _check_names(self, names: list[str], columns: Columns, line: int, *, others: bool) -> None:
        known = (*columns.needed, *columns.optional)
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                self.problem(line, f"column {shown(name)} stands there twice; remove one")
            if name not in known and not others:
                message = f"unknown column {shown(name)}; known are {', '.join(known)}"
                self.problem(line, message)
        missing = [name for name in columns.needed if name not in names]
        if missing:
            self.problem(line, f"missing column {', '.join(missing)}")

    def _add(self, names: list[str], cells: list[str], columns: Columns, line: int) -> None:
        if len(cells) > len(names):
            message = f"{len(cells)} cells under {len(names)} columns; quote cells with a comma"
            self.problem(line, message)
            return
        found = {
            name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()
        }
        row = Row(line=line, cells=found)
        self.rows.append(row)
        for name in columns.needed:
            if name not in found:
                self.problem(line, f"{name}: missing")


def read_sheet(path: Path, columns: Columns, *, others: bool = False) -> Sheet:
    """Return the file at ``path``; its mistakes so far are noted in it.

    Raises:
        ConfigError: it cannot be read, or its header is wrong.
    """
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        raise ConfigError((f"{path}: cannot be read ({reason}); name another file",)) from None
    if len(data) > BYTES_MAX:
        raise ConfigError((f"{path}: larger than {BYTES_MAX >> 20} MiB; cut it",))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError((f"{path}:{line}: not UTF-8; save it as UTF-8",)) from None
    sheet = Sheet(str(path), text, columns, others=others)
    if not sheet.rows:
        sheet.raise_any()
    return sheet


def instant(text: str) -> float | None:
    """Return seconds since 1970 of ``2024-01-31[ T]13:00[:00][Z]`` (UTC unless said), else None."""
    try:
        found = datetime.fromisoformat(text)
        moment = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def spelled(at_s: float) -> str:
    """Return ``2024-01-31T13:00:00Z``."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(text: str) -> str:
    """Return ``text`` quoted and bounded, for a message."""
    return repr(text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "…")
