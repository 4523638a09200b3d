"""How a line of the log is written: as text or as a JSON object, never too many, never too much.

Lines are logged as ``words name=%s other=%d`` everywhere, so that both forms come from the same
call: as JSON, words become ``event`` and each name a member.

Of an exception its kind and where it was raised are told. Its text is withheld unless it is the
system's own: a defect's message may quote what a caller wrote or what a provider answered.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from sidecar.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    Failure = (
        tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    )

FORMS = ("text", "json")
BURST, REFILL_S = 20, 3.0
"""So many lines of one kind about one subject at once, then one in so many seconds."""
KINDS_MAX = 1000
CHAIN_MAX = 5
_DIRECTIVE = re.compile(r"%(?:%|[-#0 +]*[\d.]*[a-zA-Z])")
_FIELD = re.compile(r"([A-Za-z_]\w*)=(%[-#0 +]*[\d.]*[a-zA-Z])")
_TOLD = (OSError, ConfigError)
"""Exceptions whose text is the system's or about the configuration."""


def configure(level: str, form: str, stream: TextIO = sys.stderr) -> None:
    """Send all lines from ``level`` on to ``stream`` in one of ``FORMS``; crashes too."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(Limited())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    sys.excepthook = _tell_crash


def is_json() -> bool:
    """Return whether the log is one of JSON objects."""
    return any(isinstance(one.formatter, JsonLines) for one in logging.getLogger().handlers)


def tell_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log what the loop caught: its words and the exception, none of the values around it."""
    error = context.get("exception")
    said = re.split(r"[:(]", str(context.get("message", "an error")), maxsplit=1)[0]
    logging.getLogger("sidecar").error(
        "the event loop caught it: %s",
        said,
        exc_info=error if isinstance(error, BaseException) else None,
    )


def _tell_crash(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("sidecar").critical("crashed", exc_info=(kind, error, where))


def told(error: BaseException) -> str:
    """Return where ``error`` and what led to it were raised, and their kinds."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(parts) < CHAIN_MAX:
        text = f": {seen}" if isinstance(seen, _TOLD) else ""
        where = "".join(traceback.format_tb(seen.__traceback__))
        parts.append(f"{where}{type(seen).__module__}.{type(seen).__qualname__}{text}")
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\nafter\n".join(reversed(parts))


def _fields(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """Return a line's words and its named values; all is words if it is not of that form."""
    names = _FIELD.findall(record.msg) if isinstance(record.msg, str) else []
    args = record.args
    if (
        not names
        or not isinstance(args, tuple)
        or not len(names) == len(args) == len(_DIRECTIVE.findall(record.msg))
    ):
        return record.getMessage(), {}
    words = record.msg[: record.msg.index(names[0][0] + "=")].strip()
    plain = (str, int, float, type(None))
    values = [value if isinstance(value, plain) else str(value) for value in args]
    return words, {name: value for (name, _), value in zip(names, values, strict=True)}


class TextLines(logging.Formatter):
    """Lines for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Failure) -> str:  # noqa: N802 - the base's name
        """Return an exception without its text."""
        return "" if ei[1] is None else told(ei[1])

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what was held back before it is counted at its end."""
        record.exc_text = None  # another handler may have written more than we do
        line = super().format(record)
        held = getattr(record, "suppressed", 0)
        return f"{line} suppressed={held}" if held else line


class JsonLines(logging.Formatter):
    """A JSON object a line, for log stores."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object: time, level, logger, event and what the line names."""
        words, named = _fields(record)
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "event": words,
            **{f"{name}_" if name in _OWN else name: value for name, value in named.items()},
        }
        if held := getattr(record, "suppressed", 0):
            line["suppressed"] = held
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = told(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


_OWN = frozenset({"time", "level", "logger", "event", "suppressed", "exception"})


class Limited(logging.Filter):
    """Holds back lines of a kind that come too often; the next one that passes counts them."""

    def __init__(self) -> None:
        super().__init__()
        self._buckets: dict[tuple[str, str], tuple[float, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line may pass; DEBUG was asked for and always does."""
        if record.levelno <= logging.DEBUG:
            return True
        args = record.args
        subject = str(args[0])[:200] if isinstance(args, tuple) and args else ""
        key = (str(record.msg), subject)
        if key not in self._buckets and len(self._buckets) >= KINDS_MAX:
            self._buckets.clear()
        left, at, held = self._buckets.get(key, (float(BURST), record.created, 0))
        left = min(float(BURST), left + max(0.0, record.created - at) / REFILL_S)
        if left < 1.0:
            self._buckets[key] = (left, record.created, held + 1)
            return False
        self._buckets[key] = (left - 1.0, record.created, 0)
        if held:
            record.suppressed = held
        return True
