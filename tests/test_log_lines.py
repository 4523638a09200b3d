"""Lines of the log: the same call as text and as JSON, bounded, and without what others wrote."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.errors import ConfigError
from sidecar.log_lines import BURST, REFILL_S, Limited, configure, is_json, tell_loop_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "sk-the-callers-own-words"


@pytest.fixture
def lines() -> Iterator[Callable[[str], io.StringIO]]:
    """Configure the log in a form, and return where it is written; all as before afterwards."""
    root = logging.getLogger()
    before, hook = (root.handlers[:], root.level), sys.excepthook

    def begin(form: str) -> io.StringIO:
        stream = io.StringIO()
        configure("debug", form, stream)
        return stream

    yield begin
    root.handlers[:], root.level = before
    sys.excepthook = hook


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_call_two_forms(lines: Callable[[str], io.StringIO]) -> None:
    """Words become the event, each name a member with its own type."""
    log = logging.getLogger("sidecar.test")

    def write() -> None:
        log.warning("breaker name=%s old=%s reopens_in_s=%.1f count=%d", "a/m", None, 2.25, 3)
        log.info("plain words")
        log.info("%d of %s", 3, "words")
        log.info("level=%s", "high")

    text = lines("text")
    assert not is_json()
    write()
    first = text.getvalue().splitlines()[0]
    assert first.endswith("WARNING sidecar.test breaker name=a/m old=None reopens_in_s=2.2 count=3")
    objects = lines("json")
    assert is_json()
    write()
    breaker, plain, words, level = parsed(objects)
    assert breaker.pop("time").endswith("Z")
    assert breaker == {
        "level": "WARNING",
        "logger": "sidecar.test",
        "event": "breaker",
        "name": "a/m",
        "old": None,
        "reopens_in_s": 2.25,
        "count": 3,
    }
    assert (plain["event"], words["event"]) == ("plain words", "3 of words")
    assert (level["event"], level["level"], level["level_"]) == ("", "INFO", "high")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exceptions_text_is_withheld(lines: Callable[[str], io.StringIO], form: str) -> None:
    """Kind and place are told, also of what led to it; what it says is not."""
    stream = lines(form)
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise KeyError(SECRET) from error
    except KeyError:
        logging.getLogger("sidecar").exception("a handler failed")
    text = stream.getvalue()
    assert SECRET not in text
    assert "builtins.KeyError" in text
    assert "builtins.ValueError" in text
    assert "test_log_lines.py" in text


def test_the_systems_own_words_are_told(lines: Callable[[str], io.StringIO]) -> None:
    """An address that is taken, a file that is not there, a mistake in the configuration."""
    stream = lines("json")
    for error in (OSError(98, "Address already in use"), ConfigError(("x.yaml:3: no",))):
        logging.getLogger("sidecar").error("failed", exc_info=error)
    first, second = parsed(stream)
    assert first["exception"].endswith("OSError: [Errno 98] Address already in use")
    assert "x.yaml:3: no" in second["exception"]


def test_a_crash_is_a_line_too(lines: Callable[[str], io.StringIO]) -> None:
    """What nobody caught is written by the same rules."""
    stream = lines("json")
    error = ValueError(SECRET)
    sys.excepthook(ValueError, error, None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    (line,) = parsed(stream)
    assert (line["level"], line["event"]) == ("CRITICAL", "crashed")
    assert SECRET not in str(line)


def test_what_the_loop_catches_is_told_without_values(
    lines: Callable[[str], io.StringIO],
) -> None:
    """A callback's arguments may be bytes of a request."""
    stream = lines("json")

    def fail(_: bytes) -> None:
        raise ValueError(SECRET)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(tell_loop_error)
        loop.call_soon(fail, SECRET.encode())
        await asyncio.sleep(0)

    asyncio.run(main())
    (line,) = [one for one in parsed(stream) if one["logger"] == "sidecar"]
    assert line["event"].startswith("the event loop caught it: Exception in callback")
    assert SECRET not in str(line)


def test_too_many_lines_are_counted_instead() -> None:
    """A flapping endpoint does not drown the others; nothing is forgotten silently."""
    limited = Limited()

    def record(subject: str, at: float, level: int = logging.INFO) -> logging.LogRecord:
        made = logging.LogRecord("s", level, "f", 1, "breaker name=%s", (subject,), None)
        made.created = at
        return made

    passed = [limited.filter(record("a", 100.0)) for _ in range(BURST + 50)]
    assert passed == [True] * BURST + [False] * 50
    assert limited.filter(record("b", 100.0))
    assert limited.filter(record("a", 100.0, logging.DEBUG))
    late = record("a", 100.0 + REFILL_S)
    assert limited.filter(late)
    assert late.__dict__["suppressed"] == 50
    again = record("a", 100.0 + 1e6)
    assert limited.filter(again)
    assert "suppressed" not in again.__dict__


def test_what_was_held_back_is_in_the_line(lines: Callable[[str], io.StringIO]) -> None:
    """In both forms."""
    for form, shown in (("text", "suppressed=7"), ("json", '"suppressed": 7')):
        stream = lines(form)
        logging.getLogger("sidecar").info("tick", extra={"suppressed": 7})
        assert shown in stream.getvalue()
