"""Which calls an operator asks for: the query of ``GET /api/v1/calls``.

``?route=reason&since=1h&failed=true&limit=100&before=4711``, each at most once and none needed.
What is not understood is refused: a filter that is silently left out shows the wrong calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from sidecar.durations import parse_duration
from sidecar.errors import BadRequestError
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT, LIMIT_MAX = 100, 1000
NUMBER_DIGITS_MAX = 18
_SHOWN_CHARS_MAX = 100
_BOOLEANS = {"true": True, "1": True, "": True, "false": False, "0": False}


@value
class CallsAsked:
    """What was asked for. ``since_s``: ended within so many seconds; ``before``: with a lower
    number, for the next page.
    """

    route: str | None = None
    since_s: float | None = None
    is_failed_only: bool = False
    limit: int = LIMIT
    before: int | None = None


def calls_asked(query: str) -> CallsAsked:
    """Return what a raw ``query`` asks for.

    Raises:
        BadRequestError: it asks for something that there is not; the message says what there is.
    """
    given: dict[str, object] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=2 * len(_READERS))
    except ValueError:
        raise BadRequestError(f"too many parameters; there are {', '.join(_READERS)}") from None
    for name, text in pairs:
        shown = name[:_SHOWN_CHARS_MAX]
        if name not in _READERS:
            raise BadRequestError(f"no parameter {shown!r}; there are {', '.join(_READERS)}")
        field, read = _READERS[name]
        if field in given:
            raise BadRequestError(f"the parameter {shown} is given twice; once is enough")
        try:
            given[field] = read(text)
        except ValueError as error:
            raise BadRequestError(f"{name}: {error}") from None
    return CallsAsked(**given)  # type: ignore[arg-type]  # each as its reader returns it


def _route(text: str) -> str:
    if not text:
        raise ValueError("expected the name of a route")
    return text


def _failed(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError(f"expected true or false, got {text[:_SHOWN_CHARS_MAX]!r}")
    return _BOOLEANS[text]


def _limit(text: str) -> int:
    limit = _number(text)
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"expected 1 to {LIMIT_MAX}, got {limit}")
    return limit


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        raise ValueError(f"expected a whole number, got {text[:_SHOWN_CHARS_MAX]!r}")
    return int(text)


_READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "route": ("route", _route),
    "since": ("since_s", parse_duration),
    "failed": ("is_failed_only", _failed),
    "limit": ("limit", _limit),
    "before": ("before", _number),
}
