"""How a duration is written: a number with its unit, ``250ms``, ``2s``, ``5m``, ``1.5h``.

One place for the configuration and for the headers of a call. A bare number is refused, since
nobody remembers whether a field counts seconds or milliseconds; the message says what to write
instead.
"""

from __future__ import annotations

import re

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"
EXPECTED = 'a duration such as "250ms", "2s" or "5m"'
DURATION_MAX_S = 366 * 86400.0

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?(ms|s|m|h)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` stands for, finite and not negative.

    Raises:
        ValueError: it is not a duration; the message says what was expected and is safe to show.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        bare = _NUMBER.fullmatch(text.strip())
        if bare is not None:
            message = f'expected a duration with a unit, got {bare[0]}; write "{bare[0]}s"'
            raise ValueError(message + f' for seconds or "{bare[0]}ms" for milliseconds')
        message = f"expected {EXPECTED}, got {text[:40]!r}"
        raise ValueError(message)
    duration_s = round(float(found[1]) * _UNIT_S[found[2]], 9)
    if duration_s > DURATION_MAX_S:
        message = f"expected a duration of at most a year, got {text[:40]!r}"
        raise ValueError(message)
    return duration_s


def format_duration(duration_s: float) -> str:
    """Return ``duration_s`` in the largest unit that writes it exactly."""
    for unit in ("h", "m", "s"):
        count = duration_s / _UNIT_S[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    if duration_s >= 1:
        return f"{_plain(duration_s)}s"
    return f"{_plain(duration_s * 1000)}ms"


def _plain(number: float) -> str:
    """Return ``number`` without exponent and without trailing zeros."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
