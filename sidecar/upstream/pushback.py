"""When a provider wants us back: every dialect of Retry-After, read without trust.

Providers say it in headers (seconds, an HTTP date, milliseconds, Go durations of rate-limit resets,
instants as RFC 3339 or as seconds or milliseconds since 1970) or only in the error's text ("Please
try again in 6ms"). An explicit wait wins over the text, the text over the resets: a reset says when
the bucket is full again, which is later than when the next request fits. A reset counts only for a
dimension not known to have something left, or a token limit would be blamed for a request limit.
What is found is clamped to 0..300 s, so that no header can block for hours.

Honour the result on errors only: Anthropic and the Hugging Face router send ``retry-after`` on
successes too.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sidecar.engine.ports import RateLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

PUSHBACK_MAX_S: Final = 300.0

_HINT_BYTES_MAX: Final = 16_384
_UNIT_S: Final = {
    "h": 3600.0,
    "m": 60.0,
    "min": 60.0,
    "s": 1.0,
    "sec": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_GO_PART: Final = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(h|ms|min|m|us|µs|ns|sec|s)")
_GO_DURATION: Final = re.compile(rf"(?:{_GO_PART.pattern}){{1,6}}")
_NUMBER: Final = r"(\d{1,12}(?:\.\d{1,12})?)"
_TEXT_HINT: Final = re.compile(
    r"(?:try again|retry|resets?|available)\s(?:in|after)\s~?"
    rf"((?:{_NUMBER}\s?(?:hours?|minutes?|min|milliseconds?|seconds?|sec|ms|h|m|s)?)"
    r"(?:\d{1,12}(?:\.\d{1,12})?(?:ms|m|s)){0,3})\b",
    re.IGNORECASE,
)
_LONG_UNIT: Final = re.compile(r"\s?(hour|minute|millisecond|second)s?\b", re.IGNORECASE)
_SHORT_OF_LONG: Final = {"hour": "h", "minute": "m", "millisecond": "ms", "second": "s"}
_JSON_SECONDS: Final = re.compile(
    rf'"(?:retry_after|retry_after_seconds|retryAfter)"\s*:\s*"?{_NUMBER}'
)
_JSON_MILLISECONDS: Final = re.compile(rf'"retry_after_ms"\s*:\s*"?{_NUMBER}')
_JSON_DURATION: Final = re.compile(r'"retryDelay"\s*:\s*"([^"]{1,40})"')
_OF_LIMITS: Final = "ratelimit"
_LIMIT_HEADER: Final = re.compile(
    r"x-ratelimit-(?P<what>limit|remaining|reset)(?:-(?P<of>[a-z0-9-]{1,40}))?"
    r"|anthropic-ratelimit-(?P<of2>[a-z-]{1,40})-(?P<what2>limit|remaining|reset)"
)

_PERIOD_HEADER: Final = "x-ratelimit-renewalperiod-"
"""Azure's; it counts its resets in milliseconds (120 requests a minute: one is back in ``500``)."""
_OF_A_MINUTE: Final = {"req-minute": "requests", "tokens-minute": "tokens"}
"""Mistral's names for what others leave unsaid; its other periods keep their names."""
_NO_DIMENSION: Final = "all"
"""Together and OpenRouter name none: good for a wait, but no limit a minute."""
_EPOCH_S_MIN, _EPOCH_MS_MIN = 1e9, 1e12
"""Larger numbers are instants: nobody is sent away for thirty years."""


def pushback_s(headers: Mapping[str, str], body: bytes, wall_now: float) -> float | None:
    """Return seconds to stay away, 0..300, or None if the provider does not say; never raises.

    Args:
        headers: of the failed answer, names in lower case.
        body: of the failed answer, or the data of an in-stream error event.
        wall_now: seconds since the epoch; HTTP dates and RFC 3339 resets are relative to it.
    """
    wait_s = _stated(headers, wall_now)
    if wait_s is None:
        wait_s = _hinted(body)
    if wait_s is None:
        wait_s = _until_reset(rate_limits(headers, wall_now))
    return None if wait_s is None else _clamped(wait_s)


def rate_limits(headers: Mapping[str, str], wall_now: float) -> tuple[RateLimit, ...]:
    """Return what the rate-limit headers say, one entry a dimension; never raises."""
    names = [name for name in headers if _OF_LIMITS in name]
    if not names:
        return ()
    found: dict[str, dict[str, str]] = {}
    for name in names:
        meaning = _meaning(name)
        if meaning is not None:
            dimension, what = meaning
            found.setdefault(dimension, {})[what] = headers[name]
    return tuple(
        RateLimit(
            dimension=_OF_A_MINUTE.get(dimension, dimension),
            limit=_count(said.get("limit")),
            remaining=_count(said.get("remaining")),
            reset_s=_reset_s(
                said.get("reset"), wall_now, in_ms=_PERIOD_HEADER + dimension in headers
            ),
        )
        for dimension, said in found.items()
    )


@lru_cache(maxsize=256)
def _meaning(name: str) -> tuple[str, str] | None:
    """Return dimension and what is said of it, None for a header that says neither."""
    match = _LIMIT_HEADER.fullmatch(name)
    if match is None:
        return None
    return match["of"] or match["of2"] or _NO_DIMENSION, match["what"] or match["what2"]


def _stated(headers: Mapping[str, str], wall_now: float) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None and milliseconds > 0:
        return milliseconds / 1000  # Azure sends 0 here beside a true retry-after
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    duration_s = _go_duration(value)
    return duration_s if duration_s is not None else _until_http_date(value, wall_now)


def _hinted(body: bytes) -> float | None:
    text = body[:_HINT_BYTES_MAX].decode("utf-8", errors="replace")
    match = _JSON_MILLISECONDS.search(text)
    if match is not None:
        return float(match[1]) / 1000
    match = _JSON_SECONDS.search(text)
    if match is not None:
        return float(match[1])
    match = _JSON_DURATION.search(text)
    if match is not None:
        duration_s = _go_duration(match[1])
        if duration_s is not None:
            return duration_s
    match = _TEXT_HINT.search(text)
    return None if match is None else _spoken(match[1])


def _spoken(text: str) -> float | None:
    """``20 seconds``, ``6ms``, ``1m30.5s`` or a bare number of seconds."""
    short = _LONG_UNIT.sub(lambda unit: _SHORT_OF_LONG[unit[1].lower()], text)
    short = short.replace(" ", "").lower()
    duration_s = _go_duration(short)
    return duration_s if duration_s is not None else _number(short)


def _until_reset(limits: tuple[RateLimit, ...]) -> float | None:
    resets_s = [
        limit.reset_s for limit in limits if limit.reset_s is not None and not limit.remaining
    ]
    return max(resets_s, default=None)


def _reset_s(value: str | None, wall_now: float, *, in_ms: bool) -> float | None:
    """Seconds until a reset: from a duration, a bare number or an instant."""
    if value is None:
        return None
    duration_s = _go_duration(value)
    if duration_s is not None:
        return _clamped(duration_s)
    number = _number(value)
    if number is not None:
        return _clamped(_bare_s(number, wall_now, in_ms=in_ms))
    try:
        instant = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return _until(instant, wall_now)


def _bare_s(number: float, wall_now: float, *, in_ms: bool) -> float:
    if number >= _EPOCH_MS_MIN:
        return number / 1000 - wall_now
    if number >= _EPOCH_S_MIN:
        return number - wall_now
    return number / 1000 if in_ms else number


def _go_duration(value: str) -> float | None:
    text = value.strip().replace("μs", "µs")  # two code points look the same
    if _GO_DURATION.fullmatch(text) is None:
        return None
    return sum(float(amount) * _UNIT_S[unit] for amount, unit in _GO_PART.findall(text))


def _until_http_date(value: str, wall_now: float) -> float | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - 2 ms, seldom needed

    try:
        instant = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # the parser of the standard library lets all of these out
    return _until(instant, wall_now)


def _until(instant: datetime, wall_now: float) -> float | None:
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    try:
        return _clamped(instant.timestamp() - wall_now)
    except (ValueError, OverflowError):
        return None  # a year that no timestamp holds


def _number(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _count(value: str | None) -> int | None:
    number = _number(value)
    return None if number is None or math.isinf(number) else int(number)


def _clamped(wait_s: float) -> float:
    return min(max(wait_s, 0.0), PUSHBACK_MAX_S)
