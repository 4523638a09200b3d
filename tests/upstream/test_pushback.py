"""The dialects in which providers say when to come back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engine.ports import RateLimit
from sidecar.upstream.pushback import PUSHBACK_MAX_S, pushback_s, rate_limits

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "1s"}, 1.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "1e400"}, PUSHBACK_MAX_S),
        ({"retry-after": "3600"}, PUSHBACK_MAX_S),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1.0),
        ({"x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-reset-tokens": "4m0s"}, 240.0),
        ({"x-ratelimit-reset-tokens": "6m0s"}, PUSHBACK_MAX_S),
        ({"x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-reset-requests": "1m2.5s"}, 62.5),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "3"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-requests": "59s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "2s",
            },
            2.0,
        ),
        ({"anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:40Z"}, 20.0),
        ({"anthropic-ratelimit-requests-reset": "2023-11-14T22:13:40+00:00"}, 20.0),
        ({"anthropic-ratelimit-requests-reset": "tomorrow"}, None),
        ({"retry-after": "9", "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:40Z"}, 9.0),
    ],
)
def test_headers(headers: dict[str, str], expected: float | None) -> None:
    """Each header dialect is understood; an explicit wait wins over a reset."""
    assert pushback_s(headers, b"", NOW) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Please try again in 6ms. Contact us", 0.006),
        ("Please try again in 50.597142857s. Visit", 50.597142857),
        ("Please try again in 1m30.5s.", 90.5),
        ("Please retry in 48.9s.", 48.9),
        ("Please retry after 20 seconds.", 20.0),
        ("Try again in 2 minutes", 120.0),
        ("Your rate limit resets in ~5s.", 5.0),
        ('{"detail":"Request was throttled.","retry_after":5}', 5.0),
        ('{"retry_after_ms": "1500"}', 1.5),
        ('{"details":[{"retryDelay":"48s"}]}', 48.0),
        ("Please try again later.", None),
        ("try again in the morning", None),
    ],
)
def test_body_hints(body: str, expected: float | None) -> None:
    """A wait that is only in the error's text is found."""
    assert pushback_s({}, body.encode(), NOW) == pytest.approx(expected)


def test_rate_limits_of_both_dialects() -> None:
    """Limits are reported by dimension, whichever vendor's headers say them."""
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "x",
        "anthropic-ratelimit-output-tokens-reset": "2023-11-14T22:13:21Z",
    }
    assert rate_limits(headers, NOW) == (
        RateLimit(dimension="requests", limit=500, remaining=499, reset_s=0.12),
        RateLimit(dimension="output-tokens", limit=8000, remaining=None, reset_s=1.0),
    )


_NAMES = st.sampled_from(
    [
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-reset-requests",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-remaining-tokens",
        "anthropic-ratelimit-tokens-reset",
    ]
)
_VALUES = st.one_of(
    st.text(max_size=40),
    st.floats().map(str),
    st.integers().map(str),
    st.text("0123456789.hms+-:TZµ ", max_size=30),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT")),
)
_BODIES = st.one_of(
    st.binary(max_size=100),
    _VALUES.map(lambda value: f"try again in {value}".encode()),
    _VALUES.map(lambda value: f'{{"retry_after": {value}'.encode()),
)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(headers=st.dictionaries(_NAMES, _VALUES, max_size=4), body=_BODIES)
def test_any_input_is_bounded(headers: dict[str, str], body: bytes) -> None:
    """No header or body makes it raise or block for more than five minutes."""
    wait_s = pushback_s(headers, body, NOW)
    assert wait_s is None or 0.0 <= wait_s <= PUSHBACK_MAX_S


def test_azure_counts_resets_in_milliseconds() -> None:
    """Recorded: one request of 120 a minute, fourteen tokens of 120 000, are back in 500 and 7."""
    headers = {
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "119",
        "x-ratelimit-renewalperiod-requests": "60",
        "x-ratelimit-reset-requests": "500",
        "x-ratelimit-limit-tokens": "120000",
        "x-ratelimit-remaining-tokens": "119986",
        "x-ratelimit-renewalperiod-tokens": "60",
        "x-ratelimit-reset-tokens": "7",
    }
    assert rate_limits(headers, NOW) == (
        RateLimit(dimension="requests", limit=120, remaining=119, reset_s=0.5),
        RateLimit(dimension="tokens", limit=120_000, remaining=119_986, reset_s=0.007),
    )


def test_mistral_names_the_minute() -> None:
    """Recorded: its limits of a minute are what others leave unnamed, those of a month are not."""
    headers = {
        "x-ratelimit-limit-req-minute": "60",
        "x-ratelimit-remaining-req-minute": "52",
        "x-ratelimit-limit-tokens-minute": "500000",
        "x-ratelimit-remaining-tokens-minute": "499497",
        "x-ratelimit-limit-tokens-month": "1000000000",
        "x-ratelimit-limit-req-10-second": "60",
        "x-ratelimit-tokens-query-cost": "71",
    }
    assert rate_limits(headers, NOW) == (
        RateLimit(dimension="requests", limit=60, remaining=52),
        RateLimit(dimension="tokens", limit=500_000, remaining=499_497),
        RateLimit(dimension="tokens-month", limit=1_000_000_000),
        RateLimit(dimension="req-10-second", limit=60),
    )


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ratelimit-limit": "2", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"}, 2.0),
        (
            {
                "x-ratelimit-limit": "20",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(int(NOW * 1000) + 7_500),
            },
            7.5,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 9)}, 9.0),
    ],
    ids=["together: seconds", "openrouter: milliseconds since 1970", "seconds since 1970"],
)
def test_a_reset_without_a_dimension_is_a_wait(headers: dict[str, str], expected: float) -> None:
    """Of what it is the limit is not said, but when to come back is; it is no limit a minute."""
    assert pushback_s(headers, b"", NOW) == pytest.approx(expected)
    assert [limit.dimension for limit in rate_limits(headers, NOW)] == ["all"]
