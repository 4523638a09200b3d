"""Every dialect of Retry-After by generators: what is said is read, what is odd is bounded.

The cases by hand are in ``test_pushback.py``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.upstream.pushback import PUSHBACK_MAX_S, pushback_s, rate_limits

NOW = 1_700_000_000.0
EPOCH = datetime.fromtimestamp(NOW, UTC)
FUZZ = settings(derandomize=True, max_examples=250, deadline=None)
TABLE = settings(derandomize=True, max_examples=80, deadline=None)

WAITS_MS = st.integers(1, 400_000)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DIMENSIONS = st.sampled_from(["requests", "tokens", "input-tokens", "project-tokens"])
HEADER = st.one_of(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-limit-"]),
    st.builds(
        "{}-{}-{}".format,
        st.just("x-ratelimit"),
        st.sampled_from(["limit", "remaining", "reset"]),
        DIMENSIONS,
    ),
    st.builds(
        "{}-{}-{}".format,
        st.just("anthropic-ratelimit"),
        DIMENSIONS,
        st.sampled_from(["limit", "remaining", "reset"]),
    ),
)
UNITS = ["", "s", "ms", "m", "h", "us", "µs", "μs", "ns", "min", "sec", " seconds", " Minutes"]
AMOUNTS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(["1e400", "-1e400", "inf", "-inf", "nan", "0", "-0", "1_0", "٣", "0x10", ""]),
    st.integers(0, 30).map(lambda count: "9" * count),
)
DURATIONS = st.lists(st.builds("{}{}".format, AMOUNTS, st.sampled_from(UNITS)), max_size=8).map(
    "".join
)
INSTANTS = st.datetimes(timezones=st.one_of(st.none(), ZONES))
VALUES = st.one_of(
    DURATIONS,
    INSTANTS.map(datetime.isoformat),
    st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        st.sampled_from(["Tue", "", "Xxx"]),
        *(st.integers(-1, 40), st.sampled_from(["Nov", "Foo", "11"]), st.integers(-1, 10**6)),
        *(st.integers(-1, 30), st.integers(-1, 70), st.integers(-1, 70)),
        st.sampled_from(["GMT", "+0100", "-9999", "+99999999999", ""]),
    ),
    st.text(st.characters(), max_size=30),  # lone surrogates too: headers are decoded with them
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["Please try again in", "retry after", "resets in ~", "available in"]),
        VALUES,
        st.sampled_from([".", "", " or so"]),
    ).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.builds(
        '{{"{}": {}{}{}}}'.format,
        st.sampled_from(["retry_after", "retryAfter", "retry_after_ms", "retryDelay"]),
        *(st.sampled_from(["", '"']), DURATIONS, st.sampled_from(["", '"'])),
    ).map(str.encode),
)


@FUZZ
@given(headers=st.dictionaries(HEADER, VALUES, max_size=5), body=BODIES)
def test_nothing_raises_or_exceeds(headers: dict[str, str], body: bytes) -> None:
    """Whatever providers write: None, or from none to five minutes; limits are plain numbers."""
    wait_s = pushback_s(headers, body, NOW)
    assert wait_s is None or 0.0 <= wait_s <= PUSHBACK_MAX_S
    for limit in rate_limits(headers, NOW):
        assert limit.reset_s is None or 0.0 <= limit.reset_s <= PUSHBACK_MAX_S
        assert isinstance(limit.limit, int | None)
        assert isinstance(limit.remaining, int | None)


@FUZZ
@given(name=HEADER, value=VALUES)
def test_one_header_is_as_good_as_none_or_bounded(name: str, value: str) -> None:
    """A single odd value is either understood or passed over, never an error of ours."""
    wait_s = pushback_s({name: value}, b"", NOW)
    assert wait_s is None or 0.0 <= wait_s <= PUSHBACK_MAX_S


@FUZZ
@given(wall_now=st.floats(allow_nan=False), value=INSTANTS.map(datetime.isoformat))
def test_any_clock_is_survived(wall_now: float, value: str) -> None:
    """A wall clock that is wildly wrong bounds nothing and breaks nothing."""
    name = "anthropic-ratelimit-tokens-reset"
    wait_s = pushback_s({name: value}, b"", wall_now)
    assert wait_s is None or 0.0 <= wait_s <= PUSHBACK_MAX_S


# --- what is said is read ----------------------------------------------------------------------


def as_go(wait_ms: int) -> str:
    """Return a wait as Go prints durations."""
    minutes, rest = divmod(wait_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    if wait_ms < 1000:
        return f"{wait_ms}ms"
    head = f"{hours}h" if hours else ""
    head += f"{minutes}m" if hours or minutes else ""
    return f"{head}{rest / 1000:g}s"


def until(wait_ms: int) -> datetime:
    """Return the instant at which a wait from now ends."""
    return EPOCH + timedelta(milliseconds=wait_ms)


DIALECTS: dict[str, Any] = {
    "seconds": lambda ms: ({"retry-after": f"{ms / 1000}"}, ""),
    "milliseconds": lambda ms: ({"retry-after-ms": f"{ms}", "retry-after": "1"}, ""),
    "go in header": lambda ms: ({"retry-after": as_go(ms)}, ""),
    "openai reset": lambda ms: ({"x-ratelimit-reset-requests": as_go(ms)}, ""),
    "openai text": lambda ms: ({}, f"Limit reached. Please try again in {as_go(ms)}. Visit us."),
    "gemini text": lambda ms: ({}, f"Please retry in {ms / 1000:.3f}s."),
    "gemini detail": lambda ms: ({}, f'{{"retryDelay": "{ms / 1000:.3f}s"}}'),
    "json seconds": lambda ms: ({}, f'{{"retry_after": {ms / 1000}}}'),
    "json milliseconds": lambda ms: ({}, f'{{"retry_after_ms": {ms}}}'),
    "anthropic reset": lambda ms: (
        {"anthropic-ratelimit-tokens-reset": until(ms).isoformat(timespec="milliseconds")},
        "",
    ),
    "RFC 3339 Z": lambda ms: (
        {"anthropic-ratelimit-requests-reset": f"{until(ms):%Y-%m-%dT%H:%M:%S.%f}Z"},
        "",
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@TABLE
@given(wait_ms=WAITS_MS)
def test_dialects_are_read(dialect: str, wait_ms: int) -> None:
    """In every dialect the wait that was said comes out, at most five minutes."""
    headers, text = DIALECTS[dialect](wait_ms)
    expected = min(wait_ms / 1000, PUSHBACK_MAX_S)
    assert pushback_s(headers, text.encode(), NOW) == pytest.approx(expected, abs=2e-3)


@TABLE
@given(wait_s=st.integers(-1000, 1000), zone=ZONES)
def test_dates_of_any_zone_are_read(wait_s: int, zone: timezone) -> None:
    """An HTTP date or RFC 3339 instant is a wait from now in whatever zone; the past is now."""
    instant = (EPOCH + timedelta(seconds=wait_s)).astimezone(zone)
    expected = min(max(float(wait_s), 0.0), PUSHBACK_MAX_S)
    http = format_datetime(instant)
    assert pushback_s({"retry-after": http}, b"", NOW) == expected
    reset = {"anthropic-ratelimit-tokens-reset": instant.isoformat()}
    assert pushback_s(reset, b"", NOW) == expected


@TABLE
@given(
    explicit_s=st.integers(1, 299),
    spoken_s=st.integers(1, 299),
    reset_s=st.integers(1, 299),
)
def test_order_of_trust(explicit_s: int, spoken_s: int, reset_s: int) -> None:
    """An explicit wait wins over the text, the text over a reset."""
    reset = {"x-ratelimit-reset-tokens": f"{reset_s}s"}
    text = f"Please try again in {spoken_s}s.".encode()
    explicit = {"retry-after": str(explicit_s)}
    assert pushback_s({**reset, **explicit}, text, NOW) == explicit_s
    assert pushback_s(reset, text, NOW) == spoken_s
    assert pushback_s(reset, b"", NOW) == reset_s


@TABLE
@given(
    resets_s=st.dictionaries(DIMENSIONS, st.integers(1, 299), min_size=1),
    left=st.dictionaries(DIMENSIONS, st.integers(0, 3)),
)
def test_only_used_up_limits_count(resets_s: dict[str, int], left: dict[str, int]) -> None:
    """The longest reset of the limits not known to have something left is the wait."""
    headers = {f"x-ratelimit-reset-{of}": f"{reset_s}s" for of, reset_s in resets_s.items()}
    headers |= {f"x-ratelimit-remaining-{of}": str(count) for of, count in left.items()}
    empty = [reset_s for of, reset_s in resets_s.items() if not left.get(of)]
    assert pushback_s(headers, b"", NOW) == max(empty, default=None)
    assert {limit.dimension for limit in rate_limits(headers, NOW)} == {*resets_s, *left}


def test_long_texts_cost_little() -> None:
    """A hint beyond the first 16 KiB is not looked for, and no text makes the search explode."""
    far = b"x" * 16_384 + b"Please try again in 5s."
    assert pushback_s({}, far, NOW) is None
    for hostile in (b"try again in ", b"try again in 9", b"9.9m", b"retry after 1s1s1s1s", b'"'):
        pushback_s({}, hostile * 20_000, NOW)
    for hostile_header in ("1h" * 50_000, "9" * 100_000, "Tue, " * 20_000, "2023-" * 20_000):
        pushback_s({"retry-after": hostile_header}, b"", NOW)
